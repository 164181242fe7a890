"""The parameters that every list takes."""

from typing import Annotated

from fastapi import Query

from leeward.errors import Invalid, Problem

After = Annotated[str, Query(description="The `next` of the part before; empty for the first part", max_length=200)]
Limit = Annotated[int, Query(ge=1, le=200, description="Most items in the answer")]
LineLimit = Annotated[int, Query(ge=1, le=5000, description="Most lines in the answer")]


def number(after: str) -> int:
    """A cursor that is a number. Raises Invalid."""
    if after and not (after.isascii() and after.isdecimal() and len(after) < 19):
        raise Invalid([Problem("after", f"'{after}' is not a cursor", "give the 'next' of the part before")])
    return int(after or 0)

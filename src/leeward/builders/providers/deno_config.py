"""Read Deno's configuration, which is JSON with comments."""

import json
from collections.abc import Mapping
from typing import Any

from leeward.builders import relaxed_json
from leeward.builders.tree import AppView
from leeward.errors import PlanFailed

CONFIGS = ("deno.json", "deno.jsonc")


def config(view: AppView, path: str) -> Mapping[str, Any]:
    """The object of a file, empty when nothing is in it. Raises PlanFailed naming the line."""
    text = view.whole(path)
    if not text.strip():
        return {}
    try:
        value = relaxed_json.loads(text)
        # Half a surrogate pair is legal JSON, and no text.
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        reason = (str(error) or "too deeply nested").splitlines()[0][:200]
        raise PlanFailed(f"'{path}' is not JSON: {reason}", hint=f"correct '{path}'") from error
    if not isinstance(value, Mapping):
        raise PlanFailed(f"'{path}' must hold an object", hint="begin it with '{'")
    return value

"""Take apart values that strangers wrote, without trusting their types."""

from collections.abc import Mapping
from typing import Any


def mapping(value: object, *keys: str) -> Mapping[str, Any]:
    """The mapping at a path of keys, empty when something else is there."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def text(value: object, *keys: str) -> str:
    """The text at a path of keys, '' when something else is there."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value.strip() if isinstance(value, str) else ""


def texts(value: object, *keys: str) -> tuple[str, ...]:
    """The texts of the list at a path of keys; what is no text is left out."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def first_text(value: object) -> str:
    """A version as tools' files write it: a text, the first of a list, or a table's `version`."""
    if isinstance(value, list):
        return first_text(value[0]) if value and not isinstance(value[0], list) else ""
    return value.strip() if isinstance(value, str) else text(value, "version")

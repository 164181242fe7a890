"""Find on which line of `leeward.yaml` a field stands."""

from collections.abc import Mapping

import yaml

from leeward.builders.tree import AppView
from leeward.model.build import Evidence

FILE = "leeward.yaml"
_MAX_TEXT = 256 * 1024
_MAX_FIELDS = 500


def read(view: AppView, app: str | None) -> Mapping[str, Evidence]:
    """The place of every field, by its dotted path; fields of the app `app` where there are several."""
    text = view.read(FILE)
    if not text or len(text) > _MAX_TEXT:
        return {}
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError):
        return {}
    found: dict[str, int] = {}
    _walk(root, "", found)
    below = f"apps.{app}." if app else ""
    inner = {path.removeprefix(below): line for path, line in found.items() if below and path.startswith(below)}
    return {path: Evidence(FILE, line, path) for path, line in (inner or found).items()}


def _walk(node: yaml.Node | None, path: str, found: dict[str, int], depth: int = 0) -> None:
    if not isinstance(node, yaml.MappingNode) or depth > 8 or len(found) > _MAX_FIELDS:
        return
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode):
            below = f"{path}.{key.value}" if path else key.value
            found[below] = key.start_mark.line + 1
            _walk(value, below, found, depth + 1)

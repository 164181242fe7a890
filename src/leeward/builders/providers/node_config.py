"""Read what the config files of Node's frameworks say, as text: they are never run."""

import re

from leeward.builders.tree import AppView
from leeward.model.build import Evidence

STANDALONE = re.compile(r"""\boutput\s*:\s*["']standalone["']""")


def config(view: AppView, name: str) -> tuple[str, str]:
    """A tool's config file and its text."""
    path = view.first(*(f"{name}.{ending}" for ending in ("js", "mjs", "cjs", "ts", "mts", "cts", "json")))
    return (path, view.read(path)) if path else ("", "")


def standalone(view: AppView) -> Evidence | None:
    """Where Next is told to make a server that brings its own modules."""
    path, content = config(view, "next.config")
    return view.where(path, "standalone", "output: standalone") if STANDALONE.search(content) else None


def found(pattern: re.Pattern[str], content: str, usual: str) -> str:
    """What the first group of a pattern holds, else what is usual."""
    match = pattern.search(content)
    return match.group(1) if match else usual

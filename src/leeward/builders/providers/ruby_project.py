"""Read what a Ruby app's files say."""

import re
from collections.abc import Mapping
from itertools import pairwise

from leeward.builders.tree import AppView
from leeward.model.build import Evidence

FILE = "Gemfile"
LOCK = "Gemfile.lock"
_GEM = re.compile(r"""^\s*gem[\s(]+["']([A-Za-z0-9_.-]{1,80})["']""")
_LOCKED = re.compile(r"^ {4}([A-Za-z0-9_.-]{1,80}) \(")
_RUBY = re.compile(r"""^\s*ruby[\s(]+(?:["']([^"']{1,40})["']|(file):)""")
_OF_TREE = re.compile(r"""^\s*gemspec\b|\bpath:\s*["']|^\s*path\s+["']|:path\s*=>|^\s*eval_gemfile\b""")


class Project:
    """The Gemfile and its lock, as text: neither is run."""

    def __init__(self, view: AppView) -> None:
        self.view = view
        self.gems: Mapping[str, Evidence] = self._gems()

    def _gems(self) -> dict[str, Evidence]:
        found: dict[str, Evidence] = {}
        for number, line in self.view.lines(FILE):
            if match := _GEM.match(line):
                found.setdefault(match[1], Evidence(FILE, number, line.strip()[:60]))
        for number, line in self.view.lines(LOCK):
            if match := _LOCKED.match(line):
                found.setdefault(match[1], Evidence(LOCK, number, line.strip()[:60]))
        return found

    @property
    def ruby(self) -> list[tuple[str, Evidence]]:
        """The versions of Ruby that the Gemfile and its lock name; 'file' when it reads another file."""
        found = []
        for number, line in self.view.lines(FILE):
            if match := _RUBY.match(line):
                found.append((match[1] or match[2], Evidence(FILE, number, line.strip()[:60])))
        lines = list(self.view.lines(LOCK))
        for (_, title), (number, line) in pairwise(lines):
            if title == "RUBY VERSION":
                version = line.strip().removeprefix("ruby ").partition("p")[0]
                found.append((version, Evidence(LOCK, number, line.strip()[:60])))
        return found

    @property
    def rails(self) -> Evidence | None:
        """Where it says that the app is Rails'."""
        if not self.view.has("config/application.rb"):
            return None
        return self.gems.get("rails") or self.gems.get("railties")

    @property
    def whole_tree(self) -> Evidence | None:
        """Why the gems cannot be had from the Gemfile and its lock alone."""
        for number, line in self.view.lines(FILE):
            if _OF_TREE.search(line) and not line.lstrip().startswith("#"):
                return Evidence(FILE, number, line.strip()[:60])
        return None

    @property
    def foreign_lock(self) -> bool:
        """Whether the lock is for other systems only."""
        platforms: list[str] = []
        inside = False
        for _, line in self.view.lines(LOCK):
            inside = line == "PLATFORMS" or (inside and line.startswith("  "))
            if inside and line.startswith("  "):
                platforms.append(line.strip())
        return bool(platforms) and not any(name == "ruby" or "linux" in name for name in platforms)

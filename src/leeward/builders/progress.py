"""Reads what the docker client prints about a build, as the lines that a user wants to see. Pure."""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from leeward.builders.neighbours import OnImage, fetched

_LINE = re.compile(r"^#(\d+) (.*)$")
_TIMED = re.compile(r"^(\d+\.\d+) ?(.*)$", re.S)
_DONE = re.compile(r"^DONE (\d+(?:\.\d+)?)s$")
_MOUNTS = re.compile(r"\s--(?:mount|network|security)=\S+")
_STEP = re.compile(r"^\[(?!internal\]|context )")
# What a failure is explained from.
_KEPT = 400


@dataclass(slots=True)
class _Vertex:
    name: str
    ran: bool = False
    failed: bool = False
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT))


class Progress:
    """Follows one build; afterwards tells what failed and whether any step ran at all."""

    def __init__(self, on_image: OnImage | None = None) -> None:
        """`on_image` is given the name of each image that is fetched; what it raises ends the build."""
        self._on_image = on_image
        self._vertices: dict[str, _Vertex] = {}
        self._tail: deque[str] = deque(maxlen=40)
        self.error = ""
        """The client's own last words."""

    @property
    def ran(self) -> bool:
        """Whether a step was really carried out; False when all came from the cache."""
        return any(vertex.ran for vertex in self._vertices.values())

    @property
    def step(self) -> str:
        """The name of the step that failed, '' when none did."""
        return next((_short(vertex.name) for vertex in self._vertices.values() if vertex.failed), "")

    @property
    def output(self) -> tuple[str, ...]:
        """The last lines of the step that failed, else of everything."""
        failed = next((vertex.lines for vertex in self._vertices.values() if vertex.failed), None)
        return tuple(failed if failed else self._tail)

    def feed(self, line: str) -> Iterator[str]:
        """Take one line of the client; the lines to show for it."""
        match = _LINE.match(line)
        if match is None:
            if line and not line.startswith(("------", " > ")):
                self._tail.append(line)
                self.error = line
            return
        number, rest = match.groups()
        vertex = self._vertices.get(number)
        if vertex is None:
            vertex = self._vertices[number] = _Vertex(rest)
            if self._on_image is not None and (image := fetched(rest)):
                self._on_image(image)
            if _STEP.match(rest) and " FROM " not in rest:
                yield _short(rest)
            return
        yield from self._event(vertex, rest)

    def _event(self, vertex: _Vertex, rest: str) -> Iterator[str]:
        shown = bool(_STEP.match(vertex.name))
        if timed := _TIMED.match(rest):
            vertex.lines.append(timed[2])
            self._tail.append(timed[2])
            if shown:
                vertex.ran = True
                yield f"    {timed[2]}"
        elif rest == "CACHED":
            if shown and " FROM " not in vertex.name:
                yield "  cached"
        elif done := _DONE.match(rest):
            if shown and " FROM " not in vertex.name:
                vertex.ran = True
                yield f"  done in {done[1]} s"
            elif vertex.name.startswith("exporting to image"):
                yield f"image written in {done[1]} s"
        elif rest.startswith("ERROR"):
            vertex.failed = True
            vertex.lines.append(rest)


def _short(name: str) -> str:
    """The step without the mounts that only the builder understands."""
    text = " ".join(_MOUNTS.sub("", name).split())
    return text if len(text) <= 200 else f"{text[:199]}…"

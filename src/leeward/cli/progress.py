"""Show on stderr how a deploy goes on."""

import sys
import time
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from leeward.cli.output import safe, say, seconds

if TYPE_CHECKING:
    from rich.console import RenderableType

STEPS = ("fetch", "plan", "build", "push", "rollout")
_TAIL = 8


class Progress(Protocol):
    """Is told what happens, and shows it."""

    def __enter__(self) -> "Progress": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...

    def deploy(self, deploy: Mapping[str, Any]) -> None:
        """The deploy as it is now."""

    def line(self, text: str) -> None:
        """A line that the build printed."""

    def note(self, text: str) -> None:
        """Something that the user should know."""


def progress() -> Progress:
    """A live picture on a terminal, else plain lines."""
    return Live() if sys.stderr.isatty() else Plain()


class Plain:
    """One line for each step that ended, and each line of the build."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __enter__(self) -> "Plain":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        return None

    def deploy(self, deploy: Mapping[str, Any]) -> None:
        """Name the steps that ended since the last time."""
        for step in deploy.get("steps") or ():
            phase = str(step.get("phase"))
            if step.get("duration_s") is not None and phase not in self._said:
                self._said.add(phase)
                say(f"{phase:<8} {seconds(step['duration_s'])}  {step.get('detail') or ''}".rstrip())

    def line(self, text: str) -> None:
        """Print the line."""
        say(f"  | {text}")

    def note(self, text: str) -> None:
        """Print the note."""
        say(text)


class Live:
    """The steps with their seconds, and the last lines of the build, redrawn in place."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live as Picture

        self._deploy: Mapping[str, Any] = {}
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._begun: dict[str, float] = {}
        self._console = Console(stderr=True, highlight=False)
        self._picture = Picture(console=self._console, get_renderable=self._draw, refresh_per_second=8, transient=False)

    def __enter__(self) -> "Live":
        self._picture.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._deploy.get("status") == "live":
            self._tail.clear()
        self._picture.stop()

    def deploy(self, deploy: Mapping[str, Any]) -> None:
        """Take the newest state; drawn with the next refresh."""
        self._deploy = deploy

    def line(self, text: str) -> None:
        """Take a line of the build."""
        self._tail.append(text)

    def note(self, text: str) -> None:
        """Print above the picture."""
        self._console.print(safe(text), markup=False)

    def _draw(self) -> "RenderableType":
        from rich.console import Group
        from rich.text import Text

        steps = {step.get("phase"): step for step in self._deploy.get("steps") or ()}
        # More than the usual ones where jobs follow.
        rows = [self._row(name, steps.get(name)) for name in dict.fromkeys([*STEPS, *map(str, steps)])]
        tail = [
            Text.from_ansi(f"  {safe(line)}", no_wrap=True, overflow="ellipsis", style="dim") for line in self._tail
        ]
        return Group(*rows, *tail)

    def _row(self, name: str, step: Mapping[str, Any] | None) -> "RenderableType":
        from rich.text import Text

        if step is None:
            return Text(f"  {name}", style="dim")
        detail = safe(step.get("detail") or "")
        if step.get("duration_s") is not None:
            broken = self._deploy.get("step") == name
            mark, style = ("✗", "red") if broken else ("✓", "green")
            return Text.assemble((f"{mark} {name:<8}", style), f" {seconds(step['duration_s']):>8}  ", (detail, "dim"))
        since = self._begun.setdefault(name, time.monotonic())
        return Text.assemble((f"› {name:<8}", "cyan"), f" {seconds(time.monotonic() - since):>8}  ", (detail, "dim"))

"""What was found out about how a Python app runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from leeward.builders.providers.provider import Start
from leeward.model.build import Diagnostic, Evidence


@dataclass(frozen=True, slots=True)
class Found:
    """An application: how it starts, the server that it needs, where its code lies, and what goes with it."""

    start: Start | None = None
    framework: str = ""
    server: str = ""
    """The package that the start command comes from, '' when the framework brings it."""
    python_path: str = ""
    health: tuple[str, Evidence] | None = None
    release: Start | None = None
    after_copy: tuple[str, ...] = ()
    """Commands that need the code: run once it is in the image."""
    writable: Evidence | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[Diagnostic, ...] = ()

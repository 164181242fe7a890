"""What happened."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened: who (`actor`), to what (`app`), which `kind` ('deploy.live'), in one sentence."""

    kind: str
    text: str
    app: str = ""
    actor: str = "platform"
    data: Mapping[str, str] = field(default_factory=dict)
    at: datetime | None = None
    id: int = 0

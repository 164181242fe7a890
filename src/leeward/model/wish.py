"""What is wished for one app, beside its releases."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from leeward.model.app import AppSpec, Instances
from leeward.model.release import SourceRef
from leeward.model.secret import Secret
from leeward.model.sizes import Size


@dataclass(frozen=True, slots=True)
class Override:
    """What `lee scale` said about one process; it wins over the manifest until it is changed or rolled back."""

    instances: Instances | None = None
    size: Size | None = None


@dataclass(frozen=True, slots=True)
class App:
    """One app. `live` and `generation` say what should run: instances of another generation are replaced."""

    name: str
    project: str = "default"
    spec: AppSpec = field(default_factory=AppSpec)
    """The spec given at creation or with the last deploy, before overrides."""
    overrides: Mapping[str, Override] = field(default_factory=dict)
    domains: tuple[str, ...] = ()
    """Added by `lee domains`, beside the manifest's."""
    source: SourceRef | None = None
    live: int | None = None
    generation: int = 0
    cache_generation: int = 0
    hook_digest: str = ""
    """SHA-256 of the secret in the deploy hook's URL."""
    webhook_secret: Secret | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    """Tool versions that earlier plans resolved: a new default never changes a running app."""
    deleted: bool = False
    """True while the loops take it down; the row goes when nothing runs any more."""
    created_at: datetime | None = None

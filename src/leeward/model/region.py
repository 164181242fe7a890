"""A place where apps run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from leeward.model.secret import Secret

LOCAL = "local"
"""The region that every platform has: this machine."""


class EngineKind(StrEnum):
    """What runs instances in a region."""

    LOCAL = "local"
    KUBERNETES = "kubernetes"


class Profile(StrEnum):
    """The rules of the cluster's maker."""

    PLAIN = "plain"
    GKE_STANDARD = "gke-standard"
    GKE_AUTOPILOT = "gke-autopilot"


class BuildsIn(StrEnum):
    """Where the apps of a region are built."""

    LOCAL = "local"
    CLUSTER = "cluster"
    GOOGLE = "google"


BUILDS_OPTIONS = frozenset({"builds", "google_project", "google_location", "google_bucket"})
"""Options that say where apps are built, beside those of the engine."""


@dataclass(frozen=True, slots=True)
class Region:
    """One engine somewhere. `credentials` is the text of its access file, `context` an entry of it."""

    name: str
    engine: EngineKind
    credentials: Secret | None = None
    context: str = ""
    registry: str = ""
    """`host:port` by which its nodes reach the platform's registry; '' when they call it as the platform does."""
    profile: Profile = Profile.PLAIN
    pull_secret: Secret | None = None
    """The text of a Docker `config.json` with which its nodes pull images."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What its engine takes beside: node pools, a gateway, quotas."""
    created_at: datetime | None = None

    def option(self, name: str) -> str:
        """An option by its name, in which hyphens do as well as underscores; '' when it is not given."""
        return next((text for key, text in self.options.items() if key.replace("-", "_") == name), "")

    @property
    def builds(self) -> BuildsIn:
        """Where its apps are built. Raises ValueError for an option that says something else."""
        return BuildsIn(self.option("builds") or BuildsIn.LOCAL)


@dataclass(frozen=True, slots=True)
class Examined:
    """One thing that was looked at in a region: `hint` says what to do when it is not right."""

    name: str
    ok: bool
    text: str
    hint: str = ""
    needed: bool = True
    """False for a part that only adds an ability."""

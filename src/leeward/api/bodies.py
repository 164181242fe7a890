"""What callers send."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from leeward.model.access import Scope
from leeward.model.region import EngineKind, Profile
from leeward.model.release import SourceKind, SourceRef

Line = Annotated[str, Field(max_length=500)]


class Body(BaseModel):
    """Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SignIn(Body):
    """A name and a password."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    password: Annotated[str, Field(min_length=1, max_length=1024)]


class NewTokenBody(Body):
    """A token to make; without `days` it does not expire."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    scope: Scope = Scope.DEPLOY
    days: Annotated[float | None, Field(gt=0, le=3650)] = None


class NewApp(Body):
    """An app to make; `spec` holds the fields of `leeward.yaml`."""

    name: str
    spec: Mapping[str, Any] | None = None
    project: str = "default"


class GitSource(Body):
    """A Git repository and a branch, tag or commit; without `ref` its default branch."""

    url: Annotated[str, Field(max_length=2048)]
    ref: Annotated[str, Field(max_length=255)] = ""


class NewDeploy(Body):
    """At most one of `git`, `upload`, `image`; with none of them the app's last source is fetched again."""

    git: GitSource | None = None
    upload: Annotated[str | None, Field(max_length=128)] = None
    image: Annotated[str | None, Field(max_length=512)] = None
    spec: Mapping[str, Any] | None = None
    path: Annotated[str | None, Field(max_length=512)] = None
    message: Line = ""

    @model_validator(mode="after")
    def _one_source(self) -> "NewDeploy":
        given = [name for name in ("git", "upload", "image") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"give one source, not {' and '.join(given)}")
        if self.path is not None and not given:
            raise ValueError("path needs a source: give one of git, upload or image")
        return self

    def source(self) -> SourceRef | None:
        """The source as the services know it."""
        spec_path = self.spec.get("path") if self.spec else None
        path = self.path or (spec_path if isinstance(spec_path, str) else "") or "."
        if self.git is not None:
            return SourceRef(SourceKind.GIT, url=self.git.url, ref=self.git.ref, path=path)
        if self.upload is not None:
            return SourceRef(SourceKind.UPLOAD, upload=self.upload, path=path)
        if self.image is not None:
            return SourceRef(SourceKind.IMAGE, image=self.image, path=path)
        return None


class RollbackBody(Body):
    """The number of the release to go back to; without it the one before the live one."""

    release: Annotated[int | None, Field(ge=1)] = None


class Rebase(Body):
    """One app, or without `app` all; `dry_run` changes nothing."""

    app: Annotated[str, Field(max_length=100)] = ""
    dry_run: bool = False


class BaseUndo(Body):
    """One app, or without `app` all."""

    app: Annotated[str, Field(max_length=100)] = ""


class ScaleBody(Body):
    """Instances by process (a number, or `{min, max, cpu_percent}`), and a size for those (for all when none)."""

    processes: Mapping[str, int | Mapping[str, int]] = Field(default_factory=dict)
    size: str | None = None


class EnvChange(Body):
    """Variables to set, secret ones, and names to remove."""

    set: Mapping[str, str] = Field(default_factory=dict)
    secrets: Mapping[str, str] = Field(default_factory=dict)
    unset: tuple[str, ...] = ()


class NewDomain(Body):
    """A host name: `api.example.com` or `*.example.com`."""

    host: Annotated[str, Field(min_length=1, max_length=300)]


class NewRegion(Body):
    """A cluster where apps may run: the text of its access file, and which entry of it (else the one in use)."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    engine: EngineKind = EngineKind.KUBERNETES
    credentials: Annotated[str, Field(max_length=256 * 1024)] = ""
    context: Annotated[str, Field(max_length=253)] = ""
    registry: Annotated[str, Field(max_length=253)] = ""
    profile: Profile = Profile.PLAIN
    pull_secret: Annotated[str, Field(max_length=64 * 1024)] = ""
    options: Mapping[str, str] = Field(default_factory=dict)


class NewRegistry(Body):
    """A login at a registry; the password is a token where the registry gives these out."""

    host: Annotated[str, Field(min_length=1, max_length=300)]
    username: Annotated[str, Field(min_length=1, max_length=255)]
    password: Annotated[str, Field(min_length=1, max_length=16 * 1024)]


class ExecBody(Body):
    """A command to run in an instance of `process`."""

    command: Annotated[tuple[str, ...], Field(min_length=1, max_length=256)]
    process: str = ""

"""What the user wishes for: the fields of `leeward.yaml`."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from leeward.model.document import shown
from leeward.model.region import LOCAL
from leeward.model.schedule import schedule as parsed_schedule
from leeward.model.schedule import zone as parsed_zone
from leeward.model.sizes import Size
from leeward.model.volume import MOST_OF_A_PROCESS, clashes, mebibytes, mount_path

# A DNS label (RFC 1123) shortened to 40 characters, so that 'process.app.project' and host names stay legal.
NAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
ENV_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
HOST = re.compile(r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
RATE = re.compile(r"[1-9][0-9]{0,6}/[smh]")
# Names that the platform's own hosts use.
RESERVED_NAMES = frozenset({"console", "registry", "git", "api", "edge", "www-data", "leeward"})


def _name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError(
            f"'{value}' is not a name: use 1 to 40 lower-case letters, digits and hyphens, beginning with a letter"
        )
    return value


def _app_name(value: str) -> str:
    if value in RESERVED_NAMES:
        raise ValueError(f"'{value}' is reserved for the platform: choose another name")
    return _name(value)


def _host(value: str) -> str:
    value = value.lower().rstrip(".")
    if len(value) > 253 or not HOST.fullmatch(value):
        raise ValueError(f"'{value}' is not a domain: write it like 'api.example.com' or '*.example.com'")
    return value


def _env_key(value: str) -> str:
    if not ENV_KEY.fullmatch(value):
        raise ValueError(f"'{shown(value)}' is not the name of a variable: use letters, digits and '_', no digit first")
    return value


Name = Annotated[str, AfterValidator(_name)]
AppName = Annotated[str, AfterValidator(_app_name)]
Host = Annotated[str, AfterValidator(_host)]
EnvKey = Annotated[str, AfterValidator(_env_key)]


class Spec(BaseModel):
    """Something that people write: frozen, unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Strategy(StrEnum):
    """How the source becomes an image."""

    AUTO = "auto"
    BUILDPACKS = "buildpacks"
    DOCKERFILE = "dockerfile"
    IMAGE = "image"


class BuildSpec(Spec):
    """How to build the source; `auto` looks at the files."""

    strategy: Strategy = Strategy.AUTO
    dockerfile: str = "Dockerfile"
    context: str = "."
    target: str | None = None
    args: Mapping[str, str] = Field(default_factory=dict)
    image: str | None = None
    builder: str | None = None
    command: str | None = None
    install_command: str | None = None
    output: str | None = None
    versions: Mapping[str, str] = Field(default_factory=dict)
    packages: tuple[str, ...] = ()


class Health(Spec):
    """How to see that an instance works; asked over HTTP by the platform, from outside the instance."""

    path: str = "/"
    # Seconds between checks once live; `rollout_interval` while a new release starts.
    interval: float = Field(default=10, gt=0, le=300)
    rollout_interval: float = Field(default=1, ge=0.05, le=60)
    timeout: float = Field(default=5, gt=0, le=60)
    # Three in a row, as load balancers count them: a single answer may come from a warm-up.
    successes: int = Field(default=3, ge=1, le=10)
    failures: int = Field(default=3, ge=1, le=10)
    drain: float = Field(default=30, ge=0, le=600)
    deadline: float = Field(default=300, ge=1, le=3600)

    @model_validator(mode="after")
    def _path_is_absolute(self) -> "Health":
        if not self.path.startswith("/"):
            raise ValueError(f"health path '{self.path}' must begin with '/'")
        return self


class Instances(Spec):
    """How many copies should run; with `min` < `max` the platform scales by CPU, and by memory where that is given."""

    min: int = Field(default=1, ge=0, le=50)
    max: int = Field(default=1, ge=0, le=50)
    cpu_percent: int = Field(default=80, ge=10, le=100)
    memory_percent: int | None = Field(default=None, ge=10, le=100)
    # A page that is read for ten minutes should still be there for the next click.
    sleep_after_s: int = Field(default=900, ge=5, le=604_800)

    @model_validator(mode="before")
    @classmethod
    def _one_number_means_both(cls, value: object) -> object:
        if isinstance(value, int) and not isinstance(value, bool):
            return {"min": value, "max": value}
        if isinstance(value, Mapping) and "min" in value and "max" not in value and isinstance(value["min"], int):
            return {**value, "max": max(value["min"], 1)}
        if not isinstance(value, Mapping | Instances):
            raise ValueError(f"must be a whole number, or like {{min: 1, max: 3}}, not '{shown(value)}'")
        return value

    @model_validator(mode="after")
    def _min_is_not_above_max(self) -> "Instances":
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self

    @property
    def may_sleep(self) -> bool:
        """Whether none need run while nobody asks."""
        return self.min == 0 < self.max


class Overlap(StrEnum):
    """What happens when a run is due while an earlier one goes on."""

    FORBID = "forbid"
    ALLOW = "allow"
    REPLACE = "replace"


class VolumeSpec(Spec):
    """Disk space that outlives instances, seen by every instance of its process at `path`."""

    path: Annotated[str, AfterValidator(mount_path)]
    size: str = "1Gi"

    @field_validator("size")
    @classmethod
    def _is_a_size(cls, value: str) -> str:
        mebibytes(value)
        return value.strip()

    @property
    def size_mib(self) -> int:
        """The size in MiB."""
        return mebibytes(self.size)


# What only a process with a schedule has, and what it cannot have.
_OF_SCHEDULES = ("timezone", "timeout_s", "overlap", "retries")
_OF_SERVERS = ("health", "port")


class ProcessSpec(Spec):
    """One kind of process of an app: `web` gets traffic; one with a schedule runs by the clock, every other always."""

    command: str | None = Field(default=None, max_length=1024)
    size: Size = Size.SMALL
    instances: Instances = Field(default_factory=Instances)
    health: Health = Field(default_factory=Health)
    port: int = Field(default=8080, ge=1, le=65535)
    schedule: str | None = Field(default=None, max_length=200)
    timezone: str = Field(default="UTC", max_length=64)
    # Of a run with all its retries.
    timeout_s: int = Field(default=3600, ge=1, le=86400)
    overlap: Overlap = Overlap.FORBID
    retries: int = Field(default=0, ge=0, le=10)
    volumes: Mapping[Name, VolumeSpec] = Field(default_factory=dict)

    @field_validator("volumes")
    @classmethod
    def _volumes_stand_apart(cls, value: Mapping[str, VolumeSpec]) -> Mapping[str, VolumeSpec]:
        wrong = clashes({name: volume.path for name, volume in value.items()})
        if len(value) > MOST_OF_A_PROCESS:
            wrong.insert(0, f"{len(value)} volumes are more than the {MOST_OF_A_PROCESS} that a process may have")
        if wrong:
            raise ValueError("; ".join(wrong))
        return value

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        parsed_zone(value)
        return value

    @field_validator("schedule")
    @classmethod
    def _is_a_schedule(cls, value: str | None) -> str | None:
        if value is None:
            return None
        text = " ".join(value.split())
        parsed_schedule(text)
        return text

    @model_validator(mode="after")
    def _fields_belong_together(self) -> "ProcessSpec":
        given = self.model_fields_set
        if self.schedule is None:
            for field in _OF_SCHEDULES:
                if field in given and getattr(self, field) != type(self).model_fields[field].default:
                    raise ValueError(f"'{field}' is only for a process with a 'schedule'")
            return self
        for field in _OF_SERVERS:
            if field in given and getattr(self, field) != type(self).model_fields[field].get_default(
                call_default_factory=True
            ):
                raise ValueError(f"'{field}' is not for a process with a 'schedule': it takes no requests")
        if self.volumes:
            raise ValueError("'volumes' are not for a process with a 'schedule': each run has a file system of its own")
        if self.instances.max > 1:
            raise ValueError(
                f"{self.instances.max} instances are not for a process with a 'schedule': "
                "1 runs it, 0 suspends it, and 'overlap' says whether two runs may go on at once"
            )
        return self

    @property
    def timed(self) -> bool:
        """Whether it runs by the clock."""
        return self.schedule is not None


class When(StrEnum):
    """When a job runs."""

    BEFORE_DEPLOY = "before_deploy"
    AFTER_SUCCESS = "after_success"
    AFTER_FAILURE = "after_failure"


class JobSpec(Spec):
    """A command that runs once with a deploy of new code, in an instance of its own."""

    command: str = Field(min_length=1, max_length=1024)
    when: When = When.BEFORE_DEPLOY
    timeout_s: int = Field(default=600, ge=1, le=7200)
    size: Size = Size.SMALL


class EdgeSpec(Spec):
    """What the edge does in front of the app."""

    firewall: Literal["off", "detect", "block"] = "off"
    cache: Literal["off", "assets", "all"] = "off"
    rate_limit: str | None = Field(default=None, pattern=f"^{RATE.pattern}$")
    https_only: bool = True

    @model_validator(mode="before")
    @classmethod
    def _yaml_off_is_off(cls, value: object) -> object:
        # YAML 1.1 reads a bare `off` as false.
        if isinstance(value, Mapping):
            return {
                key: "off" if item is False and key in ("firewall", "cache") else item for key, item in value.items()
            }
        return value

    @field_validator("rate_limit", mode="before")
    @classmethod
    def _is_a_rate(cls, value: object) -> object:
        if value is not None and not (isinstance(value, str) and RATE.fullmatch(value)):
            raise ValueError(f"'{shown(value)}' is not a rate: write it like '100/s', '600/m' or '5000/h'")
        return value


class SourceRules(Spec):
    """When a push deploys by itself."""

    branch: str | None = None
    paths: tuple[str, ...] = ()
    ignore_paths: tuple[str, ...] = ()
    auto_deploy: bool = True


class AppSpec(Spec):
    """The whole wish for one app; everything has a default."""

    name: AppName | None = None
    path: str = "."
    region: Name = LOCAL
    build: BuildSpec = Field(default_factory=BuildSpec)
    processes: Mapping[Name, ProcessSpec] = Field(default_factory=dict)
    jobs: Mapping[Name, JobSpec] = Field(default_factory=dict)
    env: Mapping[EnvKey, str] = Field(default_factory=dict)
    domains: tuple[Host, ...] = ()
    edge: EdgeSpec = Field(default_factory=EdgeSpec)
    source: SourceRules = Field(default_factory=SourceRules)

    @model_validator(mode="before")
    @classmethod
    def _scalars_are_text_in_env(cls, value: object) -> object:
        if isinstance(value, Mapping) and isinstance(value.get("env"), Mapping):
            env = {key: _scalar(item) for key, item in value["env"].items()}
            return {**value, "env": env}
        return value

    @model_validator(mode="after")
    def _web_takes_requests(self) -> "AppSpec":
        if (web := self.processes.get("web")) is not None and web.timed:
            raise ValueError("process 'web' takes requests and cannot have a 'schedule': give the process another name")
        return self


def _scalar(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value

"""What the operator may set, parsed once."""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from leeward.errors import Invalid, Problem
from leeward.model.quota import Quotas, parse_quotas

CONFIG_FILE = Path("/etc/leeward/config.toml")
MIB = 1024 * 1024
DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")


GOOGLE = {
    "cloudbuild": "https://cloudbuild.googleapis.com",
    "storage": "https://storage.googleapis.com",
    "secretmanager": "https://secretmanager.googleapis.com",
    "metadata": "http://metadata.google.internal",
}
"""Where Google's services are."""


class Settings(BaseModel):
    """All settings. Each is read from `LEEWARD_<NAME>`, else from `/etc/leeward/config.toml`, else its default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = Field(default=Path("/var/lib/leeward"), description="Where all state lives.")
    database_file: Path | None = Field(
        default=None, description="File with the URL of a PostgreSQL database; empty: SQLite in the home."
    )
    domain: str = Field(default="lee.localhost", description="Apps are served at `https://<app>.<domain>`.")
    http_port: int = Field(default=80, ge=1, le=65535, description="Port of the edge for HTTP.")
    https_port: int = Field(default=443, ge=1, le=65535, description="Port of the edge for HTTPS.")
    bind: str = Field(default="0.0.0.0", description="Address that the edge listens on.")
    docker_socket: Path = Field(default=Path("/var/run/docker.sock"), description="The Docker Engine's socket.")
    docker_command: Path = Field(default=Path("/usr/bin/docker"), description="The docker client that runs builds.")
    manage_docker: bool = Field(default=True, description="Start and supervise dockerd when none answers.")
    registry: str = Field(default="127.0.0.1:5010", description="The OCI registry that images are pushed to.")
    registry_embedded: bool = Field(default=True, description="Run Debian's docker-registry at that address.")
    base_registry: str = Field(
        default="", description="Registry to pull ready base images from; empty: make them here."
    )
    image_mirrors: str = Field(
        default="",
        description="Where to pull base images from instead, as `docker.io=mirror.example.com/hub`, by commas.",
    )
    debian_mirror: str = Field(default="", description="Debian mirror for base images; empty: as this machine's apt.")
    build_ca: Path | None = Field(
        default=None, description="CA bundle that builds trust; empty: this machine's bundle."
    )
    build_cpus: float = Field(
        default=0.0, ge=0, description="Cores that all builds share; 0: all but a quarter of one."
    )
    build_memory_mib: int = Field(default=4096, ge=256, description="Memory in MiB that all builds share.")
    build_pids: int = Field(default=4096, ge=64, description="Processes that all builds share.")
    build_timeout_s: int = Field(default=1800, ge=10, description="Seconds after which a build is ended.")
    build_disk_mib: int = Field(default=10240, ge=256, description="Disk in MiB that one build may write.")
    builds: int = Field(default=2, ge=1, le=16, description="Builds at once.")
    buildkit_image: str = Field(
        default="moby/buildkit:v0.32.2-rootless",
        description="Image of rootless BuildKit for builds in clusters.",
    )
    google_key_file: Path | None = Field(
        default=None,
        description="Key of a service account for Google Cloud; empty: this machine's or pod's own account.",
    )
    google_endpoints: str = Field(
        default="",
        description="Where Google's services are instead, as `cloudbuild=https://builds.example.com`, by commas.",
    )
    buildctl: Path = Field(
        default=Path("/usr/bin/buildctl"), description="BuildKit's client, which runs builds in clusters."
    )
    build_pip_index: str = Field(default="", description="Python index for builds; empty: the tool's own default.")
    wheel_probe: bool = Field(
        default=True, description="Ask the Python index which Python an app's requirements have wheels for."
    )
    build_npm_registry: str = Field(default="", description="npm registry for builds; empty: the tool's own default.")
    build_networks: str = Field(
        default="",
        description="Private networks that builds may reach, as `10.1.0.0/16` or `10.0.0.5:3128`, by commas.",
    )
    build_cache_mib: int = Field(default=20480, ge=512, description="Budget in MiB for the build cache.")
    check_bases: bool = Field(
        default=True, description="Look once a day for newer packages of the base images that apps stand on."
    )
    images_mib: int = Field(default=40960, ge=1024, description="Budget in MiB for images and registry.")
    logs_mib: int = Field(default=256, ge=1, description="Budget in MiB for each app's logs.")
    uploads_mib: int = Field(default=2048, ge=64, description="Budget in MiB for uploaded sources and checkouts.")
    upload_max_mib: int = Field(default=512, ge=1, description="Largest upload in MiB, unpacked.")
    upload_max_files: int = Field(default=50_000, ge=100, description="Most files in an upload.")
    keep_releases: int = Field(default=10, ge=1, description="Releases of an app that a rollback can reach.")
    local_git: bool = Field(default=True, description="Allow Git URLs of files and hosts on this machine.")
    trust_ca: bool = Field(default=True, description="Add the local CA, constrained to the domain, to this machine.")
    instance_disk_mib: int = Field(
        default=10240, ge=1, description="Disk in MiB that one instance may write to its own file system."
    )
    volume_gib: int = Field(default=100, ge=1, le=65536, description="Largest volume of an app in GiB.")
    volumes_per_app: int = Field(default=10, ge=0, le=100, description="Most volumes of one app.")
    boost_instances: int = Field(default=2, ge=0, description="Instances that may start with one whole core at once.")
    boost_s: float = Field(default=60.0, ge=0, description="Longest time in seconds that a start is boosted.")
    wake_s: float = Field(
        default=30.0, ge=1, le=600, description="Longest time in seconds that requests wait for an app that wakes up."
    )
    scale_s: float = Field(
        default=15.0, ge=1, le=300, description="Seconds between two looks at how many instances should run."
    )
    scale_down_s: float = Field(
        default=300.0,
        ge=0,
        description="Seconds for which fewer instances must have been enough, before some are stopped.",
    )
    lease_s: float = Field(
        default=15.0, ge=1, description="Seconds without a heartbeat after which work is taken over."
    )
    project_quota: str = Field(
        default="",
        description="The most that a project may ask for: `instances=50; cores=20; memory_gib=40; shop.instances=100`.",
    )
    network_pool: str = Field(default="10.211.0.0/16", description="Addresses for projects' networks.")
    pod: str = Field(
        default="",
        description="The pod that this control plane runs in, as `namespace/name`: its cluster is the region `local`.",
    )
    keys_secret: str = Field(
        default="leeward-keys",
        description="Secret with the keys that the replicas in a cluster share; made when missing.",
    )
    cluster_options: str = Field(
        default="", description="Options of that cluster, by semicolons: `gateway=edge/public; quota_instances=50`."
    )
    plain_registries: str = Field(
        default="", description="Registries that a control plane or builds in a cluster ask by plain HTTP, by commas."
    )

    @field_validator("home")
    @classmethod
    def _home_is_absolute(cls, value: Path) -> Path:
        if not value.is_absolute():
            raise ValueError(f"'{value}' is not an absolute path: write it like '/var/lib/leeward'")
        return value

    @field_validator("domain")
    @classmethod
    def _domain_is_a_host_name(cls, value: str) -> str:
        if len(value) > 200 or not DOMAIN.fullmatch(value):
            raise ValueError(f"'{value}' is not a domain: write it like 'apps.example.com', in lower case")
        return value

    @field_validator("bind")
    @classmethod
    def _bind_is_an_address(cls, value: str) -> str:
        try:
            ip_address(value)
        except ValueError as error:
            raise ValueError(f"'{value}' is not an address of a machine: write it like '0.0.0.0'") from error
        return value

    @field_validator("network_pool")
    @classmethod
    def _pool_has_room(cls, value: str) -> str:
        try:
            wide = IPv4Network(value).prefixlen <= 23
        except ValueError:
            wide = False
        if not wide:
            raise ValueError(f"'{value}' is not a network of /23 or larger: write it like '10.211.0.0/16'")
        return value

    @model_validator(mode="after")
    def _own_registry_has_a_port(self) -> "Settings":
        if self.registry_embedded and not re.fullmatch(r"[^\s/]+:\d{1,5}", self.registry):
            raise ValueError(f"LEEWARD_REGISTRY: '{self.registry}' has no port: write it like '127.0.0.1:5010'")
        return self

    @field_validator("image_mirrors")
    @classmethod
    def _mirrors_are_pairs(cls, value: str) -> str:
        for pair in filter(None, value.replace(" ", "").split(",")):
            name, sign, place = pair.partition("=")
            if not name or not sign or not place or "://" in pair:
                raise ValueError(f"'{pair}' is not a mirror: write 'docker.io=mirror.example.com/hub'")
        return value

    @field_validator("google_endpoints")
    @classmethod
    def _endpoints_are_pairs(cls, value: str) -> str:
        for pair in filter(None, value.replace(" ", "").split(",")):
            name, _, url = pair.partition("=")
            if name not in GOOGLE or not url.startswith(("http://", "https://")):
                raise ValueError(f"'{pair}' is none of {', '.join(GOOGLE)} with an address")
        return value

    @property
    def google(self) -> Mapping[str, str]:
        """The address of each of Google's services."""
        given = dict(pair.split("=", 1) for pair in self.google_endpoints.replace(" ", "").split(",") if pair)
        return {name: given.get(name, url).rstrip("/") for name, url in GOOGLE.items()}

    @field_validator("project_quota")
    @classmethod
    def _quotas_are_bounds(cls, value: str) -> str:
        parse_quotas(value)
        return value

    @property
    def quotas(self) -> Quotas:
        """The bounds of each project."""
        return parse_quotas(self.project_quota)

    @field_validator("build_networks")
    @classmethod
    def _networks_are_addresses(cls, value: str) -> str:
        for item in filter(None, value.replace(" ", "").split(",")):
            _network(item)
        return value

    @property
    def reachable(self) -> tuple[tuple[IPv4Network | IPv6Network, int | None], ...]:
        """The private networks that builds may reach: each with one port, or with all."""
        return tuple(_network(item) for item in self.build_networks.replace(" ", "").split(",") if item)

    @property
    def mirrors(self) -> Mapping[str, str]:
        """Prefix of an image's name to what stands there instead."""
        pairs = (pair.partition("=") for pair in self.image_mirrors.replace(" ", "").split(",") if pair)
        return {name: place for name, _, place in pairs}

    @property
    def run_dir(self) -> Path:
        """Sockets and pid files."""
        return self.home / "run"

    @property
    def api_socket(self) -> Path:
        """The control plane's own socket; the edge forwards `console.<domain>` to it."""
        return self.run_dir / "api.sock"

    @property
    def console_host(self) -> str:
        """Host name of dashboard and API."""
        return f"console.{self.domain}"

    @property
    def console_url(self) -> str:
        """Where dashboard and API are reached."""
        return self.url_of("console")

    @property
    def token_file(self) -> Path:
        """The first admin's token."""
        return self.home / "admin.token"

    def url_of(self, app: str) -> str:
        """Where an app is reached."""
        port = "" if self.https_port == 443 else f":{self.https_port}"
        return f"https://{app}.{self.domain}{port}"


def _network(text: str) -> tuple[IPv4Network | IPv6Network, int | None]:
    match = re.fullmatch(r"\[([^\]]+)\]:(\d{1,5})|([^:]+):(\d{1,5})|(.+)", text)
    assert match is not None
    address, port = match[1] or match[3] or match[5], int(match[2] or match[4] or 0)
    try:
        network = ip_network(address.strip("[]"), strict=False)
    except ValueError as error:
        raise ValueError(f"'{text}' is no network: write '10.1.0.0/16' or '10.0.0.5:3128'") from error
    if port > 65535 or (port == 0 and not match[5]):
        raise ValueError(f"'{text}' has no such port")
    return network, port or None


def load(env: Mapping[str, str] = os.environ, file: Path = CONFIG_FILE) -> Settings:
    """Read the settings. Raises Invalid that names every wrong one."""
    values: dict[str, Any] = {}
    if file.is_file():
        try:
            values.update(tomllib.loads(file.read_text()))
        except tomllib.TOMLDecodeError as error:
            raise Invalid(f"'{file}' is not TOML: {error}", hint="correct the file, or move it away") from error
    for name in Settings.model_fields:
        if text := env.get(f"LEEWARD_{name.upper()}"):
            values[name] = text
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise Invalid(
            [_problem(item) for item in error.errors()],
            hint="see docs/reference/settings.md",
        ) from error


def misspelt(env: Iterable[str] = os.environ) -> Mapping[str, str]:
    """Variables that name no setting, but nearly one: what was written to what was meant."""
    known = {f"LEEWARD_{name.upper()}" for name in Settings.model_fields}
    others = sorted(name for name in env if name.startswith("LEEWARD_") and name not in known)
    meant = ((name, get_close_matches(name, known, n=1, cutoff=0.9)) for name in others)
    return {name: close[0] for name, close in meant if close}


def _problem(item: Any) -> Problem:
    """What is wrong with one setting, by the name of its variable."""
    name = f"LEEWARD_{'_'.join(str(part) for part in item['loc']).upper()}" if item["loc"] else ""
    if item["type"] == "value_error":
        return Problem(name, item["msg"].removeprefix("Value error, "))
    if item["type"] == "extra_forbidden":
        close = get_close_matches(str(item["loc"][-1]), Settings.model_fields, n=1)
        return Problem(name, "is not a setting", f"did you mean '{close[0]}'?" if close else "")
    return Problem(name, f"{item['msg'][:1].lower()}{item['msg'][1:]}, not '{item['input']}'")

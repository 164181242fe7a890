"""The five phases of a buildpacks build as containers. Pure.

    analyze ─► detect ─► restore ─► build ─► export

Images travel as OCI layouts on disk, so no phase is ever given a registry, its credentials or the engine's socket. Code
of buildpacks and of the app runs in `detect` and `build` only: as an ordinary user, without capabilities. The other
three have no network at all.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from leeward.builders import buildpacks_words as words
from leeward.builders.debian import EPOCH
from leeward.model.app import ENV_KEY
from leeward.model.build import BuildPlan

# What the lifecycle of today's builder images and ours both speak.
PLATFORM_API = "0.12"
LABEL = "leeward.buildpacks"
# Names inside the layout directory only.
PREVIOUS, NEXT = "leeward.invalid/app:previous", "leeward.invalid/app:next"
CA = "/platform/leeward/ca.pem"
_CA_VARIABLES = (
    "SSL_CERT_FILE",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "CARGO_HTTP_CAINFO",
    "BUNDLE_SSL_CA_CERT",
    "COMPOSER_CAFILE",
)
_TOOLS = "/leeward-cache"
# The client has these in its own environment and gives them on: a proxy's password is in no process list.
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_NO_NETWORK = ("analyze", "restore", "export")


@dataclass(frozen=True, slots=True)
class Builder:
    """A builder image, the run image that goes with it, and the user that buildpacks run as."""

    image: str
    run_image: str
    user: int
    group: int
    own: bool = True
    """Whether it is made here, so that its buildpacks know our words."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one phase may use."""

    cpus: float
    memory_mib: int
    pids: int
    cgroup_parent: str = ""
    cpu_shares: int = 0
    """Below the usual 1024 where the parent does not give way to apps by itself."""


@dataclass(frozen=True, slots=True)
class Folders:
    """Places of one build on this machine."""

    work: Path
    cache: Path
    """The lifecycle's cache: only `restore` and `export` see it."""
    tools: Path
    """Downloads of the tools: only `build` sees it."""


@dataclass(frozen=True, slots=True)
class Phase:
    """One container."""

    name: str
    image: str
    arguments: tuple[str, ...]
    mounts: tuple[tuple[Path, str, bool], ...]
    """On this machine, in the container, and whether it may be written."""
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def network(self) -> bool:
        """Whether it reaches package indexes."""
        return self.name not in _NO_NETWORK


def phases(
    builder: Builder, tools: str, folders: Folders, *, previous: bool, proxies: Mapping[str, str]
) -> list[Phase]:
    """The phases in their order; `tools` is the image whose lifecycle handles images: always ours."""
    work = folders.work
    layers, app, layout = (work / "layers", "/layers", True), (work / "app", "/workspace"), (work / "layout", "/layout")
    platform, settings = (work / "platform", "/platform", False), (work / "settings", "/leeward", False)
    cache = (folders.cache, "/cache", True)
    who = (f"-uid={builder.user}", f"-gid={builder.group}")
    place = ("-layers=/layers", "-no-color")
    disk = ("-layout", "-layout-dir=/layout")
    ours = {"CNB_EXPERIMENTAL_MODE": "silent", "SOURCE_DATE_EPOCH": str(EPOCH)}
    code = dict(proxies)
    before = (f"-previous-image={PREVIOUS}",) if previous else ()
    order = ("-order=/leeward/order.toml",) if builder.own else ()
    where = ("-app=/workspace", "-platform=/platform")
    return [
        Phase(
            "analyze",
            tools,
            (*place, *disk, *who, f"-run-image={builder.run_image}", "-run=/leeward/run.toml", *before, NEXT),
            (layers, (*layout, False), settings),
            ours,
        ),
        Phase("detect", builder.image, (*place, *where, *order), (layers, (*app, False), platform, settings), code),
        Phase("restore", tools, (*place, *who, "-cache-dir=/cache"), (layers, cache), ours),
        Phase(
            "build",
            builder.image,
            (*place, *where),
            (layers, (*app, True), platform, *(((folders.tools, _TOOLS, True),) if builder.own else ())),
            code,
        ),
        Phase(
            "export",
            tools,
            (
                *place,
                *disk,
                *who,
                "-app=/workspace",
                "-cache-dir=/cache",
                "-parallel",
                "-launcher=/cnb/lifecycle/launcher",
                "-run=/leeward/run.toml",
                NEXT,
            ),
            (layers, (*app, False), (*layout, True), cache, settings),
            ours,
        ),
    ]


def arguments(phase: Phase, builder: Builder, bounds: Bounds, name: str, labels: Mapping[str, str]) -> Iterator[str]:
    """What follows `docker run`."""
    yield from (f"--name={name}", "--init", "--sig-proxy=false", "--log-driver=none", "--pull=never")
    yield from (f"--label={key}={value}" for key, value in sorted(labels.items()))
    yield from (f"--user={builder.user}:{builder.group}", "--cap-drop=ALL", "--security-opt=no-new-privileges")
    yield from (f"--memory={bounds.memory_mib}m", f"--memory-swap={bounds.memory_mib}m")
    yield from (f"--cpus={bounds.cpus:g}", f"--pids-limit={bounds.pids}")
    if bounds.cpu_shares:
        yield f"--cpu-shares={bounds.cpu_shares}"
    if bounds.cgroup_parent:
        yield f"--cgroup-parent={bounds.cgroup_parent}"
    if not phase.network:
        yield "--network=none"
    for source, target, writable in phase.mounts:
        yield f"--volume={source}:{target}{'' if writable else ':ro'}"
    for key, value in sorted({"CNB_PLATFORM_API": PLATFORM_API, **phase.env}.items()):
        yield f"--env={key}" if key in PROXIES else f"--env={key}={value}"
    yield from (f"--entrypoint=/cnb/lifecycle/{_PROGRAMS[phase.name]}", phase.image, *phase.arguments)


_PROGRAMS = {
    "analyze": "analyzer",
    "detect": "detector",
    "restore": "restorer",
    "build": "builder",
    "export": "exporter",
}


def variables(
    plan: BuildPlan, env: Mapping[str, str], own: bool, *, ca: bool, pip_index: str, npm_registry: str
) -> Mapping[str, str]:
    """The files of `/platform/env`: trust and indexes, arguments, and the app's variables that the plan names."""
    found = dict.fromkeys(_CA_VARIABLES, CA) if ca else {}
    if pip_index:
        found |= {"PIP_INDEX_URL": pip_index, "UV_DEFAULT_INDEX": pip_index}
    if npm_registry:
        found |= {"NPM_CONFIG_REGISTRY": npm_registry, "YARN_NPM_REGISTRY_SERVER": npm_registry}
    if own:
        found["LEEWARD_BUILD_CACHE"] = _TOOLS
    found |= {name: value for name, value in plan.args.items() if own or not words.ours(name)}
    found |= {name: env[name] for name in plan.build_secrets if name in env}
    # They become names of files: whatever a manifest called its arguments, none may lead elsewhere.
    return {name: value for name, value in found.items() if ENV_KEY.fullmatch(name)}


def order_toml(group: Sequence[str], version: str = "1.0.0") -> str:
    """The order with one group: the buildpacks that the plan names, of which those that only add may stay out."""
    lines = ["[[order]]"]
    for name in group:
        lines += ["[[order.group]]", f'id = "leeward/{name}"', f'version = "{version}"']
        lines += ["optional = true"] if name == "procfile" and len(group) > 1 else []
    return "\n".join(lines) + "\n"


def run_toml(image: str) -> str:
    """The run images that an image may be put on."""
    return f'[[images]]\nimage = "{image}"\n'

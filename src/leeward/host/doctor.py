"""Judge a machine: what is right, what is wrong, what to do about it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from leeward.host.facts import Facts, look_around
from leeward.settings import Settings

SUPPORTED = {("debian", "12"), ("debian", "13"), ("ubuntu", "22.04"), ("ubuntu", "24.04")}
MEMORY_MIB = 1500
DISK_MIB = 5 * 1024


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `hint` says what to do when it is not `ok`."""

    name: str
    ok: bool
    text: str
    hint: str = ""

    def as_dict(self) -> dict[str, str | bool]:
        """As `lee doctor --json` prints it."""
        return {"name": self.name, "ok": self.ok, "text": self.text, "hint": self.hint}


def judge(facts: Facts) -> tuple[Finding, ...]:
    """Every finding, in the order in which to repair. Pure."""
    rooms = (_machine, _packages, _docker, _kernel, _network, _parts)
    found = (finding for room in rooms for finding in room(facts))
    return tuple(replace(finding, hint="") if finding.ok else finding for finding in found)


async def look(settings: Settings) -> Facts:
    """Read all facts of this machine."""
    return await look_around(settings)


async def examine(settings: Settings) -> tuple[Finding, ...]:
    """Look and judge."""
    return judge(await look(settings))


def _machine(facts: Facts) -> Iterator[Finding]:
    yield Finding("root", facts.root, "runs as root" if facts.root else "does not run as root", "run it with sudo")
    known = (facts.os, facts.os_version) in SUPPORTED
    name = f"{facts.os} {facts.os_version}".strip() or "unknown"
    yield Finding(
        "system",
        known,
        f"this is {name}" + ("" if known else ", which was never tried"),
        "use Debian 12 or 13, or Ubuntu 22.04 or 24.04",
    )
    right = facts.arch in ("x86_64", "aarch64")
    yield Finding("processor", right, f"{facts.cpus} cores, {facts.arch}", "use a 64-bit x86 or ARM machine")
    yield Finding(
        "memory",
        facts.memory_mib >= MEMORY_MIB,
        f"{facts.memory_mib} MiB, {facts.memory_free_mib} MiB free",
        f"the platform and one build need {MEMORY_MIB} MiB",
    )
    yield Finding(
        "disk",
        facts.disk_free_mib >= DISK_MIB and facts.disk_percent < 95,
        f"{facts.disk_free_mib // 1024} GiB free of '{facts.home}', {facts.disk_percent:.0f} % used",
        "make room, or set LEEWARD_HOME to a larger disk",
    )
    yield Finding("home", facts.home_writable, f"state lives in '{facts.home}'", "make it writable, or run as root")
    yield Finding("clock", facts.year >= 2026, f"the clock says {facts.year}", "set the clock: certificates need it")
    if facts.misspelt:
        meant = ", ".join(f"'{said}' (did you mean {name}?)" for said, name in sorted(facts.misspelt.items()))
        yield Finding("settings", False, f"no setting: {meant}", "correct or unset it: it has no effect as it is")


def _packages(facts: Facts) -> Iterator[Finding]:
    missing = (*facts.packages.install, *facts.packages.unavailable)
    yield Finding(
        "packages",
        not missing,
        f"missing: {', '.join(missing)}" if missing else "all that is needed is installed",
        "run: lee up, which installs them",
    )
    for name in facts.packages.skipped:
        yield Finding(f"package {name}", True, f"'{name}' is not offered here: going on with less")


def _docker(facts: Facts) -> Iterator[Finding]:
    docker = facts.docker
    if docker.problem:
        yield Finding(
            "docker",
            False,
            f"no container engine answers: {docker.problem}",
            "run: lee up" if facts.docker_managed else "start dockerd, or unset LEEWARD_MANAGE_DOCKER",
        )
        return
    yield Finding(
        "docker",
        True,
        f"Docker {docker.version}, {docker.storage_driver}, cgroup v{docker.cgroup_version} ({docker.cgroup_driver})",
    )
    yield Finding(
        "live-restore",
        docker.live_restore,
        "apps keep running when dockerd stops" if docker.live_restore else "apps stop when dockerd stops",
        'set "live-restore": true in /etc/docker/daemon.json and reload dockerd',
    )


def _kernel(facts: Facts) -> Iterator[Finding]:
    absent = [name for name, there in facts.features.items() if not there]
    yield Finding(
        "kernel",
        not absent,
        f"the kernel lacks: {', '.join(absent)}" if absent else "the kernel has what containers need",
        "start dockerd once (it turns forwarding on), or use a stock Debian or Ubuntu kernel",
    )


def _network(facts: Facts) -> Iterator[Finding]:
    for port, who in facts.ports.items():
        ours = port in facts.ports_ours
        yield Finding(
            f"port {port}",
            not who or ours,
            f"port {port} is " + ("served by the edge" if ours else f"held by '{who}'" if who else "free"),
            f"stop '{who}', or choose other ports with LEEWARD_HTTP_PORT and LEEWARD_HTTPS_PORT",
        )
    yield Finding(
        "names",
        bool(facts.addresses),
        f"'*.{facts.domain}' "
        + (f"is {', '.join(facts.addresses)}" if facts.addresses else "does not resolve on this machine"),
        "install libnss-myhostname (for names below .localhost), or add a wildcard DNS record",
    )
    # dockerd sets DROP by itself: that is right for us, and a surprise to whoever routes through this machine.
    yield Finding(
        "forwarding",
        True,
        f"the FORWARD policy is {facts.forward_policy or 'unknown'}"
        + (": only containers' own traffic is forwarded" if facts.forward_policy == "DROP" else ""),
    )


def _parts(facts: Facts) -> Iterator[Finding]:
    for name, answers in facts.parts.items():
        text = "answers" if answers else "does not answer" if facts.platform_up else "is not started"
        yield Finding(
            name,
            answers,
            f"{name} {text}",
            f"see the log '{facts.home}/logs/host/{name}.log'" if facts.platform_up else "run: lee up",
        )

"""Say which Debian packages the platform needs, and install those that are missing."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from leeward.errors import LeewardError, Unavailable
from leeward.host.command import Outcome, run

POLICY = Path("/usr/sbin/policy-rc.d")
# Exit 101: 'action forbidden by policy'. Debian's own nginx and registry would take ports that are ours.
FORBID = "#!/bin/sh\n# Written by leeward while it installs packages; removed afterwards.\nexit 101\n"
APT = ("apt-get", "-y", "-q", "-o", "DPkg::Lock::Timeout=180", "-o", "Acquire::Retries=3")
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Package:
    """One package; the platform runs without an `optional` one, with less."""

    name: str
    purpose: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class System:
    """What the decision needs to know of a machine."""

    os: str
    """`debian`, `ubuntu` …"""
    version: str
    installed: frozenset[str] = frozenset()
    available: Mapping[str, str] = field(default_factory=dict)
    """Package to candidate version; empty when apt has no lists yet."""
    docker_answers: bool = False
    apparmor: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What to install, what this system does not offer, and what is done without."""

    install: tuple[str, ...] = ()
    unavailable: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


EDGE = (
    Package("nginx", "edge"),
    Package("libnginx-mod-http-lua", "edge"),
    Package("libnginx-mod-http-brotli-filter", "edge: brotli", optional=True),
    Package("libnginx-mod-http-brotli-static", "edge: brotli", optional=True),
    Package("libnginx-mod-http-headers-more-filter", "edge: headers"),
    Package("libnginx-mod-http-modsecurity", "edge: firewall", optional=True),
    Package("modsecurity-crs", "edge: firewall", optional=True),
)
REST = (
    Package("docker-registry", "registry"),
    Package("mmdebstrap", "base images"),
    Package("debian-archive-keyring", "base images"),
    Package("busybox-static", "base images"),
    Package("zstd", "base images"),
    Package("iptables", "isolation of apps"),
    Package("git", "sources"),
    Package("tzdata", "schedules"),
    Package("ca-certificates", "sources"),
    Package("libnss-myhostname", "names below .localhost", optional=True),
)
# What the tests and benchmarks use beside the platform's own packages.
TESTS = (
    Package("curl", "tests"),
    Package("chromium", "tests of the dashboard", optional=True),
    Package("fonts-dejavu-core", "tests of the dashboard"),
    Package("openssl", "tests of certificates"),
    Package("postgresql", "tests of the store on a database server", optional=True),
    Package("wrk", "benchmarks", optional=True),
    Package("containernetworking-plugins", "tests on a cluster", optional=True),
    Package("conntrack", "tests on a cluster", optional=True),
    Package("ipset", "tests on a cluster", optional=True),
    Package("socat", "tests on a cluster", optional=True),
)
# Any of these means: the user brought an engine of their own, which is never replaced.
FOREIGN_ENGINES = frozenset({"docker-ce", "docker-ce-cli", "moby-engine", "docker-engine", "podman-docker"})


def engine_packages(system: System) -> Iterator[Package]:
    """The container engine; nothing where one is there already."""
    if not (system.docker_answers or system.installed & FOREIGN_ENGINES):
        yield Package("docker.io", "engine")
        if system.apparmor:
            yield Package("apparmor", "engine")
    if system.installed & FOREIGN_ENGINES:
        return
    # Since version 23 `docker build` needs the buildx plugin, and since Debian 13 the client is a package of its own.
    if _major(system.available.get("docker.io", "")) >= 23:
        yield Package("docker-buildx", "builds")
        if "docker-cli" in system.available:
            yield Package("docker-cli", "builds")


def wanted(system: System, *, tests: bool = False) -> tuple[Package, ...]:
    """Every package that the platform uses on such a system; with `tests` also what its tests use."""
    return (*engine_packages(system), *EDGE, *REST, *(TESTS if tests else ()))


def decide(system: System, *, tests: bool = False) -> Decision:
    """What is missing. Pure."""
    missing = [package for package in wanted(system, tests=tests) if package.name not in system.installed]
    known = system.available
    absent = [package for package in missing if known and package.name not in known]
    return Decision(
        install=tuple(package.name for package in missing if package not in absent),
        unavailable=tuple(package.name for package in absent if not package.optional),
        skipped=tuple(package.name for package in absent if package.optional),
    )


def _major(version: str) -> int:
    digits = version.split(":")[-1].split(".")[0]
    return int(digits) if digits.isdigit() else 0


async def look(*, docker_answers: bool) -> System:
    """What this machine has."""
    release = dict(_os_release())
    listed = await run(("dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n"))
    installed = frozenset(line.split()[0] for line in listed.out.splitlines() if line.endswith(" installed"))
    apparmor = Path("/sys/module/apparmor/parameters/enabled")
    system = System(
        os=release.get("ID", ""),
        version=release.get("VERSION_ID", ""),
        installed=installed,
        docker_answers=docker_answers,
        apparmor=apparmor.is_file() and apparmor.read_text().strip() == "Y",
    )
    names = {package.name for package in wanted(system, tests=True)} | {"docker.io", "docker-buildx", "docker-cli"}
    policy = await run(("apt-cache", "policy", *sorted(names)))
    return System(
        system.os, system.version, installed, dict(_candidates(policy.out)), docker_answers, apparmor=system.apparmor
    )


def _os_release(file: Path = Path("/etc/os-release")) -> Iterator[tuple[str, str]]:
    for line in file.read_text().splitlines() if file.is_file() else ():
        key, equals, value = line.partition("=")
        if equals:
            yield key, value.strip().strip('"')


def _candidates(policy: str) -> Iterator[tuple[str, str]]:
    name = ""
    for line in policy.splitlines():
        if line and not line.startswith(" "):
            name = line.rstrip(":")
        elif line.strip().startswith("Candidate:") and (version := line.split(":", 1)[1].strip()) != "(none)":
            yield name, version


async def install(say: Callable[[str], None], *, docker_answers: bool, tests: bool = False) -> tuple[str, ...]:
    """Install what is missing; the names that were installed. Raises Unavailable with the reason."""
    system = await look(docker_answers=docker_answers)
    decision = decide(system, tests=tests)
    if not decision.install and not decision.unavailable:
        return ()
    if os.geteuid() != 0:
        raise Unavailable(f"'{', '.join(decision.install)}' must be installed", hint="run the command again as root")
    if not system.available or decision.unavailable:
        say("reading the lists of packages")
        await _apt("update")
        system = await look(docker_answers=docker_answers)
        decision = decide(system, tests=tests)
    if decision.unavailable:
        raise Unavailable(
            f"this system's apt does not offer '{', '.join(decision.unavailable)}'",
            hint="use Debian 12 or 13, or Ubuntu 22.04 or 24.04 with 'universe'",
        )
    for name in decision.skipped:
        say(f"going on without '{name}', which this system does not offer")
    if decision.install:
        say(f"installing {len(decision.install)} packages: {' '.join(decision.install)}")
        with services_kept_down():
            await _install(decision.install)
            await _disable(decision.install)
    return decision.install


@contextlib.contextmanager
def services_kept_down(policy: Path = POLICY) -> Iterator[None]:
    """Packages that are installed meanwhile do not start their services; what was there before is put back."""
    before = policy.read_bytes() if policy.exists() else None
    mode = policy.stat().st_mode & 0o777 if policy.exists() else 0o755
    policy.write_text(FORBID)
    policy.chmod(0o755)
    try:
        yield
    finally:
        if before is None:
            policy.unlink(missing_ok=True)
        else:
            policy.write_bytes(before)
            policy.chmod(mode)


async def _install(names: tuple[str, ...]) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        outcome = await _apt("--no-install-recommends", "install", *names, check=False)
        if outcome.code == 0:
            return
        if attempt < ATTEMPTS:
            # The usual reason: the lists are older than the mirror.
            await _apt("update", check=False)
    raise Unavailable(
        f"apt could not install '{' '.join(names)}': {outcome.last}",
        hint="run 'apt-get update', see that the mirror can be reached and the disk has room, then try again",
    )


async def _disable(names: tuple[str, ...]) -> None:
    """Where systemd runs: what Debian would start at the next boot stays down, for the ports are ours."""
    if Path("/run/systemd/system").is_dir():
        for service in {"nginx", "docker-registry"} & set(names):
            await run(("systemctl", "disable", "--now", service))


async def _apt(*words: str, check: bool = True) -> Outcome:
    outcome = await run((*APT, *words), env={"DEBIAN_FRONTEND": "noninteractive"}, timeout_s=900)
    if check and outcome.code:
        raise Unavailable(
            f"'apt-get {words[0]}' failed: {outcome.last}", hint="see that the package mirror can be reached"
        )
    return outcome


def main(arguments: Sequence[str] = ()) -> int:
    """Install what is missing, for `make` and scripts; `--tests` means what the tests need too."""
    from leeward.host.facts import docker_answers
    from leeward.settings import load

    def say(text: str) -> None:
        sys.stderr.write(f"{text}\n")

    try:
        settings = load()
        answers = docker_answers(settings.docker_socket)
        asyncio.run(install(say, docker_answers=answers, tests="--tests" in arguments))
    except LeewardError as error:
        say(f"Error: {error.message}" + (f"\n  hint: {error.hint}" if error.hint else ""))
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

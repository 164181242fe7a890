"""The command that makes a root file system from signed Debian packages. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from leeward.model.image import Upgrade
from leeward.plan.settle import EPOCH

# Every file newer than this gets this time, so that the same packages give the same bytes.
__all__ = ["EPOCH", "Mirrors", "apt_conf", "bootstrap", "mirrors_of", "parse_sources", "upgrades"]

_SUITES = frozenset({"bullseye", "bookworm", "trixie", "forky", "sid"})
_ONE_LINE = re.compile(r"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(.+)$")
_UPGRADE = re.compile(r"Inst (\S+) \[(\S+)\] \((\S+) (.*)\)")
_OPTIONS = (
    '--aptopt=APT::Install-Recommends "false"',
    '--aptopt=Acquire::Languages "none"',
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    "--dpkgopt=path-exclude=/usr/share/info/*",
    "--dpkgopt=path-exclude=/usr/share/lintian/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
)


@dataclass(frozen=True, slots=True)
class Mirrors:
    """Where Debian packages come from: the archive, and the security archive ('' when there is none)."""

    archive: str
    security: str = ""

    def lines(self, suite: str, keyring: Path | None = None) -> tuple[str, ...]:
        """The lines of a sources.list for a suite; without a keyring what apt trusts by itself signs it."""
        deb = f"deb [signed-by={keyring}]" if keyring else "deb"
        security = (f"{deb} {self.security} {suite}-security main",) if self.security and suite != "sid" else ()
        return (f"{deb} {self.archive} {suite} main", *security)


def parse_sources(texts: Iterable[str]) -> Mirrors | None:
    """Read the Debian mirrors that apt uses, in either format; None when it uses none (another distribution)."""
    archive = security = ""
    for uri, suite, components in (entry for text in texts for entry in _entries(text)):
        if "main" not in components:
            continue
        if suite in _SUITES:
            archive = archive or uri
        elif suite.removesuffix("-security") in _SUITES:
            security = security or uri
    return Mirrors(archive, security) if archive else None


def mirrors_of(uri: str) -> Mirrors:
    """The mirrors that one address of an operator's own mirror means."""
    uri = uri.rstrip("/")
    return Mirrors(uri, f"{uri}-security" if uri.endswith("/debian") else "")


def bootstrap(
    suite: str,
    packages: Sequence[str],
    hooks: Sequence[str],
    mirrors: Mirrors | None,
    target: Path,
    folders: Sequence[str] = (),
) -> tuple[str, ...]:
    """The command that writes the tar `target`; without mirrors the tool's own default is used.

    `folders` are made before the packages come: some want one whose files are left out.
    """
    return (
        "mmdebstrap",
        "--mode=root",
        "--variant=apt",
        "--format=tar",
        f"--include={','.join(sorted(packages))}",
        *_OPTIONS,
        *(f'--essential-hook=mkdir -p "$1/{folder}"' for folder in folders),
        *(f"--customize-hook={hook}" for hook in hooks),
        suite,
        str(target),
        *(mirrors.lines(suite) if mirrors else ()),
    )


def apt_conf(folder: Path) -> str:
    """A configuration with which apt sees only what is in `folder`."""
    places = {
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Acquire::Languages": "none",
        "APT::Sandbox::User": "root",
        "APT::Install-Recommends": "false",
    }
    return "".join(f'{name} "{value}";\n' for name, value in places.items())


def upgrades(lines: Iterable[str], suite: str) -> tuple[Upgrade, ...]:
    """What a simulated upgrade says: which packages it would replace, by which version, and from where."""
    found = (match for line in lines if (match := _UPGRADE.match(line)))
    return tuple(
        Upgrade(match[1], match[2], match[3], f"{suite}-security" if "security" in match[4].lower() else suite)
        for match in found
    )


def _entries(text: str) -> Iterable[tuple[str, str, Sequence[str]]]:
    for line in text.splitlines():
        if match := _ONE_LINE.match(line.strip()):
            yield match[1], match[2], match[3].split()
    for stanza in re.split(r"\n\s*\n", text):
        fields = _fields(stanza)
        if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes").lower() != "no":
            for uri in fields.get("uris", "").split():
                for suite in fields.get("suites", "").split():
                    yield uri, suite, fields.get("components", "").split()


def _fields(stanza: str) -> Mapping[str, str]:
    fields: dict[str, str] = {}
    last = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1].isspace() and last:
            fields[last] += " " + line.strip()
        elif ":" in line:
            key, _, value = line.partition(":")
            last = key.strip().lower()
            fields[last] = value.strip()
    return fields

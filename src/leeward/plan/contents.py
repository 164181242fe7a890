"""Read which packages the files of a layer speak of, and put layers together. Pure."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

from leeward.model.image import Component, Ecosystem, LayerPackages
from leeward.plan.gobinary import go_modules
from leeward.plan.jars import jar_components

# A description of a package that is larger than this is none.
_MOST = 32 * 1024 * 1024
_NPM = re.compile(r"(?:^|/)node_modules/(?:@[^/]+/)?[^/@.][^/]*/package\.json$")
_GEM = re.compile(r"/specifications/(?:default/)?([^/]+)-([0-9][^/-]*(?:-[a-z0-9_]+)*)\.gemspec$")
_PYTHON = re.compile(r"\.(?:dist-info/METADATA|egg-info/PKG-INFO|egg-info)$")
# Debian's own Python and Ruby packages are named by dpkg already.
_DEBIANS = ("usr/lib/python3/", "usr/share/rubygems-integration/", "usr/share/nodejs/")
_STATUS = re.compile(r"^var/lib/dpkg/(?:status|status\.d/[^/]+)$")
# Smaller programs are not Go's.
_SMALLEST_GO = 500_000
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"

Reader = Callable[[str, IO[bytes]], Iterable[Component]]


def removed_by(path: str) -> str:
    """The path that a whiteout takes away, '' when this is no whiteout; with a slash for all that was in a folder."""
    folder, _, name = path.rpartition("/")
    if name == _OPAQUE:
        return f"{folder}/"
    if name.startswith(_WHITEOUT):
        return f"{folder}/{name.removeprefix(_WHITEOUT)}".lstrip("/")
    return ""


def reader_of(path: str, size: int) -> Reader | None:
    """What reads the packages out of a file with this path; None when there is nothing to read."""
    if size > _MOST or path.startswith(_DEBIANS):
        return None
    if _STATUS.search(path):
        return _dpkg
    if path.endswith(".jar") or path.endswith(".war"):
        return jar_components
    for pattern, reader in ((_PYTHON, _python), (_NPM, _npm), (_GEM, _gem)):
        if pattern.search(path):
            return reader
    return _composer if path.endswith("vendor/composer/installed.json") else None


def program(size: int, mode: int) -> bool:
    """Whether a file may be a program that tells of its Go modules."""
    return size >= _SMALLEST_GO and bool(mode & 0o111)


def read_program(path: str, file: IO[bytes]) -> Iterable[Component]:
    """The Go modules that a program was made of; nothing when it is none of Go's."""
    return (Component(Ecosystem.GO, name, version, path) for name, version in go_modules(file))


def merged(layers: Iterable[LayerPackages]) -> tuple[Component, ...]:
    """The packages of an image from its layers, from the bottom to the top; sorted."""
    found: dict[str, list[Component]] = {}
    for layer in layers:
        gone = [path for path in layer.removed if not path.endswith("/")]
        opaque = tuple(path for path in layer.removed if path.endswith("/"))
        lost = frozenset(gone)
        below = (*opaque, *(f"{path}/" for path in gone))
        for path in [path for path in found if path in lost or path.startswith(below)] if layer.removed else ():
            del found[path]
        for path in layer.files:
            found.pop(path, None)
        for component in layer.components:
            found.setdefault(component.path, []).append(component)
    return tuple(sorted({component for components in found.values() for component in components}))


def dpkg_packages(text: str) -> Iterator[tuple[str, str, str]]:
    """Name, version and architecture of what a dpkg status says is installed."""
    for stanza in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"^(Package|Status|Version|Architecture): *(.*)$", stanza, re.M))
        # A file of `status.d` has no Status: what it names is there.
        there = fields.get("Status", "ok installed").endswith(" installed")
        if there and "Package" in fields and "Version" in fields:
            yield fields["Package"], fields["Version"], fields.get("Architecture", "")


def _dpkg(path: str, file: IO[bytes]) -> Iterator[Component]:
    for name, version, arch in dpkg_packages(_text(file)):
        yield Component(Ecosystem.DEB, name, version, path, arch)


def _python(path: str, file: IO[bytes]) -> Iterator[Component]:
    head = _text(file).split("\n\n", 1)[0]
    name, version = (re.search(rf"^{key}: *(\S+)", head, re.M) for key in ("Name", "Version"))
    if name and version:
        yield Component(Ecosystem.PYPI, re.sub(r"[-_.]+", "-", name[1]).lower(), version[1], path)


def _npm(path: str, file: IO[bytes]) -> Iterator[Component]:
    value = _json(file)
    if isinstance(value, dict) and isinstance(value.get("name"), str) and isinstance(value.get("version"), str):
        yield Component(Ecosystem.NPM, value["name"], value["version"], path)


def _gem(path: str, file: IO[bytes]) -> Iterator[Component]:
    if match := _GEM.search(path):
        yield Component(Ecosystem.GEM, match[1], match[2], path)


def _composer(path: str, file: IO[bytes]) -> Iterator[Component]:
    value = _json(file)
    packages = value.get("packages", ()) if isinstance(value, dict) else value
    for package in packages if isinstance(packages, list) else ():
        if isinstance(package, dict) and isinstance(package.get("name"), str):
            version = str(package.get("version", "")).removeprefix("v")
            yield Component(Ecosystem.COMPOSER, package["name"], version, path)


def _json(file: IO[bytes]) -> Any:
    try:
        return json.loads(file.read(_MOST))
    except (ValueError, RecursionError):
        return None


def _text(file: IO[bytes]) -> str:
    return file.read(_MOST).decode("utf-8", "replace")

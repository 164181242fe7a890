"""What one phase of one buildpack is given by the lifecycle, and the layers that it makes.

Nothing here knows a language. A layer whose key is what it was the last time, and that nothing else in the build needs,
is left empty: the lifecycle then takes it from the previous image without bringing it here.
"""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Raise it when the same key gives other files.
VERSION = "1"
EPOCH = "1767225600"
CYCLONEDX = "application/vnd.cyclonedx+json"


class Failed(Exception):
    """The buildpack cannot go on; the text is for the user."""


@dataclass(frozen=True, slots=True)
class Process:
    """One entry of the image's list of processes."""

    type: str
    command: str
    """For a shell: `$PORT` and the like are put in when it starts."""
    default: bool = False


@dataclass(frozen=True, slots=True)
class Component:
    """One package of a list of contents."""

    name: str
    version: str
    purl: str


class Layer:
    """One directory that may become a layer of the image."""

    def __init__(self, root: Path, name: str) -> None:
        self.path = root / name
        self._toml = root / f"{name}.toml"
        self._bill = root / f"{name}.sbom.cdx.json"

    @property
    def known(self) -> str:
        """The key that this layer had in the previous image, '' when there was none."""
        try:
            return str(tomllib.loads(self._toml.read_text()).get("metadata", {}).get("key", ""))
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
            return ""

    def empty(self) -> Path:
        """The directory, with nothing in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True)
        return self.path

    def keep(self, key: str, *, launch: bool = False, build: bool = False, cache: bool = False) -> None:
        """Say what the layer is for, and by which key the next build knows it again."""
        types = {"launch": launch, "build": build, "cache": cache}
        lines = ["[types]", *(f"{name} = {str(value).lower()}" for name, value in types.items())]
        self._toml.write_text("\n".join([*lines, "", "[metadata]", f'key = "{key}"', ""]))

    def env(self, values: Mapping[str, str], scope: str = "env.launch") -> None:
        """Variables of the app, where nobody sets them otherwise."""
        folder = self.path / scope
        folder.mkdir(parents=True, exist_ok=True)
        for name, value in values.items():
            (folder / f"{name}.default").write_text(value)

    def bill(self, components: Iterable[Component]) -> None:
        """Write the list of contents; the same contents give the same bytes."""
        self._bill.write_text(cyclonedx(components))


class Phase:
    """The app, the layers and the variables of one call."""

    def __init__(self, app: Path, layers: Path, platform: Path, env: Mapping[str, str]) -> None:
        self.app, self.layers = app, layers
        self._platform = platform
        self.env = dict(env)
        self.env |= {"SOURCE_DATE_EPOCH": EPOCH, "PYC_INVALIDATION_MODE": "UNCHECKED_HASH"}
        self.env |= {path.name: path.read_text() for path in sorted(platform.glob("env/*")) if path.is_file()}
        # Where the platform lends a directory that outlives the build: faster than a cached layer.
        lent = self.env.get("LEEWARD_BUILD_CACHE", "")
        self.cache = Path(lent) if lent and Path(lent).is_dir() else None

    def layer(self, name: str) -> Layer:
        """A layer of this buildpack."""
        return Layer(self.layers, name)

    def has(self, *names: str) -> str:
        """The first of these files that the app has, '' when it has none."""
        return next((name for name in names if (self.app / name).is_file()), "")

    def text(self, name: str) -> str:
        """A file of the app, '' when it cannot be read."""
        try:
            return (self.app / name).read_text(errors="replace")
        except OSError:
            return ""

    def tools_cache(self, name: str) -> Path:
        """A directory for a tool's downloads: lent by the platform, else a cached layer of our own."""
        if self.cache is not None:
            folder = self.cache / name
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        layer = self.layer(f"cache-{name}")
        layer.path.mkdir(parents=True, exist_ok=True)
        layer.keep(VERSION, cache=True)
        return layer.path

    def run(self, *command: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
        """Run a tool. Raises Failed with its exit code."""
        try:
            # A session of its own, so that what it leaves in the background can be ended: it would hold the log open.
            tool = subprocess.Popen(
                command, cwd=cwd or self.app, env={**self.env, **(env or {})}, start_new_session=True
            )
        except OSError as error:
            raise Failed(f"'{command[0]}' could not be run: {error.strerror}") from error
        code = tool.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(tool.pid, signal.SIGKILL)
        if code:
            raise Failed(f"'{' '.join(command)[:200]}' ended with exit code {code}")

    def processes(self, found: Sequence[Process]) -> None:
        """Write the processes of the image."""
        blocks = []
        for process in found:
            words = json.dumps(["bash", "-c", process.command], ensure_ascii=False)
            default = "true" if process.default else "false"
            blocks.append(f'[[processes]]\ntype = "{process.type}"\ncommand = {_escaped(words)}\ndefault = {default}\n')
        if blocks:
            (self.layers / "launch.toml").write_text("\n".join(blocks))


def say(text: str) -> None:
    """One line of the log, in its place between those of the tools."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def key_of(*parts: object) -> str:
    """One hash of everything that a layer depends on."""
    return hashlib.sha256(json.dumps([VERSION, *map(str, parts)]).encode()).hexdigest()


def cyclonedx(components: Iterable[Component]) -> str:
    """A CycloneDX list without time or serial number."""
    unique = sorted(set(components), key=lambda item: (item.purl, item.name))
    listed = [
        {"type": "library", "bom-ref": item.purl, "name": item.name, "version": item.version, "purl": item.purl}
        for item in unique
    ]
    return json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": listed}, indent=1)


def files_key(app: Path, names: Iterable[str]) -> str:
    """One hash of the content of files of the app; what is not there counts too."""
    found = hashlib.sha256()
    for name in sorted(set(names)):
        path = app / name
        content = path.read_bytes() if path.is_file() and _inside(app, path) else b"\0absent"
        found.update(f"{name}\0{len(content)}\0".encode() + content)
    return found.hexdigest()


def tree_key(app: Path) -> str:
    """One hash of the whole app: for dependencies that are directories of it."""
    names = []
    for place, folders, files in os.walk(app):
        folders[:] = sorted(name for name in folders if name not in (".git", "node_modules", "__pycache__"))
        names += [os.path.relpath(os.path.join(place, name), app) for name in files]
    return files_key(app, names)


def _inside(app: Path, path: Path) -> bool:
    return path.resolve().is_relative_to(app.resolve())


def _escaped(words: str) -> str:
    """JSON text as TOML text: both write strings alike, but for these two signs."""
    return words.replace("\x7f", "\\u007f").replace("\\/", "/")

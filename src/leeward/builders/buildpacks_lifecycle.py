"""Has the lifecycle: the program of the Cloud Native Buildpacks project that carries out the phases of a build.

It is built from its source at one version, by the Go of this machine, and kept for every home of it. Where there is no
Go, a stage of the builder image does the same (see `stage`).
"""

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from leeward.builders.process import output
from leeward.ports import Say
from leeward.settings import Settings

VERSION = "0.21.0"
MODULE = "github.com/buildpacks/lifecycle"
PROGRAMS = ("lifecycle", "launcher")
# Shared by all homes of this machine, as the base images are.
MACHINE_CACHE = Path("/var/cache/leeward/cnb")
_USUAL = (Path("/usr/local/go/bin/go"), Path("/usr/lib/go/bin/go"))
_FLAGS = ("-mod=readonly", "-trimpath", f"-ldflags=-s -w -X {MODULE}/cmd.Version={VERSION}")


async def have(settings: Settings, work: Path, say: Say, machine_cache: Path = MACHINE_CACHE) -> Path | None:
    """The folder with the programs; None where this machine cannot build them."""
    for place in (settings.home / "cnb", machine_cache):
        folder = place / f"lifecycle-{VERSION}"
        if all((folder / name).is_file() for name in PROGRAMS):
            return folder
    go = next((str(path) for path in (shutil.which("go"), *_USUAL) if path and Path(path).is_file()), None)
    if go is None:
        return None
    say(f"building the buildpacks lifecycle {VERSION} from its source (once on this machine)")
    made = await _build(go, work / "lifecycle")
    if made is None:
        say("note: the Go of this machine could not build it: it is built in a base image")
        return None
    return _keep(made, (settings.home / "cnb", machine_cache))


async def _build(go: str, target: Path) -> Path | None:
    target.mkdir()
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}
    # Not `go install`: that asks the proxy for a list of versions too, which not every proxy has.
    code, text = await output((go, "mod", "download", "-json", f"{MODULE}@v{VERSION}"), env=env)
    source = _answer(text).get("Dir")
    if code or not source:
        return None
    packages = tuple(f"./cmd/{name}" for name in PROGRAMS)
    code, _ = await output((go, "build", f"-C={source}", *_FLAGS, f"-o={target}/", *packages), env=env)
    return None if code else target


def stage(base: str) -> tuple[str, ...]:
    """The lines of a Dockerfile that build the programs on a base image with Go; they end in `/out`."""
    download = f"go mod download -json {MODULE}@v{VERSION} > /tmp/module.json"
    folder = f"cd $(go env GOMODCACHE)/{MODULE}@v{VERSION}"
    flags = " ".join(f"'{flag}'" for flag in _FLAGS)
    build = f"go build {flags} -o /out/ {' '.join(f'./cmd/{name}' for name in PROGRAMS)}"
    return (
        f"FROM {base} AS lifecycle",
        "ENV CGO_ENABLED=0 GOTOOLCHAIN=auto",
        f'RUN --mount=type=secret,id=leeward_ca with-ca sh -c "{download} && {folder} && {build}"',
    )


def _answer(text: str) -> Mapping[str, str]:
    """The object that `go mod download -json` prints, after whatever it said before."""
    with contextlib.suppress(ValueError):
        found = json.loads(text[text.index("{") :])
        return found if isinstance(found, dict) else {}
    return {}


def _keep(made: Path, places: tuple[Path, ...]) -> Path:
    """Copy into every cache that can be written; the first of them."""
    kept = []
    for place in places:
        folder = place / f"lifecycle-{VERSION}"
        draft = folder.with_name(f"{folder.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            shutil.copytree(made, draft, dirs_exist_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
            draft.replace(folder)
            kept.append(folder)
    return kept[0] if kept else made

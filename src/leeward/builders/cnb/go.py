"""The buildpack for Go: every program of the module, in one layer."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from leeward.builders.cnb import procfile
from leeward.builders.cnb.hooks import hooks, run
from leeward.builders.cnb.phase import Component, Failed, Layer, Phase, Process, key_of, say, tree_key

LOOKED_FOR = ("go.mod",)
_SERVERS = ("server", "web", "api")


def detect(phase: Phase) -> bool:
    """Whether the app is a Go module."""
    return bool(phase.has(*LOOKED_FOR))


def build(phase: Phase) -> None:
    """Build what is a program; its source stays beside it, for the files that it reads."""
    phase.env |= {
        "GOCACHE": str(phase.tools_cache("go-build")),
        "GOMODCACHE": str(phase.tools_cache("go-modules")),
        "GOFLAGS": "-buildvcs=false -trimpath -modcacherw",
        "GOTOOLCHAIN": phase.env.get("GOTOOLCHAIN", "auto"),
    }
    own = hooks(phase, "go")
    run(phase, *own.before, own.install, *own.between)
    if own.build:
        # What it makes lies in the app, and is started from there.
        run(phase, own.build, *own.after)
        return
    layer = phase.layer("programs")
    key = key_of("go", tree_key(phase.app))
    if layer.known == key:
        say("the source is as it was: the layer is used again")
        layer.keep(key, launch=True)
        run(phase, *own.after)
        phase.processes(_processes(phase, {}))
        return
    programs = named(_listed(phase))
    if not programs:
        raise Failed("the module has no program: no package in it is called 'main'")
    folder = layer.empty() / "bin"
    folder.mkdir()
    for name, package in sorted(programs.items()):
        phase.run("go", "build", "-ldflags=-s -w", "-o", str(folder / name), package)
    layer.keep(key, launch=True)
    layer.bill(_contents(phase, layer))
    run(phase, *own.after)
    phase.processes(_processes(phase, programs))


def named(packages: list[tuple[str, str]]) -> dict[str, str]:
    """Program to package: the last part of its path, but for a version."""
    found: dict[str, str] = {}
    for path, _ in packages:
        parts = [part for part in path.split("/") if not re.fullmatch(r"v\d+", part)]
        if parts and re.fullmatch(r"[A-Za-z0-9][\w.-]*", parts[-1]):
            found.setdefault(parts[-1], path)
    return found


def best(programs: dict[str, str]) -> str:
    """The program that answers requests, '' when that cannot be said."""
    if len(programs) == 1:
        return next(iter(programs))
    shortest = min(programs, key=lambda name: len(programs[name].split("/")), default="")
    named_so = next((name for name in _SERVERS if name in programs), "")
    return named_so or shortest


def _listed(phase: Phase) -> list[tuple[str, str]]:
    form = '{{if eq .Name "main"}}{{.ImportPath}} {{.Dir}}{{end}}'
    command = ("go", "list", "-f", form, "./...")
    done = subprocess.run(command, cwd=phase.app, env=phase.env, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise Failed(f"'go list' ended with exit code {done.returncode}")
    pairs = (line.partition(" ") for line in done.stdout.splitlines() if line.strip())
    return [(path, folder) for path, _, folder in pairs]


def _contents(phase: Phase, layer: Layer) -> Iterator[Component]:
    for path in sorted((layer.path / "bin").iterdir()):
        yield from components(_modules(phase, path))


def _modules(phase: Phase, path: Path) -> str:
    command = ("go", "version", "-m", str(path))
    return subprocess.run(command, env=phase.env, check=False, stdout=subprocess.PIPE, text=True).stdout


def components(text: str) -> Iterator[Component]:
    """The modules in a program, from what `go version -m` prints."""
    for name, version in re.findall(r"^\tdep\t(\S+)\t(\S+)", text, re.M):
        yield Component(name, version, f"pkg:golang/{name}@{version}")


def _processes(phase: Phase, programs: dict[str, str]) -> list[Process]:
    name = best(programs) if programs else ""
    return [Process("web", f"exec {name}", True)] if name and not procfile.listed(phase) else []

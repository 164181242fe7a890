"""Make the control plane's image from Debian packages and this checkout: no container engine, no registry.

    .venv/bin/python deploy/image/build.py leeward.tar             an OCI archive for `ctr images import`, skopeo, crane
    .venv/bin/python deploy/image/build.py --buildctl FILE …       with BuildKit's client, for builds in a cluster
    .venv/bin/python deploy/image/build.py --packages postgresql --name localhost/postgres:1 postgres.tar

The packages are kept in the machine's cache, and so are the libraries: a second image takes seconds.
"""

import argparse
import asyncio
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import zstandard

from leeward.builders import debian
from leeward.builders.bootstrap import mirrors, uv
from leeward.builders.command import must
from leeward.settings import load

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("LEEWARD_IMAGE_CACHE", "/var/cache/leeward/image"))
# The image has the Python that makes it, so that what is compiled here is not compiled at each start.
SUITES = {(3, 11): "bookworm", (3, 13): "trixie"}
PACKAGES = (
    *("ca-certificates", "git", "media-types", "netbase", "tzdata"),
    *("nginx", "libnginx-mod-http-lua", "libnginx-mod-http-headers-more-filter", "python3"),
)
USER = 10001
FORGOTTEN_S = 14 * 86400.0
LEE = '#!/bin/sh\nexec /usr/bin/python3 -m leeward "$@"\n'
# A tree that nobody can log in to, without what only an installer needs.
FINISH = f"""#!/bin/sh
set -eu
root=$1
echo 'leeward:x:{USER}:{USER}::/var/lib/leeward:/usr/sbin/nologin' >>"$root/etc/passwd"
echo 'leeward:x:{USER}:' >>"$root/etc/group"
mkdir -p "$root/var/lib/leeward" "$root/opt/leeward"
rm -rf "$root"/var/log/* "$root"/var/cache/* "$root"/var/lib/apt/lists/* "$root"/usr/share/perl/*/unicore/lib
rm -rf "$root"/usr/lib/python3/dist-packages/* "$root/etc/machine-id" "$root"/etc/*-
mkdir -p "$root/var/log/nginx" "$root/var/cache/apt/archives/partial"
"""
EXTRA = {"postgresql": 'ln -s "$(ls -d "$1"/usr/lib/postgresql/*/bin | sed "s|^$1||")" "$1/usr/lib/postgresql/bin"\n'}


def main(words: Sequence[str]) -> int:
    """Write the archive; say how large it is."""
    parser = argparse.ArgumentParser(prog="build.py")
    parser.add_argument("target", type=Path)
    parser.add_argument("--name", default="localhost/leeward:dev")
    parser.add_argument("--packages", default="", help="an image of these Debian packages only, by commas")
    parser.add_argument("--buildctl", type=Path, help="BuildKit's client, for builds in a cluster")
    asked = parser.parse_args(words)
    began = time.monotonic()
    CACHE.mkdir(parents=True, exist_ok=True)
    if asked.packages:
        layers, config = [base(tuple(asked.packages.split(",")))], {"User": "100", "Cmd": ["/bin/sh"]}
    else:
        layers, config = [base(PACKAGES), libraries(), *clients(asked.buildctl), ours()], of_ours()
    size = write(asked.target, asked.name, layers, config)
    sys.stderr.write(f"{asked.name}: {size / 1e6:.0f} MB in {time.monotonic() - began:.1f} s\n")
    return 0


def of_ours() -> dict[str, Any]:
    """How the control plane is started."""
    return {
        "User": f"{USER}:{USER}",
        "WorkingDir": "/var/lib/leeward",
        "Entrypoint": ["/usr/bin/python3", "-m", "leeward"],
        "Cmd": ["daemon"],
        "Env": [
            "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONPATH=/opt/leeward/src:/opt/leeward/lib",
            "PYTHONUNBUFFERED=1",
            "LANG=C.UTF-8",
            "MALLOC_ARENA_MAX=1",
            "MALLOC_TRIM_THRESHOLD_=131072",
        ],
    }


# --- layers -----------------------------------------------------------------------------------------------


def base(packages: tuple[str, ...]) -> Path:
    """The tar of Debian packages, from the cache or made now."""
    suite = SUITES[sys.version_info[:2]]
    extra = "".join(EXTRA[name] for name in packages if name in EXTRA)
    digest = hashlib.sha256("\n".join((suite, *sorted(packages), FINISH, extra)).encode()).hexdigest()[:12]
    return _kept(f"base-{digest}", lambda target: asyncio.run(_debian(suite, packages, extra, target)))


async def _debian(suite: str, packages: tuple[str, ...], extra: str, target: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="image-", dir=CACHE) as name:
        finish = Path(name) / "finish"
        finish.write_text(FINISH + extra)
        finish.chmod(0o755)
        Path(name).chmod(0o755)
        made = Path(name) / "root.tar"
        argv = debian.bootstrap(suite, packages, (str(finish),), mirrors(load()), made)
        await must(argv, "the image's packages could not be had", hint="run: apt-get update", cwd=Path(name))
        shutil.move(made, target)


def libraries() -> Path:
    """The tar of what uv.lock names, compiled."""
    lock = (ROOT / "uv.lock").read_bytes() + (ROOT / "pyproject.toml").read_bytes()
    digest = hashlib.sha256(lock + str(sys.version_info[:2]).encode()).hexdigest()[:12]
    return _kept(f"libraries-{digest}", _install)


def _install(target: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="libraries-", dir=CACHE) as name:
        work = Path(name)
        tool = str(asyncio.run(uv(work)))
        wanted = work / "requirements.txt"
        argv = (tool, "export", "-q", "--frozen", "--no-dev", "--no-emit-project", "-o", str(wanted))
        subprocess.run(argv, check=True, cwd=ROOT)
        common = (tool, "pip", "install", "-q", "--require-hashes", "--compile-bytecode", "--only-binary=:all:")
        argv = (*common, "--python", sys.executable, "--target", str(work / "lib"), "-r", str(wanted))
        _with_index(argv)
        for cruft in ("bin", ".lock"):
            each = work / "lib" / cruft
            shutil.rmtree(each) if each.is_dir() else each.unlink(missing_ok=True)
        with tarfile.open(target, "w") as archive:
            _add(archive, work / "lib", "opt/leeward/lib")


def _with_index(argv: Sequence[str]) -> None:
    """As uv is configured; where that does not reach it, from the index that pip is configured for."""
    if subprocess.run(argv, capture_output=True, cwd=ROOT).returncode:
        asked = (sys.executable, "-m", "pip", "config", "get", "global.index-url")
        found = subprocess.run(asked, capture_output=True, text=True).stdout.strip()
        index = os.environ.get("PIP_INDEX_URL") or found
        subprocess.run(argv, check=True, cwd=ROOT, env={**os.environ, **({"UV_DEFAULT_INDEX": index} if index else {})})


def clients(buildctl: Path | None) -> list[Path]:
    """The tar of BuildKit's client, if there is one to add."""
    if buildctl is None:
        return []
    target = CACHE / f"client-{os.getpid()}.tar"
    with tarfile.open(target, "w") as archive, buildctl.open("rb") as content:
        entry = tarfile.TarInfo("usr/bin/buildctl")
        entry.size, entry.mode, entry.mtime = buildctl.stat().st_size, 0o755, debian.EPOCH
        archive.addfile(entry, content)
    return [target]


def ours() -> Path:
    """The tar of this checkout's own code, made anew each time."""
    with tempfile.TemporaryDirectory(prefix="ours-", dir=CACHE) as name:
        tree = Path(name) / "src" / "leeward"
        shutil.copytree(ROOT / "src" / "leeward", tree, ignore=shutil.ignore_patterns("__pycache__"))
        compiled = ("-m", "compileall", "-q", "-s", name, "-p", "/opt/leeward", "--invalidation-mode", "unchecked-hash")
        subprocess.run((sys.executable, *compiled, name), check=True)
        facts = Path(name) / "src" / "leeward-0.1.0.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: leeward\nVersion: {_version()}\n")
        target = CACHE / f"ours-{os.getpid()}.tar"
        with tarfile.open(target, "w") as archive:
            _add(archive, Path(name) / "src", "opt/leeward/src")
            _text(archive, "usr/local/bin/lee", LEE, 0o755)
        return target


def _version() -> str:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    return next(line.partition('"')[2].rstrip('"') for line in lines if line.startswith("version = "))


def _add(archive: tarfile.TarFile, folder: Path, name: str) -> None:
    """A folder as root's, with one date, so that the same files are the same layer."""

    def settled(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mtime = debian.EPOCH
        return entry

    for path in sorted(folder.rglob("*")):
        archive.add(path, f"{name}/{path.relative_to(folder)}", recursive=False, filter=settled)


def _text(archive: tarfile.TarFile, name: str, text: str, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = len(text), mode, debian.EPOCH
    archive.addfile(entry, io.BytesIO(text.encode()))


def _kept(name: str, make: Any) -> Path:
    """The tar `name`, unpacked; made and kept compressed when it is not there."""
    kept, plain = CACHE / f"{name}.tar.zst", CACHE / f"{name}-{os.getpid()}.tar"
    if not kept.exists():
        make(plain)
        draft = kept.with_suffix(f".{os.getpid()}")
        with plain.open("rb") as source, draft.open("wb") as sink:
            zstandard.ZstdCompressor(level=3, threads=-1).copy_stream(source, sink, size=plain.stat().st_size)
        draft.replace(kept)
        _forget(kept)
        return plain
    with kept.open("rb") as source, plain.open("wb") as sink:
        zstandard.ZstdDecompressor().copy_stream(source, sink)
    return plain


def _forget(kept: Path) -> None:
    """Remove what was made long ago and is wanted no more; several checkouts may share the folder."""
    for other in kept.parent.glob(f"{kept.name.partition('-')[0]}-*.tar.zst"):
        if other != kept and time.time() - other.stat().st_mtime > FORGOTTEN_S:
            other.unlink(missing_ok=True)


# --- the archive ------------------------------------------------------------------------------------------


def write(target: Path, name: str, layers: Sequence[Path], config: dict[str, Any]) -> int:
    """An OCI image layout as a tar; the layers' files go. The size of all layers."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    try:
        found = [(_digest(layer), layer.stat().st_size) for layer in layers]
        about = json.dumps(
            {
                "architecture": machine,
                "os": "linux",
                "config": config,
                "rootfs": {"type": "layers", "diff_ids": [digest for digest, _ in found]},
            }
        ).encode()
        kind = "application/vnd.oci.image."
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": f"{kind}manifest.v1+json",
                "config": _described(about, f"{kind}config.v1+json"),
                "layers": [
                    {"mediaType": f"{kind}layer.v1.tar", "digest": digest, "size": size} for digest, size in found
                ],
            }
        ).encode()
        marks = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
        index = {
            "schemaVersion": 2,
            "manifests": [{**_described(manifest, f"{kind}manifest.v1+json"), "annotations": marks}],
        }
        with tarfile.open(target, "w") as archive:
            _text(archive, "oci-layout", '{"imageLayoutVersion": "1.0.0"}', 0o644)
            _text(archive, "index.json", json.dumps(index), 0o644)
            for blob in (about, manifest):
                _text(archive, f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", blob.decode(), 0o644)
            for layer, (digest, _) in zip(layers, found, strict=True):
                archive.add(layer, f"blobs/sha256/{digest.removeprefix('sha256:')}")
        return sum(size for _, size in found)
    finally:
        for layer in layers:
            layer.unlink(missing_ok=True)


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


def _described(blob: bytes, kind: str) -> dict[str, Any]:
    return {"mediaType": kind, "digest": f"sha256:{hashlib.sha256(blob).hexdigest()}", "size": len(blob)}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

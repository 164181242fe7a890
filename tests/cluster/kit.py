"""Make an image of rootless BuildKit from Go modules and Debian packages, and put it where the nodes find it."""

import hashlib
import io
import json
import shutil
import struct
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.cluster import Cluster
from tests.cluster.command import Missing, run
from tests.cluster.images import architecture, described, load
from tests.cluster.layout import cache
from tests.cluster.program import go

HERE = Path(__file__).parent / "buildkit"
IMAGE = "localhost/buildkit:1"
PROGRAMS = {
    "buildkitd": "github.com/moby/buildkit/cmd/buildkitd",
    "buildctl": "github.com/moby/buildkit/cmd/buildctl",
    "rootlesskit": "github.com/rootless-containers/rootlesskit/v2/cmd/rootlesskit",
}
PACKAGES = ("ca-certificates", "fuse-overlayfs", "runc", "uidmap")
_SUITE = "bookworm"
_USER = "user:x:1000:1000::/home/user:/usr/sbin/nologin\n"
_ROOT = "root:x:0:0:root:/root:/bin/sh\n"
_TEXTS = {
    "etc/passwd": _ROOT + _USER,
    "etc/group": "root:x:0:\nuser:x:1000:\n",
    "etc/subuid": "user:100000:65536\n",
    "etc/subgid": "user:100000:65536\n",
}
_FOLDERS = (
    "home/user",
    "home/user/.local",
    "home/user/.local/share",
    "home/user/.local/share/buildkit",
    "home/user/.local/tmp",
    "run/user/1000",
)
# Not setuid: the owner of the new user namespace must be who maps it, and a pod has no more than these capabilities.
_MAPPERS = {"usr/bin/newuidmap": 7, "usr/bin/newgidmap": 6}
_CONFIG = {
    "User": "1000:1000",
    "Entrypoint": ["rootlesskit", "buildkitd"],
    "Env": [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME=/home/user",
        "USER=user",
        "XDG_RUNTIME_DIR=/run/user/1000",
        "TMPDIR=/home/user/.local/tmp",
        "BUILDKIT_HOST=unix:///run/user/1000/buildkit/buildkitd.sock",
    ],
}


def folder() -> Path:
    """Where what was built is kept, by all that it is made from."""
    made_from = (PROGRAMS, PACKAGES, _SUITE, _TEXTS, _FOLDERS, _MAPPERS, _CONFIG)
    parts = [(HERE / "go.mod").read_bytes(), (HERE / "go.sum").read_bytes(), repr(made_from).encode()]
    return cache().parent / f"buildkit-{hashlib.sha256(bytes(1).join(parts)).hexdigest()[:12]}"


def image() -> Path:
    """The image as an archive, once it is made."""
    return folder() / "image.tar"


def buildctl() -> Path:
    """The client that fits the image."""
    return folder() / "buildctl"


def build() -> Path:
    """The image as an archive, made when it is not there yet: minutes the first time. Raises Missing."""
    target = image()
    if target.exists():
        return target
    if shutil.which("mmdebstrap") is None:
        raise Missing("an image of BuildKit is made with mmdebstrap (apt-get install)")
    draft = folder().with_suffix(".new")
    draft.mkdir(parents=True, exist_ok=True)
    _compile(draft)
    with tempfile.TemporaryDirectory(dir=draft) as name:
        root = Path(name) / "root.tar"
        _bootstrap(root)
        with (draft / "image.tar").open("wb") as out:
            _archive(root, draft, out)
    shutil.rmtree(folder(), ignore_errors=True)
    draft.replace(folder())
    return target


def on_nodes(cluster: Cluster) -> str:
    """Have the image on every node; its name."""
    load(cluster.layout, cluster.enter(), build())
    return IMAGE


def _compile(target: Path) -> None:
    env = ("CGO_ENABLED=0", "GOFLAGS=-buildvcs=false", "GOTOOLCHAIN=local")
    argv = ("nice", "-n", "5", "env", *env, go(), "build", "-C", str(HERE), "-trimpath", "-ldflags", "-s -w")
    try:
        run(*argv, "-o", f"{target}/", *PROGRAMS.values(), timeout_s=3600)
    except RuntimeError as error:
        raise Missing(f"BuildKit could not be built: {error}") from error


def _bootstrap(target: Path) -> None:
    options = (
        '--aptopt=APT::Install-Recommends "false"',
        '--aptopt=Acquire::Languages "none"',
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
    )
    # With mounts of its own, which end with it.
    apart = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--")
    argv = (
        *apart,
        "mmdebstrap",
        "--mode=root",
        "--variant=essential",
        "--format=tar",
        f"--include={','.join(PACKAGES)}",
    )
    try:
        run("nice", "-n", "5", *argv, *options, _SUITE, str(target), timeout_s=900, env={"TMPDIR": str(target.parent)})
    except RuntimeError as error:
        raise Missing(f"the packages of an image of BuildKit could not be had: {error}") from error


def _programs(place: Path, root: Path) -> bytes:
    """The layer above the packages."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar, tarfile.open(root) as lower:
        for path, capability in _MAPPERS.items():
            file = lower.extractfile(f"./{path}")
            assert file is not None
            _add(tar, path, file.read(), 0o755, {"SCHILY.xattr.security.capability": _capable(capability)})
        for name in PROGRAMS:
            _add(tar, f"usr/bin/{name}", (place / name).read_bytes(), 0o755)
        for path, text in _TEXTS.items():
            _add(tar, path, text.encode(), 0o644)
        for path in _FOLDERS:
            entry = tarfile.TarInfo(path)
            entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, 0o700, 1000, 1000
            tar.addfile(entry)
    return out.getvalue()


def _capable(capability: int) -> str:
    """The attribute of a program that has one capability, as the kernel keeps it."""
    value = struct.pack("<IIIII", 0x0200_0001, 1 << capability, 0, 0, 0)
    return value.decode("utf-8", "surrogateescape")


def _add(tar: tarfile.TarFile, path: str, content: bytes, mode: int, attributes: dict[str, str] | None = None) -> None:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode, entry.pax_headers = len(content), mode, attributes or {}
    tar.addfile(entry, io.BytesIO(content))


def _archive(root: Path, place: Path, out: io.BufferedWriter) -> None:
    """An OCI image layout of both layers."""
    layers = (root.read_bytes(), _programs(place, root))
    digests = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    facts = {"architecture": architecture(), "os": "linux", "rootfs": {"type": "layers", "diff_ids": digests}}
    config = json.dumps({**facts, "config": _CONFIG}).encode()
    kind = "application/vnd.oci.image"
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": f"{kind}.manifest.v1+json",
            "config": described(config, f"{kind}.config.v1+json"),
            "layers": [described(layer, f"{kind}.layer.v1.tar") for layer in layers],
        }
    ).encode()
    named = {"io.containerd.image.name": IMAGE, "org.opencontainers.image.ref.name": "1"}
    index = {
        "schemaVersion": 2,
        "manifests": [{**described(manifest, f"{kind}.manifest.v1+json"), "annotations": named}],
    }
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, content in _files((*layers, config, manifest), index):
            _add(tar, path, content, 0o644)


def _files(blobs: tuple[bytes, ...], index: dict[str, object]) -> Iterator[tuple[str, bytes]]:
    yield "oci-layout", b'{"imageLayoutVersion": "1.0.0"}'
    yield "index.json", json.dumps(index).encode()
    for blob in blobs:
        yield f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", blob

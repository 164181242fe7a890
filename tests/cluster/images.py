"""Images of one static program, made without a builder, and put where the nodes find them."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

from tests.cluster.command import run
from tests.cluster.files import PAUSE
from tests.cluster.layout import Layout, cache

APP = "localhost/app:1"
ADDONS = "localhost/addons:1"


def archive(program: Path, name: str) -> bytes:
    """An OCI image layout with `program` as its only file, called `/NAME`."""
    layer = _tar({program.name: program.read_bytes()}, mode=0o755)
    config = json.dumps(
        {
            "architecture": architecture(),
            "os": "linux",
            # The name makes it another image than the same program under another name: a node remembers how it
            # came by an image, and does not use what was pulled under one name for another.
            "config": {"Entrypoint": [f"/{program.name}"], "Env": ["PATH=/"], "Labels": {"name": name}},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": described(config, "application/vnd.oci.image.config.v1+json"),
            "layers": [described(layer, "application/vnd.oci.image.layer.v1.tar")],
        }
    ).encode()
    index = {
        "schemaVersion": 2,
        "manifests": [
            {
                **described(manifest, "application/vnd.oci.image.manifest.v1+json"),
                "annotations": {
                    "io.containerd.image.name": name,
                    "org.opencontainers.image.ref.name": name.rpartition(":")[2],
                },
            }
        ],
    }
    files = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}', "index.json": json.dumps(index).encode()}
    for blob in (layer, config, manifest):
        files[f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}"] = blob
    return _tar(files, mode=0o644)


def architecture() -> str:
    """As images name it."""
    machine = run("uname", "-m").stdout.strip()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def _tar(files: dict[str, bytes], mode: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def described(blob: bytes, kind: str) -> dict[str, object]:
    """A blob as a manifest names it."""
    return {"mediaType": kind, "digest": _digest(blob), "size": len(blob)}


def load(layout: Layout, enter: tuple[str, ...], file: Path) -> None:
    """Import an archive on every node."""
    for node in layout.nodes:
        run(*enter, "ctr", f"--address={node.socket}", "-n", "k8s.io", "images", "import", str(file))


def load_own(layout: Layout, enter: tuple[str, ...]) -> None:
    """The image that holds a pod together, and the one that tests run."""
    for name, image in (("pause", PAUSE), ("app", APP), ("addons", ADDONS)):
        file = layout.home / f"{name}.tar"
        file.write_bytes(archive(cache() / name, image))
        load(layout, enter, file)
        file.unlink()

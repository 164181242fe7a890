"""Helm itself, built once for each version, and what a chart needs beside: images in the nodes."""

import os
import subprocess
import sys
from pathlib import Path

from tests.cluster.cluster import Cluster
from tests.cluster.command import Missing, run
from tests.cluster.layout import cache
from tests.cluster.program import go

VERSION = "v4.3.1"
ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "leeward"
LEEWARD, POSTGRES = "localhost/leeward:dev", "localhost/postgres:dev"


def program() -> str:
    """The `helm` command, from its Go module. Raises Missing where that cannot be had, or takes minutes unasked."""
    target = cache().parent / f"helm-{VERSION}" / "helm"
    if not target.exists() and os.environ.get("LEEWARD_CLUSTER") != "must":
        raise Missing("Helm is not made yet: `make cluster-test` makes it, in minutes")
    if not target.exists():
        print(f"building helm {VERSION}: minutes the first time", file=sys.stderr, flush=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        env = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOBIN": str(target.parent)}
        words = ("install", "-trimpath", "-ldflags", "-s -w", f"helm.sh/helm/v4/cmd/helm@{VERSION}")
        try:
            run("nice", "-n", "5", go(), *words, env=env, timeout_s=1800)
        except RuntimeError as error:
            raise Missing(f"helm {VERSION} could not be built: {error}") from error
    return str(target)


def helm(cluster: Cluster, *words: str, check: bool = True) -> str:
    """What it prints; a failure carries what it said."""
    done = subprocess.run(
        (program(), *words),
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "KUBECONFIG": str(cluster.layout.kubeconfig)},
    )
    if check and done.returncode:
        raise RuntimeError(f"'helm {' '.join(words)}' ended with {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout + done.stderr


def image(cluster: Cluster, name: str, *words: str, nodes: int = 0) -> str:
    """Make an image as `make image` does, and put it on every node, or on the first ones; what the making printed."""
    file = cluster.layout.home / "image.tar"
    script = str(ROOT / "deploy" / "image" / "build.py")
    try:
        told = run(sys.executable, script, "--name", name, *words, str(file), timeout_s=900)
    except RuntimeError as error:
        raise Missing(f"the image '{name}' could not be made: {error}") from error
    for node in cluster.layout.nodes[: nodes or None]:
        words = ("ctr", f"--address={node.socket}", "-n", "k8s.io", "images", "import", str(file))
        run(*cluster.enter(), *words, timeout_s=300)
    file.unlink()
    return told.stderr

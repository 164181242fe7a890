"""Disks for volumes: a storage class of a test's own, with a few local disks on each node.

The cluster has no provisioner. These disks are folders that are made beforehand, as an operator makes local volumes;
the class says that they may grow, so that the API takes a larger claim, but nothing makes a folder larger.
"""

import contextlib
import json
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.cluster.layout import layout
from tests.cluster.parts import hyper

_EACH = 2
_SIZE = "256Mi"


@contextlib.contextmanager
def disks() -> Iterator[str]:
    """The name of a storage class that has disks, for as long as the context lasts."""
    name = f"disks-{secrets.token_hex(3)}"
    nodes = json.loads(_kubectl("get", "nodes", "-o", "json"))["items"]
    folder = layout().run / name
    made = [_class(name)]
    for node in (each["metadata"]["name"] for each in nodes):
        for number in range(_EACH):
            place = folder / f"{node}-{number}"
            place.mkdir(parents=True)
            made.append(_disk(f"{name}-{node}-{number}", name, node, place))
    _kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": made}))
    try:
        yield name
    finally:
        for one in made:
            _kubectl("delete", one["kind"].lower(), one["metadata"]["name"], "--wait=false", "--ignore-not-found")
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def unmade() -> Iterator[str]:
    """The name of a storage class whose disks nobody makes."""
    name = f"unmade-{secrets.token_hex(3)}"
    made = {**_class(name), "provisioner": "example.com/nobody", "volumeBindingMode": "Immediate"}
    _kubectl("create", "-f", "-", stdin=json.dumps(made))
    try:
        yield name
    finally:
        _kubectl("delete", "storageclass", name, "--ignore-not-found")


def _class(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
    }


def _disk(name: str, storage_class: str, node: str, place: Path) -> dict[str, Any]:
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": _SIZE},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": storage_class,
            "local": {"path": str(place)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        },
    }


def _kubectl(*words: str, stdin: str = "") -> str:
    done = subprocess.run(
        [str(hyper("kubectl")), f"--kubeconfig={layout().kubeconfig}", *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return done.stdout

"""Where a cluster keeps its files, and which names and addresses are its own. Pure but for two variables."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

VERSION = "1.36.3"
"""Of Kubernetes; `hyper/go.mod` names the same."""


def cache() -> Path:
    """Where what was built is kept, by version; outside the work tree, so that every checkout finds it."""
    return Path(os.environ.get("LEEWARD_CLUSTER_CACHE", "/var/cache/leeward/cluster")) / VERSION


@dataclass(frozen=True)
class Node:
    """One machine of the cluster: a network namespace with a kubelet in it."""

    layout: "Layout"
    index: int

    @property
    def name(self) -> str:
        return f"node-{self.index}"

    @property
    def namespace(self) -> str:
        return f"lwc{self.layout.number}-{self.index}"

    @property
    def net(self) -> str:
        return f"/run/netns/{self.namespace}"

    @property
    def ip(self) -> str:
        """The first node is linked to the host, each further one to the first."""
        number = self.layout.number
        return f"10.99.{number}.2" if self.index == 1 else f"10.98.{number}.{4 * self.index + 2}"

    @property
    def gateway(self) -> str:
        number = self.layout.number
        return f"10.99.{number}.1" if self.index == 1 else f"10.98.{number}.{4 * self.index + 1}"

    @property
    def pods(self) -> str:
        return f"10.{240 + self.layout.number % 16}.{self.index}.0/24"

    @property
    def state(self) -> Path:
        return self.layout.home / self.name

    @property
    def run(self) -> Path:
        return self.layout.run / self.name

    @property
    def socket(self) -> Path:
        return self.run / "containerd.sock"

    @property
    def cgroup(self) -> str:
        return f"{self.layout.cgroup}/{self.name}"


@dataclass(frozen=True)
class Layout:
    """One cluster; `number` tells several on one machine apart."""

    number: int = 0
    count: int = 2

    @cached_property
    def home(self) -> Path:
        return Path(f"/var/lib/leeward-cluster{self.number or ''}")

    @cached_property
    def run(self) -> Path:
        return Path(f"/run/leeward-cluster{self.number or ''}")

    @property
    def kubeconfig(self) -> Path:
        return self.home / "admin.kubeconfig"

    @property
    def pki(self) -> Path:
        return self.home / "pki"

    @property
    def logs(self) -> Path:
        return self.home / "log"

    @property
    def link(self) -> str:
        return f"lwc{self.number}"

    @property
    def cgroup(self) -> str:
        return f"leeward-cluster{self.number or ''}"

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        return tuple(Node(self, index) for index in range(1, self.count + 1))

    @property
    def first(self) -> Node:
        return self.nodes[0]

    @property
    def host(self) -> str:
        return f"10.99.{self.number}.1"

    @property
    def server(self) -> str:
        return f"https://{self.first.ip}:6443"

    @property
    def pods(self) -> str:
        return f"10.{240 + self.number % 16}.0.0/16"

    @property
    def services(self) -> str:
        return "10.96.0.0/16"

    @property
    def dns(self) -> str:
        return "10.96.0.10"

    @property
    def registry(self) -> str:
        """The cluster's own registry: the same name for nodes and for this machine."""
        return f"{self.first.ip}:5000"

    @property
    def supervisor(self) -> Path:
        """Holds the supervisor's process id."""
        return self.run / "supervisor.pid"


def layout() -> Layout:
    """The cluster that this process means."""
    return Layout(
        number=int(os.environ.get("LEEWARD_CLUSTER_NUMBER", "0")),
        count=int(os.environ.get("LEEWARD_CLUSTER_NODES", "2")),
    )

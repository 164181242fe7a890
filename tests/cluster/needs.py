"""Say what this machine lacks for a cluster, each in one sentence."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

PACKAGES = {
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "ipset": "ipset",
    "conntrack": "conntrack",
    "socat": "socat",
    "docker-registry": "docker-registry",
    "nsenter": "util-linux",
    "ip": "iproute2",
}
"""A program, and the Debian package that has it."""
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def debian_packages() -> Iterator[str]:
    """The packages that are missing."""
    for program, package in PACKAGES.items():
        if shutil.which(program, path=_PATH) is None:
            yield package
    if not Path("/usr/lib/cni/ptp").exists():
        yield "containernetworking-plugins"


def missing() -> str:
    """The first thing that is missing; '' when a cluster can be started."""
    if os.geteuid() != 0:
        return "a cluster needs root on this machine"
    if packages := sorted(set(debian_packages())):
        return f"a cluster needs the packages {' '.join(packages)} (apt-get install)"
    if not Path("/sys/fs/cgroup/memory").is_dir() and not Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return "a cluster needs control groups with a memory controller below /sys/fs/cgroup"
    return ""

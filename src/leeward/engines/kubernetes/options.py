"""Read what an operator said of a cluster. Pure."""

import difflib
import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from leeward.engines.kubernetes.rules import Pool, Quota, Rules
from leeward.errors import Invalid, Problem
from leeward.model.quota import NO_QUOTAS, Quotas
from leeward.model.region import BUILDS_OPTIONS, Region

_LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_./]{0,251}[A-Za-z0-9])?")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_IMAGE = re.compile(r"[a-z0-9][-a-zA-Z0-9._/:@]{0,254}")
_GATEWAY = re.compile(r"[a-z0-9][-a-z0-9]{0,62}/[a-z0-9][-a-z0-9.]{0,252}")


def rules_of(region: Region, home: str, domain: str, own_registry: str, projects: Quotas = NO_QUOTAS) -> Rules:
    """The rules of a region. Raises Invalid naming every option that is unknown or wrong."""
    problems: list[Problem] = []
    found: dict[str, Any] = {}
    for name, text in sorted(region.options.items()):
        # As on a command line, hyphens do as well.
        if name.replace("-", "_") in BUILDS_OPTIONS:
            continue
        known = OPTIONS.get(name.replace("-", "_"))
        if known is None:
            near = difflib.get_close_matches(name, OPTIONS, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(OPTIONS)}"
            problems.append(Problem(f"options/{name}", "is not an option of a cluster", hint))
            continue
        try:
            known(text, found)
        except ValueError as error:
            problems.append(Problem(f"options/{name}", f"{error}, not '{text}'"))
    if problems:
        raise Invalid(problems)
    quota = Quota(**found.pop("quota", {}))
    return Rules(
        home=home,
        region=region.name,
        domain=domain,
        profile=region.profile,
        builds_in=region.builds,
        own_registry=own_registry,
        registry=region.registry,
        pull_secret=region.pull_secret,
        quota=quota,
        projects=projects,
        **found,
    )


Read = Callable[[str, dict[str, Any]], None]


def _pool(field: str) -> Read:
    def read(text: str, found: dict[str, Any]) -> None:
        labels, taints = {}, []
        for part in filter(None, (part.strip() for part in text.split(","))):
            key, equals, value = part.partition("=")
            if key.startswith("taint:"):
                taints.append(key.removeprefix("taint:"))
            elif equals and _LABEL.fullmatch(key) and (not value or _LABEL.fullmatch(value)):
                labels[key] = value
            else:
                raise ValueError("must be labels and taints like 'pool=apps,taint:apps'")
        found[field] = Pool(labels, tuple(taints))

    return read


def _text(field: str, pattern: re.Pattern[str], like: str) -> Read:
    def read(text: str, found: dict[str, Any]) -> None:
        if not pattern.fullmatch(text):
            raise ValueError(f"must be {like}")
        found[field] = text

    return read


def _number(field: str, least: int, most: int) -> Read:
    def read(text: str, found: dict[str, Any]) -> None:
        found[field] = _int(text, least, most)

    return read


def _quota(field: str) -> Read:
    def read(text: str, found: dict[str, Any]) -> None:
        found.setdefault("quota", {})[field] = _int(text, 1, 1_000_000)

    return read


def _ranges(field: str) -> Read:
    def read(text: str, found: dict[str, Any]) -> None:
        try:
            ranges = tuple(str(ipaddress.ip_network(part.strip())) for part in text.split(","))
        except ValueError as error:
            raise ValueError("must be address ranges like '10.0.0.0/8,192.168.1.0/24'") from error
        found[field] = ranges

    return read


def _yes_or_no(field: str) -> Read:
    def read(text: str, found: dict[str, Any]) -> None:
        if text not in ("yes", "no"):
            raise ValueError("must be 'yes' or 'no'")
        found[field] = text == "yes"

    return read


def _int(text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise ValueError(f"must be a number from {least} to {most}")
    return int(text)


OPTIONS: Mapping[str, Read] = {
    "apps_pool": _pool("apps"),
    "builds_pool": _pool("builds"),
    "builds_image": _text("builds_image", _IMAGE, "the name of an image"),
    "builds_pods": _number("builds_pods", 1, 100),
    "builds_volume_gib": _number("builds_volume_gib", 0, 10_000),
    "storage_class": _text("storage_class", _NAME, "the name of a storage class"),
    "shared_volumes": _yes_or_no("shared_volumes"),
    "data_pool": _pool("data"),
    "runtime_class": _text("runtime_class", _NAME, "the name of a runtime class"),
    "gateway": _text("gateway", _GATEWAY, "a gateway like 'namespace/name'"),
    "issuer": _text("issuer", _NAME, "the name of a ClusterIssuer"),
    "ingress_class": _text("gateway_class", _NAME, "the name of an ingress class"),
    "edge_sources": _ranges("edge_sources"),
    "egress": _ranges("egress"),
    "cpu_request_percent": _number("cpu_request_percent", 1, 100),
    "disk_mib": _number("disk_mib", 16, 1_000_000),
    "cluster_scales": _yes_or_no("cluster_scales"),
    "quota_instances": _quota("instances"),
    "quota_cores": _quota("cores"),
    "quota_memory_gib": _quota("memory_gib"),
}

WORDS: Mapping[str, str] = {
    "apps_pool": "nodes for apps, by labels and the taints that they tolerate: `pool=apps,taint:apps`",
    "builds_pool": "nodes for builds, likewise",
    "builds_image": "the image of rootless BuildKit, where it is not `LEEWARD_BUILDKIT_IMAGE`",
    "builds_pods": "how many builds at once, each in a pod of its own; else `LEEWARD_BUILDS`",
    "builds_volume_gib": "a volume for the cache of each build pod; without it the cache goes with the pod",
    "storage_class": "the storage class of volumes; without it the cluster's default",
    "shared_volumes": "`yes`: disks of that class may be on several nodes at once (ReadWriteMany)",
    "data_pool": "nodes for data services, likewise",
    "runtime_class": "the runtime class of instances: `gvisor`",
    "gateway": "the Gateway that takes requests in, as `namespace/name`; without it the platform's own edge does",
    "issuer": "the ClusterIssuer of cert-manager that certifies an Ingress; else the class shows its own",
    "ingress_class": "the Ingress class, where the cluster has no Gateway API",
    "edge_sources": "address ranges from which requests reach instances: `10.0.0.4/32`",
    "egress": "private address ranges that instances may call",
    "cpu_request_percent": "how much of a size's CPU is reserved; below 100 nodes are overcommitted",
    "disk_mib": "how much an instance may write to its file system",
    "cluster_scales": "`yes`: the cluster's autoscaler decides how many instances run, not the platform",
    "quota_instances": "the most instances of one project",
    "quota_cores": "the most cores of one project",
    "quota_memory_gib": "the most memory of one project",
}
"""What each option means, as the page on clusters says it."""

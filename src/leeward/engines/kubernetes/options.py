"""Read what an operator wrote about a region into the rules of its cluster. Pure."""

import difflib
import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

from leeward.engines.kubernetes.gke import LOAD_BALANCERS
from leeward.engines.kubernetes.rules import Pool, Quota, Rules
from leeward.errors import Invalid, Problem
from leeward.model.region import Profile, Region


def _text(value: str) -> str:
    if not value or any(sign.isspace() for sign in value):
        raise ValueError("write a name without spaces")
    return value


def _count(value: str) -> int:
    if not value.isdigit() or not 0 < int(value) < 1_000_000:
        raise ValueError(f"'{value}' is not a number above 0")
    return int(value)


def _percent(value: str) -> int:
    if not value.isdigit() or not 1 <= int(value) <= 100:
        raise ValueError(f"'{value}' is not a number from 1 to 100")
    return int(value)


def _ranges(value: str) -> tuple[str, ...]:
    found = []
    for part in value.split(","):
        try:
            found.append(str(ipaddress.ip_network(part.strip())))
        except ValueError as error:
            raise ValueError(f"'{part.strip()}' is not an address range: write it like '10.0.0.0/8'") from error
    return tuple(found)


def _labels(value: str) -> dict[str, str]:
    pairs = [part.strip().partition("=") for part in value.split(",")]
    if any(not key or not sign for key, sign, _ in pairs):
        raise ValueError("write labels like 'pool=apps,disk=ssd'")
    return {key: text for key, _, text in pairs}


def _keys(value: str) -> tuple[str, ...]:
    return tuple(_text(part.strip()) for part in value.split(","))


def _gateway(value: str) -> str:
    space, sign, name = value.partition("/")
    if not (space and sign and name):
        raise ValueError(f"'{value}' is not a gateway: write it like 'namespace/name'")
    return value


def _who(value: str) -> bool:
    if value not in ("platform", "cluster"):
        raise ValueError(f"'{value}' is neither 'platform' nor 'cluster'")
    return value == "cluster"


OPTIONS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "gateway": ("the Gateway that takes requests in, as `namespace/name`; the platform's own edge without", _gateway),
    "ingress-class": ("the Ingress class, where the cluster has no Gateway API", _text),
    "edge-sources": ("address ranges from which requests reach instances", _ranges),
    "egress": ("private address ranges that instances may call", _ranges),
    "apps-labels": ("labels of the nodes for apps, as `pool=apps`", _labels),
    "apps-taints": ("taints of those nodes that apps tolerate", _keys),
    "builds-labels": ("labels of the nodes for builds", _labels),
    "builds-taints": ("taints of those nodes that builds tolerate", _keys),
    "data-labels": ("labels of the nodes for data services", _labels),
    "data-taints": ("taints of those nodes that data services tolerate", _keys),
    "runtime-class": ("the runtime class of instances, as `gvisor`", _text),
    "cpu-request-percent": ("how much of a size's CPU is reserved; below 100 overcommits nodes", _percent),
    "disk-mib": ("how much an instance may write to its file system", _count),
    "quota-instances": ("the most instances of one project", _count),
    "quota-cores": ("the most cores of one project", _count),
    "quota-memory-gib": ("the most memory of one project", _count),
    "autoscaling": ("who decides how many instances run: `platform` or `cluster`", _who),
}
"""Each option of a region: what it means, and how it is read."""


def rules_of(region: Region, home: str, domain: str, own_registry: str) -> Rules:
    """The rules of a region's cluster. Raises Invalid, naming all that is wrong at once."""
    found: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, value in region.options.items():
        if key not in OPTIONS:
            near = difflib.get_close_matches(key, OPTIONS, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(OPTIONS)}"
            problems.append(Problem(f"options/{key}", "there is no such option", hint))
            continue
        try:
            found[key] = OPTIONS[key][1](value)
        except ValueError as error:
            problems.append(Problem(f"options/{key}", str(error)))
    if problems:
        raise Invalid(problems)
    usual = Quota()
    google = LOAD_BALANCERS if region.profile is not Profile.PLAIN and "gateway" in found else ()
    return Rules(
        home=home,
        region=region.name,
        domain=domain,
        profile=region.profile,
        own_registry=own_registry,
        registry=region.registry,
        pull_secret=region.pull_secret,
        edge_sources=(*found.get("edge-sources", ()), *google),
        egress=found.get("egress", ()),
        apps=Pool(found.get("apps-labels", {}), found.get("apps-taints", ())),
        builds=Pool(found.get("builds-labels", {}), found.get("builds-taints", ())),
        data=Pool(found.get("data-labels", {}), found.get("data-taints", ())),
        runtime_class=found.get("runtime-class", ""),
        cpu_request_percent=found.get("cpu-request-percent", 100),
        disk_mib=found.get("disk-mib", 1024),
        quota=Quota(
            found.get("quota-instances", usual.instances),
            found.get("quota-cores", usual.cores),
            found.get("quota-memory-gib", usual.memory_gib),
        ),
        gateway=found.get("gateway", ""),
        gateway_class=found.get("ingress-class", ""),
        cluster_scales=found.get("autoscaling", False),
    )

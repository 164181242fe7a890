"""Choose names, addresses and firewall rules of the projects' networks. Pure."""

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from leeward.engines.local.container import HOME
from leeward.errors import Unavailable
from leeward.plan.metadata import NETWORKS
from leeward.plan.packetfilter import leads, rules_of

PROJECT = "leeward.project"
CHAIN = "LEEWARD-INPUT"
# Every bridge of every Leeward on this machine begins so: one rule holds for all of them.
_BRIDGE = "lwd"


def network_name(home: str, project: str) -> str:
    """The network that a project's instances share."""
    return f"lwd-{home}-{project}"


def names_name(home: str, project: str) -> str:
    """The network in which only ready instances are found. A project's name has no dot, so none can be like it."""
    return f"lwd-{home}-{project}.names"


def free_subnet(pool: str, taken: Iterable[str]) -> str:
    """The first /24 of the pool that touches none of `taken`."""
    used = [ipaddress.ip_network(text, strict=False) for text in taken if ":" not in text]
    for subnet in ipaddress.ip_network(pool).subnets(new_prefix=24):
        if not any(subnet.overlaps(other) for other in used):
            return str(subnet)
    raise Unavailable(f"no network is free in '{pool}'", hint="set LEEWARD_NETWORK_POOL to a larger range")


def network_body(name: str, home: str, project: str, subnet: str, *, internal: bool) -> dict[str, Any]:
    """The body of Docker's `POST /networks/create`."""
    bridge = _BRIDGE + hashlib.sha256(f"{home}/{name}".encode()).hexdigest()[:12]
    return {
        "Name": name,
        "CheckDuplicate": True,
        "Driver": "bridge",
        "Internal": internal,
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Config": [{"Subnet": subnet}]},
        "Options": {"com.docker.network.bridge.name": bridge},
        "Labels": {HOME: home, PROJECT: project},
    }


def subnets_of(networks: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The address ranges that Docker's networks hold."""
    return tuple(
        config["Subnet"]
        for network in networks
        for config in (network.get("IPAM", {}).get("Config") or ())
        if config.get("Subnet")
    )


def aliases(app: str, process: str) -> list[str]:
    """The names by which ready instances are found inside the project."""
    return [*([app] if process == "web" else []), f"{process}.{app}"]


# In: what the host began may be answered. Everything else that an instance sends to the host itself is dropped:
# the control plane, the registry and whatever listens on this machine are not theirs.
RULES: tuple[tuple[str, ...], ...] = (
    (CHAIN, "-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "ACCEPT"),
    (CHAIN, "-j", "DROP"),
)
JUMP: tuple[str, ...] = ("INPUT", "-i", f"{_BRIDGE}+", "-j", CHAIN)


# The addresses at which clouds give a machine its own credentials are not for its tenants; some clouds have their name
# server there too. In a table of its own, since the order of FORWARD is Docker's.
_METADATA = f"-i {_BRIDGE}+ -p tcp -m tcp ! --dport 53 -m comment --comment LEEWARD-METADATA -j DROP"


def metadata_missing(saved: str) -> tuple[tuple[str, ...], ...]:
    """The rules of PREROUTING that the output of `iptables -t mangle -S PREROUTING` has not."""
    has = {rule.replace('"', "") for rule in rules_of(saved, "PREROUTING")}
    wanted = (f"-d {network} {_METADATA}" for network in NETWORKS[4])
    return tuple(("PREROUTING", *rule.split()) for rule in wanted if rule not in has)


def firewall_holds(saved: str) -> bool:
    """Whether the output of `iptables -S` has the jump before all strangers' rules, and the chain exactly."""
    chain = rules_of(saved, CHAIN)
    return (
        leads(saved, JUMP[0], " ".join(JUMP[1:]))
        and len(chain) == len(RULES)
        and "-j ACCEPT" in chain[0]
        and "ESTABLISHED" in chain[0]
        and chain[1] == " ".join(RULES[1][1:])
    )


def firewall_script(jumps: int) -> str:
    """The input of `iptables-restore --noflush` that makes all right in one step; `jumps` are there already."""
    jump = " ".join(JUMP)
    lines = [
        "*filter",
        f":{CHAIN} - [0:0]",
        *(f"-A {' '.join(rule)}" for rule in RULES),
        *([f"-D {jump}"] * jumps),
        f"-I INPUT 1 {jump.removeprefix('INPUT ')}",
        "COMMIT",
    ]
    return "\n".join(lines) + "\n"


def another(address: str, taken: Iterable[str]) -> str:
    """An address of the same /24 that none of `taken` has, from the top: Docker gives them out from the bottom.

    Raises ValueError when there is none.
    """
    used = set(taken)
    hosts = list(ipaddress.ip_network(f"{address}/24", strict=False).hosts())
    return next(text for host in reversed(hosts[1:]) if (text := str(host)) not in used)


def routes_of(table: str) -> tuple[str, ...]:
    """The ranges, but for the default route, in the text of `/proc/net/route`."""
    found = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8 or fields[1] == "00000000":
            continue
        address, mask = (ipaddress.IPv4Address(bytes.fromhex(fields[i])[::-1]) for i in (1, 7))
        found.append(f"{address}/{mask}")
    return tuple(found)

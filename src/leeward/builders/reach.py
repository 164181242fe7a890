"""Say what builds may reach, as rules of the packet filter. Pure.

Builds run on the container engine's default bridge. They reach the internet and ask for names. They do not reach this
machine, what clouds tell a machine about itself, or private networks: but for what the operator allows.
"""

import hashlib
import ipaddress
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from leeward.plan.metadata import NETWORKS
from leeward.plan.packetfilter import OURS, leads, rules_of

CHAIN = f"{OURS}-BUILDS"
_HOOKS = ("INPUT", "DOCKER-USER", "FORWARD")
_PORTS = {"http": 80, "https": 443, "ftp": 21}
_PRIVATE = {
    4: ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "224.0.0.0/4"),
    6: ("fc00::/7", "fe80::/10", "::1/128", "ff00::/8"),
}
# An answer at once: a build that waits for a time-out does not say what was wrong.
_REFUSE = {4: "REJECT --reject-with icmp-admin-prohibited", 6: "REJECT --reject-with icmp6-adm-prohibited"}

Allowed = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, int | None]
"""A range of addresses, and the one port of TCP that is allowed, or None for all of them."""


def places(urls: Iterable[str]) -> tuple[tuple[str, int], ...]:
    """The hosts and ports of proxies and indexes; what is no address is left out."""
    found: dict[tuple[str, int], None] = {}
    for url in urls:
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            port = parts.port or _PORTS.get(parts.scheme, 0)
        except ValueError:
            continue
        if parts.hostname and port:
            found[parts.hostname, port] = None
    return tuple(found)


def rules(version: int, allowed: Sequence[Allowed]) -> tuple[str, ...]:
    """The rules of the chain, in their order, for IP 4 or 6."""
    refuse, metadata = _REFUSE[version], NETWORKS[version]
    own = sorted(
        {each for each in allowed if each[0].version == version}, key=lambda each: (str(each[0]), each[1] or 0)
    )
    return (
        "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
        *(("-p ipv6-icmp -j RETURN",) if version == 6 else ()),
        "-p udp -m udp --dport 53 -j RETURN",
        "-p tcp -m tcp --dport 53 -j RETURN",
        # Whatever the operator allows, a build never gets these.
        *(f"-d {network} -j {refuse}" for network in metadata),
        *(f"-d {network}{f' -p tcp -m tcp --dport {port}' if port else ''} -j RETURN" for network, port in own),
        f"-m addrtype --dst-type LOCAL -j {refuse}",
        *(f"-d {network} -j {refuse}" for network in _PRIVATE[version]),
    )


def mark(version: int, allowed: Sequence[Allowed]) -> str:
    """The first rule of the chain: it does nothing, and names all the others."""
    text = "\n".join(rules(version, allowed))
    return f"-m comment --comment {OURS.lower()}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def hooks(saved: str) -> tuple[str, ...]:
    """The chains that lead to ours: where the engine has one for others' rules, that one, since FORWARD is its own."""
    has = f"-N {_HOOKS[1]}" in (line.strip() for line in saved.splitlines())
    return (_HOOKS[0], _HOOKS[1] if has else _HOOKS[2])


def jump(bridge: str) -> str:
    """What leads to our chain."""
    return f"-i {bridge} -j {CHAIN}"


def holds(saved: str, bridge: str, version: int, allowed: Sequence[Allowed]) -> bool:
    """Whether the output of `iptables -S` has the chain whole, and both jumps before all strangers' rules."""
    chain = [rule.replace('"', "") for rule in rules_of(saved, CHAIN)]
    return (
        bool(chain)
        and chain[0] == mark(version, allowed)
        and len(chain) == 1 + len(rules(version, allowed))
        and all(leads(saved, hook, jump(bridge)) for hook in hooks(saved))
    )


def script(saved: str, bridge: str, version: int, allowed: Sequence[Allowed]) -> str:
    """The input of `iptables-restore --noflush` that makes all right in one step, after what `saved` shows."""
    lines = ["*filter", f":{CHAIN} - [0:0]"]
    lines += [f"-A {CHAIN} {rule}" for rule in (mark(version, allowed), *rules(version, allowed))]
    for hook in _HOOKS:
        lines += [f"-D {hook} {rule}" for rule in rules_of(saved, hook) if rule.endswith(f" -j {CHAIN}")]
    lines += [f"-I {hook} 1 {jump(bridge)}" for hook in hooks(saved)]
    return "\n".join((*lines, "COMMIT", ""))

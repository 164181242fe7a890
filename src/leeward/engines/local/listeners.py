"""Say why nobody answers, from what the kernel says about an instance's sockets. Pure."""

import ipaddress
from dataclasses import dataclass

from leeward.plan.checks import nothing_listens

# Docker's own resolver listens there inside every instance.
_RESOLVER = "127.0.0.11"
_LISTEN = "0A"


@dataclass(frozen=True, slots=True, order=True)
class Listener:
    """A TCP socket that waits for connections."""

    address: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only the instance itself can reach it."""
        return ipaddress.ip_address(self.address).is_loopback


def listeners(text: str) -> tuple[Listener, ...]:
    """The listening sockets in the text of `/proc/<pid>/net/tcp` or `tcp6`."""
    found = set()
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 4 or fields[3] != _LISTEN:
            continue
        address, _, port = fields[1].partition(":")
        listener = Listener(_address(address), int(port, 16))
        if listener.address != _RESOLVER:
            found.add(listener)
    return tuple(sorted(found))


def nobody_answers(port: int, found: tuple[Listener, ...]) -> tuple[str, str]:
    """Reason and hint for a refused connection."""
    reachable = [listener for listener in found if not listener.loopback]
    local = [listener for listener in found if listener.loopback]
    if any(listener.port == port for listener in reachable):
        return f"refused a connection on port {port}", "it may be busy, or listen on another address"
    if reachable:
        other = ", ".join(str(number) for number in dict.fromkeys(listener.port for listener in reachable))
        return (
            f"listens on port {other}, but PORT is {port}",
            f"listen on the port in the variable PORT, or set 'port: {reachable[0].port}' in leeward.yaml",
        )
    if local:
        where = next((listener for listener in local if listener.port == port), local[0])
        shown = f"[{where.address}]" if ":" in where.address else where.address
        return (
            f"listens on {shown}:{where.port} only, where nothing outside can reach it",
            f"listen on 0.0.0.0, port {port}",
        )
    return nothing_listens(port)


def _address(text: str) -> str:
    """The kernel prints words of four bytes in the machine's own order."""
    raw = bytes.fromhex(text)
    turned = b"".join(raw[start : start + 4][::-1] for start in range(0, len(raw), 4))
    address = ipaddress.ip_address(turned)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)

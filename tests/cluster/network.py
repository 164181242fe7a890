"""The network namespaces of a cluster's nodes, and the links between them."""

from collections.abc import Iterator
from pathlib import Path

from tests.cluster.command import run
from tests.cluster.layout import Layout, Node


def up(layout: Layout) -> None:
    """Make what is missing."""
    for node in layout.nodes:
        if not Path(node.net).exists():
            run("ip", "netns", "add", node.namespace)
            for argv in _link(node):
                run(*argv)


def down(layout: Layout) -> None:
    """Remove all of it; links and routes go with their namespaces."""
    # Those of a cluster that was started with more nodes, too.
    for each in sorted(Path("/run/netns").glob(f"lwc{layout.number}-*"), reverse=True):
        run("ip", "netns", "delete", each.name, check=False)
    run("ip", "link", "delete", layout.link, check=False)


def _link(node: Node) -> Iterator[tuple[str, ...]]:
    layout = node.layout
    inside = ("ip", "-n", node.namespace)
    if node.index == 1:
        outside: tuple[str, ...] = ("ip",)
        name = layout.link
        yield ("ip", "link", "add", name, "type", "veth", "peer", "name", "up0", "netns", node.namespace)
        prefix = "24"
        towards: tuple[str, ...] = ()
    else:
        outside = ("ip", "-n", layout.first.namespace)
        name = f"down{node.index}"
        yield (*outside, "link", "add", name, "type", "veth", "peer", "name", "up0", "netns", node.namespace)
        prefix = "30"
        towards = (f"10.98.{layout.number}.0/24",)
    yield (*outside, "addr", "add", f"{node.gateway}/{prefix}", "dev", name)
    yield (*outside, "link", "set", name, "up")
    yield (*inside, "link", "set", "lo", "up")
    yield (*inside, "addr", "add", f"{node.ip}/{prefix}", "dev", "up0")
    yield (*inside, "link", "set", "up0", "up")
    # Without it the address of a Service would have no route, and so never reach the rule that replaces it.
    yield (*inside, "route", "add", "default", "via", node.gateway)
    if node.index == 1:
        yield ("ip", "route", "add", layout.pods, "via", node.ip)
    else:
        yield (*outside, "route", "add", node.pods, "via", node.ip)
        for target in towards:
            yield ("ip", "route", "replace", target, "via", layout.first.ip)
    for key in ("net.ipv4.ip_forward", "net.ipv4.conf.all.route_localnet"):
        yield ("ip", "netns", "exec", node.namespace, "sysctl", "-q", "-w", f"{key}=1")

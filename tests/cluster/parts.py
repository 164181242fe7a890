"""The processes of a cluster, as values. Pure."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.cluster.layout import Layout, Node, cache


@dataclass(frozen=True)
class Part:
    """One process that the supervisor keeps alive."""

    name: str
    argv: tuple[str, ...]
    net: str = ""
    """The network namespace to run it in; '' for that of the host."""
    env: dict[str, str] = field(default_factory=dict)

    def value(self) -> dict[str, Any]:
        return asdict(self)


CONTROL = ("etcd", "kube-apiserver")


def parts(layout: Layout, *, control_only: bool = False, forwards: tuple[int, ...] = ()) -> Iterator[Part]:
    """All parts, in the order in which they start."""
    net = layout.first.net
    yield Part("etcd", etcd(layout), net)
    yield Part("kube-apiserver", apiserver(layout), net)
    yield Part("kube-controller-manager", controllers(layout), net)
    if control_only:
        return
    yield Part("kube-scheduler", scheduler(layout), net)
    yield Part("registry", ("/usr/bin/docker-registry", "serve", f"{layout.home}/registry.yaml"), net)
    for node in layout.nodes:
        yield Part(
            f"containerd-{node.index}", ("/usr/bin/containerd", "--config", f"{node.state}/containerd.toml"), node.net
        )
        yield Part(f"kubelet-{node.index}", kubelet(node), node.net)
        yield Part(
            f"kube-proxy-{node.index}", (hyper("kube-proxy"), f"--config={node.state}/proxy.yaml", "--v=1"), node.net
        )
        yield Part(
            f"policies-{node.index}",
            (str(cache() / "addons"), "policies", node.name),
            node.net,
            {"KUBECONFIG": f"{layout.home}/addons.kubeconfig"},
        )
        for port in forwards:
            # A unix socket crosses network namespaces; nothing of the host is opened to the nodes' neighbours.
            listen = f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr"
            yield Part(
                f"forward-{port}-{node.index}",
                ("/usr/bin/socat", listen, f"UNIX-CONNECT:{layout.run}/{port}.sock"),
                node.net,
            )
    for port in forwards:
        listen = f"UNIX-LISTEN:{layout.run}/{port}.sock,fork,unlink-early,mode=600"
        yield Part(f"forward-{port}", ("/usr/bin/socat", listen, f"TCP:127.0.0.1:{port}"))


def hyper(name: str) -> str:
    return str(cache() / "bin" / name)


def etcd(layout: Layout) -> tuple[str, ...]:
    return (
        hyper("etcd"),
        f"--data-dir={layout.home}/etcd",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--unsafe-no-fsync=true",
        "--log-level=warn",
        "--quota-backend-bytes=4294967296",
        "--auto-compaction-retention=5m",
    )


def apiserver(layout: Layout) -> tuple[str, ...]:
    pki = layout.pki
    return (
        hyper("kube-apiserver"),
        "--etcd-servers=http://127.0.0.1:2379",
        f"--advertise-address={layout.first.ip}",
        "--secure-port=6443",
        f"--service-cluster-ip-range={layout.services}",
        f"--client-ca-file={pki}/ca.crt",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--kubelet-client-certificate={pki}/to-kubelet.crt",
        f"--kubelet-client-key={pki}/to-kubelet.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki}/accounts.pub",
        f"--service-account-signing-key-file={pki}/accounts.key",
        f"--requestheader-client-ca-file={pki}/front-ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={pki}/front.crt",
        f"--proxy-client-key-file={pki}/front.key",
        "--enable-aggregator-routing=true",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--anonymous-auth=true",
        "--max-requests-inflight=1600",
        "--max-mutating-requests-inflight=800",
        "--profiling=false",
        "--v=1",
    )


def controllers(layout: Layout) -> tuple[str, ...]:
    config, pki = f"{layout.home}/controllers.kubeconfig", layout.pki
    return (
        hyper("kube-controller-manager"),
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        f"--service-account-private-key-file={pki}/accounts.key",
        f"--root-ca-file={pki}/ca.crt",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--allocate-node-cidrs=false",
        # A test sees within a minute what a cluster shows within ten.
        "--horizontal-pod-autoscaler-sync-period=5s",
        "--horizontal-pod-autoscaler-downscale-stabilization=20s",
        "--horizontal-pod-autoscaler-cpu-initialization-period=10s",
        "--horizontal-pod-autoscaler-initial-readiness-delay=5s",
        "--node-monitor-grace-period=20s",
        "--concurrent-namespace-syncs=20",
        "--v=1",
    )


def scheduler(layout: Layout) -> tuple[str, ...]:
    config = f"{layout.home}/scheduler.kubeconfig"
    return (
        hyper("kube-scheduler"),
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        "--leader-elect=false",
        "--v=1",
    )


def kubelet(node: Node) -> tuple[str, ...]:
    return (
        hyper("kubelet"),
        f"--config={node.state}/kubelet.yaml",
        f"--kubeconfig={node.layout.home}/{node.name}.kubeconfig",
        f"--root-dir={node.state}/kubelet",
        f"--hostname-override={node.name}",
        f"--node-ip={node.ip}",
        f"--node-labels=topology.kubernetes.io/zone=zone-{node.index}",
        "--v=1",
    )

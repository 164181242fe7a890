"""The configuration files of a cluster's parts, as text. Pure."""

import json
from pathlib import Path
from typing import Any

from tests.cluster.layout import Layout, Node

PAUSE = "localhost/pause:1"


def containerd(node: Node) -> str:
    """Its own root, state and socket: the container engine of this machine has others."""
    return f"""\
version = 2
root = "{node.state}/containerd"
state = "{node.run}/containerd"
oom_score = 0

[grpc]
  address = "{node.socket}"

[ttrpc]
  address = "{node.socket}.ttrpc"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  disable_tcp_service = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  enable_unprivileged_ports = false

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "{node.state}/cni"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "{node.layout.home}/registries"
"""


def hosts(registry: str) -> str:
    """A registry that speaks plain HTTP."""
    return f'server = "http://{registry}"\n\n[host."http://{registry}"]\n  capabilities = ["pull", "resolve"]\n'


def network(node: Node) -> dict[str, Any]:
    """Every pod has a link of its own to its node: all that it sends passes the node's rules."""
    ipam = {
        "type": "host-local",
        "dataDir": f"{node.run}/addresses",
        "ranges": [[{"subnet": node.pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {"type": "ptp", "ipMasq": False, "mtu": 1400, "ipam": ipam},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def kubelet(node: Node) -> dict[str, Any]:
    pki, layout = node.layout.pki, node.layout
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "0.0.0.0",
        "port": 10250,
        "containerRuntimeEndpoint": f"unix://{node.socket}",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{pki}/{node.name}.crt",
        "tlsPrivateKeyFile": f"{pki}/{node.name}.key",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.cgroup}",
        "failCgroupV1": False,
        "enforceNodeAllocatable": ["pods"],
        "failSwapOn": False,
        "clusterDNS": [layout.dns],
        "clusterDomain": "cluster.local",
        "resolvConf": f"{layout.home}/resolv.conf",
        "podLogsDir": f"{node.state}/pods",
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "maxPods": 200,
        "registryPullQPS": 0,
        "serializeImagePulls": False,
        "syncFrequency": "10s",
        "nodeStatusUpdateFrequency": "4s",
        "shutdownGracePeriod": "0s",
        "healthzPort": 10248,
    }


def proxy(node: Node) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": f"{node.layout.home}/proxy.kubeconfig"},
        "mode": "iptables",
        "clusterCIDR": node.layout.pods,
        "hostnameOverride": node.name,
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "iptables": {"minSyncPeriod": "100ms"},
    }


def registry(layout: Layout) -> str:
    return f"""\
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {layout.home}/registry}}, delete: {{enabled: true}}}}
http: {{addr: "0.0.0.0:5000", net: tcp}}
"""


def write(layout: Layout, forwards: tuple[int, ...]) -> None:
    """All files of a cluster, where its parts look for them."""
    for folder in (layout.home, layout.run, layout.logs):
        folder.mkdir(parents=True, exist_ok=True)
    # Pods ask the cluster's DNS; what it does not know nobody here does.
    _put(layout.home / "resolv.conf", "")
    _put(layout.home / "registry.yaml", registry(layout))
    for name in (layout.registry, *(f"127.0.0.1:{port}" for port in forwards)):
        _put(layout.home / "registries" / name / "hosts.toml", hosts(name))
    for node in layout.nodes:
        node.run.mkdir(parents=True, exist_ok=True)
        _put(node.state / "containerd.toml", containerd(node))
        _put(node.state / "cni" / "10-pods.conflist", json.dumps(network(node), indent=1))
        _put(node.state / "kubelet.yaml", json.dumps(kubelet(node), indent=1))
        _put(node.state / "proxy.yaml", json.dumps(proxy(node), indent=1))


def _put(file: Path, text: str) -> None:
    """Leave alone what is so already: a part that watches its file would start anew."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists() or file.read_text() != text:
        file.write_text(text)

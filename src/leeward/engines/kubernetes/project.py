"""Render what all apps of a project share: its namespace, its bounds and its walls. Pure."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from leeward.engines.kubernetes.gke import LOAD_BALANCERS
from leeward.engines.kubernetes.names import ACCOUNT, PULL_SECRET, metadata, namespace
from leeward.engines.kubernetes.rules import Rules, bounded
from leeward.model.quota import quota_of
from leeward.model.region import Profile
from leeward.model.sizes import SIZES

# Everything that is not the world: private, shared, link-local (clouds give a machine's credentials away there).
_PRIVATE = ("10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")
_PRIVATE_6 = ("fc00::/7", "fe80::/10")
# Where name servers on the node itself listen.
_NODE_DNS = "169.254.20.10/32"

Made = Mapping[str, Any]


def project_objects(project: str, rules: Rules, *, hidden: bool = False) -> tuple[dict[str, Any], ...]:
    """In the order in which they are applied; `hidden` shows secrets as stars."""
    return (
        _namespace(project, rules),
        _account(project, rules),
        *_pull_secret(project, rules, hidden),
        _quota(project, rules),
        _limits(project, rules),
        *_policies(project, rules),
    )


def _namespace(project: str, rules: Rules) -> dict[str, Any]:
    meta = metadata(namespace(project), rules, project, cluster=True)
    for mode in ("enforce", "warn"):
        meta["labels"][f"pod-security.kubernetes.io/{mode}"] = "restricted"
        meta["labels"][f"pod-security.kubernetes.io/{mode}-version"] = "latest"
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}


def _account(project: str, rules: Rules) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(ACCOUNT, rules, project),
        # No instance may call the cluster's API.
        "automountServiceAccountToken": False,
    }


def _pull_secret(project: str, rules: Rules, hidden: bool) -> Sequence[dict[str, Any]]:
    if rules.pull_secret is None:
        return ()
    text = str(rules.pull_secret) if hidden else rules.pull_secret.reveal()
    return (
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata(PULL_SECRET, rules, project),
            "type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": text if hidden else base64.b64encode(text.encode()).decode()},
        },
    )


def _quota(project: str, rules: Rules) -> dict[str, Any]:
    quota = bounded(rules.quota, quota_of(rules.projects, project))
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": metadata("leeward", rules, project),
        "spec": {
            "hard": {
                "pods": quota.pods,
                "limits.cpu": quota.cpu,
                "limits.memory": quota.memory,
                "services.loadbalancers": "0",
                "services.nodeports": "0",
            }
        },
    }


def _limits(project: str, rules: Rules) -> dict[str, Any]:
    largest = max(SIZES.values(), key=lambda limits: limits.memory_mib)
    smallest = min(SIZES.values(), key=lambda limits: limits.memory_mib)
    return {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": metadata("leeward", rules, project),
        "spec": {
            "limits": [
                {
                    "type": "Container",
                    # For whatever is started without a size of ours.
                    "default": {"cpu": f"{smallest.millicpu}m", "memory": f"{smallest.memory_mib}Mi"},
                    "defaultRequest": {"cpu": f"{smallest.millicpu}m", "memory": f"{smallest.memory_mib}Mi"},
                    "max": {"cpu": f"{largest.millicpu}m", "memory": f"{largest.memory_mib}Mi"},
                }
            ]
        },
    }


def everywhere(rules: Rules) -> list[dict[str, Any]]:
    """The world, and what of the private networks the operator opened."""
    return [
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": list(_PRIVATE)}},
        {"ipBlock": {"cidr": "::/0", "except": list(_PRIVATE_6)}},
        *({"ipBlock": {"cidr": cidr}} for cidr in rules.egress),
    ]


def _policies(project: str, rules: Rules) -> Sequence[dict[str, Any]]:
    everything: dict[str, Any] = {}
    inside: dict[str, Any] = {"podSelector": {}}
    dns = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
    kube_system = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    world = everywhere(rules)
    google = LOAD_BALANCERS if rules.gateway and rules.profile is not Profile.PLAIN else ()
    sources = dict.fromkeys((*rules.edge_sources, *google))
    edge: list[dict[str, Any]] = [{"ipBlock": {"cidr": cidr}} for cidr in sources]
    if rules.gateway_namespace:
        edge.append({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": rules.gateway_namespace}}})

        interceptor = rules.interceptor.partition("/")[0]
        edge.append({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": interceptor}}})

    def policy(name: str, types: list[str], **spec: Any) -> dict[str, Any]:
        return {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": metadata(name, rules, project),
            "spec": {"podSelector": everything, "policyTypes": types, **spec},
        }

    found = [
        policy("leeward-nothing", ["Ingress", "Egress"]),
        policy("leeward-project", ["Ingress", "Egress"], ingress=[{"from": [inside]}], egress=[{"to": [inside]}]),
        policy(
            "leeward-names",
            ["Egress"],
            egress=[{"to": [kube_system, {"ipBlock": {"cidr": _NODE_DNS}}], "ports": dns}],
        ),
        policy("leeward-world", ["Egress"], egress=[{"to": world}]),
    ]
    # Without a list of sources nobody would be let in: a rule without `from` lets in whoever can reach the instance.
    found.append(policy("leeward-edge", ["Ingress"], ingress=[{"from": edge}] if edge else [{}]))
    return found

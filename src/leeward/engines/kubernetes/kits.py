"""Render the pods in which BuildKit builds images. Pure.

Each is for one build at a time, so that its limits are that build's. It runs without root and without a token; only
its own namespace lets it make user namespaces, and nobody but the API server can call it.
"""

import base64
import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leeward.engines.kubernetes.names import APPLIED, OURS, PULL_SECRET, digest
from leeward.engines.kubernetes.project import everywhere
from leeward.engines.kubernetes.render import placement
from leeward.engines.kubernetes.rules import Rules

KIT = "leeward.dev/builds"
"""The label of everything here; its value is the platform's home."""
NAME = "leeward-buildkit"
CONTAINER = "buildkit"
SOCKET = "unix:///run/user/1000/buildkit/buildkitd.sock"
USER = 1000
_HOME = "/home/user/.local/share/buildkit"
_CONFIG = "/etc/leeward"
_MIB = 1024 * 1024
# What buildkitd itself takes beside the steps.
_DAEMON_MIB = 256


@dataclass(frozen=True, slots=True)
class Kit:
    """What the pods of a region are made of."""

    image: str
    pods: int
    millicpu: int
    memory_mib: int
    """What the steps of one build may use."""
    disk_mib: int
    cache_mib: int
    volume_gib: int = 0
    """Keeps the cache beyond a pod's life; 0: the cache goes with its pod."""
    registry: str = ""
    """Where images are pushed to."""
    plain: tuple[str, ...] = ()
    """Registries that speak plain HTTP."""


def kit_namespace(rules: Rules) -> str:
    """One for each region of each platform: several may share a cluster."""
    return f"leeward-builds-{rules.home}-{rules.region}"[:63].rstrip("-")


def kit_objects(kit: Kit, rules: Rules) -> tuple[dict[str, Any], ...]:
    """In the order in which they are applied."""
    return (
        _namespace(rules),
        _object("v1", "ServiceAccount", rules, automountServiceAccountToken=False),
        *_pull_secret(rules),
        _object("v1", "ConfigMap", rules, data={"buildkitd.toml": configuration(kit)}),
        *_policies(kit, rules),
        _object("apps/v1", "StatefulSet", rules, spec=_set(kit, rules)),
    )


def configuration(kit: Kit) -> str:
    """What buildkitd reads: the budget of its cache, and how registries are called."""
    lines = [
        f"root = {json.dumps(_HOME)}",
        "[worker.oci]",
        "  gc = true",
        "  noProcessSandbox = true",
        "  [[worker.oci.gcpolicy]]",
        "    all = true",
        f"    maxUsedSpace = {kit.cache_mib * _MIB}",
        "[worker.containerd]",
        "  enabled = false",
    ]
    for host in kit.plain:
        lines += [f"[registry.{json.dumps(host)}]", "  http = true"]
    return "\n".join((*lines, ""))


def _labels(rules: Rules) -> dict[str, str]:
    return {OURS: "leeward", KIT: rules.home, "app.kubernetes.io/name": NAME}


def _object(api: str, kind: str, rules: Rules, name: str = NAME, **rest: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": kit_namespace(rules), "labels": _labels(rules)}
    return {"apiVersion": api, "kind": kind, "metadata": meta, **rest}


def _namespace(rules: Rules) -> dict[str, Any]:
    # 'baseline' forbids an unconfined seccomp profile, without which no user namespace can be made.
    labels = {**_labels(rules), "pod-security.kubernetes.io/enforce": "privileged"}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": kit_namespace(rules), "labels": labels},
    }


def _pull_secret(rules: Rules) -> tuple[dict[str, Any], ...]:
    """With which the nodes pull the image of BuildKit; what builds pull and push with never comes into the cluster."""
    if rules.pull_secret is None:
        return ()
    text = base64.b64encode(rules.pull_secret.reveal().encode()).decode()
    kind, data = "kubernetes.io/dockerconfigjson", {".dockerconfigjson": text}
    return (_object("v1", "Secret", rules, PULL_SECRET, type=kind, data=data),)


def _policies(kit: Kit, rules: Rules) -> tuple[dict[str, Any], ...]:
    """Nobody calls them; they call names, the world and the registry."""
    api, kind = "networking.k8s.io/v1", "NetworkPolicy"
    dns = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
    names = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    spec = {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "egress": [{"to": [names], "ports": dns}, {"to": [*everywhere(rules), *_address(kit.registry)]}],
    }
    return (_object(api, kind, rules, spec=spec),)


def _address(registry: str) -> list[dict[str, Any]]:
    """The registry's own address where it is written as one: private ones are not of the world."""
    host = registry.partition("/")[0].rpartition(":")[0] or registry
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return []
    return [{"ipBlock": {"cidr": f"{address}/{address.max_prefixlen}"}}]


def _set(kit: Kit, rules: Rules) -> dict[str, Any]:
    cache: Mapping[str, Any] = {"name": "cache", "emptyDir": {"sizeLimit": f"{kit.cache_mib + kit.disk_mib}Mi"}}
    spec: dict[str, Any] = {
        "replicas": kit.pods,
        "serviceName": NAME,
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": {KIT: rules.home}},
        # Another configuration is another pod: buildkitd reads it once.
        "template": {
            "metadata": {"labels": _labels(rules), "annotations": {APPLIED: digest(configuration(kit), 16)}},
            "spec": _pod(kit, rules),
        },
    }
    if kit.volume_gib:
        claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": f"{kit.volume_gib}Gi"}}}
        spec["volumeClaimTemplates"] = [{"metadata": {"name": "cache"}, "spec": claim}]
        spec["persistentVolumeClaimRetentionPolicy"] = {"whenDeleted": "Delete", "whenScaled": "Delete"}
    else:
        spec["template"]["spec"]["volumes"].append(cache)
    return spec


def _pod(kit: Kit, rules: Rules) -> dict[str, Any]:
    memory = f"{kit.memory_mib + _DAEMON_MIB}Mi"
    ready = {"exec": {"command": ["buildctl", "--addr", SOCKET, "debug", "workers"]}, "timeoutSeconds": 10}
    container = {
        "name": CONTAINER,
        "image": kit.image,
        "imagePullPolicy": "IfNotPresent",
        "args": [f"--addr={SOCKET}", f"--config={_CONFIG}/buildkitd.toml", "--oci-worker-no-process-sandbox"],
        "resources": {
            "requests": {"cpu": f"{max(1, kit.millicpu * rules.cpu_request_percent // 100)}m", "memory": memory},
            "limits": {"cpu": f"{kit.millicpu}m", "memory": memory},
        },
        # The programs that map users need their own two capabilities: they may gain what the file gives them.
        "securityContext": {
            "allowPrivilegeEscalation": True,
            "privileged": False,
            "capabilities": {"drop": ["ALL"], "add": ["SETGID", "SETUID"]},
        },
        "startupProbe": {**ready, "periodSeconds": 1, "failureThreshold": 60},
        "readinessProbe": {**ready, "periodSeconds": 30, "failureThreshold": 4},
        "volumeMounts": [
            {"name": "cache", "mountPath": _HOME},
            {"name": "config", "mountPath": _CONFIG, "readOnly": True},
        ],
    }
    where = placement(rules.builds, rules)
    # A sandbox with a kernel of its own makes no user namespaces inside.
    where.pop("runtimeClassName", None)
    return {
        "serviceAccountName": NAME,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "Unconfined"},
            "appArmorProfile": {"type": "Unconfined"},
        },
        "terminationGracePeriodSeconds": 10,
        "containers": [container],
        **({"imagePullSecrets": [{"name": PULL_SECRET}]} if rules.pull_secret is not None else {}),
        "volumes": [{"name": "config", "configMap": {"name": NAME}}],
        **where,
    }

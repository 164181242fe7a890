"""Render a workload as Kubernetes objects. Pure.

Each generation of a process is a Deployment of its own, so that the old one goes on untouched until the edge has
turned to the new one. Everything that must be known again is in labels.
"""

import base64
import math
from typing import Any

from leeward.engines.kubernetes.claim import claim_name
from leeward.engines.kubernetes.gke import autopilot_resources
from leeward.engines.kubernetes.names import (
    ACCOUNT,
    APP,
    DISK,
    GENERATION,
    PROCESS,
    PULL_SECRET,
    RELEASE,
    TAKES,
    group_metadata,
    group_name,
    labels,
    metadata,
    selector,
    service_name,
)
from leeward.engines.kubernetes.nodes import patience
from leeward.engines.kubernetes.rules import Pool, Rules, pulled
from leeward.model.app import Health
from leeward.model.region import Profile
from leeward.model.runtime import Workload
from leeward.plan.command import arguments
from leeward.plan.environment import variables

USER = 1000
STOP_S = 10
"""From SIGTERM to SIGKILL, as on one machine."""
_PRE_STOP_S = 5
_WORKER_READY_S = 2
_PROGRESS_S = 300
# More failures than make it unhealthy; then it is started anew.
_RESTART_AFTER = 3
_LOW_PORTS = {"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}


def deployment(want: Workload, rules: Rules, replicas: int) -> dict[str, Any]:
    """One generation of a process."""
    health = want.health
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": group_metadata(want, rules),
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 0,
            "progressDeadlineSeconds": max(_WORKER_READY_S + 1, math.ceil(health.deadline)) if health else _PROGRESS_S,
            "minReadySeconds": 0 if health else _WORKER_READY_S,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "selector": {"matchLabels": selector(want)},
            "template": template(want, rules),
        },
    }


def template(want: Workload, rules: Rules) -> dict[str, Any]:
    """The pod of one instance."""
    spec = pod(want, rules, arguments(want.command))
    container = spec["containers"][0]
    container["ports"] = [{"name": "http", "containerPort": want.port, "protocol": "TCP"}]
    if want.health is not None:
        container.update(probes(want.health, want.port, f"{want.app}.{rules.domain}"))
        # The edge and the cluster's own routes learn of the end first; only then comes SIGTERM.
        pause = min(_PRE_STOP_S, max(1, math.ceil(want.health.drain)))
        container["lifecycle"] = {"preStop": {"sleep": {"seconds": pause}}}
        spec["terminationGracePeriodSeconds"] = math.ceil(want.health.drain) + STOP_S
    spec["tolerations"] = [*spec.get("tolerations", ()), *patience()]
    spec["topologySpreadConstraints"] = [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector(want)},
        }
        for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
    ]
    return {
        "metadata": {
            "labels": {
                **labels(rules, want.project, want.app, want.process),
                **selector(want),
                RELEASE: str(want.release),
                TAKES: "yes",
                **disk_labels(want, rules),
            },
            **({"annotations": dict(want.labels)} if want.labels else {}),
        },
        "spec": spec,
    }


def pod(want: Workload, rules: Rules, command: list[str] | None, secret: str = "") -> dict[str, Any]:
    """What every pod of a workload has, whether it serves or runs once; its variables are in `secret`."""
    name = secret or f"{group_name(want.app, want.process, want.generation)}-env"
    container: dict[str, Any] = {
        "name": want.process,
        "image": pulled(want.image, rules),
        "imagePullPolicy": "IfNotPresent",
        "envFrom": [{"secretRef": {"name": name}}],
        "resources": resources(want, rules),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": want.read_only,
        },
        # The last lines that it printed become the reason of a crash.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if command is not None:
        # Kubernetes would put variables in for `$(NAME)`, which means something else to a shell.
        container["args"] = [word.replace("$(", "$$(") for word in command]
    spec: dict[str, Any] = {
        "serviceAccountName": ACCOUNT,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # The pause process reaps what is left over, and SIGTERM ends a process that has no handler for it.
        "shareProcessNamespace": True,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
            **(
                {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]} if want.port < 1024 else {}
            ),
        },
        "terminationGracePeriodSeconds": STOP_S,
        "containers": [container],
        **placement(rules.apps, rules),
    }
    if rules.pull_secret is not None:
        spec["imagePullSecrets"] = [{"name": PULL_SECRET}]
    if want.read_only:
        container["volumeMounts"] = [{"name": "tmp", "mountPath": "/tmp"}]
        # Half of the memory: a full /tmp is an error that a process can handle, memory that is used up is not.
        size = f"{max(16, want.memory_mib // 2)}Mi"
        spec["volumes"] = [{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": size}}]
    if want.volumes:
        _with_volumes(spec, want, rules)
    return spec


def _with_volumes(spec: dict[str, Any], want: Workload, rules: Rules) -> None:
    """Let the pod have its volumes, which its user may write to."""
    spec["securityContext"]["fsGroupChangePolicy"] = "OnRootMismatch"
    mounts = spec["containers"][0].setdefault("volumeMounts", [])
    volumes = spec.setdefault("volumes", [])
    for mount in want.volumes:
        name = f"volume-{mount.name}"
        mounts.append({"name": name, "mountPath": mount.path})
        volumes.append(
            {
                "name": name,
                "persistentVolumeClaim": {"claimName": claim_name(want.app, want.process, mount.name)},
            }
        )
    if not rules.shared_volumes:
        # A disk is on one node at a time, and any number of pods there may have it: the next generation starts beside
        # the old one, unless that is without the disk. The first pod fits its own rule, so that it may go anywhere.
        chosen = {APP: want.app, PROCESS: want.process, **disk_labels(want, rules)}
        beside = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": chosen}}
        spec["affinity"] = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [beside]}}


def disk_labels(want: Workload, rules: Rules) -> dict[str, str]:
    """What tells the pods that hold others to their node, because its disk is there."""
    return {DISK: "here"} if want.volumes and not rules.shared_volumes else {}


def placement(pool: Pool, rules: Rules) -> dict[str, Any]:
    """Where it may run."""
    tolerations = [{"key": key, "operator": "Exists"} for key in pool.taints]
    return {
        **({"nodeSelector": dict(pool.labels)} if pool.labels else {}),
        **({"tolerations": tolerations} if tolerations else {}),
        **({"runtimeClassName": rules.runtime_class} if rules.runtime_class else {}),
    }


def resources(want: Workload, rules: Rules) -> dict[str, Any]:
    """The size: CPU is throttled, memory and disk are hard limits."""
    limits = {"cpu": f"{want.millicpu}m", "memory": f"{want.memory_mib}Mi", "ephemeral-storage": f"{rules.disk_mib}Mi"}
    if rules.profile is Profile.GKE_AUTOPILOT:
        return autopilot_resources(want.millicpu, want.memory_mib, rules.disk_mib)
    reserved = max(1, want.millicpu * rules.cpu_request_percent // 100)
    return {"requests": {"cpu": f"{reserved}m", "memory": f"{want.memory_mib}Mi"}, "limits": limits}


def probes(health: Health, port: int, host: str) -> dict[str, Any]:
    """The health check as the cluster makes it: whole seconds, and one interval for new and live instances."""
    headers = [{"name": "Host", "value": host}, {"name": "User-Agent", "value": "Leeward-Health/1"}]
    check = {
        "httpGet": {"path": health.path, "port": port, "scheme": "HTTP", "httpHeaders": headers},
        "timeoutSeconds": max(1, math.ceil(health.timeout)),
    }
    often = max(1, math.ceil(health.rollout_interval))
    seldom = max(1, math.ceil(health.interval))
    # As long as `failures` checks at the slower pace of a live instance.
    failures = max(1, math.ceil(health.failures * health.interval / often))
    return {
        "startupProbe": {
            **check,
            "periodSeconds": often,
            "failureThreshold": max(1, math.ceil(health.deadline / often)),
        },
        "readinessProbe": {
            **check,
            "periodSeconds": often,
            "successThreshold": health.successes,
            "failureThreshold": failures,
        },
        "livenessProbe": {**check, "periodSeconds": seldom, "failureThreshold": health.failures + _RESTART_AFTER},
    }


def environment(want: Workload, rules: Rules, *, hidden: bool = False, name: str = "") -> dict[str, Any]:
    """The variables of one generation; `hidden` shows secret ones as stars."""
    values = variables(want)
    secret = {variable.key: variable.shown for variable in want.env if variable.secret and variable.key in values}
    data = (
        {"stringData": {**values, **secret}}
        if hidden
        else {"data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}}
    )
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(
            name or f"{group_name(want.app, want.process, want.generation)}-env",
            rules,
            want.project,
            want.app,
            want.process,
            generation=want.generation,
        ),
        "type": "Opaque",
        **data,
    }


def service(want: Workload, rules: Rules, generation: int) -> dict[str, Any]:
    """The name of a process in its project; requests go to the instances of one generation that take any."""
    chosen = {**selector(want), GENERATION: str(generation), TAKES: "yes"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(
            service_name(want.app, want.process), rules, want.project, want.app, want.process, generation=generation
        ),
        "spec": {
            "type": "ClusterIP",
            "selector": chosen,
            "ports": [
                {
                    "name": "http",
                    "port": want.port,
                    "targetPort": "http",
                    "protocol": "TCP",
                    **({"appProtocol": "http"} if want.health is not None else {}),
                }
            ],
        },
    }


def announcer(want: Workload, rules: Rules) -> dict[str, Any]:
    """A name without an address for one generation: the cluster lists there which instances it knows to be ready."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": group_metadata(want, rules),
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "None",
            "selector": selector(want),
            "ports": [{"name": "http", "port": want.port, "targetPort": "http", "protocol": "TCP"}],
        },
    }


def disruption_budget(want: Workload, rules: Rules) -> dict[str, Any] | None:
    """Drain one node at a time. A single instance has none: it would keep its node from being drained for ever."""
    if want.instances < 2:
        return None
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": group_metadata(want, rules),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": selector(want)},
        },
    }

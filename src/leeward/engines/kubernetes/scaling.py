"""Render the cluster's own autoscaling of a process. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from leeward.engines.kubernetes.names import group_metadata, group_name, metadata, namespace, service_name
from leeward.engines.kubernetes.plan import Drop, Scale, Step
from leeward.engines.kubernetes.rules import Rules
from leeward.model.app import Instances
from leeward.model.runtime import Workload

# As the platform's own autoscaler: down only after five quiet minutes.
_QUIET_S = 300
SCALER = "keda-add-ons-http-external-scaler.keda:9090"


def autoscaler(want: Workload, bounds: Instances, rules: Rules) -> dict[str, Any] | None:
    """Instances by CPU and memory, where the cluster decides and there is a choice."""
    if not rules.cluster_scales or bounds.min >= bounds.max:
        return None
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": group_metadata(want, rules),
        "spec": {
            "scaleTargetRef": _target(want),
            "minReplicas": max(1, bounds.min),
            "maxReplicas": bounds.max,
            "metrics": [_metric(resource, percent) for resource, percent in _targets(bounds)],
            "behavior": {
                "scaleUp": {"stabilizationWindowSeconds": 0},
                "scaleDown": {"stabilizationWindowSeconds": _QUIET_S},
            },
        },
    }


def sleeps(want: Workload, rules: Rules, *, interceptor: bool) -> bool:
    """Whether the cluster lets none of a process run while nobody asks: its requests come by the cluster's gateway,
    and the `interceptor` of KEDA's HTTP add-on is there to hold them."""
    return interceptor and bool(rules.gateway) and _may_sleep(want)


def _may_sleep(want: Workload) -> bool:
    return want.health is not None and want.bounds is not None and want.bounds.may_sleep


def chosen(want: Workload, has: int | None, rules: Rules, *, asleep: bool = False) -> Workload:
    """The workload with as many instances as the cluster chose, where the cluster chooses; `asleep` allows none."""
    bounds = want.bounds
    decides = rules.cluster_scales or asleep
    if has is None or bounds is None or not decides or bounds.min >= bounds.max or want.instances == 0:
        return want
    return replace(want, instances=max(0 if asleep else 1, bounds.min, min(bounds.max, has)))


def kept(steps: Sequence[Step], want: Workload) -> tuple[Step, ...]:
    """The same steps for a process that sleeps: its generation stays, with no instance, so that it can be woken."""
    return tuple(
        Scale(step.generation, 0) if isinstance(step, Drop) and step.generation == want.generation else step
        for step in steps
    )


def sleeper(want: Workload, bounds: Instances, hosts: tuple[str, ...], rules: Rules) -> tuple[dict[str, Any], ...]:
    """Down to nothing while nobody asks: the route and the scale of KEDA's HTTP add-on."""
    name = service_name(want.app, want.process)
    meta = metadata(name, rules, want.project, want.app, want.process)
    asked = {"type": "external-push", "metadata": {"scalerAddress": SCALER, "interceptorRoute": name}}
    used = [
        {"type": resource, "metricType": "Utilization", "metadata": {"value": str(percent)}}
        for resource, percent in _targets(bounds)
    ]
    return (
        {
            "apiVersion": "http.keda.sh/v1beta1",
            "kind": "InterceptorRoute",
            "metadata": meta,
            "spec": {
                "rules": [{"hosts": sorted(hosts)}],
                "target": {"service": name, "port": want.port},
                "scalingMetric": {"concurrency": {"targetValue": 100}},
            },
        },
        {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": meta,
            "spec": {
                "scaleTargetRef": _target(want),
                "minReplicaCount": 0,
                "maxReplicaCount": bounds.max,
                "pollingInterval": min(30, bounds.sleep_after_s),
                "initialCooldownPeriod": bounds.sleep_after_s,
                "cooldownPeriod": bounds.sleep_after_s,
                "triggers": [asked, *(used if rules.cluster_scales else [])],
            },
        },
    )


def let_in(project: str, rules: Rules) -> dict[str, Any]:
    """The leave for the routes of a project's namespace to lead to the interceptor in its own."""
    space, _, service = rules.interceptor.partition("/")
    return {
        "apiVersion": "gateway.networking.k8s.io/v1beta1",
        "kind": "ReferenceGrant",
        "metadata": {**metadata(namespace(project), rules, project), "namespace": space},
        "spec": {
            "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": namespace(project)}],
            "to": [{"group": "", "kind": "Service", "name": service}],
        },
    }


def _targets(bounds: Instances) -> tuple[tuple[str, int], ...]:
    memory = () if bounds.memory_percent is None else (("memory", bounds.memory_percent),)
    return (("cpu", bounds.cpu_percent), *memory)


def _target(want: Workload) -> dict[str, str]:
    name = group_name(want.app, want.process, want.generation)
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}


def _metric(resource: str, percent: int) -> dict[str, Any]:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": resource, "target": target}}

"""Render the cluster's own autoscaling of a process. Pure."""

from dataclasses import replace
from typing import Any

from leeward.engines.kubernetes.names import group_metadata, group_name, metadata, service_name
from leeward.engines.kubernetes.rules import Rules
from leeward.model.app import Instances
from leeward.model.runtime import Workload

# As the platform's own autoscaler: down only after five quiet minutes.
_QUIET_S = 300


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
            "metrics": [_metric("cpu", bounds.cpu_percent), _metric("memory", 90)],
            "behavior": {
                "scaleUp": {"stabilizationWindowSeconds": 0},
                "scaleDown": {"stabilizationWindowSeconds": _QUIET_S},
            },
        },
    }


def chosen(want: Workload, has: int | None, rules: Rules) -> Workload:
    """The workload with as many instances as the cluster chose, where the cluster chooses."""
    bounds = want.bounds
    if has is None or bounds is None or not rules.cluster_scales or bounds.min >= bounds.max or want.instances == 0:
        return want
    return replace(want, instances=max(1, bounds.min, min(bounds.max, has)))


def sleeper(want: Workload, bounds: Instances, hosts: tuple[str, ...], rules: Rules) -> tuple[dict[str, Any], ...]:
    """Down to nothing while nobody asks: the route and the scale of KEDA's HTTP add-on."""
    name = service_name(want.app, want.process)
    meta = metadata(name, rules, want.project, want.app, want.process)
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
                "cooldownPeriod": _QUIET_S,
                "triggers": [
                    {
                        "type": "external-push",
                        "metadata": {
                            "scalerAddress": "keda-add-ons-http-external-scaler.keda:9090",
                            "interceptorRoute": name,
                        },
                    }
                ],
            },
        },
    )


def _target(want: Workload) -> dict[str, str]:
    name = group_name(want.app, want.process, want.generation)
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}


def _metric(resource: str, percent: int) -> dict[str, Any]:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": resource, "target": target}}

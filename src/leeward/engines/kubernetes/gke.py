"""What differs on Google's clusters: sizes, health checks of its load balancer, regions, links. Pure."""

import math
from typing import Any
from urllib.parse import quote

from leeward.engines.kubernetes.names import metadata, service_name
from leeward.engines.kubernetes.rules import Rules
from leeward.model.app import Health
from leeward.model.runtime import Workload

GATEWAY_CLASS = "gke-l7-global-external-managed"
# Google's load balancers and their health checks come from these.
LOAD_BALANCERS = ("35.191.0.0/16", "130.211.0.0/22")

# Autopilot's general-purpose class: 50 m and 52 MiB at least, CPU in steps of 50 m, 1 to 6.5 GiB for each CPU.
_LEAST_MILLICPU = 50
_LEAST_MIB = 52
_STEP_MILLICPU = 50
_MOST_MIB_FOR_EACH_CPU = 6.5 * 1024
_LEAST_MIB_FOR_EACH_CPU = 1024
_LEAST_DISK_MIB = 10
_MOST_DISK_MIB = 10 * 1024

REGIONS: dict[str, str] = {
    "us-central1": "Iowa",
    "us-east1": "South Carolina",
    "us-east4": "Northern Virginia",
    "us-east5": "Columbus",
    "us-south1": "Dallas",
    "us-west1": "Oregon",
    "us-west2": "Los Angeles",
    "us-west3": "Salt Lake City",
    "us-west4": "Las Vegas",
    "northamerica-northeast1": "Montreal",
    "northamerica-northeast2": "Toronto",
    "southamerica-east1": "Sao Paulo",
    "europe-west1": "Belgium",
    "europe-west2": "London",
    "europe-west3": "Frankfurt",
    "europe-west4": "Netherlands",
    "europe-west9": "Paris",
    "europe-north1": "Finland",
    "europe-southwest1": "Madrid",
    "asia-east1": "Taiwan",
    "asia-northeast1": "Tokyo",
    "asia-south1": "Mumbai",
    "asia-southeast1": "Singapore",
    "australia-southeast1": "Sydney",
    "africa-south1": "Johannesburg",
}
"""Google Cloud's region to the place where it is."""


def autopilot_resources(millicpu: int, memory_mib: int, disk_mib: int) -> dict[str, Any]:
    """A size as Autopilot takes it: what it would change by itself is asked for as it will be; requests are limits."""
    cpu = max(_LEAST_MILLICPU, math.ceil(millicpu / _STEP_MILLICPU) * _STEP_MILLICPU)
    memory = max(_LEAST_MIB, memory_mib, math.ceil(cpu / 1000 * _LEAST_MIB_FOR_EACH_CPU))
    # Memory above the ratio is paid with CPU.
    cpu = max(cpu, math.ceil(memory / _MOST_MIB_FOR_EACH_CPU * 1000 / _STEP_MILLICPU) * _STEP_MILLICPU)
    disk = min(max(disk_mib, _LEAST_DISK_MIB), _MOST_DISK_MIB)
    both = {"cpu": f"{cpu}m", "memory": f"{memory}Mi", "ephemeral-storage": f"{disk}Mi"}
    return {"requests": both, "limits": dict(both)}


def health_check_policy(want: Workload, health: Health, rules: Rules) -> dict[str, Any]:
    """Its load balancer asks for '/' unless it is told the path; it does not read readiness probes."""
    return {
        "apiVersion": "networking.gke.io/v1",
        "kind": "HealthCheckPolicy",
        "metadata": metadata(service_name(want.app, want.process), rules, want.project, want.app, want.process),
        "spec": {
            "default": {
                "checkIntervalSec": max(1, min(300, math.ceil(health.interval))),
                "timeoutSec": max(1, min(math.ceil(health.interval), math.ceil(health.timeout))),
                "healthyThreshold": health.successes,
                "unhealthyThreshold": health.failures,
                "config": {
                    "type": "HTTP",
                    "httpHealthCheck": {
                        "portSpecification": "USE_SERVING_PORT",
                        "requestPath": health.path,
                        "host": f"{want.app}.{rules.domain}",
                    },
                },
            },
            "targetRef": {"group": "", "kind": "Service", "name": service_name(want.app, want.process)},
        },
    }


def backend_policy(want: Workload, health: Health, rules: Rules) -> dict[str, Any]:
    """Requests in flight may end, and streams may live for an hour."""
    return {
        "apiVersion": "networking.gke.io/v1",
        "kind": "GCPBackendPolicy",
        "metadata": metadata(service_name(want.app, want.process), rules, want.project, want.app, want.process),
        "spec": {
            "default": {"timeoutSec": 3600, "connectionDraining": {"drainingTimeoutSec": math.ceil(health.drain)}},
            "targetRef": {"group": "", "kind": "Service", "name": service_name(want.app, want.process)},
        },
    }


def logs_link(google_project: str, cluster: str, namespace: str, app: str) -> str:
    """The page of Cloud Logging with what an app printed."""
    query = "\n".join(
        (
            'resource.type="k8s_container"',
            f'resource.labels.cluster_name="{cluster}"',
            f'resource.labels.namespace_name="{namespace}"',
            f'labels."k8s-pod/leeward_dev/app"="{app}"',
        )
    )
    return f"https://console.cloud.google.com/logs/query;query={quote(query, safe='')}?project={quote(google_project)}"

"""Where the API keeps each kind of object. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object."""

    api: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """Its API group; '' for the oldest."""
        return self.api.rpartition("/")[0]

    def path(self, namespace: str = "", name: str = "", sub: str = "") -> str:
        """The address of one object, or of all of a namespace or of the cluster."""
        root = f"/apis/{self.api}" if "/" in self.api else f"/api/{self.api}"
        within = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{within}/{self.plural}" + (f"/{name}" if name else "") + (f"/{sub}" if sub else "")


NAMESPACE = Kind("v1", "Namespace", "namespaces", namespaced=False)
NODE = Kind("v1", "Node", "nodes", namespaced=False)
POD = Kind("v1", "Pod", "pods")
EVENT = Kind("v1", "Event", "events")
SECRET = Kind("v1", "Secret", "secrets")
SERVICE = Kind("v1", "Service", "services")
ENDPOINTS = Kind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
VOLUME = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
STATEFUL_SET = Kind("apps/v1", "StatefulSet", "statefulsets")
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
JOB = Kind("batch/v1", "Job", "jobs")
CRON_JOB = Kind("batch/v1", "CronJob", "cronjobs")
AUTOSCALER = Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
INGRESS = Kind("networking.k8s.io/v1", "Ingress", "ingresses")
ROUTE = Kind("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes")
HEALTH_CHECK = Kind("networking.gke.io/v1", "HealthCheckPolicy", "healthcheckpolicies")
BACKEND = Kind("networking.gke.io/v1", "GCPBackendPolicy", "gcpbackendpolicies")
SCALED = Kind("keda.sh/v1alpha1", "ScaledObject", "scaledobjects")
INTERCEPTED = Kind("http.keda.sh/v1beta1", "InterceptorRoute", "interceptorroutes")
GRANT = Kind("gateway.networking.k8s.io/v1beta1", "ReferenceGrant", "referencegrants")

OF_PROJECTS = (
    NAMESPACE,
    Kind("v1", "ServiceAccount", "serviceaccounts"),
    Kind("v1", "ResourceQuota", "resourcequotas"),
    Kind("v1", "LimitRange", "limitranges"),
    Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
)
OF_APPS = (SECRET, SERVICE, BUDGET, AUTOSCALER, JOB)
"""Those that every cluster has."""
OF_BUILDS = (STATEFUL_SET, CONFIG_MAP)
OPTIONAL = (ROUTE, INGRESS, HEALTH_CHECK, BACKEND, CRON_JOB, SCALED, INTERCEPTED, GRANT)

_ALL = {
    each.kind: each
    for each in (
        *OF_PROJECTS,
        *OF_APPS,
        *OPTIONAL,
        NODE,
        POD,
        EVENT,
        VOLUME,
        DEPLOYMENT,
        *OF_BUILDS,
    )
}


def kind_of(made: Mapping[str, Any]) -> Kind:
    """The kind of an object that we rendered."""
    return _ALL[made["kind"]]

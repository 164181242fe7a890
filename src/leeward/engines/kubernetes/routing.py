"""Render the cluster's own way in for an app's hosts: a Gateway's route, or an Ingress. Pure."""

from collections.abc import Sequence
from typing import Any

from leeward.engines.kubernetes.gke import backend_policy, health_check_policy
from leeward.engines.kubernetes.names import metadata, service_name
from leeward.engines.kubernetes.rules import Rules
from leeward.model.region import Profile
from leeward.model.runtime import Workload

INTERCEPTOR_PORT = 8080


def way_in(
    want: Workload, hosts: Sequence[str], rules: Rules, *, gateway_api: bool, sleeps: bool = False
) -> tuple[dict[str, Any], ...]:
    """What takes requests for `hosts` to the process; nothing when the platform's own edge does.

    Those for a process that `sleeps` go by the interceptor, which wakes it.
    """
    if not hosts or want.health is None:
        return ()
    if gateway_api and rules.gateway:
        extra: tuple[dict[str, Any], ...] = ()
        if rules.profile in (Profile.GKE_STANDARD, Profile.GKE_AUTOPILOT):
            extra = (health_check_policy(want, want.health, rules), backend_policy(want, want.health, rules))
        return (http_route(want, hosts, rules, sleeps=sleeps), *extra)
    return (ingress(want, hosts, rules),) if rules.gateway_class else ()


def http_route(want: Workload, hosts: Sequence[str], rules: Rules, *, sleeps: bool = False) -> dict[str, Any]:
    """The route of the Gateway API: all paths of the hosts go to the Service, or to the interceptor before it."""
    space, _, name = rules.gateway.partition("/")
    backend: dict[str, Any] = {"name": service_name(want.app, want.process), "port": want.port}
    if sleeps:
        there, _, service = rules.interceptor.partition("/")
        backend = {"namespace": there, "name": service, "port": INTERCEPTOR_PORT}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": metadata(service_name(want.app, want.process), rules, want.project, want.app, want.process),
        "spec": {
            "parentRefs": [
                {"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": space, "name": name or space}
            ],
            "hostnames": sorted(hosts),
            "rules": [
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                    "backendRefs": [
                        {"group": "", "kind": "Service", **backend, "weight": 1},
                    ],
                }
            ],
        },
    }


def ingress(want: Workload, hosts: Sequence[str], rules: Rules) -> dict[str, Any]:
    """For clusters without the Gateway API."""
    backend = {"service": {"name": service_name(want.app, want.process), "port": {"name": "http"}}}
    paths = {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}
    meta = metadata(service_name(want.app, want.process), rules, want.project, want.app, want.process)
    tls: dict[str, Any] = {"hosts": sorted(hosts)}
    if rules.issuer:
        # cert-manager reads this, and keeps the certificate in the Secret of that name.
        meta["annotations"] = {"cert-manager.io/cluster-issuer": rules.issuer}
        tls["secretName"] = f"{want.app}-tls"
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": meta,
        "spec": {
            "ingressClassName": rules.gateway_class,
            "rules": [{"host": host, "http": paths} for host in sorted(hosts)],
            "tls": [tls],
        },
    }

"""What a cluster has beside its parts: names, resource metrics, and the kinds of the Gateway API."""

from tests.cluster.api import Api
from tests.cluster.layout import Layout


def account(api: Api) -> None:
    """The account that pods of the namespace 'default' run as; its controller is in no hurry."""
    api.apply(
        "/api/v1/namespaces/default/serviceaccounts/default",
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}},
    )


def apply(layout: Layout, api: Api) -> None:
    """All of it, in the cluster's own namespace."""


def ready(api: Api) -> bool:
    return True

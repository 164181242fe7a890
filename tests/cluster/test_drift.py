"""What somebody changes or takes away by hand is put right, of every kind; what cannot go says what keeps it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from leeward.errors import Unavailable
from leeward.model.runtime import Workload
from tests.cluster.api import Api
from tests.cluster.cluster import Cluster
from tests.cluster.world import World, whole, world

pytestmark = pytest.mark.timeout(180)
GROUPS = {
    "namespaces": "/api/v1",
    "serviceaccounts": "/api/v1",
    "services": "/api/v1",
    "secrets": "/api/v1",
    "resourcequotas": "/api/v1",
    "limitranges": "/api/v1",
    "deployments": "/apis/apps/v1",
    "poddisruptionbudgets": "/apis/policy/v1",
    "networkpolicies": "/apis/networking.k8s.io/v1",
    "httproutes": "/apis/gateway.networking.k8s.io/v1",
}


@pytest.fixture
async def home(cluster: Cluster) -> AsyncIterator[World]:
    async with world(cluster, gateway="gateways/external") as made:
        yield made


def path(home: World, kind: str, name: str) -> str:
    if kind == "namespaces":
        return f"/api/v1/namespaces/{name}"
    return f"{GROUPS[kind]}/namespaces/{home.space}/{kind}/{name}"


def edits(home: World, want: Workload) -> dict[tuple[str, str], dict[str, Any]]:
    """Of every kind one change that somebody may make by hand."""
    one = f"{want.app}-web-g{want.generation}"
    return {
        ("namespaces", home.space): {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}},
        ("serviceaccounts", "leeward-app"): {"automountServiceAccountToken": True},
        ("resourcequotas", "leeward"): {"spec": {"hard": {"pods": "999"}}},
        ("limitranges", "leeward"): {"spec": {"limits": [{"type": "Container", "max": {"cpu": "64"}}]}},
        ("networkpolicies", "leeward-nothing"): {"spec": {"policyTypes": ["Egress"]}},
        ("networkpolicies", "leeward-world"): {"spec": {"egress": [{}]}},
        ("services", want.app): {"spec": {"selector": {"leeward.dev/generation": "9"}}},
        ("secrets", f"{one}-env"): {"data": {"PORT": "OTk5OQ=="}},
        ("poddisruptionbudgets", one): {"spec": {"maxUnavailable": 2}},
        ("deployments", one): {"spec": {"template": {"spec": {"automountServiceAccountToken": True}}}},
        ("httproutes", want.app): {"spec": {"hostnames": ["elsewhere.example.com"]}},
    }


def contents(api: Api, home: World, which: list[tuple[str, str]]) -> dict[tuple[str, str], Any]:
    """What we say of each object; what the cluster adds is left out. None for one that is gone."""
    found = {}
    for kind, name in which:
        shown = api.find(path(home, kind, name))
        told = None
        if shown is not None and "deletionTimestamp" not in shown["metadata"]:
            labels = {k: v for k, v in shown["metadata"]["labels"].items() if "pod-security" in k or "leeward" in k}
            spec = {k: v for k, v in (shown.get("spec") or {}).items() if not k.startswith("clusterIP")}
            told = (labels, spec, shown.get("data"), shown.get("automountServiceAccountToken"))
        found[kind, name] = told
    return found


async def test_of_every_kind_what_somebody_edits_or_deletes_is_put_right(cluster: Cluster, home: World) -> None:
    want, api = await home.live(home.want()), cluster.api
    changes = edits(home, want)
    before = contents(api, home, list(changes))
    assert None not in before.values(), before

    for (kind, name), body in changes.items():
        api.patch(path(home, kind, name), body)
    assert contents(api, home, list(changes)) != before
    await home.drive(want, lambda seen: contents(api, home, list(changes)) == before, "every edit to be put right", 60)

    # The namespace would take all others with it.
    gone = [each for each in changes if each[0] != "namespaces"]
    for kind, name in gone:
        api.delete(path(home, kind, name))
    await home.drive(
        want,
        lambda seen: contents(api, home, list(changes)) == before and whole(want, seen),
        "every deletion to be put right",
        90,
    )
    api.close()


async def test_a_namespace_that_somebody_keeps_from_going_says_what_keeps_it(cluster: Cluster, home: World) -> None:
    want, api = await home.live(home.want()), cluster.api
    maps = f"/api/v1/namespaces/{home.space}/configmaps"
    kept = {"metadata": {"name": "kept", "finalizers": ["example.com/keeps"]}}
    assert api.post(maps, kept).status_code == 201
    await home.engine.remove(want.app)
    await home.drive_away(want)
    for _ in range(2):
        await home.engine.sweep()

    def stuck() -> bool:
        conditions = api.get(f"/api/v1/namespaces/{home.space}")["status"].get("conditions") or ()
        return any(each["type"] == "NamespaceFinalizersRemaining" and each["status"] == "True" for each in conditions)

    await asyncio.to_thread(cluster.until, stuck, "a namespace that stays", 60)
    with pytest.raises(Unavailable, match=r"is still being deleted: .*example\.com/keeps in 1 resource"):
        await home.engine.apply(home.want())

    api.patch(f"{maps}/kept", {"metadata": {"finalizers": None}})
    await asyncio.to_thread(
        cluster.until, lambda: api.find(f"/api/v1/namespaces/{home.space}") is None, "the end of the namespace", 60
    )
    await forgiving(home, home.want())
    api.close()


async def forgiving(home: World, want: Workload) -> None:
    """As the control loop: what does not go now is asked again."""
    async with asyncio.timeout(60):
        while True:
            try:
                await home.live(want)
                return
            except Unavailable:
                await asyncio.sleep(0.2)

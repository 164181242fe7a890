"""In which order the engine changes the ways in of what sleeps, and where what has a disk may start."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from tests.contracts.tiny import WallClock
from tests.unit.kubernetes_stage import RULES, WEB, WORKER, shown_pod
from tests.unit.test_kubernetes_signin import kubeconfig

from leeward.engines.kubernetes.engine import KubernetesEngine
from leeward.engines.kubernetes.jobs import once
from leeward.engines.kubernetes.kinds import NODE, SERVICE, Kind, kind_of
from leeward.engines.kubernetes.render import template
from leeward.engines.kubernetes.rules import Rules
from leeward.errors import Forbidden, RolloutFailed
from leeward.model.app import Instances
from leeward.model.runtime import Workload
from leeward.model.volume import Mount

OLD, NEW = WEB.generation, WEB.generation + 1
BEHIND = replace(RULES, gateway="gateways/public")
LAZY = replace(WEB, bounds=Instances(min=0, max=5, sleep_after_s=60), instances=1)
AWAKE = replace(LAZY, bounds=Instances(min=1, max=5))
DISKED = replace(WORKER, volumes=(Mount("data", "/data", 1024),))
HOLDS = "leeward.dev/disk"


class Api:
    """An API server that has what was applied, and tells in which order things were done."""

    region = "eu"

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.done: list[tuple[str, str]] = []
        self.forbids_keda = False
        self._version = 10

    def has(self, kind: str, name: str = "shop") -> dict[str, Any] | None:
        return next((one for key, one in self.objects.items() if (key[0], key[2]) == (kind, name)), None)

    async def get(self, kind: Kind, namespace: str, name: str) -> dict[str, Any] | None:
        if namespace == "keda" and self.forbids_keda:
            raise Forbidden("may not be looked at")
        if namespace == "keda" and kind is SERVICE:
            return {"metadata": {"name": name}}
        return self.objects.get((kind.kind, namespace, name))

    async def apply(self, made: Mapping[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        meta, kind = made["metadata"], kind_of(made).kind
        self._version += 1
        name = meta["name"]
        shown = {**made, "metadata": {**meta, "uid": f"{kind}/{name}", "resourceVersion": str(self._version)}}
        if not dry_run:
            self.objects[kind, meta.get("namespace", ""), name] = shown
            self.done.append(("apply", kind))
        return shown

    async def patch(self, kind: Kind, namespace: str, name: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
        found = self.objects.get((kind.kind, namespace, name))
        if found is None:
            return None
        self._version += 1
        labels = {**found["metadata"]["labels"], **body["metadata"].get("labels", {})}
        labels = {key: value for key, value in labels.items() if value is not None}
        meta = {**found["metadata"], "labels": labels, "resourceVersion": str(self._version)}
        self.objects[kind.kind, namespace, name] = {**found, "metadata": meta}
        self.done.append(("patch", kind.kind))
        return self.objects[kind.kind, namespace, name]

    async def delete(self, kind: Kind, namespace: str, name: str) -> None:
        if self.objects.pop((kind.kind, namespace, name), None) is not None:
            self.done.append(("delete", kind.kind))

    async def close(self) -> None:
        return None


@asynccontextmanager
async def engine(api: Api, monkeypatch: pytest.MonkeyPatch, rules: Rules = BEHIND) -> AsyncIterator[KubernetesEngine]:
    """An engine that has just seen all that the server has."""
    monkeypatch.setattr("leeward.engines.kubernetes.engine.Cluster", lambda *about: api)
    monkeypatch.setattr("leeward.engines.kubernetes.engine._APPEAR_S", 0.0)
    made = KubernetesEngine(rules, kubeconfig(), "", None, WallClock())  # type: ignore[arg-type]
    # Nobody asks this server for logs.
    made.sight.settle = lambda before, after: None
    for watch in made.sight.watches:
        watch.synced.set()
        watch.outcome.set()
        for (kind, _, _), shown in api.objects.items():
            if kind == watch.kind.kind:
                watch.put(shown)
    api.done.clear()
    yield made
    await made.close()


def backend(api: Api) -> str:
    route = api.has("HTTPRoute")
    assert route is not None
    return str(route["spec"]["rules"][0]["backendRefs"][0]["name"])


# --- asleep behind a gateway ------------------------------------------------------------------------------


async def test_a_release_that_is_proven_leaves_hosts_port_and_sleep_to_the_live_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api = Api()
    live = replace(AWAKE, hosts=("www.example.com",))
    candidate = replace(LAZY, generation=NEW, release=8, port=9090, hosts=("new.example.com",))
    async with engine(api, monkeypatch) as one:
        await one.apply(live, frozenset({NEW}))
        await one.apply(candidate, frozenset({OLD}))
        api.done.clear()

        for _ in range(2):
            await one.apply(live, frozenset({NEW}))
            await one.apply(candidate, frozenset({OLD}))

        assert api.done == []
        route, service = api.has("HTTPRoute"), api.has("Service")
        assert route is not None and service is not None
        assert route["spec"]["hostnames"] == ["shop.apps.example.com", "www.example.com"]
        assert service["spec"]["ports"][0]["port"] == WEB.port
        assert api.has("ScaledObject") is None
        assert api.has("Deployment", f"shop-web-g{NEW}") is not None


async def test_what_sleeps_keeps_its_way_in_when_a_control_plane_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api()
    async with engine(api, monkeypatch) as before:
        await before.sweep()
        await before.apply(LAZY)
        assert backend(api) == "keda-add-ons-http-interceptor-proxy"

    async with engine(api, monkeypatch) as after:
        await after.apply(LAZY)

        assert after.wakes
        assert api.done == []


async def test_where_nobody_may_look_for_an_interceptor_apps_run_and_do_not_sleep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api = Api()
    api.forbids_keda = True
    async with engine(api, monkeypatch) as one:
        await one.sweep()
        await one.apply(LAZY)

        assert not one.wakes
        assert backend(api) == "shop"


async def test_what_held_requests_goes_only_when_none_are_sent_there(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api()
    async with engine(api, monkeypatch) as one:
        await one.sweep()
        await one.apply(LAZY)
        begun = list(api.done)
        api.done.clear()

        await one.apply(AWAKE)

        assert begun.index(("apply", "InterceptorRoute")) < begun.index(("apply", "HTTPRoute"))
        assert api.done.index(("apply", "HTTPRoute")) < api.done.index(("delete", "InterceptorRoute"))


async def test_one_autoscaler_goes_before_the_other_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api()
    async with engine(api, monkeypatch, replace(BEHIND, cluster_scales=True)) as one:
        await one.sweep()
        await one.apply(AWAKE)
        assert api.has("HorizontalPodAutoscaler", f"shop-web-g{OLD}") is not None
        api.done.clear()

        await one.apply(LAZY)

        gone, come = ("delete", "HorizontalPodAutoscaler"), ("apply", "ScaledObject")
        assert api.done.index(gone) < api.done.index(come)


# --- disks ------------------------------------------------------------------------------------------------


def test_only_instances_that_have_the_disk_hold_others_to_their_node() -> None:
    def labels(want: Workload, rules: Rules = RULES) -> Mapping[str, str]:
        found: Mapping[str, str] = template(want, rules)["metadata"]["labels"]
        return found

    affinity = template(DISKED, RULES)["spec"]["affinity"]["podAffinity"]
    (beside,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]
    needed = beside["labelSelector"]["matchLabels"].items()
    job = once(DISKED, RULES, "migrate", "shop-worker-once-1", 60)[1]["spec"]["template"]

    assert needed <= labels(DISKED).items()
    assert needed <= job["metadata"]["labels"].items()
    assert not needed <= labels(replace(DISKED, volumes=(), generation=NEW)).items()
    assert HOLDS not in labels(DISKED, replace(RULES, shared_volumes=True))


def node(ready: str, version: str) -> Mapping[str, Any]:
    status = {"allocatable": {"cpu": "2", "memory": "4Gi"}, "conditions": [{"type": "Ready", "status": ready}]}
    return {"kind": NODE.kind, "metadata": {"name": "node-1", "resourceVersion": version}, "status": status}


async def test_a_node_that_does_not_answer_holds_nothing_that_has_a_disk_until_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api = Api()
    for want in (DISKED, WEB):
        pod = shown_pod(want, f"shop-{want.process}-x")
        api.objects["Pod", "leeward-store", pod["metadata"]["name"]] = pod

    def held() -> bool:
        pod, other = api.has("Pod", "shop-worker-x"), api.has("Pod", "shop-web-x")
        assert pod is not None and other is not None and HOLDS not in other["metadata"]["labels"]
        return HOLDS in pod["metadata"]["labels"]

    async with engine(api, monkeypatch) as one:
        nodes = next(watch for watch in one.sight.watches if watch.kind is NODE)
        nodes.put(node("True", "11"))
        await one.hold()
        assert held() and api.done == []

        nodes.put(node("Unknown", "12"))
        await one.hold()
        assert not held()

        nodes.put(node("True", "13"))
        await one.hold()
        await one.hold()
        assert held()
        assert api.done == [("patch", "Pod")] * 2


async def test_what_is_to_go_from_a_node_that_came_back_does_not_hold_others_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api, pod = Api(), shown_pod(DISKED, "shop-worker-x")
    pod["metadata"]["deletionTimestamp"] = "1970-01-01T00:15:30Z"
    del pod["metadata"]["labels"][HOLDS]
    api.objects["Pod", "leeward-store", "shop-worker-x"] = pod
    async with engine(api, monkeypatch) as one:
        await one.hold()

        assert api.done == []


async def test_what_an_older_control_plane_started_with_a_disk_keeps_the_next_on_its_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api, pod = Api(), shown_pod(DISKED, "shop-worker-x")
    del pod["metadata"]["labels"][HOLDS]
    api.objects["Pod", "leeward-store", "shop-worker-x"] = pod
    async with engine(api, monkeypatch) as one:
        await one.apply(WEB)

        assert api.done.index(("patch", "Pod")) < api.done.index(("apply", "Deployment"))


async def test_a_webhook_that_lets_no_pod_be_labelled_keeps_no_app_from_starting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Strict(Api):
        async def patch(self, kind: Kind, namespace: str, name: str, body: Mapping[str, Any]) -> None:
            raise RolloutFailed("webhook 'policy.example.com' refuses it")

    api, pod = Strict(), shown_pod(DISKED, "shop-worker-x")
    del pod["metadata"]["labels"][HOLDS]
    api.objects["Pod", "leeward-store", "shop-worker-x"] = pod
    async with engine(api, monkeypatch) as one:
        await one.apply(WEB)

        assert ("apply", "Deployment") in api.done

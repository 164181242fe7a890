"""The engine on Kubernetes against a real cluster: drift, strangers, limits, a dead API server, missing rights."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import yaml
from tests.cluster.cluster import Cluster
from tests.cluster.layout import layout
from tests.contracts.harbour import Harbour, harbour, needs_cluster, tiny_in_cluster
from tests.contracts.tiny import Lines, WallClock

from leeward.engines.kubernetes.capabilities import least_role
from leeward.engines.kubernetes.engine import KubernetesEngine
from leeward.engines.kubernetes.kinds import (
    BUDGET,
    DEPLOYMENT,
    JOB,
    NAMESPACE,
    OF_APPS,
    OF_PROJECTS,
    POD,
    ROUTE,
    SECRET,
    SERVICE,
    Kind,
)
from leeward.engines.kubernetes.rules import Quota
from leeward.engines.kubernetes.usage import METRICS
from leeward.errors import Conflict, Forbidden, LeewardError, NotFound, RolloutFailed, Unavailable
from leeward.model.app import Health, Instances
from leeward.model.runtime import InstanceState, Observed, Workload
from leeward.model.secret import Secret, Variable

READY = InstanceState.READY
HEALTH = Health(rollout_interval=1, interval=1, timeout=1, successes=1, failures=2, drain=0.5)


@pytest.fixture
async def world() -> AsyncIterator[Harbour]:
    needs_cluster()
    async with harbour(needs_cluster(), tiny_in_cluster()) as made:
        yield made


def want(world: Harbour, **changes: Any) -> Workload:
    base = Workload(
        app=world.app(),
        process="web",
        project=world.project,
        release=1,
        generation=1000,
        image=world.image,
        command=world.web,
        env=(),
        instances=1,
        millicpu=500,
        memory_mib=64,
        port=8080,
        health=HEALTH,
        routed=frozenset(),
        region="test",
    )
    return replace(base, **changes)


async def until(
    world: Harbour, wanted: Workload, good: Callable[[Observed], bool], seconds: float = 30, applying: bool = True
) -> Observed:
    """Look, and apply as the control loop does, until what is seen is good."""
    seen = Observed(wanted.app)
    try:
        async with asyncio.timeout(seconds):
            while True:
                if applying:
                    await world.engine.apply(wanted)
                seen = await world.engine.observe(wanted.app)
                if good(seen):
                    return seen
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"not within {seconds} s: {seen}") from None


def ready(count: int) -> Callable[[Observed], bool]:
    return lambda seen: sum(i.state is READY for i in seen.instances) == count


def reason(text: str) -> Callable[[Observed], bool]:
    return lambda seen: any(text in i.reason for i in seen.instances)


async def soon(look: Callable[[], Awaitable[bool]], what: str, seconds: float = 20) -> None:
    for _ in range(int(seconds * 10)):
        if await look():
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{what}: not within {seconds} s")


async def answers(world: Harbour) -> bool:
    """Whether the API server is there."""
    try:
        await world.engine.cluster.ask("GET", "/version", what="version")
        await world.engine.cluster.ask("GET", NAMESPACE.path(), what="namespaces")
    except LeewardError:
        return False
    return True


async def shown(world: Harbour, kind: Kind, name: str) -> dict[str, Any]:
    found = await world.engine.cluster.get(kind, f"leeward-{world.project}", name)
    assert found is not None
    return found


class Controlled:
    """Applies an app each time it changes, as the control loop does; writes down how often."""

    def __init__(self, world: Harbour, wanted: Workload) -> None:
        self._world = world
        self._wanted = wanted
        self.applied = 0

    async def run(self) -> None:
        async for app in self._world.engine.changes():
            if app == self._wanted.app:
                await self._world.engine.apply(self._wanted)
                self.applied += 1


# --- drift ------------------------------------------------------------------------------------------------


@pytest.fixture
async def held(world: Harbour) -> AsyncIterator[Workload]:
    """An app that a loop holds as it should be."""
    wanted = want(world, instances=2)
    await until(world, wanted, ready(2))
    loop = asyncio.create_task(Controlled(world, wanted).run())
    await asyncio.sleep(0.5)
    yield wanted
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)


async def test_what_somebody_edits_is_put_right(world: Harbour, held: Workload) -> None:
    space, cluster = f"leeward-{world.project}", world.engine.cluster
    name = f"{held.app}-web-g1000"
    edits: list[tuple[Kind, str, dict[str, Any]]] = [
        (DEPLOYMENT, name, {"spec": {"replicas": 1}}),
        (SERVICE, held.app, {"spec": {"selector": {"leeward.dev/generation": "9"}}}),
        (BUDGET, name, {"spec": {"maxUnavailable": 2}}),
        (SECRET, f"{name}-env", {"data": {"PORT": "OTk5OQ=="}}),
        (OF_PROJECTS[2], "leeward", {"spec": {"hard": {"pods": "1"}}}),
    ]
    before = {(kind, which): (await shown(world, kind, which)).get("spec") for kind, which, _ in edits}
    for kind, which, body in edits:
        await cluster.ask(
            "PATCH",
            kind.path(space, which),
            what="edit",
            params={"fieldManager": "somebody"},
            body=body,
            content="application/merge-patch+json",
        )

    async def right() -> bool:
        specs = {key: (await shown(world, *key)).get("spec") for key in before}
        port = (await shown(world, SECRET, f"{name}-env"))["data"]["PORT"]
        return specs == before and port == "ODA4MA=="

    await soon(right, "the edits are put right")
    await until(world, held, ready(2), applying=False)


async def test_what_somebody_deletes_comes_back(world: Harbour, held: Workload) -> None:
    space, cluster = f"leeward-{world.project}", world.engine.cluster
    name = f"{held.app}-web-g1000"
    gone = [(DEPLOYMENT, name), (SERVICE, held.app), (BUDGET, name), (SECRET, f"{name}-env")]
    gone += [(OF_PROJECTS[4], "leeward-world"), (OF_PROJECTS[3], "leeward")]
    uids = {key: (await shown(world, *key))["metadata"]["uid"] for key in gone}

    for kind, which in gone:
        await cluster.delete(kind, space, which)

    async def back() -> bool:
        found = {key: await cluster.get(key[0], space, key[1]) for key in gone}
        return all(each is not None and each["metadata"]["uid"] != uids[key] for key, each in found.items())

    await soon(back, "all is back")
    await until(world, held, ready(2), applying=False)


async def test_what_is_right_is_not_sent_again(world: Harbour) -> None:
    wanted = want(world, instances=2)
    await until(world, wanted, ready(2))
    name = f"{wanted.app}-web-g1000"
    before = (await shown(world, DEPLOYMENT, name))["metadata"]["managedFields"]
    sent: list[str] = []
    ask = world.engine.cluster.ask

    async def counted(method: str, path: str, **more: Any) -> Any:
        sent.append(f"{method} {path}")
        return await ask(method, path, **more)

    world.engine.cluster.ask = counted  # type: ignore[method-assign]
    for _ in range(3):
        await world.engine.apply(wanted)

    assert sent == []
    assert (await shown(world, DEPLOYMENT, name))["metadata"]["managedFields"] == before


async def test_a_new_control_plane_sends_nothing_again(world: Harbour) -> None:
    wanted = want(world, instances=2)
    await until(world, wanted, ready(2))
    ids = {i.id for i in (await world.engine.observe(wanted.app)).instances}

    await world.restart()
    sent: list[str] = []
    ask = world.engine.cluster.ask

    async def counted(method: str, path: str, **more: Any) -> Any:
        sent.append(method)
        return await ask(method, path, **more)

    await world.engine.observe(wanted.app)
    world.engine.cluster.ask = counted  # type: ignore[method-assign]
    await world.engine.apply(wanted)

    assert {i.id for i in (await world.engine.observe(wanted.app)).instances} == ids
    assert [method for method in sent if method != "GET"] == []


async def test_a_drain_goes_on_under_a_new_control_plane(world: Harbour) -> None:
    old = want(world, health=HEALTH.model_copy(update={"drain": 3}))
    await until(world, old, ready(1))
    (first,) = (await world.engine.observe(old.app)).instances
    new = replace(old, generation=2000)
    both = {1000: InstanceState.DRAINING, 2000: READY}
    seen = await until(
        world,
        replace(new, routed=frozenset({first.id})),
        lambda seen: {i.generation: i.state for i in seen.instances} == both,
    )
    fresh = next(i for i in seen.instances if i.generation == 2000)
    moved = replace(new, routed=frozenset({fresh.id}))
    await world.engine.apply(moved)

    await world.restart()
    during = await world.engine.observe(old.app)
    after = await until(world, moved, lambda seen: len(seen.instances) == 1)

    assert {i.generation: i.state for i in during.instances} == both
    assert after.instances[0].id == fresh.id


# --- strangers --------------------------------------------------------------------------------------------


async def test_a_strangers_object_is_refused_by_name_and_left_alone(world: Harbour) -> None:
    wanted = want(world)
    await until(world, want(world), ready(1))
    space, cluster = f"leeward-{world.project}", world.engine.cluster
    theirs = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": wanted.app, "namespace": space},
        "spec": {"ports": [{"port": 1}]},
    }
    await cluster.ask("POST", SERVICE.path(space), what="theirs", body=theirs)

    with pytest.raises(Conflict, match=f"Service '{wanted.app}' in namespace '{space}' exists and is not Leeward's"):
        await world.engine.apply(wanted)

    assert (await shown(world, SERVICE, wanted.app))["spec"]["ports"][0]["port"] == 1
    assert (await world.engine.observe(wanted.app)).instances == ()


async def test_a_namespace_of_somebody_else_is_refused(world: Harbour) -> None:
    cluster = world.engine.cluster
    name = f"leeward-{world.project}"
    await cluster.ask("POST", NAMESPACE.path(), what="theirs", body={"metadata": {"name": name}})
    try:
        with pytest.raises(Conflict, match=f"Namespace '{name}' exists and is not Leeward's"):
            await world.engine.apply(want(world))
    finally:
        await cluster.delete(NAMESPACE, "", name)


# --- what the cluster refuses -----------------------------------------------------------------------------


async def test_what_needs_more_than_any_node_has_says_so(world: Harbour) -> None:
    world.engine.rules = world.engine._deeds._rules = replace(world.rules, cpu_request_percent=100)
    wanted = want(world, millicpu=4000)

    seen = await until(world, wanted, reason("CPU"))

    assert seen.instances[0].state is InstanceState.STARTING
    assert seen.instances[0].reason == "needs 4 CPU, the largest node has 2"


async def test_an_image_that_nobody_has_is_named(world: Harbour) -> None:
    registry = layout().registry
    wanted = want(world, image=f"{registry}/nothing@sha256:{'0' * 64}")

    seen = await until(world, wanted, lambda seen: any(i.state is InstanceState.CRASHED for i in seen.instances), 60)

    assert seen.instances[0].reason == f"its image '{wanted.image}' cannot be pulled: the registry does not have it"
    assert seen.instances[0].restarts >= 2


async def test_too_much_memory_is_a_kill_that_says_so(world: Harbour) -> None:
    wanted = want(world, command="tail /dev/zero", memory_mib=32)

    seen = await until(world, wanted, reason("killed"))

    assert seen.instances[0].state is InstanceState.CRASHED
    assert seen.instances[0].reason == "was killed for using more than 32 MiB of memory"


async def test_a_project_over_its_quota_says_what_it_needs() -> None:
    async with harbour(needs_cluster(), tiny_in_cluster(), quota=Quota(instances=1, cores=9, memory_gib=9)) as world:
        wanted = want(world, instances=2)

        seen = await until(world, wanted, reason("quota"))

        assert f"project '{world.project}' is over its quota: needs 1 of pods, 1 of 1 are used" in {
            i.reason for i in seen.instances
        }


async def test_a_policy_of_the_cluster_that_refuses_is_named(world: Harbour) -> None:
    cluster = world.engine.cluster
    policy = f"no-{world.home}"
    api = "/apis/admissionregistration.k8s.io/v1"
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]}
    spaces = {"namespaceSelector": {"matchLabels": {"leeward.dev/project": world.project}}}
    await cluster.ask(
        "POST",
        f"{api}/validatingadmissionpolicies",
        what="policy",
        body={
            "metadata": {"name": policy},
            "spec": {
                "matchConstraints": {"resourceRules": [rule]},
                "validations": [{"expression": "false", "message": "nothing on a Friday"}],
            },
        },
    )
    binding = {"policyName": policy, "validationActions": ["Deny"], "matchResources": spaces}
    await cluster.ask(
        "POST",
        f"{api}/validatingadmissionpolicybindings",
        what="binding",
        body={"metadata": {"name": policy}, "spec": binding},
    )
    try:

        async def refused() -> bool:
            try:
                await world.engine.apply(want(world))
            except RolloutFailed as error:
                assert "nothing on a Friday" in error.message
                assert policy in error.message
                return True
            return False

        await soon(refused, "the policy holds")
    finally:
        await cluster.ask("DELETE", f"{api}/validatingadmissionpolicybindings/{policy}", what="binding")
        await cluster.ask("DELETE", f"{api}/validatingadmissionpolicies/{policy}", what="policy")


# --- logs, figures, removal -------------------------------------------------------------------------------


async def test_lines_reach_the_store_once_and_in_order(world: Harbour) -> None:
    wanted = want(
        world,
        process="worker",
        command="i=0; while true; do echo line $i; i=$((i+1)); sleep 0.2; done",
        health=None,
        routed=None,
    )
    await until(world, wanted, ready(1))
    (instance,) = (await world.engine.observe(wanted.app)).instances

    async def lines(count: int) -> bool:
        return len(world.lines.of(instance.id)) >= count

    await soon(lambda: lines(5), "first lines")
    await world.restart()
    await soon(lambda: lines(20), "further lines")

    found = world.lines.of(instance.id)
    assert found == [f"line {number}" for number in range(len(found))]


async def test_usage_is_what_the_node_counted(world: Harbour) -> None:
    wanted = want(world, process="worker", command="while true; do true; done", health=None, routed=None, millicpu=200)
    await until(world, wanted, ready(1))

    async def used() -> bool:
        return any(u.cpu_s > 0.3 and u.memory_bytes > 0 for u in await world.engine.usage())

    await soon(used, "figures", 40)
    (usage,) = await world.engine.usage()
    assert (usage.app, usage.process, usage.limit_millicpu) == (wanted.app, "worker", 200)


async def test_nothing_is_left_of_what_was_removed(world: Harbour) -> None:
    wanted = want(world, instances=2, env=(Variable("A", Secret("b")),))
    await until(world, wanted, ready(2))
    await world.engine.run_once(wanted, "true", lambda line: None, 20)

    await world.engine.remove(wanted.app)
    await until(world, wanted, lambda seen: not seen.instances, applying=False)
    await world.engine.sweep()
    await world.engine.sweep()

    async def nothing() -> bool:
        match = {"labelSelector": f"leeward.dev/home={world.home}"}
        kinds = (NAMESPACE, DEPLOYMENT, POD, JOB, *OF_APPS)
        left = [await world.engine.cluster.ask("GET", kind.path(), what="all", params=match) for kind in kinds]
        return not any(each["items"] for each in left)

    await soon(nothing, "nothing is left", 60)


async def test_a_single_run_leaves_no_job_behind(world: Harbour) -> None:
    wanted = want(world)

    assert await world.engine.run_once(wanted, "exit 3", lambda line: None, 20) == 3

    jobs = await world.engine.cluster.ask("GET", JOB.path(f"leeward-{world.project}"), what="jobs")
    assert [job for job in jobs["items"] if "deletionTimestamp" not in job["metadata"]] == []


async def test_where_the_cluster_scales_its_choice_stands() -> None:
    async with harbour(needs_cluster(), tiny_in_cluster(), cluster_scales=True) as world:
        wanted = want(world, bounds=Instances(min=1, max=4, cpu_percent=50))
        await until(world, wanted, ready(1))
        space, name = f"leeward-{world.project}", f"{wanted.app}-web-g1000"
        await world.engine.cluster.ask(
            "PATCH",
            DEPLOYMENT.path(space, name, "scale"),
            what="scale",
            params={"fieldManager": "horizontal-pod-autoscaler"},
            body={"spec": {"replicas": 3}},
            content="application/merge-patch+json",
        )

        seen = await until(world, wanted, ready(3))
        scaler = await world.engine.cluster.get(OF_APPS[3], space, name)

        assert len(seen.instances) == 3
        assert scaler is not None and scaler["spec"]["maxReplicas"] == 4


# --- the API server dies ----------------------------------------------------------------------------------


async def test_watches_go_on_after_the_api_server_was_killed(world: Harbour) -> None:
    wanted = want(world)
    await until(world, wanted, ready(1))
    watches = world.engine.sight.watches
    lists = sum(watch.lists for watch in watches)
    cluster = Cluster(layout())

    cluster.kill("kube-apiserver")
    seen = await world.engine.observe(wanted.app)
    assert [i.state for i in seen.instances] == [READY]

    await soon(lambda: answers(world), "the API server is back", 60)
    await world.vanish(seen.instances[0].id)
    after = await until(
        world, wanted, lambda now: ready(1)(now) and now.instances[0].id != seen.instances[0].id, 60, applying=False
    )

    assert len(after.instances) == 1
    # Its new process has forgotten what was before it, and says so: once.
    assert sum(watch.lists for watch in watches) <= 2 * lists


async def test_a_watch_that_ends_goes_on_without_a_list(world: Harbour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leeward.engines.kubernetes.informer._WATCH_S", 1)
    await world.restart()
    wanted = want(world)
    await until(world, wanted, ready(1))
    pods = world.engine.sight.pods

    async def again() -> bool:
        return pods.watches >= 4

    await soon(again, "three more watches")
    (before,) = (await world.engine.observe(wanted.app)).instances
    await world.vanish(before.id)
    await until(world, wanted, lambda seen: ready(1)(seen) and seen.instances[0].id != before.id, applying=False)

    assert pods.lists == 1


async def test_an_api_server_that_is_away_is_unavailable_and_apps_serve(world: Harbour) -> None:
    wanted = want(world)
    await until(world, wanted, ready(1))
    cluster = Cluster(layout())

    away = cluster.without("kube-apiserver")
    await asyncio.to_thread(away.__enter__)
    try:
        with pytest.raises(Unavailable, match="does not answer at"):
            await world.engine.apply(replace(wanted, generation=2000))
        (instance,) = (await world.engine.observe(wanted.app)).instances
        reader, writer = await asyncio.open_connection(instance.host, instance.port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        answer = await reader.read()
        writer.close()
    finally:
        await asyncio.to_thread(away.__exit__, None, None, None)
        await soon(lambda: answers(world), "the API server is back", 60)

    assert instance.state is READY
    assert b" 200 " in answer.split(b"\r\n")[0]


async def test_an_engine_that_is_stopped_at_any_moment_ends_at_once(world: Harbour) -> None:
    for moment in range(12):
        engine = KubernetesEngine(world.rules, needs_cluster(), "", Lines(), WallClock())
        running = asyncio.create_task(engine.run())
        await asyncio.sleep(0.03 * moment)

        running.cancel()
        done, _ = await asyncio.wait({running}, timeout=5)

        assert done, f"it goes on after {0.03 * moment:.2f} s"


# --- rights -----------------------------------------------------------------------------------------------


def other(kubeconfig: str, **user: str) -> str:
    """The kubeconfig with other credentials."""
    value = yaml.safe_load(kubeconfig)
    value["users"][0]["user"] = user
    return yaml.safe_dump(value)


@asynccontextmanager
async def account(world: Harbour, role: Mapping[str, Any] | None) -> AsyncIterator[str]:
    """The kubeconfig of a new account that may do what `role` says, and nothing else."""
    ask = world.engine.cluster.ask
    name = f"weak-{world.home}"
    accounts, rbac = "/api/v1/namespaces/default/serviceaccounts", "/apis/rbac.authorization.k8s.io/v1"
    made = [f"{accounts}/{name}"]
    await ask("POST", accounts, what="account", body={"metadata": {"name": name}})
    try:
        if role is not None:
            subject = {"kind": "ServiceAccount", "name": name, "namespace": "default"}
            reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
            binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
            body = {**role, "metadata": {"name": name}}
            await ask("POST", f"{rbac}/clusterroles", what="role", body=body)
            await ask("POST", f"{rbac}/clusterrolebindings", what="binding", body=binding)
            made += [f"{rbac}/clusterroles/{name}", f"{rbac}/clusterrolebindings/{name}"]
        wish = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = await ask("POST", f"{accounts}/{name}/token", what="token", body=wish)
        yield other(needs_cluster(), token=token["status"]["token"])
    finally:
        for path in made:
            await ask("DELETE", path, what="account")


async def test_an_account_without_rights_is_told_which_it_lacks(world: Harbour) -> None:
    async with account(world, None) as weak:
        engine = KubernetesEngine(world.rules, weak, "", Lines(), WallClock())
        running = asyncio.create_task(engine.run())
        try:
            found = {each.name: each for each in await engine.examine()}
            with pytest.raises(Forbidden) as caught:
                await engine.apply(want(world))
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    assert not found["rights"].ok
    assert "patch deployments.apps" in found["rights"].text
    assert "may not list '" in caught.value.message


async def test_the_least_role_is_enough_for_all_that_the_engine_does(world: Harbour) -> None:
    async with account(world, least_role()) as least, harbour(least, world.image) as weak:
        wanted = want(weak, instances=2, bounds=Instances(min=2, max=3))
        await until(weak, wanted, ready(2))
        (first, _) = (await weak.engine.observe(wanted.app)).instances
        executed = await weak.engine.exec(first.id, ("sh", "-c", "echo out"))
        ran = await weak.engine.run_once(wanted, "echo once", lambda line: None, 30)
        await until(weak, replace(wanted, instances=1), lambda seen: len(seen.instances) == 1)
        used = await weak.engine.usage()
        found = {each.name: each for each in await weak.engine.examine()}
        await weak.engine.remove(wanted.app)
        await until(weak, wanted, lambda seen: not seen.instances, applying=False)
        await weak.engine.sweep()
        await weak.engine.sweep()

    assert executed == (0, b"out\n")
    assert ran == 0
    assert len(used) == 1
    assert found["rights"].ok, found["rights"]


async def test_expired_credentials_are_named(world: Harbour) -> None:
    engine = KubernetesEngine(world.rules, other(needs_cluster(), token="old"), "", Lines(), WallClock())
    try:
        (found,) = await engine.examine()
    finally:
        await engine.close()

    assert not found.ok
    assert "does not accept our credentials" in found.text
    assert "expired" in found.hint


async def test_a_cluster_that_is_not_there_is_named(world: Harbour) -> None:
    value = yaml.safe_load(needs_cluster())
    value["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    engine = KubernetesEngine(world.rules, yaml.safe_dump(value), "", Lines(), WallClock())
    running = asyncio.create_task(engine.run())
    try:
        (found,) = await engine.examine()
        with pytest.raises(Unavailable, match=r"does not answer at 'https://127\.0\.0\.1:1'"):
            await engine.observe("shop")
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    assert "does not answer at 'https://127.0.0.1:1'" in found.text


async def test_a_cluster_is_examined(world: Harbour) -> None:
    found = {each.name: each for each in await world.engine.examine()}

    assert found["cluster"].ok and found["version"].ok and found["rights"].ok
    assert found["version"].text.startswith("Kubernetes 1.")
    assert "CPU" in found["nodes"].text
    assert found["cert-manager"].ok or "helm" in found["cert-manager"].hint.lower()


# --- parts that a cluster may have ------------------------------------------------------------------------


async def test_a_gateway_gets_a_route_to_the_name_of_the_process() -> None:
    async with harbour(needs_cluster(), tiny_in_cluster(), gateway="gateways/external") as world:
        if not await has(world, ROUTE):
            pytest.skip("the cluster has no Gateway API")
        wanted = want(world, hosts=("www.example.com",))
        await until(world, wanted, ready(1))

        route = await shown(world, ROUTE, wanted.app)
        await world.engine.apply(replace(wanted, hosts=()))
        fewer = await shown(world, ROUTE, wanted.app)

    assert route["spec"]["hostnames"] == [f"{wanted.app}.apps.example.com", "www.example.com"]
    assert route["spec"]["parentRefs"][0]["name"] == "external"
    assert route["spec"]["rules"][0]["backendRefs"][0]["name"] == wanted.app
    assert fewer["spec"]["hostnames"] == [f"{wanted.app}.apps.example.com"]


async def test_without_rights_on_nodes_figures_come_from_the_clusters_metrics(world: Harbour) -> None:
    try:
        await world.engine.cluster.ask("GET", METRICS, what="metrics")
    except LeewardError:
        pytest.skip("the cluster has no resource metrics")
    wanted = want(world, process="worker", command="while true; do true; done", health=None, routed=None, millicpu=200)
    await until(world, wanted, ready(1))
    world.engine._meter._nodes_allowed = False

    async def used() -> bool:
        return any(u.cpu_s > 0.1 and u.memory_bytes > 0 for u in await world.engine.usage())

    await soon(used, "figures", 60)


async def has(world: Harbour, kind: Kind) -> bool:
    """Whether the cluster knows this kind."""
    try:
        await world.engine.cluster.ask("GET", kind.path(), what=kind.plural)
    except NotFound:
        return False
    return True

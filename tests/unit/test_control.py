"""The loops: from wish to live, over real stores and twins of the world."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.control_stage import MANIFEST, Clock, Stage, stage

from leeward.control.apps import Candidate
from leeward.errors import BuildFailed, NotFound
from leeward.fakes.builder import simple_plan
from leeward.fakes.engine import Outcome
from leeward.model.app import Instances
from leeward.model.release import Deploy, DeployKind, DeployStatus, Phase, SourceKind, SourceRef
from leeward.model.runtime import InstanceState, Observed
from leeward.model.secret import Secret, Variable, revealed
from leeward.model.sizes import Size
from leeward.model.wish import App, Override
from leeward.plan.workload import workloads
from leeward.ports import Built


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path) as made:
        yield made


async def test_a_tree_becomes_a_live_release_with_its_timeline(plane: Stage) -> None:
    done = await plane.live()

    app = await plane.stores.apps.get("shop")
    assert (done.release, app.live, done.phase) == (1, 1, Phase.ROLLOUT)
    assert [step.phase for step in done.steps] == [phase for phase in Phase if phase is not Phase.JOBS]
    assert all(step.ended_at for step in done.steps)
    seen = (await plane.engine.observe("shop")).instances
    assert [i.state for i in seen] == [InstanceState.READY]
    assert plane.edge.visit("shop.lee.localhost") == (200, seen[0].peer)


async def test_a_second_deploy_moves_all_requests_to_new_instances(plane: Stage) -> None:
    await plane.live()
    old = (await plane.engine.observe("shop")).instances[0]

    await plane.live()
    await plane.apps.settle("shop")

    peers = plane.edge.routes["shop"].peers
    assert old.peer not in peers and len(peers) == 1
    assert plane.edge.visit("shop.lee.localhost")[0] == 200


async def test_a_deploy_of_an_image_does_not_change_how_later_trees_are_built(plane: Stage) -> None:
    await plane.live()
    image = SourceRef(SourceKind.IMAGE, image="registry.example/other:1")
    one = Deploy("one", "shop", DeployKind.CODE, image, actor="tests", created_at=Clock().now())

    done = await plane.finish(await plane.stores.deploys.create(one))

    spec = (await plane.stores.apps.get("shop")).spec
    assert "registry.example/other:1" in done.carry["spec"]
    assert (spec.build.strategy, spec.build.image) == ("auto", None)


async def test_the_hint_of_a_failed_build_can_be_typed_as_it_stands(
    plane: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> Built:
        raise BuildFailed("it broke", hint="read the log: `lee logs APP --build vN`, or `lee scale APP web=2`; no APP")

    monkeypatch.setattr(plane.builder, "build", fails)

    done = await plane.finish(await plane.wish(tree={"main.py": "1"}, id="d7"))

    assert done.error is not None
    assert done.error["hint"] == "read the log: `lee logs shop --build d7`, or `lee scale shop web=2`; no APP"


async def test_requests_never_lack_a_peer_in_six_deploys(plane: Stage) -> None:
    await plane.live()
    for _ in range(5):
        await plane.live()

    assert all(route.peers for route in plane.edge.puts[1:])


async def test_a_build_that_fails_names_its_step_and_the_old_release_stays(plane: Stage) -> None:
    await plane.live()
    plane.builder.planned = simple_plan("FROM scratch\nRUN exit 3\n")

    done = await plane.finish(await plane.wish(tree={"main.py": "2"}))

    assert done.status is DeployStatus.FAILED
    assert done.error is not None and done.error["step"] == "build" and done.error["hint"]
    assert (await plane.stores.apps.get("shop")).live == 1
    assert plane.edge.visit("shop.lee.localhost")[0] == 200


async def test_a_release_that_crashes_gets_no_request_and_is_taken_away(plane: Stage) -> None:
    await plane.live()
    plane.engine.outcomes["serve"] = Outcome(InstanceState.CRASHED, "exited at once with code 3", "see the log")
    done_task = asyncio.create_task(plane.finish(await plane.wish(tree={"main.py": "2"})))
    done = await done_task

    assert done.status is DeployStatus.FAILED
    assert done.error is not None and "exited at once with code 3" in done.error["message"]
    await plane.apps.settle("shop")
    await plane.apps.settle("shop")
    generations = {i.generation for i in (await plane.engine.observe("shop")).instances}
    assert generations == {(await plane.stores.apps.get("shop")).generation}
    assert plane.edge.visit("shop.lee.localhost")[0] == 200


async def test_a_source_that_is_not_there_fails_at_fetch(plane: Stage) -> None:
    done = await plane.finish(await plane.wish())

    assert done.error is not None and done.error["step"] == "fetch"


async def test_a_wrong_manifest_fails_at_plan_with_every_problem(plane: Stage) -> None:
    done = await plane.finish(await plane.wish(tree={"leeward.yaml": "proceses: {}\nname: Nein\n"}))

    assert done.error is not None and done.error["step"] == "plan"
    assert "proceses" in done.error["message"] and "Nein" in done.error["message"]


async def test_a_change_of_the_environment_makes_a_release_with_the_same_image(plane: Stage) -> None:
    await plane.live()
    await plane.stores.apps.set_env("shop", (Variable("A", Secret("1"), True),))

    done = await plane.finish(await plane.wish(DeployKind.ENV))

    first, second = [await plane.stores.releases.get("shop", number) for number in (1, 2)]
    assert (done.release, second.image, revealed(second.env)) == (2, first.image, {"A": "1"})
    assert [step.phase for step in done.steps] == [Phase.ROLLOUT]


async def test_a_rollback_restores_image_environment_and_scale_exactly(plane: Stage) -> None:
    await plane.stores.apps.set_env("shop", (Variable("A", Secret("old")),))
    await plane.live()
    first = await plane.stores.releases.get("shop", 1)
    await plane.stores.apps.set_env("shop", (Variable("A", Secret("new")), Variable("B", Secret("2"))))
    await plane.stores.apps.update(
        "shop", lambda app: replace(app, overrides={"web": Override(Instances(min=2, max=2), Size.LARGE)})
    )
    await plane.live()

    done = await plane.finish(await plane.wish(DeployKind.ROLLBACK, release=1))

    app = await plane.stores.apps.get("shop")
    assert (done.release, app.live) == (1, 1)
    assert revealed(await plane.stores.apps.env("shop")) == {"A": "old"}
    assert app.overrides == {}
    await plane.apps.settle("shop")
    routed = plane.engine.applied[-1][0]
    assert (routed.image, routed.env, routed.instances) == (first.image, first.env, 1)


async def test_more_instances_do_not_replace_the_running_ones(plane: Stage) -> None:
    await plane.live()
    before = {i.id for i in (await plane.engine.observe("shop")).instances}
    await plane.stores.apps.update(
        "shop", lambda app: replace(app, overrides={"web": Override(Instances(min=3, max=3))})
    )

    await plane.finish(await plane.wish(DeployKind.SCALE))

    after = {i.id for i in (await plane.engine.observe("shop")).instances}
    assert before < after and len(after) == 3
    assert len(plane.edge.routes["shop"].peers) == 3


async def test_a_restart_replaces_every_instance_and_makes_no_release(plane: Stage) -> None:
    await plane.live()
    before = {i.id for i in (await plane.engine.observe("shop")).instances}

    done = await plane.finish(await plane.wish(DeployKind.RESTART))
    for _ in range(3):
        await plane.apps.settle("shop")

    assert done.release == 1
    assert not before & {i.id for i in (await plane.engine.observe("shop")).instances}


@pytest.mark.parametrize("phase", Phase)
async def test_a_control_plane_that_dies_in_a_phase_is_followed_by_one_that_ends_the_deploy(
    plane: Stage, phase: Phase
) -> None:
    await plane.live()
    wish = await plane.wish(tree={"main.py": "2"})
    async with asyncio.timeout(10):
        while (await plane.stores.deploys.get(wish.id)).phase is not phase:
            await plane.deploys.tick()
            await asyncio.sleep(0)
            if (await plane.stores.deploys.get(wish.id)).status.final:
                break
    await plane.deploys.stop()
    following = plane.again()
    await following.deploys.start()

    done = await following.finish(wish)

    assert done.status is DeployStatus.LIVE, done.error
    assert (await plane.stores.apps.get("shop")).live == 2
    assert [r.number for r in (await plane.stores.releases.list("shop")).items] == [2, 1]


async def test_a_deploy_that_is_cancelled_in_its_rollout_leaves_nothing(plane: Stage) -> None:
    await plane.live()
    plane.engine.outcomes["serve"] = Outcome(after_s=3600)
    wish = await plane.wish(tree={"main.py": "2"})
    async with asyncio.timeout(10):
        while (await plane.stores.deploys.get(wish.id)).phase is not Phase.ROLLOUT:
            await plane.deploys.tick()
            await asyncio.sleep(0.01)
    await plane.stores.deploys.cancel(wish.id)

    done = await plane.finish(wish)
    for _ in range(3):
        await plane.apps.settle("shop")

    assert done.status is DeployStatus.CANCELLED
    assert len((await plane.engine.observe("shop")).instances) == 1
    assert plane.edge.visit("shop.lee.localhost")[0] == 200


async def test_an_edge_that_is_away_delays_a_deploy_and_does_not_fail_it(
    plane: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leeward.control.deploys.RETRY_S", 0.1)
    await plane.live()
    plane.edge.down = True
    wish = await plane.wish(tree={"main.py": "2"})
    async with asyncio.timeout(10):
        while "attempts" not in (await plane.stores.deploys.get(wish.id)).carry:
            await plane.deploys.tick()
            await asyncio.sleep(0.01)
    begun = (await plane.stores.deploys.get(wish.id)).carry["generation"]
    plane.edge.down = False

    done = await plane.finish(wish)

    assert (done.status, done.carry["generation"]) == (DeployStatus.LIVE, begun)


async def test_an_image_that_vanished_from_the_engine_is_had_from_the_registry_again(plane: Stage) -> None:
    await plane.live()
    release = await plane.stores.releases.get("shop", 1)
    plane.registry.local.discard(release.image)
    plane.engine.vanish((await plane.engine.observe("shop")).instances[0].id)

    await plane.apps.settle("shop")

    assert release.image in plane.registry.local
    assert len((await plane.engine.observe("shop")).instances) == 1


async def test_a_live_image_that_is_lost_for_ever_does_not_keep_the_next_deploy_from_going_live(plane: Stage) -> None:
    await plane.live()
    release = await plane.stores.releases.get("shop", 1)
    plane.registry.local.discard(release.image)
    plane.registry.stored.pop(release.image)
    plane.engine.vanish((await plane.engine.observe("shop")).instances[0].id)

    await plane.live()

    assert plane.edge.visit("shop.lee.localhost")[0] == 200


async def test_instances_that_vanish_are_started_again(plane: Stage) -> None:
    await plane.live()
    plane.engine.vanish((await plane.engine.observe("shop")).instances[0].id)

    await plane.apps.settle("shop")
    await plane.apps.settle("shop")

    assert len((await plane.engine.observe("shop")).instances) == 1
    assert plane.edge.visit("shop.lee.localhost")[0] == 200


async def test_an_engine_that_sees_nothing_does_not_empty_the_route(plane: Stage) -> None:
    await plane.live()
    peers = plane.edge.routes["shop"].peers
    plane.engine.vanish((await plane.engine.observe("shop")).instances[0].id)
    following = plane.again()

    await following.apps.settle("shop")

    assert plane.edge.routes["shop"].peers == peers


async def test_an_app_that_is_deleted_goes_with_all_that_runs(plane: Stage) -> None:
    await plane.live()
    assert plane.registry.stored
    await plane.stores.apps.update("shop", lambda app: replace(app, deleted=True))

    await plane.apps.resync()
    await plane.apps.resync()

    assert (await plane.engine.observe("shop")).instances == ()
    assert not plane.registry.stored
    assert "shop" not in plane.edge.routes
    with pytest.raises(NotFound):
        await plane.stores.apps.get("shop")


async def test_a_crash_is_one_event_for_each_reason_and_none_before_the_reason_is_known(plane: Stage) -> None:
    await plane.live()
    [instance] = (await plane.engine.observe("shop")).instances

    for reason in ("", "was killed", "was killed", "exited with code 1"):
        plane.engine.crash(instance.id, reason)
        await plane.apps.settle("shop")

    events = (await plane.stores.events.list("shop")).items
    texts = [event.text for event in events if event.kind == "instance.crashed"]
    assert sorted(texts) == ["web of 'shop' exited with code 1", "web of 'shop' was killed"]


async def test_what_runs_and_belongs_to_no_app_is_taken_down(plane: Stage) -> None:
    await plane.live()
    app = await plane.stores.apps.get("shop")
    release = await plane.stores.releases.get("shop", 1)
    await plane.engine.apply(workloads(replace(app, name="ghost"), release, 1, frozenset())[0])

    await plane.apps.resync()

    assert await plane.engine.apps() == {"shop"}


async def test_the_table_is_not_given_to_the_edge_before_every_route_is_known(plane: Stage) -> None:
    await plane.live()
    following = plane.again()
    assert not following.apps.routed

    await following.apps.resync()

    assert following.apps.routed


async def test_the_collector_keeps_ten_releases_and_the_live_one(plane: Stage) -> None:
    await plane.live()
    first = await plane.stores.releases.get("shop", 1)
    for number in range(2, 13):
        await plane.stores.releases.add(
            replace(first, image=f"registry.test/shop@sha256:{number}", deploy=f"r{number}")
        )
    images = {first.image, *(f"registry.test/shop@sha256:{number}" for number in range(3, 13))}

    kept = await plane.collector.kept()

    assert kept == {"shop": frozenset(images)}


async def test_a_worker_only_app_goes_live_without_a_route_to_wait_for(plane: Stage) -> None:
    text = "name: shop\nprocesses: {worker: {command: work}, web: {instances: 0}}\n"

    done = await plane.finish(await plane.wish(tree={"leeward.yaml": text}))

    assert done.status is DeployStatus.LIVE, done.error
    assert [i.process for i in (await plane.engine.observe("shop")).instances] == ["worker"]


@pytest.mark.parametrize(
    ("files", "path", "wanted"),
    [
        ({"leeward.yaml": MANIFEST}, ".", "."),
        ({"leeward.yaml": MANIFEST, "back/main.py": ""}, "back", "back"),
        ({"leeward.yaml": "apps: {shop: {path: back}}", "back/main.py": ""}, ".", "back"),
        ({"back/leeward.yaml": MANIFEST, "back/main.py": ""}, "back", "back"),
        ({"back/leeward.yaml": MANIFEST + "path: api\n", "back/api/main.py": ""}, "back", "back/api"),
        ({"leeward.yaml": MANIFEST + "path: back\n", "back/main.py": ""}, ".", "back"),
        ({"back/main.py": "", "leeward.yml": ""}, "back", "back"),
    ],
)
async def test_the_folder_of_an_app_is_found_from_the_request_and_the_manifest(
    plane: Stage, files: dict[str, str], path: str, wanted: str
) -> None:
    plane.source.trees["t"] = files
    source = SourceRef(SourceKind.UPLOAD, upload="t", path=path)
    wish = await plane.stores.deploys.create(Deploy("t", "shop", DeployKind.CODE, source, created_at=Clock().now()))

    await plane.finish(wish)

    assert (await plane.stores.apps.get("shop")).spec.path == wanted


@pytest.mark.parametrize("path", ["../etc", "/etc", "nowhere"])
async def test_a_path_that_is_not_in_the_repository_fails_at_plan(plane: Stage, path: str) -> None:
    plane.source.trees["t"] = {"leeward.yaml": MANIFEST}
    source = SourceRef(SourceKind.UPLOAD, upload="t", path=path)
    wish = await plane.stores.deploys.create(Deploy("t", "shop", DeployKind.CODE, source, created_at=Clock().now()))

    done = await plane.finish(wish)

    assert done.error is not None and (done.error["step"], path in done.error["message"]) == ("plan", True)


async def test_a_manifest_cannot_take_the_domain_of_another_app(plane: Stage) -> None:
    await plane.stores.apps.create(App("owner", domains=("www.example.com",)))

    for host, owner in (("www.example.com", "owner"), ("owner.lee.localhost", "platform")):
        text = f"{MANIFEST}domains: [{host}]\n"
        done = await plane.finish(await plane.wish(tree={"leeward.yaml": text}))
        assert done.error is not None and done.error["code"] == "taken"
        assert owner in done.error["message"]


async def test_a_stream_that_is_cut_in_the_drain_comes_into_the_receipt(plane: Stage) -> None:
    await plane.live()
    (old,) = plane.edge.routes["shop"].peers
    plane.edge.open_stream("shop", old)
    plane.edge.open_stream("shop", old)
    done = await plane.live(extra="2")
    assert done.receipt is not None and (done.receipt.sockets_kept, done.receipt.sockets_dropped) == (2, 0)

    plane.edge.end_stream("shop", old)
    await plane.receipts.tick()
    waiting = (await plane.stores.deploys.get(done.id)).receipt
    plane.edge.end_stream("shop", old, dropped=True)
    await plane.receipts.tick()

    settled = (await plane.stores.deploys.get(done.id)).receipt
    assert waiting == done.receipt
    assert settled is not None and (settled.sockets_kept, settled.sockets_dropped) == (1, 1)


async def test_a_release_that_goes_live_while_its_app_is_settled_keeps_its_instances(plane: Stage) -> None:
    await plane.live()
    done = await plane.live(extra="2")
    app = await plane.stores.apps.get("shop")
    release = await plane.stores.releases.get("shop", done.release or 0)
    plane.apps.propose("shop", Candidate(release, app.generation + 1))
    await plane.apps.settle("shop")
    observe = plane.engine.observe

    async def switched(name: str) -> Observed:
        # The app was read, and nothing was done yet: now the deploy makes its release live.
        await plane.stores.apps.update(name, lambda old: replace(old, generation=app.generation + 1))
        plane.apps.withdraw(name)
        return await observe(name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(plane.engine), "observe", lambda self, name: switched(name))
        await plane.apps.settle("shop")

    running = [i.generation for i in (await observe("shop")).instances if i.state is not InstanceState.DRAINING]
    assert app.generation + 1 in running

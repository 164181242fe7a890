"""What the control plane leaves to a region that puts apps to sleep and wakes them by itself."""

from dataclasses import replace
from pathlib import Path

from tests.unit.control_stage import Clock, Stage, stage
from tests.unit.test_scale_and_sleep import settled

from leeward.fakes.edge import FakeEdge
from leeward.fakes.engine import FakeEngine
from leeward.model.app import Instances
from leeward.model.release import DeployKind, DeployStatus
from leeward.model.runtime import Workload
from leeward.model.wish import Override

SLEEPY = (
    "name: shop\nprocesses: {web: {command: serve, instances: {min: 0, max: 3}, health: {deadline: 1, drain: 0}}}\n"
)


class SleepyRegion(FakeEngine):
    """An engine whose region lets a generation sleep that has run, whatever it is told, unless it is told to: that
    nothing should run is something which it does not come back from by itself."""

    asleep = False
    awakens = True
    edge = False
    forced = False

    def wakes(self, region: str) -> bool:
        return self.awakens

    def meets_edge(self, region: str) -> bool:
        return self.edge

    async def apply(self, want: Workload, keep: frozenset[int] = frozenset()) -> None:
        known = any(want.generation == each.generation for each, _ in self.applied)
        self.forced |= want.process == "web" and want.instances == 0
        if self.asleep and known and want.process == "web":
            self.applied.append((want, keep))
            for instance in (await self.observe(want.app)).of("web"):
                self.vanish(instance.id)
            return
        await FakeEngine.apply(self, want, keep)


async def sleeping(at: Stage) -> tuple[Stage, SleepyRegion]:
    """The app live, and put to sleep by its region."""
    engine = SleepyRegion(Clock())
    at.engine = engine
    there = at.again()
    await there.live(**{"leeward.yaml": SLEEPY})
    engine.asleep = True
    assert await settled(there) == []
    return there, engine


async def test_an_app_that_its_region_put_to_sleep_takes_a_deploy_that_changes_no_instance(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        there, _ = await sleeping(at)
        live = await there.stores.apps.get("shop")
        wider = {"web": Override(instances=Instances(min=0, max=5))}
        await there.stores.apps.update("shop", lambda app: replace(app, overrides=wider))

        done = await there.finish(await there.wish(DeployKind.SCALE))

        assert (done.status, done.error) == (DeployStatus.LIVE, None)
        now = await there.stores.apps.get("shop")
        assert (now.live, now.generation) == (2, live.generation)
        assert await settled(there) == []
        await there.deploys.stop()


async def test_a_new_release_proves_itself_also_where_the_region_lets_the_old_one_sleep(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        there, engine = await sleeping(at)
        engine.asleep = False
        engine.ready_after_s = 60.0

        done = await there.finish(await there.wish(DeployKind.RESTART))

        assert done.status is DeployStatus.FAILED
        assert "0 of 1 ready" in str(done.error)
        await there.deploys.stop()


async def test_what_its_region_put_to_sleep_is_not_kept_asleep_by_the_next_control_plane(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        there, engine = await sleeping(at)

        # On another machine, whose edge has not sent anything anywhere.
        there.edge = FakeEdge()
        again = there.again()

        assert await settled(again) == []
        assert not again.apps.counts.asleep("shop")
        assert not engine.forced
        engine.asleep = False
        assert len(await settled(again)) == 1


async def test_what_slept_before_its_region_had_a_way_in_of_its_own_wakes(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        engine = SleepyRegion(Clock())
        engine.edge = True
        at.engine = engine
        there = at.again()
        await there.live(**{"leeward.yaml": SLEEPY})
        there.apps.count("shop", "web", 0)
        assert await settled(there) == []

        engine.edge = False

        assert len(await settled(there)) == 1
        await there.deploys.stop()


async def test_a_deploy_says_that_nothing_could_wake_its_app(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        engine = SleepyRegion(Clock())
        engine.awakens = False
        at.engine = engine
        there = at.again()

        await there.live(**{"leeward.yaml": SLEEPY})

        said = [line.text for line in there.lines if "could wake it" in line.text]
        assert said == ["nothing in region 'local' could wake it: one instance stays, as with `min: 1`"]
        await there.deploys.stop()

"""The engine in memory keeps the contract."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from leeward.fakes.engine import FakeEngine, Outcome
from leeward.fakes.timer import ENDLESS, RunOutcome
from leeward.model.runtime import InstanceState
from tests.contracts.engine import EngineContract
from tests.contracts.timer import TimerContract
from tests.contracts.volumes import VolumeContract


class _Clock:
    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at


class FakeWorld:
    """The fake, with a clock that the test moves."""

    image = "registry/app@sha256:1"
    web = "serve"
    worker = "work"
    silent = "sleep"
    crashing = "crash"
    ending = "end"
    absent = "nothing-of-the-kind"
    lost = "serve, but not there"
    talking = "talk"
    project = "contract"

    def __init__(self) -> None:
        self.clock = _Clock()
        self.engine = FakeEngine(self.clock, ready_after_s=0.2)
        self.engine.outcomes = {
            self.silent: Outcome(
                InstanceState.STARTING, "nothing listens on port 8080", "listen on the port in the variable PORT", 0.1
            ),
            self.crashing: Outcome(
                InstanceState.CRASHED, "exits at once with code 3: 'boom'", "see `lee logs app`", 0.1
            ),
            self.ending: Outcome(
                InstanceState.CRASHED, "exits at once with code 0", "a process must go on running", 0.1
            ),
            self.absent: Outcome(
                InstanceState.CRASHED,
                "its command was not found",
                "check the command of 'web'; see `lee logs app`",
                0.1,
            ),
            self.lost: Outcome(
                InstanceState.STARTING, "answered GET /missing with 404", "set 'health.path' in leeward.yaml", 0.1
            ),
        }
        self.engine.timer.outcomes = {
            self.worker: ENDLESS,
            self.crashing: RunOutcome(code=3, lines=("boom",)),
            self.talking: RunOutcome(lines=("one", "two")),
        }
        self._names = itertools.count(1)

    def app(self) -> str:
        return f"shop{next(self._names)}"

    async def pass_time(self, seconds: float) -> None:
        self.clock.at += timedelta(seconds=seconds)

    async def vanish(self, instance: str) -> None:
        self.engine.vanish(instance)

    def answer(self, command: tuple[str, ...], code: int, output: bytes) -> None:
        self.engine.answers[command] = (code, output)


class TestFakeEngine(EngineContract, TimerContract):
    @pytest.fixture
    def world(self) -> FakeWorld:
        return FakeWorld()


class TestVolumesOfFakeEngine(VolumeContract):
    @pytest.fixture
    def world(self) -> FakeWorld:
        return FakeWorld()

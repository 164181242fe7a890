"""An engine in memory: instances start, get ready, crash and drain by the clock."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

from leeward.errors import NotFound, Problem
from leeward.fakes.timer import FakeTimer
from leeward.fakes.volumes import FakeVolumes
from leeward.model.run import Run, SeenRun, Timed
from leeward.model.runtime import Instance, InstanceState, Observed, Usage, Workload
from leeward.model.volume import Volume
from leeward.ports.world import Clock, Say

_WORKER_READY_S = 2.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of an instance `after_s` seconds from its start."""

    state: InstanceState = InstanceState.READY
    reason: str = ""
    hint: str = ""
    after_s: float = 0.0


@dataclass(slots=True)
class _Running:
    instance: Instance
    want: Workload
    outcome: Outcome
    served: bool = False
    draining: bool = False
    unrouted_at: float | None = None
    restarts: int = 0


@dataclass(slots=True)
class FakeEngine:
    """The port `Engine` without a world. `outcomes` says by image or command what becomes of an instance."""

    clock: Clock
    ready_after_s: float = 0.0
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    answers: dict[tuple[str, ...], tuple[int, bytes]] = field(default_factory=dict)
    """What commands answer, by their words; others answer 0 and nothing."""
    used: dict[str, Usage] = field(default_factory=dict)
    """Usage by instance; others used nothing."""
    applied: list[tuple[Workload, frozenset[int]]] = field(default_factory=list)
    _running: dict[str, _Running] = field(default_factory=dict)
    _listeners: list[dict[str, None]] = field(default_factory=list)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _count: int = 0
    timer: FakeTimer = field(init=False)
    """What runs by the clock."""
    kept: FakeVolumes = field(default_factory=FakeVolumes)
    """Volumes, as if on a disk."""

    def __post_init__(self) -> None:
        self.timer = FakeTimer(self._now)

    # --- what tests say -----------------------------------------------------------------------------------

    def crash(self, instance: str, reason: str = "exited with code 1", hint: str = "") -> None:
        """End an instance: it stays crashed until `recover`."""
        running = self._running[instance]
        running.outcome = Outcome(InstanceState.CRASHED, reason, hint)
        running.restarts += 1
        self._changed(running.want.app)

    def fall_ill(self, instance: str, reason: str = "answered GET / with 500", hint: str = "") -> None:
        """Make an instance unhealthy until `recover`."""
        self._running[instance].outcome = Outcome(InstanceState.UNHEALTHY, reason, hint)
        self._changed(self._running[instance].want.app)

    def recover(self, instance: str) -> None:
        """Make an instance ready again."""
        self._running[instance].outcome = Outcome()
        self._changed(self._running[instance].want.app)

    def vanish(self, instance: str) -> None:
        """Take an instance away, as an operator's `docker rm -f` would."""
        self._changed(self._running.pop(instance).want.app)

    # --- the port -----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Nothing needs watching."""
        await asyncio.Event().wait()

    async def apply(self, want: Workload, keep: frozenset[int] = frozenset()) -> None:
        """Move toward `want` as far as is safe now."""
        self.applied.append((want, keep))
        mine = [r for r in self._running.values() if r.want.app == want.app and r.want.process == want.process]
        for running in mine:
            shown = self._shown(running)
            sent = want.routed is not None and bool({shown.id, shown.peer} & want.routed)
            running.served |= sent or (want.routed is None and shown.state is InstanceState.READY)
        new = [r for r in mine if r.want.generation == want.generation and not r.draining]
        new.sort(
            key=lambda r: (self._shown(r).state is InstanceState.READY, self._sent(r, want), -r.instance.started_at)
        )
        surplus = new[: max(0, len(new) - want.instances)]
        stay = new[len(surplus) :]
        covered = sum(self._shown(r).state is InstanceState.READY for r in stay) >= want.instances
        for running in mine:
            if running in stay or self._kept(running, want, keep):
                continue
            if running.want.generation == want.generation or covered or not running.served:
                self._leave(running, want)
        for _ in range(want.instances - len(stay)):
            self._start(want)

    async def remove(self, app: str, keep: frozenset[str] = frozenset()) -> None:
        """Stop what runs of `app`, but for the processes in `keep`."""
        for id, running in list(self._running.items()):
            if running.want.app == app and running.want.process not in keep:
                del self._running[id]
                self._changed(app)
        self.timer.drop(app, keep)

    async def observe(self, app: str) -> Observed:
        """Report what runs."""
        return Observed(app, tuple(self._shown(r) for r in self._running.values() if r.want.app == app))

    async def apps(self) -> frozenset[str]:
        """The apps of which anything runs."""
        return frozenset(running.want.app for running in self._running.values())

    async def changes(self) -> AsyncIterator[str]:
        """The name of an app, each time something about its instances changed by a call."""
        apps: dict[str, None] = {}
        self._listeners.append(apps)
        try:
            while True:
                while apps:
                    app = next(iter(apps))
                    del apps[app]
                    yield app
                self._wake.clear()
                await self._wake.wait()
        finally:
            self._listeners[:] = [listener for listener in self._listeners if listener is not apps]

    async def usage(self) -> Sequence[Usage]:
        """What tests put there, else nothing used."""
        return tuple(
            self.used.get(
                id, Usage(id, r.want.app, r.want.process, 0.0, 0, r.want.millicpu, r.want.memory_mib * 1024 * 1024)
            )
            for id, r in self._running.items()
        )

    async def exec(self, instance: str, command: Sequence[str]) -> tuple[int, bytes]:
        """The prepared answer."""
        if instance not in self._running:
            raise NotFound(f"there is no instance '{instance}'", hint="see `lee ps`")
        return self.answers.get(tuple(command), (0, b""))

    async def run_once(self, want: Workload, command: str, say: Say, timeout_s: float) -> int:
        """The prepared answer of `(command,)`."""
        code, output = self.answers.get((command,), (0, b""))
        for line in output.decode().splitlines():
            say(line)
        return code

    async def schedule(self, app: str, wants: Sequence[Timed]) -> bool:
        """As `timer` does."""
        return await self.timer.schedule(app, wants)

    async def begin(self, want: Timed, run: Run) -> None:
        """As `timer` does."""
        await self.timer.begin(want, run)

    async def runs(self, app: str) -> Sequence[SeenRun]:
        """As `timer` does."""
        return await self.timer.runs(app)

    async def last_lines(self, app: str, run: str) -> Sequence[str]:
        """As `timer` does."""
        return await self.timer.last_lines(app, run)

    async def end(self, app: str, run: str) -> None:
        """As `timer` does."""
        await self.timer.end(app, run)

    async def forget(self, app: str, run: str) -> None:
        """As `timer` does."""
        await self.timer.forget(app, run)

    async def volumes(self, app: str = "") -> Sequence[Volume]:
        """Every volume, of one app or of all, with the instances that have it."""
        return self.kept.list(app, {id: running.want for id, running in self._running.items()})

    async def delete_volume(self, volume: Volume) -> None:
        """As `kept` does."""
        self.kept.delete(volume, {id: running.want for id, running in self._running.items()})

    async def unfit(self, wants: Sequence[Workload]) -> Sequence[Problem]:
        """As `kept` does."""
        return self.kept.unfit(wants)

    # --- inside -------------------------------------------------------------------------------------------

    def _now(self) -> float:
        return self.clock.now().timestamp()

    def _start(self, want: Workload) -> None:
        self.kept.ensure(want)
        self._count += 1
        id = f"lee-{want.app}-{want.process}-g{want.generation}-{self._count}"
        instance = Instance(
            id,
            want.app,
            want.process,
            want.release,
            want.generation,
            InstanceState.STARTING,
            host=f"10.211.{self._count // 250}.{self._count % 250 + 2}",
            port=want.port,
            started_at=self._now(),
        )
        ready_s = self.ready_after_s if want.health is not None else max(self.ready_after_s, _WORKER_READY_S)
        outcome = self.outcomes.get(want.command or "", self.outcomes.get(want.image, Outcome(after_s=ready_s)))
        self._running[id] = _Running(instance, want, outcome)
        self._changed(want.app)

    def _shown(self, running: _Running) -> Instance:
        outcome = running.outcome
        due = self._now() - running.instance.started_at >= outcome.after_s
        state = InstanceState.DRAINING if running.draining else outcome.state if due else InstanceState.STARTING
        restarts = max(running.restarts, int(due and outcome.state is InstanceState.CRASHED))
        reason, hint = (outcome.reason, outcome.hint) if due else ("", "")
        return replace(running.instance, state=state, restarts=restarts, reason=reason, hint=hint)

    def _sent(self, running: _Running, want: Workload) -> bool:
        return want.routed is not None and bool({running.instance.id, running.instance.peer} & want.routed)

    def _kept(self, running: _Running, want: Workload, keep: frozenset[int]) -> bool:
        generation = running.want.generation
        return generation != want.generation and generation in keep

    def _leave(self, running: _Running, want: Workload) -> None:
        drain_s = want.health.drain if want.health is not None else 0.0
        if not running.draining:
            running.draining = True
            self._changed(want.app)
        if self._sent(running, want):
            running.unrouted_at = None
            return
        if running.unrouted_at is None:
            running.unrouted_at = self._now()
        crashed = running.outcome.state is InstanceState.CRASHED
        if not running.served or crashed or self._now() - running.unrouted_at >= drain_s:
            self._running.pop(running.instance.id, None)

    def _changed(self, app: str) -> None:
        for listener in self._listeners:
            listener[app] = None
        self._wake.set()

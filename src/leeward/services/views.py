"""What is shown of apps and deploys: wishes and what is seen, put together. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from leeward.model.address import redacted
from leeward.model.app import AppSpec, ProcessSpec
from leeward.model.release import Deploy, DeployStatus, Release, SourceRef
from leeward.model.run import Run
from leeward.model.runtime import Instance, InstanceState, Observed
from leeward.model.schedule import schedule
from leeward.model.sizes import Size
from leeward.model.wish import App
from leeward.plan.release import WEB, overridden
from leeward.plan.timed import suspended
from leeward.services.runs import RunView, run_view
from leeward.settings import Settings

# What stands before the host in a URL may be a token.
NO_RUNS: Mapping[str, Run] = {}
_DOWN = (InstanceState.CRASHED, InstanceState.UNHEALTHY)


class AppStatus(StrEnum):
    """How an app is, in one word."""

    NEW = "new"
    DEPLOYING = "deploying"
    LIVE = "live"
    FAILED = "failed"
    CRASHED = "crashed"
    STOPPED = "stopped"
    ASLEEP = "asleep"
    DELETING = "deleting"


@dataclass(frozen=True, slots=True)
class InstanceView:
    """One running copy; `reason` and `hint` say why it is not ready."""

    id: str
    process: str
    release: str
    state: InstanceState
    started_at: datetime
    restarts: int
    boosted: bool
    reason: str
    hint: str


@dataclass(frozen=True, slots=True)
class ProcessView:
    """One kind of process: what is wished, and what runs of it."""

    name: str
    command: str | None
    size: Size
    min: int
    max: int
    cpu_percent: int
    port: int
    health_path: str
    ready: int
    instances: tuple[InstanceView, ...]
    schedule: str | None = None
    timezone: str = "UTC"
    suspended: bool = False
    last_run: RunView | None = None
    next_run_at: datetime | None = None
    """When the clock runs it next; None for a process without a schedule, and for one that is suspended."""


@dataclass(frozen=True, slots=True)
class StepView:
    """One line of a deploy's timeline."""

    phase: str
    started_at: datetime
    ended_at: datetime | None
    duration_s: float | None
    detail: str


@dataclass(frozen=True, slots=True)
class SourceView:
    """Where a deploy's bytes come from; only the fields of its kind are filled."""

    kind: str
    url: str
    ref: str
    image: str
    upload: str
    path: str


@dataclass(frozen=True, slots=True)
class DeployView:
    """A deploy and its progress; `step` and `error` say where and why it failed."""

    id: str
    app: str
    kind: str
    status: DeployStatus
    phase: str
    release: str | None
    commit: str
    message: str
    image: str
    url: str
    actor: str
    source: SourceView
    cancel_requested: bool
    step: str | None
    error: Mapping[str, str] | None
    timings_s: Mapping[str, float]
    receipt: Mapping[str, int | float] | None
    steps: tuple[StepView, ...]
    created_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class ReleaseView:
    """An immutable state of an app; of its environment only the names are shown."""

    release: str
    number: int
    live: bool
    image: str
    commit: str | None
    message: str
    env_keys: tuple[str, ...]
    processes: tuple[str, ...]
    deploy: str
    created_at: datetime | None


@dataclass(frozen=True, slots=True)
class AppSummary:
    """One line of the list of apps."""

    name: str
    project: str
    status: AppStatus
    reason: str
    hint: str
    release: str | None
    url: str
    ready: int
    instances: int
    deploy: DeployView | None
    """The deploy that runs now, else the newest one if it is known."""
    created_at: datetime | None


@dataclass(frozen=True, slots=True)
class AppView:
    """All of one app."""

    name: str
    project: str
    status: AppStatus
    reason: str
    hint: str
    release: str | None
    image: str
    commit: str | None
    message: str
    url: str
    urls: tuple[str, ...]
    spec: AppSpec
    """As it was given, with what `lee scale` changed."""
    processes: tuple[ProcessView, ...]
    source: SourceView | None
    deploy: DeployView | None
    """The deploy that runs now, else the newest one."""
    hook: bool
    """Whether a deploy hook and webhook secret were made."""
    created_at: datetime | None


@dataclass(frozen=True, slots=True)
class DomainView:
    """A host name of an app; `origin` is 'platform', 'manifest' or 'added'."""

    host: str
    url: str
    origin: str


@dataclass(frozen=True, slots=True)
class Health:
    """One word about an app, and why."""

    status: AppStatus
    reason: str = ""
    hint: str = ""


def health(app: App, observed: Observed, newest: Deploy | None) -> Health:
    """How an app is. `newest` is its newest deploy."""
    if app.deleted:
        return Health(AppStatus.DELETING)
    if newest is not None and not newest.status.final:
        return Health(AppStatus.DEPLOYING)
    if app.live is None:
        if newest is not None and newest.status is DeployStatus.FAILED:
            error = newest.error or {}
            return Health(AppStatus.FAILED, error.get("message", ""), error.get("hint", ""))
        return Health(AppStatus.NEW)
    mine = [instance for instance in observed.instances if instance.generation == app.generation]
    if not mine and stopped(app):
        return Health(AppStatus.STOPPED)
    for process in sorted({instance.process for instance in mine}):
        states = [instance for instance in mine if instance.process == process]
        down = [instance for instance in states if instance.state in _DOWN]
        if down and not any(instance.state is InstanceState.READY for instance in states):
            worst = max(down, key=lambda instance: (bool(instance.reason), instance.restarts))
            return Health(AppStatus.CRASHED, f"{process} {worst.reason}".strip(), worst.hint)
    if asleep(app, mine):
        return Health(AppStatus.ASLEEP, "nobody asks it", "the next request wakes it")
    return Health(AppStatus.LIVE)


def asleep(app: App, mine: Sequence[Instance]) -> bool:
    """Whether nothing serves an app because nobody asks; `mine` are its instances of the live generation."""
    wished = overridden(
        app.spec.model_copy(update={"processes": {WEB: ProcessSpec(), **app.spec.processes}}), app.overrides
    )
    awake = any(i.process == WEB and i.state not in (InstanceState.DRAINING, InstanceState.STOPPING) for i in mine)
    return wished.processes[WEB].instances.may_sleep and not awake


def stopped(app: App) -> bool:
    """Whether no process of an app should run at all."""
    names = set(app.spec.processes) | set(app.overrides) or {WEB}
    plain = {name: app.spec.processes.get(name, ProcessSpec()) for name in names}
    wished = overridden(app.spec.model_copy(update={"processes": plain}), app.overrides)
    if any(process.timed and process.instances.max for process in wished.processes.values()):
        return suspended(wished.processes, app.spec.processes)
    return all(process.instances.max == 0 for process in wished.processes.values())


def version(number: int | None) -> str | None:
    """`v3`, or None."""
    return None if number is None else f"v{number}"


def instance_view(instance: Instance) -> InstanceView:
    """One instance as it is shown."""
    return InstanceView(
        id=instance.id,
        process=instance.process,
        release=f"v{instance.release}",
        state=instance.state,
        started_at=datetime.fromtimestamp(instance.started_at, UTC),
        restarts=instance.restarts,
        boosted=instance.boosted,
        reason=instance.reason,
        hint=instance.hint,
    )


def process_views(
    app: App,
    release: Release | None,
    observed: Observed,
    runs: Mapping[str, Run] = NO_RUNS,
    now: datetime | None = None,
) -> tuple[ProcessView, ...]:
    """Every process of an app, `web` first: those of its live release (else of its spec), and what runs.

    `runs` are the last ones of processes with a schedule, whose next one is told with `now`.
    """
    spec = release.spec if release else app.spec
    commands = dict(release.commands) if release else {}
    running = [instance.process for instance in observed.instances]
    specs = {name: ProcessSpec() for name in (*commands, *running)} | dict(spec.processes)
    specs = dict(overridden(spec.model_copy(update={"processes": specs}), app.overrides).processes)
    idle = suspended(specs, app.spec.processes)
    return tuple(
        _timed(
            _process(name, specs[name], specs[name].command or commands.get(name), observed),
            specs[name],
            runs.get(name),
            idle,
            now if release is not None else None,
        )
        for name in sorted(specs, key=lambda name: (name != WEB, name))
    )


def _timed(view: ProcessView, spec: ProcessSpec, last: Run | None, idle: bool, now: datetime | None) -> ProcessView:
    """The view of a process, with its schedule where it has one."""
    if spec.schedule is None:
        return view
    waits = idle or spec.instances.max == 0
    times = schedule(spec.schedule, spec.timezone)
    return replace(
        view,
        schedule=spec.schedule,
        timezone=spec.timezone,
        suspended=waits,
        last_run=run_view(last) if last is not None else None,
        next_run_at=None if waits or now is None else times.after(now),
    )


def _process(name: str, spec: ProcessSpec, command: str | None, observed: Observed) -> ProcessView:
    running = observed.of(name)
    return ProcessView(
        name=name,
        command=command,
        size=spec.size,
        min=spec.instances.min,
        max=spec.instances.max,
        cpu_percent=spec.instances.cpu_percent,
        port=spec.port,
        health_path=spec.health.path,
        ready=sum(1 for instance in running if instance.state is InstanceState.READY),
        instances=tuple(instance_view(instance) for instance in running),
    )


def source_view(source: SourceRef) -> SourceView:
    """Where the bytes come from."""
    return SourceView(source.kind.value, redacted(source.url), source.ref, source.image, source.upload, source.path)


def deploy_view(deploy: Deploy, settings: Settings, image: str = "") -> DeployView:
    """A deploy as it is shown; `image` is its release's."""
    return DeployView(
        id=deploy.id,
        app=deploy.app,
        kind=deploy.kind.value,
        status=deploy.status,
        phase=deploy.phase.value,
        release=version(deploy.release),
        commit=deploy.commit or deploy.source.commit,
        message=deploy.message,
        image=image,
        url=settings.url_of(deploy.app),
        actor=deploy.actor,
        source=source_view(deploy.source),
        cancel_requested=deploy.cancel,
        step=deploy.error.get("step") if deploy.error else None,
        error={key: deploy.error.get(key, "") for key in ("code", "message", "hint")} if deploy.error else None,
        timings_s=deploy.timings_s(),
        receipt=deploy.receipt.as_dict() if deploy.receipt else None,
        steps=tuple(
            StepView(step.phase.value, step.started_at, step.ended_at, step.duration_s, step.detail)
            for step in deploy.steps
        ),
        created_at=deploy.created_at,
        ended_at=deploy.ended_at,
    )


def release_view(release: Release, live: int | None) -> ReleaseView:
    """A release as it is shown: never a value of its environment."""
    return ReleaseView(
        release=release.version,
        number=release.number,
        live=release.number == live,
        image=release.image,
        commit=release.commit,
        message=release.message,
        env_keys=tuple(variable.key for variable in release.env),
        processes=tuple(sorted(set(release.spec.processes) | set(release.commands))),
        deploy=release.deploy,
        created_at=release.created_at,
    )


def hosts(app: App, release: Release | None, settings: Settings) -> tuple[DomainView, ...]:
    """Every host name of an app: the platform's, the manifest's, those that were added."""
    port = "" if settings.https_port == 443 else f":{settings.https_port}"
    manifest = release.spec.domains if release else app.spec.domains
    found = {f"{app.name}.{settings.domain}": "platform"}
    for origin, names in (("manifest", manifest), ("added", app.domains)):
        for host in names:
            found.setdefault(host, origin)
    return tuple(DomainView(host, f"https://{host}{port}", origin) for host, origin in found.items())


def newest_by_app(deploys: Sequence[Deploy]) -> dict[str, Deploy]:
    """The first of each app in a list that is newest first; an active one wins."""
    found: dict[str, Deploy] = {}
    for deploy in sorted(deploys, key=lambda deploy: deploy.status.final):
        found.setdefault(deploy.app, deploy)
    return found

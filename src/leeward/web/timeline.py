"""A deploy as a page shows it: five steps, how long each took, and what the edge counted. Pure."""

from datetime import datetime
from typing import NamedTuple

from leeward.model.release import PHASES, Phase
from leeward.services.views import AppView, DeployView, ReleaseView
from leeward.web.words import KINDS, amount, count, duration

NAMES = {
    Phase.FETCH: "Fetch",
    Phase.PLAN: "Plan",
    Phase.BUILD: "Build",
    Phase.PUSH: "Push",
    Phase.ROLLOUT: "Roll out",
    Phase.JOBS: "Jobs",
}


class Line(NamedTuple):
    """One step: `state` is done, running, failed, skipped, stopped, waiting or unreached."""

    name: str
    state: str
    word: str
    icon: str
    time: str
    detail: str


WORDS = {
    "done": ("Done", "check"),
    "running": ("Running", "spinner"),
    "failed": ("Failed", "cross"),
    "stopped": ("Stopped", "slash"),
    "skipped": ("Skipped", "skip"),
    "waiting": ("Waiting", "dashed"),
    "unreached": ("Not reached", "dashed"),
}


def timeline(deploy: DeployView, now: datetime) -> tuple[Line, ...]:
    """The five steps of a deploy, in order; a sixth where jobs follow."""
    ran = {step.phase for step in deploy.steps}
    return tuple(_line(deploy, phase, now) for phase in PHASES if phase is not Phase.JOBS or phase in ran)


def _line(deploy: DeployView, phase: Phase, now: datetime) -> Line:
    step = next((step for step in deploy.steps if step.phase == phase), None)
    state = _state(deploy, phase)
    word, icon = WORDS[state]
    spent = step.duration_s if step else None
    if step and state == "running":
        spent = max(0.0, (now - step.started_at).total_seconds())
        return Line(NAMES[phase], state, word, icon, f"{int(spent)} s", step.detail)
    return Line(NAMES[phase], state, word, icon, duration(spent), step.detail if step else "")


def _state(deploy: DeployView, phase: Phase) -> str:
    step = next((step for step in deploy.steps if step.phase == phase), None)
    if deploy.error and deploy.step == phase and deploy.status == "failed":
        return "failed"
    if step is not None:
        ended = step.ended_at is not None
        return "done" if ended else "stopped" if deploy.status.final else "running"
    if deploy.status.final:
        return "skipped" if deploy.status == "live" else "unreached"
    passed = [PHASES.index(Phase(step.phase)) for step in deploy.steps]
    # A deploy of anything but code begins with its last step.
    first = PHASES.index(Phase.FETCH if deploy.kind == "code" else Phase.ROLLOUT)
    return "skipped" if PHASES.index(phase) < max([first, *passed]) else "waiting"


class Proof(NamedTuple):
    """What the edge counted while traffic moved."""

    clean: bool
    headline: str
    facts: tuple[tuple[str, str], ...]


def proof(deploy: DeployView) -> Proof | None:
    """The receipt in words, or None when there is none."""
    receipt = deploy.receipt
    if receipt is None:
        return None
    failed, dropped = int(receipt["failed"]), int(receipt["sockets_dropped"])
    requests = f"{int(receipt['requests']):,} request{'' if receipt['requests'] == 1 else 's'}"
    return Proof(
        clean=failed == 0 and dropped == 0,
        headline=f"{requests}, {failed:,} failed",
        facts=(
            ("p50", f"{amount(float(receipt['p50_ms']))} ms"),
            ("p99", f"{amount(float(receipt['p99_ms']))} ms"),
            ("Sockets kept", f"{int(receipt['sockets_kept']):,}"),
            ("Sockets dropped", f"{dropped:,}"),
        ),
    )


def title(deploy: DeployView) -> str:
    """What a deploy is, in a few words."""
    return deploy.message.strip().splitlines()[0] if deploy.message.strip() else KINDS.get(deploy.kind, deploy.kind)


def state(deploy: DeployView, live: str | None) -> str:
    """Its status; what was live and is not any more is replaced."""
    return "replaced" if deploy.status == "live" and deploy.release != live else str(deploy.status)


def origin(deploy: DeployView) -> str:
    """Where its bytes came from; '' when it took the image of a release."""
    source = deploy.source
    match source.kind:
        case "git":
            return " ".join(filter(None, (source.url, source.ref)))
        case "push":
            return f"push to {source.ref}"
        case "image":
            return source.image
        case "upload":
            return "upload"
        case _:
            return ""


def spent(deploy: DeployView, now: datetime) -> str:
    """How long it took, or takes until now."""
    if "total" in deploy.timings_s:
        return duration(deploy.timings_s["total"])
    if deploy.created_at is None:
        return ""
    return f"{int(max(0.0, (now - deploy.created_at).total_seconds()))} s"


def rollback(release: ReleaseView, app: AppView) -> str:
    """What going back to a release restores, and what it leaves."""
    commit = f" of commit {release.commit[:7]}" if release.commit else ""
    variables = count(len(release.env_keys), "variable")
    return (
        f"This brings back the image{commit}, its processes ({', '.join(release.processes) or 'none'}) and "
        f"{variables} as they were. {app.release} serves until {release.release} is healthy; no request is dropped. "
        f"Nothing is lost: you can come back to {app.release} the same way."
    )

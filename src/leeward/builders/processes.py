"""Decide which processes an app has, and how each is started. Pure.

Manifest, then variables, then Procfile, then what the files tell.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from leeward.builders.procfile import Procfile
from leeward.builders.providers.provider import Context, Contribution, Start, bounded
from leeward.errors import Invalid, PlanFailed, Problem
from leeward.model.app import AppSpec, When
from leeward.model.build import Decision, Diagnostic, Evidence


@dataclass(frozen=True, slots=True)
class Processes:
    """Process type to command; None is the image's own."""

    start: str | None
    commands: Mapping[str, str | None]
    release: str | None
    decisions: tuple[Decision, ...]
    diagnostics: tuple[Diagnostic, ...] = ()


def given(context: Context, listed: Procfile) -> Start | None:
    """The start command that somebody wrote down."""
    web = context.spec.processes.get("web")
    if web and web.command and web.command.strip():
        return Start(web.command.strip(), (context.said("processes.web.command"),), _alternative(listed))
    if option := context.option("START_CMD"):
        return Start(bounded(option[0], option[1].file), (option[1],), _alternative(listed))
    return listed.processes.get("web")


def _alternative(listed: Procfile) -> tuple[str, ...]:
    web = listed.processes.get("web")
    return (web.command,) if web else ()


def processes(
    spec: AppSpec,
    said: Mapping[str, Evidence],
    listed: Procfile,
    start: Start | None,
    part: Contribution | None,
    provider: str,
    help: str,
    image: Start | None = None,
) -> Processes:
    """All processes. Raises PlanFailed when there is nothing to run."""
    workers = _workers(spec, said, listed)
    gone = _check(spec, said, workers) if part is not None else ()
    web, notes = _web(spec, listed, start, part, bool(workers))
    if web is None and not workers and part is not None:
        raise PlanFailed(f"no start command was found for this {provider} app", hint=help, code="no-start-command")
    commands: dict[str, str | None] = {name: worker.command for name, worker in workers.items()}
    decisions = []
    if web is not None:
        commands["web"] = web.command
        decisions.append(Decision("start command", web.command, web.evidence, web.alternatives))
    elif part is None:
        # The image knows by itself.
        commands.update({name: None for name in spec.processes if name not in commands} or {"web": None})
        shown = image.command if image else "the image's own"
        decisions.append(Decision("start command", shown, image.evidence if image else ()))
    decisions += [Decision(f"process {name}", worker.command, worker.evidence) for name, worker in workers.items()]
    release = listed.release or (part.release if part else None)
    jobs = _jobs(spec, said)
    decisions += jobs
    if release and any(job.when is When.BEFORE_DEPLOY for job in spec.jobs.values()):
        # Who lists jobs says all of them.
        decisions.append(Decision("release command", "none", jobs[0].because, (release.command,)))
        release = None
    if release:
        decisions.append(Decision("release command", release.command, release.evidence))
    first = web.command if web else image.command if image else next((w.command for w in workers.values()), None)
    return Processes(first, commands, release.command if release else None, tuple(decisions), (*gone, *notes))


def _jobs(spec: AppSpec, said: Mapping[str, Evidence]) -> list[Decision]:
    found = []
    for name, job in spec.jobs.items():
        place = said.get(f"jobs.{name}", Evidence("leeward.yaml", 0, f"jobs.{name}"))
        found.append(Decision(f"job {name}", job.command, (Evidence(place.file, place.line, job.when.value),)))
    return found


def _workers(spec: AppSpec, said: Mapping[str, Evidence], listed: Procfile) -> dict[str, Start]:
    found = {name: start for name, start in sorted(listed.processes.items()) if name != "web"}
    for name, process in sorted(spec.processes.items()):
        if name != "web" and process.command and process.command.strip():
            place = said.get(f"processes.{name}.command", Evidence("leeward.yaml", 0, f"processes.{name}.command"))
            found[name] = Start(process.command.strip(), (place,))
    return found


def _check(spec: AppSpec, said: Mapping[str, Evidence], workers: Mapping[str, Start]) -> tuple[Diagnostic, ...]:
    """Only `web` can be found out from the files. What an earlier Procfile had, and this one has not, is gone."""
    missing = [name for name in sorted(spec.processes) if name != "web" and name not in workers]
    problems = [
        Problem(f"processes/{name}/command", "is not set, and no Procfile has it", "say how the process is started")
        for name in missing
        if f"processes.{name}" in said
    ]
    if problems:
        raise Invalid(problems)
    return tuple(
        Diagnostic("info", "process-gone", f"the process '{name}' of the last release is in no file any more: it goes")
        for name in missing
    )


def _web(
    spec: AppSpec, listed: Procfile, start: Start | None, part: Contribution | None, workers: bool
) -> tuple[Start | None, tuple[Diagnostic, ...]]:
    if start is not None or part is None or part.start is None:
        return start, ()
    guess = part.start
    if workers and not guess.certain and "web" not in spec.processes:
        # Someone listed what runs, and nothing in the code listens: a file's name alone makes no web process.
        return None, ()
    if guess.certain:
        return guess, ()
    note = Diagnostic(
        "info",
        "start-guessed",
        f"'{guess.command}' is a guess from {guess.evidence[0].file}; a web process must listen on $PORT",
        "set processes.web.command in leeward.yaml",
    )
    return guess, (note,)

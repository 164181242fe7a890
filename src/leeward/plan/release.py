"""Decide what a release holds: spec, overrides and environment put together. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from leeward.model.app import AppSpec, Health, Instances, ProcessSpec, Strategy
from leeward.model.release import Release
from leeward.model.secret import Env, Secret, Variable
from leeward.model.wish import App, Override

WEB = "web"
NOTHING: Mapping[str, Any] = {}


def merged_env(spec: AppSpec, wished: Env) -> Env:
    """The manifest's variables and those set by `lee env set`, which win; by key."""
    variables = {key: Variable(key, Secret(value)) for key, value in spec.env.items()}
    variables |= {variable.key: variable for variable in wished}
    return tuple(variables[key] for key in sorted(variables))


def wished_env(release: Release) -> Env:
    """The variables that `lee env` must show after a rollback to `release`: all that its manifest does not say."""
    return tuple(variable for variable in release.env if release.spec.env.get(variable.key) != variable.value.reveal())


def complete(
    spec: AppSpec,
    commands: Mapping[str, str | None],
    health_path: str | None = None,
    formation: Mapping[str, Mapping[str, int | str]] = NOTHING,
) -> AppSpec:
    """The spec with every process that will run: those of the manifest, else those that the plan found.

    A health path that the plan found is used where the manifest names no health check of its own; `formation` says
    how many instances of which size a process begins with.
    """
    processes = dict(spec.processes)
    for name in commands:
        if name not in processes and (name == WEB or not spec.processes):
            processes[name] = ProcessSpec.model_validate(formation.get(name, NOTHING))
    if not processes:
        processes[WEB] = ProcessSpec()
    web = processes.get(WEB)
    if web is not None and health_path and "health" not in web.model_fields_set:
        processes[WEB] = web.model_copy(update={"health": Health(path=health_path)})
    return spec.model_copy(update={"processes": processes})


def left(spec: AppSpec, commands: Mapping[str, str | None], strategy: str) -> AppSpec:
    """The spec without processes that an earlier plan found in files, and that no file has any more."""
    if strategy != Strategy.AUTO:
        return spec
    processes = {name: each for name, each in spec.processes.items() if name == WEB or each.command or name in commands}
    return spec.model_copy(update={"processes": processes})


def overridden(spec: AppSpec, overrides: Mapping[str, Override]) -> AppSpec:
    """The spec with what `lee scale` said about its processes."""
    processes = dict(spec.processes)
    for name, override in overrides.items():
        if (process := processes.get(name)) is None:
            continue
        update: dict[str, object] = {}
        # A process that got a schedule keeps nothing of how many ran of it before.
        if override.instances is not None and not (process.timed and override.instances.max > 1):
            update["instances"] = _kept_targets(override.instances, process.instances)
        if override.size is not None:
            update["size"] = override.size
        processes[name] = process.model_copy(update=update)
    return spec.model_copy(update={"processes": processes})


def _kept_targets(asked: Instances, plain: Instances) -> Instances:
    """The numbers that were asked for; what was not said of memory and sleep stays as the spec has it."""
    kept: dict[str, object] = {}
    if asked.memory_percent is None:
        kept["memory_percent"] = plain.memory_percent
    if asked.sleep_after_s == Instances.model_fields["sleep_after_s"].default:
        kept["sleep_after_s"] = plain.sleep_after_s
    return asked.model_copy(update=kept)


def overrides_of(release: Release, app: App) -> Mapping[str, Override]:
    """The overrides that make `release` again from the app's own spec; after a rollback they are the app's."""
    found = {}
    for name, process in release.spec.processes.items():
        plain = app.spec.processes.get(name, ProcessSpec())
        if process.instances != plain.instances or process.size != plain.size:
            found[name] = Override(
                process.instances if process.instances != plain.instances else None,
                process.size if process.size != plain.size else None,
            )
    return found


def renewed(release: Release, app: App, env: Env, deploy: str, message: str) -> Release:
    """A release with the same image as `release`, and the app's present environment and overrides."""
    return replace(
        release,
        number=0,
        spec=overridden(release.spec, app.overrides),
        env=merged_env(release.spec, env),
        deploy=deploy,
        message=message,
        created_at=None,
    )

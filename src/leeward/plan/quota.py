"""Decide whether a project has room for what an app asks for. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from leeward.errors import Conflict
from leeward.model.app import AppSpec
from leeward.model.quota import NO_BOUND, ProjectQuota
from leeward.model.sizes import SIZES

HINT = "scale something of the project down, or have its quota raised: `lee projects` shows what each has"


@dataclass(frozen=True, slots=True)
class Use:
    """What is asked for."""

    instances: int = 0
    millicpu: int = 0
    memory_mib: int = 0

    def __add__(self, other: "Use") -> "Use":
        return Use(self.instances + other.instances, self.millicpu + other.millicpu, self.memory_mib + other.memory_mib)


def use_of(spec: AppSpec) -> Use:
    """What an app may come to ask for: of each process the most instances that it may have."""
    found = Use()
    for process in spec.processes.values():
        count, limits = process.instances.max, SIZES[process.size]
        found += Use(count, count * limits.millicpu, count * limits.memory_mib)
    return found


def use_of_any(specs: Iterable[AppSpec]) -> Use:
    """The most that one of these asks for: a live release, and one that is on its way to replace it."""
    uses = [use_of(spec) for spec in specs]
    return Use(
        max((use.instances for use in uses), default=0),
        max((use.millicpu for use in uses), default=0),
        max((use.memory_mib for use in uses), default=0),
    )


def over_quota(
    quota: ProjectQuota, project: str, app: str, spec: AppSpec, live: AppSpec | None, others: Use
) -> Conflict | None:
    """Why the project has no room for `spec`; None when it has, or when the app asks for no more than it has."""
    if quota == NO_BOUND:
        return None
    told = []
    before, after = use_of(live) if live is not None else Use(), use_of(spec)
    for most, had, asked, rest, unit in (
        (quota.instances, before.instances, after.instances, others.instances, "instances"),
        (quota.millicpu, before.millicpu, after.millicpu, others.millicpu, "CPU"),
        (quota.memory_mib, before.memory_mib, after.memory_mib, others.memory_mib, "MiB of memory"),
    ):
        if most is not None and asked > had and asked + rest > most:
            told.append(_sentence(most, asked, rest, unit))
    if not told:
        return None
    said = "; ".join(told)
    return Conflict(f"project '{project}' has no room for '{app}': {said}", hint=HINT, code="over-quota")


def _sentence(most: int, asked: int, rest: int, unit: str) -> str:
    numbers: Sequence[str] = [f"{n / 1000:g}" if unit == "CPU" else str(n) for n in (asked, rest, most)]
    return f"it asks for {numbers[0]} {unit}, the project's other apps for {numbers[1]}, and the quota is {numbers[2]}"


def others_use(specs: Mapping[str, Sequence[AppSpec]], app: str) -> Use:
    """What the other apps of a project ask for."""
    found = Use()
    for name, each in specs.items():
        if name != app:
            found += use_of_any(each)
    return found

"""Decide whether the volumes of a spec fit what is there, and when one is nearly full. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from leeward.errors import Problem
from leeward.model.app import AppSpec, VolumeSpec
from leeward.model.volume import Volume, shown_size

# From these on somebody should know; the last one is "nothing more fits".
LEVELS = (80, 95, 100)


@dataclass(frozen=True, slots=True)
class VolumeLimits:
    """What the operator allows: MiB of one volume, volumes of one app."""

    size_mib: int
    of_app: int


def refused(
    spec: AppSpec, limits: VolumeLimits, there: Iterable[Volume] = (), live: AppSpec | None = None
) -> tuple[Problem, ...]:
    """Everything about the volumes of `spec` that cannot be; `there` are those of the app, `live` what runs now."""
    found = list(_sizes(spec, limits))
    count = sum(len(process.volumes) for process in spec.processes.values())
    if count > limits.of_app:
        hint = "leave some out, or raise LEEWARD_VOLUMES_PER_APP"
        found.append(Problem("processes", f"{count} volumes are more than the {limits.of_app} of an app", hint))
    known = {(volume.process, volume.name, volume.region): volume for volume in there}
    found += _changed(spec, known.values())
    if live is not None:
        found += _renamed(spec, live)
    return tuple(found)


def _sizes(spec: AppSpec, limits: VolumeLimits) -> Iterator[Problem]:
    for where, volume in _volumes(spec):
        if volume.size_mib > limits.size_mib:
            yield Problem(
                f"{where}/size",
                f"'{volume.size}' is more than the {shown_size(limits.size_mib)} that a volume may have",
                "choose a smaller size, or raise LEEWARD_VOLUME_GIB",
            )


def _changed(spec: AppSpec, there: Iterable[Volume]) -> Iterator[Problem]:
    for volume in there:
        process = spec.processes.get(volume.process)
        wished = process.volumes.get(volume.name) if process is not None else None
        where = f"processes/{volume.process}/volumes/{volume.name}"
        if wished is None:
            continue
        if volume.region != spec.region:
            yield Problem(
                where,
                f"this volume is in region '{volume.region}', and volumes do not move to '{spec.region}'",
                "keep the region, or give the volume another name: that one begins empty",
            )
        elif wished.size_mib < volume.size_mib:
            yield Problem(
                f"{where}/size",
                f"'{wished.size}' is less than the {shown_size(volume.size_mib)} that it has: volumes only grow",
                f"write '{shown_size(volume.size_mib)}', or take a new volume by another name and path",
            )


def _renamed(spec: AppSpec, live: AppSpec) -> Iterator[Problem]:
    for name, process in spec.processes.items():
        before = live.processes[name].volumes if name in live.processes else {}
        gone = {volume.path: old for old, volume in before.items() if old not in process.volumes}
        for new, volume in process.volumes.items():
            if new not in before and (old := gone.get(volume.path)) is not None:
                yield Problem(
                    f"processes/{name}/volumes/{new}",
                    f"'{new}' at '{volume.path}' would take the place of the volume '{old}' and begin empty",
                    f"keep the name '{old}'; or deploy once without it, and then with '{new}'",
                )


def _volumes(spec: AppSpec) -> Iterator[tuple[str, VolumeSpec]]:
    for process, each in sorted(spec.processes.items()):
        for name, volume in sorted(each.volumes.items()):
            yield f"processes/{process}/volumes/{name}", volume


def level(volume: Volume) -> int:
    """The highest of `LEVELS` that it has reached; 0 while it is below, or nobody counts."""
    if volume.used_bytes is None or volume.size_mib <= 0:
        return 0
    percent = 100 * volume.used_bytes / (volume.size_mib * 1024 * 1024)
    return max((each for each in LEVELS if percent >= each), default=0)


def warning(volume: Volume) -> str:
    """What is said of a volume that has reached a level."""
    used = (volume.used_bytes or 0) / (1024 * 1024)
    percent = 100 * used / volume.size_mib
    text = (
        f"volume '{volume.title}' of '{volume.app}' is {percent:.0f} % full: "
        f"{used:.0f} of {volume.size_mib} MiB are used"
    )
    return text if volume.enforced else f"{text}, and nothing here stops it from growing"


def left_over(spec: AppSpec | None, there: Sequence[Volume]) -> tuple[Volume, ...]:
    """Volumes that `spec` does not name any more; all of them when there is no spec."""
    named = {(name, volume) for name, process in (spec.processes.items() if spec else ()) for volume in process.volumes}
    return tuple(volume for volume in there if (volume.process, volume.name) not in named)

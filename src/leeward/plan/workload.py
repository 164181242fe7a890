"""Decide what an engine is given for a release. Pure."""

from collections.abc import Mapping

from leeward.model.app import ProcessSpec
from leeward.model.release import Release
from leeward.model.runtime import Workload
from leeward.model.sizes import SIZES, Limits, Size
from leeward.model.volume import Mount
from leeward.model.wish import App
from leeward.plan.release import WEB


def workloads(
    app: App,
    release: Release,
    generation: int,
    routed: frozenset[str],
    counts: Mapping[str, int] | None = None,
    sizes: Mapping[Size, Limits] = SIZES,
) -> tuple[Workload, ...]:
    """One workload for each process of `release` that always runs; `counts` are the autoscaler's wishes by process."""
    return tuple(
        workload(app, release, generation, name, process, routed, (counts or {}).get(name), sizes)
        for name, process in sorted(release.spec.processes.items())
        if not process.timed
    )


def workload(
    app: App,
    release: Release,
    generation: int,
    name: str,
    process: ProcessSpec,
    routed: frozenset[str] = frozenset(),
    count: int | None = None,
    sizes: Mapping[Size, Limits] = SIZES,
) -> Workload:
    """One process of one release, as an engine gets it."""
    limits = sizes[process.size]
    bounds = process.instances
    asleep = count == 0 and name == WEB and bounds.may_sleep
    # Without a word of the autoscaler one instance runs where `max` allows any; what takes no requests never sleeps.
    least = max(bounds.min, min(1, bounds.max))
    wished = 0 if asleep else least if count is None else max(least, min(bounds.max, count))
    return Workload(
        app=app.name,
        process=name,
        project=app.project,
        release=release.number,
        generation=generation,
        image=release.image,
        command=process.command if process.command is not None else release.commands.get(name),
        env=release.env,
        instances=wished,
        millicpu=limits.millicpu,
        memory_mib=limits.memory_mib,
        port=process.port,
        health=process.health if name == WEB else None,
        read_only=release.read_only,
        routed=routed if name == WEB else None,
        region=release.spec.region,
        bounds=bounds,
        hosts=tuple(dict.fromkeys((*release.spec.domains, *app.domains))) if name == WEB else (),
        volumes=mounts(process),
    )


def mounts(process: ProcessSpec) -> tuple[Mount, ...]:
    """The volumes of a process, by name."""
    return tuple(Mount(name, each.path, each.size_mib) for name, each in sorted(process.volumes.items()))


def same_instances(old: Release, new: Release) -> bool:
    """Whether the running instances of `old` also serve `new`: only counts, domains or edge rules differ."""

    def running(release: Release) -> object:
        return (
            release.image,
            release.spec.region,
            tuple((variable.key, variable.value.reveal()) for variable in release.env),
            release.read_only,
            {
                name: (
                    process.command or release.commands.get(name),
                    process.size,
                    process.port,
                    process.health,
                    mounts(process),
                )
                for name, process in release.spec.processes.items()
                if not process.timed
            },
        )

    return running(old) == running(new)

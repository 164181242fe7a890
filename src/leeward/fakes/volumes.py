"""Volumes in memory: they outlive the instances of a fake engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from leeward.errors import Conflict, Problem
from leeward.model.runtime import Workload
from leeward.model.volume import Volume

Key = tuple[str, str, str, str]


@dataclass(slots=True)
class FakeVolumes:
    """What a disk would keep. `used` says by title how full one is; `shared` whether several instances may have it."""

    used: dict[str, int] = field(default_factory=dict)
    shared: bool = True
    _there: dict[Key, Volume] = field(default_factory=dict)

    def ensure(self, want: Workload) -> None:
        """Have the volumes of a workload; they only grow."""
        for mount in want.volumes:
            key = (want.project, want.app, want.process, mount.name)
            known = self._there.get(key)
            size = max(mount.size_mib, known.size_mib if known is not None else 0)
            self._there[key] = Volume(
                want.app, want.process, mount.name, want.project, want.region, mount.path, size_mib=size
            )

    def list(self, app: str, running: Mapping[str, Workload]) -> Sequence[Volume]:
        """Those of one app or of all, with who has each."""
        return tuple(
            replace(
                volume,
                used_bytes=self.used.get(volume.title, 0),
                used_by=tuple(sorted(id for id, want in running.items() if _has(want, volume))),
            )
            for _, volume in sorted(self._there.items())
            if app in ("", volume.app)
        )

    def delete(self, volume: Volume, running: Mapping[str, Workload]) -> None:
        """Raises Conflict while an instance has it."""
        if users := sorted(id for id, want in running.items() if _has(want, volume)):
            raise Conflict(
                f"volume '{volume.title}' of '{volume.app}' is used by {', '.join(users)}",
                hint="take it out of leeward.yaml and deploy, or delete the app first",
                code="volume-in-use",
            )
        self._there.pop((volume.project, volume.app, volume.process, volume.name), None)

    def unfit(self, wants: Sequence[Workload]) -> Sequence[Problem]:
        """Several instances, where one volume is for one."""
        return tuple(
            Problem(f"processes/{want.process}/volumes", "are for one instance here", "use one instance")
            for want in wants
            if want.volumes and not self.shared and max(want.instances, want.bounds.max if want.bounds else 0) > 1
        )


def _has(want: Workload, volume: Volume) -> bool:
    return (want.project, want.app, want.process) == (volume.project, volume.app, volume.process) and any(
        mount.name == volume.name for mount in want.volumes
    )

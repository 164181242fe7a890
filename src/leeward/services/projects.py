"""Projects: what each asks for, and how much it may."""

from collections.abc import Sequence
from dataclasses import dataclass

from leeward.model.quota import quota_of
from leeward.plan.quota import others_use
from leeward.ports.projects import asked_for
from leeward.services.context import Context


@dataclass(frozen=True, slots=True)
class ProjectView:
    """A project; what has no bound is None. Of each process its most instances count."""

    name: str
    apps: tuple[str, ...]
    instances: int
    cores: float
    memory_gib: float
    quota_instances: int | None
    quota_cores: float | None
    quota_memory_gib: float | None


class Projects:
    """Projects exist as long as they have apps."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def list(self) -> Sequence[ProjectView]:
        """By name, with what its apps ask for together."""
        asked = await asked_for(self._context.stores)
        found = []
        for name in sorted(asked):
            use, quota = others_use(asked[name], ""), quota_of(self._context.settings.quotas, name)
            found.append(
                ProjectView(
                    name=name,
                    apps=tuple(sorted(asked[name])),
                    instances=use.instances,
                    cores=use.millicpu / 1000,
                    memory_gib=use.memory_mib / 1024,
                    quota_instances=quota.instances,
                    quota_cores=None if quota.millicpu is None else quota.millicpu / 1000,
                    quota_memory_gib=None if quota.memory_mib is None else quota.memory_mib / 1024,
                )
            )
        return tuple(found)

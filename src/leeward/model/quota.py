"""How much a project may ask for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_PART = re.compile(r"(?:(?P<project>[a-z][a-z0-9-]*)\.)?(?P<name>[a-z_]+)=(?P<value>[0-9]+(?:\.[0-9]+)?)")
_UNITS = {"instances": ("instances", 1), "cores": ("millicpu", 1000), "memory_gib": ("memory_mib", 1024)}
EVERY = ""
"""Stands for each project without a bound of its own."""


@dataclass(frozen=True, slots=True)
class ProjectQuota:
    """The most that one project may ask for; None is no bound."""

    instances: int | None = None
    millicpu: int | None = None
    memory_mib: int | None = None


NO_BOUND = ProjectQuota()
Quotas = Mapping[str, ProjectQuota]
NO_QUOTAS: Quotas = MappingProxyType({})


def parse_quotas(text: str) -> Quotas:
    """`instances=50; cores=20; shop.instances=100` by project. Raises ValueError with the wrong part."""
    found: dict[str, dict[str, int]] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        match = _PART.fullmatch(part)
        if match is None or match["name"] not in _UNITS:
            raise ValueError(f"'{part}' is no bound of a project: write 'instances=50' or 'shop.memory_gib=40'")
        field, factor = _UNITS[match["name"]]
        if "." in match["value"] and factor == 1:
            raise ValueError(f"'{part}' is no whole number of instances")
        found.setdefault(match["project"] or EVERY, {})[field] = round(float(match["value"]) * factor)
    every = found.get(EVERY, {})
    return {project: ProjectQuota(**{**every, **bounds}) for project, bounds in found.items()}


def quota_of(quotas: Quotas, project: str) -> ProjectQuota:
    """The bounds of one project."""
    return quotas.get(project) or quotas.get(EVERY) or NO_BOUND

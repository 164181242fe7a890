"""Show workloads as the objects that they become. Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from leeward.engines.kubernetes.claim import claim
from leeward.engines.kubernetes.jobs import timed
from leeward.engines.kubernetes.project import project_objects
from leeward.engines.kubernetes.render import announcer, deployment, disruption_budget, environment, service
from leeward.engines.kubernetes.routing import way_in
from leeward.engines.kubernetes.rules import Rules
from leeward.engines.kubernetes.scaling import autoscaler
from leeward.model.run import Timed, Wanted
from leeward.model.runtime import Workload


def manifests(wants: Iterable[Wanted], rules: Rules) -> Sequence[Mapping[str, Any]]:
    """Secrets as stars, in the order in which they are applied; what workloads share stands there once."""
    found: list[Mapping[str, Any]] = []
    for want in wants:
        for made in _by_the_clock(want, rules) if isinstance(want, Timed) else _always(want, rules):
            if made not in found:
                found.append(made)
    # Nothing stands in two of them as the same object: YAML would show that as anchors.
    plain: list[Mapping[str, Any]] = json.loads(json.dumps(found))
    return plain


def _always(want: Workload, rules: Rules) -> Sequence[Mapping[str, Any]]:
    scaler = autoscaler(want, want.bounds, rules) if want.bounds is not None else None
    budget = disruption_budget(want, rules)
    return (
        *project_objects(want.project, rules, hidden=True),
        service(want, rules, want.generation),
        announcer(want, rules),
        environment(want, rules, hidden=True),
        *(claim(want, rules, mount) for mount in want.volumes),
        *([budget] if budget is not None else []),
        deployment(want, rules, want.instances),
        *([scaler] if scaler is not None else []),
        *way_in(want, (f"{want.app}.{rules.domain}", *want.hosts), rules, gateway_api=bool(rules.gateway)),
    )


def _by_the_clock(want: Timed, rules: Rules) -> Sequence[Mapping[str, Any]]:
    return (
        *project_objects(want.want.project, rules, hidden=True),
        environment(want.want, rules, hidden=True),
        timed(want, rules),
    )

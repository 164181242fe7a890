"""Know of each object of ours whether it is as we applied it. Pure.

The server writes down which fields each manager owns. Somebody who changes a field of ours takes it over, so that what
we own differs from what we owned after our last apply: that is how an edit is seen, without comparing contents.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from sys import intern
from typing import Any

from leeward.engines.kubernetes.names import APP, APPLIED, GENERATION, HOME, PROCESS, PROJECT

_MANAGER = "leeward"


@dataclass(frozen=True, slots=True)
class Known:
    """One object of ours as the cluster has it."""

    uid: str
    app: str
    process: str
    project: str
    generation: int
    applied: str
    """The fingerprint of what we sent last."""
    owned: str
    """A fingerprint of the fields that are ours now."""
    touched: bool
    """Whether somebody else wrote to it after us."""
    deleted: bool


@dataclass(frozen=True, slots=True)
class Group:
    """One Deployment: a generation of a process."""

    known: Known
    name: str
    namespace: str
    replicas: int
    refused: str
    """Why the cluster makes no pods; '' when it does."""
    late: bool
    """Whether its progress deadline is over."""
    created_at: str


def known(shown: Mapping[str, Any]) -> Known:
    """An object from the API's answer; its metadata are enough."""
    meta = shown["metadata"]
    labels: Mapping[str, str] = meta.get("labels") or {}
    generation = labels.get(GENERATION, "")
    owned, touched = _owned(meta.get("managedFields") or ())
    return Known(
        uid=meta.get("uid", ""),
        app=intern(labels.get(APP, "")),
        process=intern(labels.get(PROCESS, "")),
        project=intern(labels.get(PROJECT, "")),
        generation=int(generation) if generation.isdigit() else 0,
        applied=(meta.get("annotations") or {}).get(APPLIED, ""),
        owned=owned,
        touched=touched,
        deleted="deletionTimestamp" in meta,
    )


def group(shown: Mapping[str, Any]) -> Group:
    """A Deployment from the API's answer."""
    meta, spec = shown["metadata"], shown.get("spec") or {}
    conditions = {each["type"]: each for each in (shown.get("status") or {}).get("conditions") or ()}
    failing = conditions.get("ReplicaFailure") or {}
    progress = conditions.get("Progressing") or {}
    return Group(
        known=known(shown),
        name=meta["name"],
        namespace=intern(meta.get("namespace", "")),
        replicas=int(spec.get("replicas") or 0),
        refused=failing.get("message", "") if failing.get("status") == "True" else "",
        late=progress.get("status") == "False" and progress.get("reason") == "ProgressDeadlineExceeded",
        created_at=meta.get("creationTimestamp", ""),
    )


@dataclass(frozen=True, slots=True)
class Endpoints:
    """A part of the instances to which a Service leads."""

    app: str
    service: str
    ready: frozenset[str]
    """Names of pods."""


def endpoints(shown: Mapping[str, Any]) -> Endpoints:
    """An EndpointSlice from the API's answer; it has the labels of its Service."""
    labels: Mapping[str, str] = shown["metadata"].get("labels") or {}
    ready = frozenset(
        str((each.get("targetRef") or {}).get("name", ""))
        for each in shown.get("endpoints") or ()
        if (each.get("conditions") or {}).get("ready") is not False
    )
    return Endpoints(intern(labels.get(APP, "")), labels.get("kubernetes.io/service-name", ""), ready)


def ours(shown: Mapping[str, Any], home: str) -> bool:
    """Whether an object was made by this platform."""
    return bool((shown["metadata"].get("labels") or {}).get(HOME) == home)


def _owned(entries: Any) -> tuple[str, bool]:
    mine = next((e for e in entries if e.get("manager") == _MANAGER and e.get("operation") == "Apply"), None)
    if mine is None:
        return "", True
    text = json.dumps(mine.get("fieldsV1") or {}, sort_keys=True)
    at = mine.get("time", "")
    touched = any(e.get("manager") != _MANAGER and not e.get("subresource") and e.get("time", "") > at for e in entries)
    return hashlib.sha256(text.encode()).hexdigest()[:16], touched

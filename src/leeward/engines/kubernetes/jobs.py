"""Render what runs to its end, and what it keeps: jobs, timed jobs, volumes. Pure."""

from typing import Any

from leeward.engines.kubernetes.names import GENERATION, ONCE, RELEASE, ROLE, labels, metadata, stem
from leeward.engines.kubernetes.render import environment, pod
from leeward.engines.kubernetes.rules import Rules
from leeward.model.runtime import Workload
from leeward.plan.command import arguments

# A job that nobody took away, because its control plane died, goes by itself.
_LEFT_S = 3600


def once(want: Workload, rules: Rules, command: str, name: str, timeout_s: float) -> tuple[dict[str, Any], ...]:
    """One command in a fresh instance, to its end; never again when it fails."""
    secret = f"{name}-env"
    meta = metadata(name, rules, want.project, want.app, want.process)
    meta["labels"][ROLE] = ONCE
    made = environment(want, rules, name=secret)
    made["metadata"]["labels"][ROLE] = ONCE
    return (
        made,
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": meta,
            "spec": {
                "backoffLimit": 0,
                "activeDeadlineSeconds": max(1, int(timeout_s) + 1),
                "ttlSecondsAfterFinished": _LEFT_S,
                "template": _template(want, rules, command, secret),
            },
        },
    )


def timed(want: Workload, rules: Rules, command: str, schedule: str, zone: str = "Etc/UTC") -> dict[str, Any]:
    """One command at each time of `schedule` (five fields of cron); never two at once."""
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": metadata(stem(want.app, want.process), rules, want.project, want.app, want.process),
        "spec": {
            "schedule": schedule,
            "timeZone": zone,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": 300,
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {
                "spec": {
                    "backoffLimit": 0,
                    "ttlSecondsAfterFinished": _LEFT_S,
                    "template": _template(want, rules, command, ""),
                }
            },
        },
    }


def volume(want: Workload, rules: Rules, name: str, gib: int, storage_class: str = "") -> dict[str, Any]:
    """Disk space that outlives instances; one node at a time has it."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(f"{stem(want.app, want.process)}-{name}", rules, want.project, want.app, want.process),
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": f"{gib}Gi"}},
            **({"storageClassName": storage_class} if storage_class else {}),
        },
    }


def _template(want: Workload, rules: Rules, command: str, secret: str) -> dict[str, Any]:
    return {
        "metadata": {
            "labels": {
                **labels(rules, want.project, want.app, want.process),
                ROLE: ONCE,
                RELEASE: str(want.release),
                GENERATION: str(want.generation),
            }
        },
        "spec": {**pod(want, rules, arguments(command), secret), "restartPolicy": "Never"},
    }

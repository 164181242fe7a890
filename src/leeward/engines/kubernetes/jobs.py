"""Render what runs to its end: jobs and timed jobs. Pure."""

from typing import Any

from leeward.engines.kubernetes.names import DUE, GENERATION, ONCE, RELEASE, ROLE, RUN, labels, metadata, stem
from leeward.engines.kubernetes.render import disk_labels, environment, pod
from leeward.engines.kubernetes.rules import Rules
from leeward.model.run import Run, Timed
from leeward.model.runtime import Workload
from leeward.plan.command import arguments
from leeward.plan.timed import LATE_S

# A job that nobody took away, because its control plane died, goes by itself.
_LEFT_S = 3600
# Nor does a run that somebody asked for, before its end was seen.
_SEEN_S = 86400
BY_HAND = "cronjob.kubernetes.io/instantiate"
"""As `kubectl create job --from` marks its jobs."""


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


def timed(want: Timed, rules: Rules) -> dict[str, Any]:
    """A process with a schedule: the cluster's clock makes a job of it at each of its times."""
    meta = metadata(cron_name(want), rules, want.want.project, want.want.app, want.want.process)
    meta["labels"] |= {RELEASE: str(want.want.release), GENERATION: str(want.want.generation)}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": meta,
        "spec": {
            "schedule": want.schedule,
            "timeZone": "Etc/UTC" if want.timezone == "UTC" else want.timezone,
            "concurrencyPolicy": want.overlap.value.capitalize(),
            "startingDeadlineSeconds": LATE_S,
            "suspend": want.suspended,
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {"metadata": {"labels": _run_labels(want, rules)}, "spec": _job(want, rules)},
        },
    }


def by_hand(want: Timed, rules: Rules, run: Run, owner: str) -> dict[str, Any]:
    """A run that somebody asked for; it goes with its CronJob, whose id is `owner`."""
    meta = metadata(job_name(want, run), rules, want.want.project, want.want.app, want.want.process)
    meta["labels"] = _run_labels(want, rules)
    meta["annotations"] = {BY_HAND: "manual", DUE: f"{run.scheduled_at.timestamp():.6f}"}
    # Not as its controller: the cluster's clock would wonder about a job that it did not make.
    meta["ownerReferences"] = [{"apiVersion": "batch/v1", "kind": "CronJob", "name": cron_name(want), "uid": owner}]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": meta,
        "spec": {**_job(want, rules), "ttlSecondsAfterFinished": _SEEN_S},
    }


def cron_name(want: Timed) -> str:
    """The CronJob of a process."""
    return stem(want.want.app, want.want.process)


def job_name(want: Timed, run: Run) -> str:
    """The Job of a run: the CronJob's name and what tells the run from others, as the cluster names its own."""
    return f"{cron_name(want)}-{run.id.removeprefix(f'{run.process}-')}"


def _run_labels(want: Timed, rules: Rules) -> dict[str, str]:
    return {
        **labels(rules, want.want.project, want.want.app, want.want.process),
        ROLE: RUN,
        RELEASE: str(want.want.release),
        GENERATION: str(want.want.generation),
    }


def _job(want: Timed, rules: Rules) -> dict[str, Any]:
    return {
        "backoffLimit": want.retries,
        "activeDeadlineSeconds": want.timeout_s,
        "template": {
            "metadata": {"labels": _run_labels(want, rules)},
            "spec": {**pod(want.want, rules, arguments(want.want.command)), "restartPolicy": "Never"},
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
                **disk_labels(want, rules),
            }
        },
        "spec": {**pod(want, rules, arguments(command), secret), "restartPolicy": "Never"},
    }

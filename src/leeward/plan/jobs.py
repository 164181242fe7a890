"""Decide which jobs of a release run, and as what. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from leeward.model.app import AppSpec, JobSpec, ProcessSpec, When
from leeward.model.release import Deploy, DeployKind, Release
from leeward.model.runtime import Workload
from leeward.model.secret import Secret, Variable
from leeward.model.wish import App
from leeward.plan.release import WEB
from leeward.plan.workload import workload

# What a deploy carries of its jobs: names of those that ended, and of those that ended badly.
DONE = "jobs_done"
BAD = "jobs_failed"
# The command that runs once in an app's life, and whether this deploy is that one.
FIRST_COMMAND = "first_command"
FIRST = "first"
# No name of a job can hold a space.
RELEASE = "release command"
_FIRST_JOB = "first deploy"
_MAX_NAME = 40


@dataclass(frozen=True, slots=True)
class Job:
    """One command to run, under the name that is shown."""

    name: str
    spec: JobSpec


def jobs(spec: AppSpec, carry: Mapping[str, str], when: When) -> tuple[Job, ...]:
    """The jobs of a deploy for this moment that have not ended yet, in the order of the manifest."""
    found = [Job(name, job) for name, job in spec.jobs.items() if job.when is when]
    if when is When.BEFORE_DEPLOY and not found and (command := carry.get("release_command")):
        # Somebody who lists jobs says all of them: what was found in the files is for those who do not.
        found.append(Job(RELEASE, JobSpec.model_construct(command=command)))
    if when is When.AFTER_SUCCESS and carry.get(FIRST) and (command := carry.get(FIRST_COMMAND)):
        found.append(Job(_FIRST_JOB, JobSpec.model_construct(command=command, when=when)))
    done = ended(carry)
    return tuple(job for job in found if job.name not in done)


def ended(carry: Mapping[str, str]) -> Collection[str]:
    """The names of the jobs that ran to their end."""
    return [name for name in carry.get(DONE, "").split(",") if name]


def failed(carry: Mapping[str, str]) -> Collection[str]:
    """The names of the jobs that ended badly, with how."""
    return [text for text in carry.get(BAD, "").split("; ") if text]


def marked(deploy: Deploy, job: Job, problem: str) -> Deploy:
    """The deploy that knows that a job has ended, so that no control plane runs it again."""
    carry = {**deploy.carry, DONE: ",".join([*ended(deploy.carry), job.name])}
    if problem:
        carry[BAD] = "; ".join([*failed(deploy.carry), f"job '{job.name}' {problem}"])
    return replace(deploy, carry=carry)


def follow(deploy: Deploy, spec: AppSpec) -> bool:
    """Whether anything runs after this deploy's success."""
    return deploy.kind is DeployKind.CODE and bool(jobs(spec, deploy.carry, When.AFTER_SUCCESS))


def instance(app: App, release: Release, deploy: Deploy, job: Job, outcome: Mapping[str, str]) -> Workload:
    """What an engine is given to run a job: the release's image and variables, at the job's own size."""
    said = {"LEEWARD_DEPLOY": deploy.id, "LEEWARD_JOB": job.name, **outcome}
    if job.name == RELEASE:
        name, process = min(release.spec.processes.items(), key=_home)
    else:
        name, process = f"job-{job.name}".replace(" ", "-")[:_MAX_NAME].rstrip("-"), ProcessSpec(size=job.spec.size)
    made = workload(app, release, 0, name, process)
    known = {variable.key for variable in made.env}
    extra = tuple(Variable(key, Secret(value)) for key, value in sorted(said.items()) if key not in known)
    return replace(made, env=(*made.env, *extra), health=None, routed=None)


def _home(item: tuple[str, ProcessSpec]) -> tuple[bool, bool, bool, str]:
    """Of the processes the one as which the release command runs comes first: `web`, then those with volumes."""
    name, process = item
    return process.timed, name != WEB, not process.volumes, name


def hopeless(code: int, seconds: float) -> str:
    """How a job that failed has ended; '' for one that did not."""
    if not code:
        return ""
    return f"took longer than {seconds:g} s" if code == 124 else f"ended with {code}"

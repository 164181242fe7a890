"""What Google Cloud Build is asked for, and what its answers mean. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

BUILDER = "gcr.io/cloud-builders/docker"
"""The image in which Cloud Build runs docker, as Google gives it."""
CONTEXT, DOCKERFILE = "context", "Dockerfile"
CACHE_TAG = "leeward"
"""Moves with every build: it is what the next one takes its cache from."""
_STEP = re.compile(r'^Step #\d+(?: - "[^"]*")?: ?(.*)$', re.S)
_NAME = re.compile(r"[^A-Za-z0-9_-]")
# Secrets of a build that nobody takes away go by themselves.
_SECRET_TTL_S = 7200
RUNNING = frozenset({"STATUS_UNKNOWN", "PENDING", "QUEUED", "WORKING"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where builds run."""

    project: str
    location: str
    bucket: str

    @property
    def builds(self) -> str:
        """The address of its builds, below the service's."""
        return f"/v1/projects/{self.project}/locations/{self.location}/builds"

    @property
    def secrets(self) -> str:
        """The address of its secrets, below the service's."""
        return f"/v1/projects/{self.project}/secrets"


@dataclass(frozen=True, slots=True)
class Wanted:
    """All that one build needs."""

    app: str
    image: str
    """Where it is pushed to, without a tag."""
    source: str
    """The archive's name in the bucket."""
    generation: str
    """Which of the archives of that name."""
    timeout_s: int
    target: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    """Id that a step mounts to the version of a secret."""


def request(wanted: Wanted, place: Place) -> dict[str, Any]:
    """The body that creates a build."""
    cache = f"{wanted.image}:{CACHE_TAG}"
    step: dict[str, Any] = {
        "id": "build",
        "name": BUILDER,
        "env": ["DOCKER_BUILDKIT=1"],
        "args": ["build", *_arguments(wanted, cache), CONTEXT],
    }
    body: dict[str, Any] = {
        "source": {
            "storageSource": {"bucket": place.bucket, "object": wanted.source, "generation": wanted.generation},
        },
        "steps": [step],
        "images": [cache],
        "timeout": f"{wanted.timeout_s}s",
        "logsBucket": f"gs://{place.bucket}",
        "options": {"logging": "GCS_ONLY", "logStreamingOption": "STREAM_ON"},
        "tags": ["leeward", f"app-{wanted.app}"],
    }
    if wanted.secrets:
        step["secretEnv"] = sorted(wanted.secrets)
        versions = [{"versionName": version, "env": name} for name, version in sorted(wanted.secrets.items())]
        body["availableSecrets"] = {"secretManager": versions}
    return body


def _arguments(wanted: Wanted, cache: str) -> Iterator[str]:
    yield from ("--progress=plain", f"--file={DOCKERFILE}", f"--tag={cache}", f"--cache-from={cache}")
    yield "--build-arg=BUILDKIT_INLINE_CACHE=1"
    if wanted.target:
        yield f"--target={wanted.target}"
    # Cloud Build puts values in for `$NAME`; a dollar that is meant is written twice.
    yield from (f"--build-arg={key}={value}".replace("$", "$$") for key, value in sorted(wanted.args.items()))
    yield from (f"--label={key}={value}".replace("$", "$$") for key, value in sorted(wanted.labels.items()))
    yield from (f"--secret=id={name},env={name}" for name in sorted(wanted.secrets))


def on_bases(dockerfile: str, bases: Mapping[str, str]) -> str:
    """The Dockerfile with the full names of our base images: each name ends in a hash that nothing else has."""
    for name, other in bases.items():
        dockerfile = dockerfile.replace(name, other)
    return dockerfile


def source_name(app: str, key: str) -> str:
    """The name of a build's archive in the bucket."""
    return f"leeward/{app}/{_NAME.sub('-', key)}.tar.gz"


def secret_id(app: str, key: str, name: str) -> str:
    """The name of a build's secret."""
    return _NAME.sub("-", f"leeward-{app}-{key}-{name}")[:255]


def secret_body() -> dict[str, Any]:
    """A secret that goes by itself."""
    return {"replication": {"automatic": {}}, "ttl": f"{_SECRET_TTL_S}s"}


def log_name(id: str) -> str:
    """The name of a build's log in the bucket."""
    return f"log-{id}.txt"


def of_step(line: str) -> str | None:
    """What docker printed in a line of the log; None for what Cloud Build says itself."""
    found = _STEP.match(line)
    return found[1] if found else None


def digest(build: Mapping[str, Any]) -> str:
    """The digest of what was pushed; '' when nothing was."""
    images: Sequence[Mapping[str, Any]] = (build.get("results") or {}).get("images") or ()
    return str(images[0].get("digest", "")) if images else ""


def detail(build: Mapping[str, Any]) -> str:
    """Why it ended, in Google's words."""
    info = build.get("failureInfo") or {}
    return " ".join(str(info.get("detail") or build.get("statusDetail") or "").split())[:300]


def push_failed(build: Mapping[str, Any]) -> bool:
    """Whether the image was built, and could not be pushed."""
    return str((build.get("failureInfo") or {}).get("type", "")) in (
        "PUSH_FAILED",
        "PUSH_IMAGE_NOT_FOUND",
        "PUSH_NOT_AUTHORIZED",
    )


def refused(status: int, body: Mapping[str, Any]) -> str:
    """The reason in an answer that is an error."""
    told = body.get("error") or {}
    message = told.get("message") if isinstance(told, Mapping) else told
    return " ".join(str(message or f"status {status}").split())[:300]

"""The command that has a BuildKit somewhere else build an image and push it. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from leeward.plan.settle import EPOCH


@dataclass(frozen=True, slots=True)
class Order:
    """All that one build needs."""

    address: str
    context: Path
    work: Path
    """Has the Dockerfile; the facts of the result are written there."""
    name: str
    """Where the image is pushed to, without a tag."""
    target: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    bases: Mapping[str, str] = field(default_factory=dict)
    """Name in the Dockerfile to what BuildKit pulls for it."""
    secrets: tuple[Path, ...] = ()
    settled: bool = False
    """Whether the dates in the image are to be those of its source, so that the same source is the same digest."""


def facts(work: Path) -> Path:
    """Where the result is written."""
    return work / "facts.json"


def command(client: str, order: Order) -> tuple[str, ...]:
    """Credentials are no part of it: the client gives them to BuildKit when that asks, out of its own configuration."""
    return tuple(_command(client, order))


def _command(client: str, order: Order) -> Iterator[str]:
    yield from (client, f"--addr={order.address}", "build", "--progress=plain", "--frontend=dockerfile.v0")
    yield from (f"--local=context={order.context}", f"--local=dockerfile={order.work}")
    yield from _options(_all_options(order))
    yield from (f"--secret=id={path.name},src={path}" for path in order.secrets)
    yield f"--metadata-file={facts(order.work)}"
    # By digest only: it gets a tag once it is a release.
    output = f'type=image,"name={order.name}",push=true,push-by-digest=true,oci-mediatypes=false'
    yield f"--output={output}{',rewrite-timestamp=true' if order.settled else ''}"


def _all_options(order: Order) -> Iterator[tuple[str, str]]:
    if order.target:
        yield "target", order.target
    yield from ((f"build-arg:{key}", value) for key, value in sorted(order.args.items()))
    if order.settled and "SOURCE_DATE_EPOCH" not in order.args:
        yield "build-arg:SOURCE_DATE_EPOCH", str(EPOCH)
    yield from ((f"label:{key}", value) for key, value in sorted(order.labels.items()))
    yield from ((f"context:{name}", f"docker-image://{other}") for name, other in sorted(order.bases.items()))


def _options(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    for key, value in pairs:
        yield from ("--opt", f"{key}={value}")

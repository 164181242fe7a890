"""What an image is made of, step by step, before it is written as a Dockerfile."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Copy:
    """Bring files in: from the source, or from the stage `stage`; `owned` by the user that the app runs as.

    `dependencies`: one directory of a stage becomes a layer that its content alone decides, times included, so that
    nothing is written again before the push. It stands before the `Workdir` and the `Env` of the image.
    """

    sources: tuple[str, ...]
    target: str
    stage: str = ""
    owned: bool = False
    dependencies: bool = False


@dataclass(frozen=True, slots=True)
class Cache:
    """A directory that outlives the build, private to the app; `name` is the tool's."""

    name: str
    target: str
    locked: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """Run commands of ours, one after the other, or one of the user's as it is (`verbatim`).

    `network`: they reach package indexes. `secrets` are variables that only these commands see. Both are the work of
    `with-ca`, which every base has.
    """

    commands: tuple[str, ...]
    network: bool = False
    verbatim: bool = False
    caches: tuple[Cache, ...] = ()
    secrets: tuple[str, ...] = ()
    fingerprint: str = ""
    """Changes when the value of a secret does, so that the step runs again."""


@dataclass(frozen=True, slots=True)
class Packages:
    """Install Debian packages."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Env:
    """Variables from here on; `literal`: nothing in the values is filled in."""

    values: Mapping[str, str]
    literal: bool = False


@dataclass(frozen=True, slots=True)
class Workdir:
    """The directory from here on."""

    path: str


@dataclass(frozen=True, slots=True)
class User:
    """Who runs the following commands and the image."""

    name: str


Instruction = Copy | Run | Packages | Env | Workdir | User


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage; `base` is a flavour of base image, or the name of an earlier stage."""

    name: str
    base: str
    steps: tuple[Instruction, ...]


@dataclass(frozen=True, slots=True)
class Blueprint:
    """All stages, the last one being the image; None as `command` keeps the base's own."""

    stages: tuple[Stage, ...]
    command: str | None = None

"""Build on the image of a language's makers, where no package index has its compiler."""

import re

from leeward.builders.blueprint import Copy, Instruction, Stage
from leeward.builders.providers.provider import Context
from leeward.errors import PlanFailed
from leeward.model.build import Diagnostic

_MIRROR = re.compile(r"[a-z0-9][a-z0-9.-]{0,200}(:\d{1,5})?(/[a-z0-9][a-z0-9._/-]{0,200})?")
# `with-ca` is a script for any shell: what a makers' image trusts is what ours trust.
TRUST = Stage("trust", "debian13", ())
TRUSTED: tuple[Instruction, ...] = (
    Copy(("/usr/local/bin/with-ca",), "/usr/local/bin/with-ca", stage="trust"),
    # What apt is told by it.
    Copy(("/usr/local/share/leeward",), "/usr/local/share/leeward", stage="trust"),
)


def image(context: Context, registry: str, repository: str, tag: str) -> str:
    """The image's name, at the mirror that the app names; `registry` is '' for the engine's own default.

    Raises PlanFailed for what is no mirror.
    """
    option = context.option("IMAGE_MIRROR")
    if option is None:
        return f"{registry}/{repository}:{tag}" if registry else f"{repository}:{tag}"
    mirror = option[0].rstrip("/")
    if not _MIRROR.fullmatch(mirror):
        raise PlanFailed(
            f"'{option[0]}' ({option[1].file}) is no registry", hint="write it like 'registry.example.com/mirror'"
        )
    return f"{mirror}/{repository}:{tag}"


def note(what: str, name: str) -> Diagnostic:
    """That this image must be had from its registry."""
    return Diagnostic(
        "info",
        "makers-image",
        f"{what} comes in its makers' image '{name}': no package index has it",
        "where its registry cannot be reached, set the variable PLAN_IMAGE_MIRROR to one that has it, or load the "
        "image into this machine's engine",
    )

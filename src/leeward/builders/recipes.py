"""What each base image is made of. Pure.

A flavour is what an app needs to run (`python3.11`), or with `-build` what it needs to be built. Its tag is the hash of
its recipe, so a changed recipe is a new name and an old image is never mistaken for it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

# Raise it when the same packages give a different tree (files of our own, options of the bootstrap).
VERSION = 1
REPOSITORY = "leeward-base"

_RUN = ("ca-certificates", "media-types", "netbase", "tzdata")
_BUILD = ("build-essential", "curl", "git", "pkg-config")
_PYTHON = ("python-is-python3", "python3")
_PYTHON_BUILD = ("libffi-dev", "libpq-dev", "python3-dev", "python3-pip", "python3-venv")
# Node's own binary needs these; node-gyp needs a Python.
_NODE = ("libatomic1", "libstdc++6")
_NODE_BUILD = ("python3",)


@dataclass(frozen=True, slots=True)
class Recipe:
    """One base image: Debian packages of one suite, the major version of Node if any, and whether uv is in it."""

    flavour: str
    suite: str
    packages: tuple[str, ...]
    node: int | None = None
    build: bool = False

    @property
    def tag(self) -> str:
        """The hash of everything that the image is made from."""
        text = "\n".join((str(VERSION), self.suite, str(self.node), str(self.build), *sorted(self.packages)))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def image(self) -> str:
        """The image's name."""
        return f"{REPOSITORY}/{self.flavour}:{self.tag}"


def _pair(flavour: str, suite: str, run: tuple[str, ...], build: tuple[str, ...], node: int | None) -> list[Recipe]:
    return [
        Recipe(flavour, suite, (*_RUN, *run), node),
        Recipe(f"{flavour}-build", suite, (*_RUN, *run, *_BUILD, *build), node, build=True),
    ]


RECIPES: Mapping[str, Recipe] = {
    recipe.flavour: recipe
    for recipe in (
        *_pair("python3.11", "bookworm", _PYTHON, _PYTHON_BUILD, None),
        *_pair("python3.13", "trixie", _PYTHON, _PYTHON_BUILD, None),
        *_pair("node20", "bookworm", _NODE, _NODE_BUILD, 20),
        *_pair("node22", "bookworm", _NODE, _NODE_BUILD, 22),
        *_pair("node24", "bookworm", _NODE, _NODE_BUILD, 24),
        *_pair("debian12", "bookworm", (), (), None),
        Recipe("static", "bookworm", (*_RUN, "nginx-light")),
    )
}


def tags() -> Mapping[str, str]:
    """The tag of each flavour."""
    return {flavour: recipe.tag for flavour, recipe in RECIPES.items()}


def flavour_of(image: str) -> str | None:
    """The flavour that an image name means, or None when it is not one of ours."""
    repository, _, rest = image.partition("/")
    flavour = rest.partition(":")[0]
    return flavour if repository == REPOSITORY and flavour in RECIPES else None

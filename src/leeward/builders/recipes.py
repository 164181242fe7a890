"""What each base image is made of. Pure.

A flavour is what an app needs to run (`python3.11`), or with `-build` what it needs to be built. Its tag is the hash of
its recipe, so a changed recipe is a new name and an old image is never mistaken for it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from leeward.builders import rootfs

# Raise it when the same packages give a different tree (files of our own, options of the bootstrap).
VERSION = 1
REPOSITORY = "leeward-base"

_RUN = ("ca-certificates", "media-types", "netbase", "tzdata")
_BUILD = ("build-essential", "curl", "git", "pkg-config")
_PYTHON = ("python-is-python3", "python3")
_PYTHON_BUILD = ("libffi-dev", "libpq-dev", "python3-dev", "python3-pip", "python3-venv")
# Node is a layer on Debian: its binary needs these, and node-gyp needs a Python.
_DEBIAN = ("libatomic1", "libstdc++6")
_DEBIAN_BUILD = ("python3",)
_PHP_EXTENSIONS = (
    "bcmath",
    "cli",
    "curl",
    "fpm",
    "intl",
    "mbstring",
    "mysql",
    "opcache",
    "pgsql",
    "sqlite3",
    "xml",
    "zip",
)
_PHP_BUILD = ("composer", "unzip")
_RUBY = ("libyaml-0-2", "ruby", "ruby-bundler")
# What Debian's Erlang is linked against: a release brings the rest of it.
_ERLANG = ("libncurses6", "libsctp1", "libstdc++6", "libsystemd0", "openssl")
_ERLANG_BUILD = (
    *("elixir", "erlang-dev", "erlang-mnesia", "erlang-os-mon", "erlang-runtime-tools", "erlang-src", "erlang-xmerl"),
    "rebar3",
)
# The buildpacks of our own run on one pair: an interpreter that is not in the run image comes as a layer.
_BUILDPACKS = (*_DEBIAN, *_PYTHON, "nginx-light")
_RUBY_BUILD = ("libffi-dev", "libssl-dev", "libyaml-dev", "ruby-dev", "zlib1g-dev")


@dataclass(frozen=True, slots=True)
class Recipe:
    """One base image: Debian packages of one suite, or Node on top of a `parent`; a build base has uv too."""

    flavour: str
    suite: str
    packages: tuple[str, ...] = ()
    build: bool = False
    node: int | None = None
    parent: str | None = None
    parent_tag: str = ""
    trusts: bool = False
    """Whether `with-ca` knows the tools of more languages than Python and Node."""
    folders: tuple[str, ...] = ()
    """Made before the packages come."""

    @property
    def tag(self) -> str:
        """The hash of everything that the image is made from."""
        parts = (VERSION, self.suite, self.build, self.node, self.parent_tag, *sorted(self.packages))
        more = (rootfs.languages(self.flavour),) if self.trusts else ()
        text = "\n".join(map(str, (*parts, *more, *self.folders)))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def image(self) -> str:
        """The image's name."""
        return f"{REPOSITORY}/{self.flavour}:{self.tag}"


def _pair(flavour: str, suite: str, run: tuple[str, ...], build: tuple[str, ...]) -> list[Recipe]:
    return [
        Recipe(flavour, suite, (*_RUN, *run)),
        Recipe(f"{flavour}-build", suite, (*_RUN, *run, *_BUILD, *build), build=True),
    ]


def _node(major: int, parents: list[Recipe]) -> list[Recipe]:
    return [
        Recipe(
            parent.flavour.replace("debian12", f"node{major}"),
            parent.suite,
            build=parent.build,
            node=major,
            parent=parent.flavour,
            parent_tag=parent.tag,
        )
        for parent in parents
    ]


def _compiled(flavour: str, *packages: str) -> Recipe:
    """What a language needs that is compiled to a program: the program runs on `debian13`, with the same libc."""
    return Recipe(flavour, "trixie", (*_RUN, *_DEBIAN, *_BUILD, *packages), trusts=True)


def _language(
    flavour: str, suite: str, run: tuple[str, ...], build: tuple[str, ...], folders: tuple[str, ...] = ()
) -> list[Recipe]:
    return [
        Recipe(flavour, suite, (*_RUN, *run), trusts=True, folders=folders),
        Recipe(f"{flavour}-build", suite, (*_RUN, *run, *_BUILD, *build), trusts=True, folders=folders),
    ]


def _java(version: str, suite: str) -> list[Recipe]:
    jre, jdk = f"openjdk-{version}-jre-headless", f"openjdk-{version}-jdk-headless"
    # Its alternatives want a place for manuals.
    return _language(f"java{version}", suite, (jre,), ("maven", jdk), ("usr/share/man/man1",))


def _php(version: str, suite: str) -> list[Recipe]:
    run = ("nginx-light", *(f"php{version}-{name}" for name in _PHP_EXTENSIONS))
    return _language(f"php{version}", suite, run, _PHP_BUILD)


_DEBIAN12 = _pair("debian12", "bookworm", _DEBIAN, _DEBIAN_BUILD)

RECIPES: Mapping[str, Recipe] = {
    recipe.flavour: recipe
    for recipe in (
        *_pair("python3.11", "bookworm", _PYTHON, _PYTHON_BUILD),
        *_pair("python3.13", "trixie", _PYTHON, _PYTHON_BUILD),
        *_DEBIAN12,
        *_node(20, _DEBIAN12),
        *_node(22, _DEBIAN12),
        *_node(24, _DEBIAN12),
        Recipe("debian13", "trixie", (*_RUN, *_DEBIAN), trusts=True),
        _compiled("go-build", "golang-go"),
        _compiled("rust-build", "cargo", "libssl-dev", "rustc"),
        *_php("8.2", "bookworm"),
        *_php("8.4", "trixie"),
        *_language("ruby3.1", "bookworm", _RUBY, _RUBY_BUILD),
        *_language("ruby3.3", "trixie", _RUBY, _RUBY_BUILD),
        *_java("17", "bookworm"),
        *_java("21", "trixie"),
        *_java("25", "trixie"),
        *_language("elixir1.14", "bookworm", _ERLANG, _ERLANG_BUILD),
        *_language("elixir1.18", "trixie", _ERLANG, (*_ERLANG_BUILD, "erlang-hex")),
        Recipe("static", "bookworm", (*_RUN, "nginx-light")),
        Recipe("buildpacks", "trixie", (*_RUN, *_BUILDPACKS), trusts=True),
        Recipe(
            "buildpacks-build",
            "trixie",
            (*_RUN, *_BUILDPACKS, *_BUILD, *_PYTHON_BUILD, "golang-go"),
            build=True,
            trusts=True,
        ),
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

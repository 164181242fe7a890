"""What an image is made of: its base, its layers, and the packages in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Ecosystem(StrEnum):
    """Where a package comes from; the values are the types of package URLs."""

    DEB = "deb"
    PYPI = "pypi"
    NPM = "npm"
    GO = "golang"
    MAVEN = "maven"
    GEM = "gem"
    COMPOSER = "composer"


@dataclass(frozen=True, slots=True, order=True)
class Component:
    """One package of an image; `path` is the file that says so, without a leading slash."""

    ecosystem: Ecosystem
    name: str
    version: str
    path: str = ""
    arch: str = ""

    @property
    def purl(self) -> str:
        """Its package URL."""
        space = {"deb": "debian/"}.get(self.ecosystem.value, "")
        arch = f"?arch={self.arch}" if self.arch else ""
        return f"pkg:{self.ecosystem.value}/{space}{_quoted(self.name)}@{_quoted(self.version)}{arch}"


@dataclass(frozen=True, slots=True)
class LayerPackages:
    """What one layer says about packages, and the paths that it takes away from the layers below.

    A removed path that ends with a slash is a folder whose former content is gone.
    """

    components: tuple[Component, ...] = ()
    removed: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    """The files that were read, those without any package too: they replace what a lower layer had there."""


@dataclass(frozen=True, slots=True)
class BaseMark:
    """Which base an image stands on, as its labels say."""

    flavour: str
    tag: str = ""
    """The hash of its recipe."""
    content: str = ""
    """The digest of its packages and their versions; '' for an image that was made before bases had one."""
    abi: str = ""
    """What programs above it are linked against, by the names of packages."""
    layers: int = 1
    """How many layers it is."""
    built: str = ""
    """Of an image on it: the bases that it was built in, as `go-build:<content>`, parted by spaces."""

    @property
    def built_in(self) -> Mapping[str, str]:
        """The bases that the image was built in: flavour to content."""
        pairs = (word.partition(":")[::2] for word in self.built.split())
        return {flavour: content for flavour, content in pairs if flavour and content}


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """An image in the registry: digests of its layers' tars from the bottom, and the base that they begin with."""

    reference: str
    layers: tuple[str, ...]
    arch: str = ""
    base: BaseMark | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """An app, its live release, and the base that this stands on; None when nobody knows, or it has none."""

    app: str
    number: int
    base: BaseMark | None


@dataclass(frozen=True, slots=True)
class Held:
    """An image that is kept: where each of its parts lies and how large it is, so that shared ones count once."""

    app: str
    reference: str
    made: float
    """Unix seconds."""
    parts: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A package of which a newer version can be had; `suite` is where."""

    package: str
    present: str
    newer: str
    suite: str = ""

    @property
    def security(self) -> bool:
        """Whether it comes from the archive of security updates."""
        return self.suite.endswith("-security")

    def __str__(self) -> str:
        return f"{self.package} {self.present} -> {self.newer}{f' ({self.suite})' if self.security else ''}"


@dataclass(frozen=True, slots=True)
class Base:
    """A base image in the engine's store; `image` is the name by which exactly this content is found."""

    mark: BaseMark
    image: str


@dataclass(frozen=True, slots=True)
class BaseState:
    """What is known of a base: its present content, the one before, and what its mirror has newer."""

    flavour: str
    content: str = ""
    former: str = ""
    newer: tuple[Upgrade, ...] = ()
    checked_at: datetime | None = None
    problem: str = ""
    """Why the last look failed, '' when it did not."""


def _quoted(text: str) -> str:
    """As package URLs want it: what is no letter, digit or one of `.-_~/` in hexadecimal."""
    kept = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_~/:"
    return "".join(chr(byte) if byte in kept else f"%{byte:02X}" for byte in text.encode())

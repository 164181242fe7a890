"""Which versions of which tools this release of Leeward can give."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Offer:
    """One version that can be had: `name` is what people ask for, `full` what they get at least."""

    name: str
    full: tuple[int, int, int]
    supported: bool = True
    """False once its makers have ended its support."""
    codename: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool with its versions, oldest first."""

    name: str
    offers: tuple[Offer, ...]
    usual: str
    """Taken when nobody asks for a version."""

    @property
    def names(self) -> tuple[str, ...]:
        """The versions' names."""
        return tuple(offer.name for offer in self.offers)

    def offer(self, name: str) -> Offer | None:
        """The version with this name."""
        return next((offer for offer in self.offers if offer.name == name), None)


# Debian's own interpreters: bookworm has 3.11, trixie has 3.13; no suite has 3.10 or 3.12.
PYTHON = Tool("python", (Offer("3.11", (3, 11, 2)), Offer("3.13", (3, 13, 5))), usual="3.13")
NODE = Tool(
    "node",
    (
        Offer("20", (20, 20, 2), supported=False, codename="iron"),
        Offer("22", (22, 23, 3), codename="jod"),
        Offer("24", (24, 21, 0), codename="krypton"),
    ),
    usual="24",
)
# Debian 13's own. A newer Go or Rust builds what was written for an older one.
GO = Tool("go", (Offer("1.24", (1, 24, 4)),), usual="1.24")
PHP = Tool("php", (Offer("8.2", (8, 2, 29)), Offer("8.4", (8, 4, 11))), usual="8.4")
RUBY = Tool("ruby", (Offer("3.3", (3, 3, 8)),), usual="3.3")
RUST = Tool("rust", (Offer("1.85", (1, 85, 0)),), usual="1.85")
JAVA = Tool("java", (Offer("21", (21, 0, 8)),), usual="21")

# The first release of each package with wheels for CPython 3.13 (from its file list on PyPI): an older pin would
# have to be compiled from source, and mostly cannot be.
WHEELS_FOR_PYTHON_313: Mapping[str, tuple[int, ...]] = {
    "aiohttp": (3, 10, 6),
    "asyncpg": (0, 30),
    "cffi": (1, 17, 1),
    "duckdb": (1, 1, 1),
    "frozenlist": (1, 5),
    "gevent": (24, 10, 1),
    "greenlet": (3, 1),
    "grpcio": (1, 67),
    "httptools": (0, 6, 2),
    "llvmlite": (0, 44),
    "lxml": (5, 3),
    "markupsafe": (3, 0),
    "matplotlib": (3, 9, 2),
    "msgpack": (1, 1),
    "multidict": (6, 1),
    "numba": (0, 61),
    "numpy": (2, 1),
    "orjson": (3, 10, 7),
    "pandas": (2, 2, 3),
    "pillow": (11, 0),
    "psycopg-binary": (3, 2, 3),
    "psycopg2-binary": (2, 9, 10),
    "pyarrow": (18, 0),
    "pydantic": (2, 8),
    "pydantic-core": (2, 20),
    "pyyaml": (6, 0, 2),
    "regex": (2024, 9, 11),
    "scikit-learn": (1, 5, 2),
    "scipy": (1, 14, 1),
    "shapely": (2, 0, 7),
    "spacy": (3, 8, 7),
    "sqlalchemy": (2, 0, 31),
    "tensorflow": (2, 20),
    "tiktoken": (0, 8),
    "torch": (2, 6),
    "uvloop": (0, 21),
    "yarl": (1, 12),
    "zstandard": (0, 23),
}

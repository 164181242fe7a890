"""Which versions of which tools this release of Leeward can give, and how long each gets fixes.

`eol` is the day on which a version's makers end its support, from their own release policies: python.org (PEP 664 and
719), nodejs.org (release schedule), go.dev (the two newest releases), php.net (supported versions), ruby-lang.org
(branches), forge.rust-lang.org (the newest release only), OpenJDK's and Adoptium's roadmaps, dotnet.microsoft.com
(support policy), deno.com (stability), hexdocs.pm/elixir (compatibility). `kept` is the day until which Debian fixes
its own package of it: debian.org/releases, long-term support included. What got fixes on `AS_OF`, the day this list was
last read, is `supported`: a plan never asks a clock, so the same release of Leeward gives the same plan on any day.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

AS_OF = "2026-11-24"
# Said before the end comes, in time to move.
_SOON = timedelta(days=90)
_BOOKWORM = "2028-06-30"
_TRIXIE = "2030-06-30"


@dataclass(frozen=True, slots=True)
class Offer:
    """One version that can be had: `name` is what people ask for, `full` what they get at least."""

    name: str
    full: tuple[int, int, int]
    eol: str = ""
    """The day its makers end its support, '' when none is announced."""
    kept: str = ""
    """The day until which Debian fixes what is installed here, '' when it is not Debian's."""
    codename: str = ""

    @property
    def until(self) -> str:
        """The last day of fixes, whoever makes them; '' when none is announced."""
        return max(self.eol, self.kept) if self.eol else ""

    @property
    def supported(self) -> bool:
        """Whether it got fixes on the day of this list."""
        return not self.until or self.until > AS_OF

    @property
    def ending(self) -> bool:
        """Whether its fixes end soon after the day of this list."""
        return self.supported and bool(self.until) and _day(self.until) - _day(AS_OF) <= _SOON


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


def _day(text: str) -> date:
    return date.fromisoformat(text)


# Debian's own interpreters: bookworm has 3.11, trixie has 3.13; no suite has 3.10 or 3.12.
PYTHON = Tool(
    "python",
    (
        Offer("3.11", (3, 11, 2), "2027-10-31", _BOOKWORM),
        Offer("3.13", (3, 13, 5), "2029-10-31", _TRIXIE),
    ),
    usual="3.13",
)
NODE = Tool(
    "node",
    (
        Offer("20", (20, 20, 2), "2026-04-30", codename="iron"),
        Offer("22", (22, 23, 3), "2027-04-30", codename="jod"),
        Offer("24", (24, 21, 0), "2028-04-30", codename="krypton"),
    ),
    usual="24",
)
# 1.24 is Debian 13's own; the others are fetched by it from the module index (`GOTOOLCHAIN`), at exactly this patch.
GO = Tool(
    "go",
    (
        Offer("1.21", (1, 21, 13), "2024-08-13"),
        Offer("1.22", (1, 22, 12), "2025-02-11"),
        Offer("1.23", (1, 23, 12), "2025-08-12"),
        Offer("1.24", (1, 24, 4), "2026-02-10", _TRIXIE),
        Offer("1.25", (1, 25, 14), "2026-08-18"),
        Offer("1.26", (1, 26, 11), "2027-02-28"),
        Offer("1.27", (1, 27, 4), "2027-08-31"),
    ),
    usual="1.24",
)
PHP = Tool(
    "php",
    (Offer("8.2", (8, 2, 29), "2026-12-31", _BOOKWORM), Offer("8.4", (8, 4, 11), "2028-12-31", _TRIXIE)),
    usual="8.4",
)
RUBY = Tool(
    "ruby",
    (Offer("3.1", (3, 1, 2), "2025-03-26", _BOOKWORM), Offer("3.3", (3, 3, 8), "2027-03-31", _TRIXIE)),
    usual="3.3",
)
# 1.85 is Debian 13's own; the other comes in its makers' image, which is made of the same Debian. No
# day is announced: each release is kept until the next.
RUST = Tool(
    "rust",
    (Offer("1.85", (1, 85, 1), "2025-04-03", _TRIXIE), Offer("1.97", (1, 97, 1))),
    usual="1.85",
)
JAVA = Tool(
    "java",
    (
        Offer("17", (17, 0, 21), "2027-10-31", _BOOKWORM),
        Offer("21", (21, 0, 13), "2029-12-31", _TRIXIE),
        Offer("25", (25, 0, 5), "2031-09-30", _TRIXIE),
    ),
    usual="21",
)
# From npm, at exactly this patch.
DENO = Tool("deno", (Offer("2.5", (2, 5, 7), "2026-04-30"), Offer("2.9", (2, 9, 6))), usual="2.9")
# Debian's Elixir with Debian's Erlang/OTP: 25 and 27.
ELIXIR = Tool(
    "elixir",
    (Offer("1.14", (1, 14, 0), "2025-10-16", _BOOKWORM), Offer("1.18", (1, 18, 3), kept=_TRIXIE)),
    usual="1.18",
)
# Its makers' own images: Debian has none.
DOTNET = Tool(
    "dotnet",
    (
        Offer("8", (8, 0, 0), "2026-11-10"),
        Offer("9", (9, 0, 0), "2026-11-10"),
        Offer("10", (10, 0, 0), "2028-11-14"),
    ),
    usual="10",
)

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

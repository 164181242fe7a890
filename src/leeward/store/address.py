"""Say which database server is meant, without showing its password."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from leeward.errors import Invalid, Problem


@dataclass(frozen=True, slots=True)
class Address:
    """A PostgreSQL database; prints with stars for the password."""

    url: URL

    @property
    def dsn(self) -> str:
        """For the driver itself."""
        return self.url.set(drivername="postgresql").render_as_string(hide_password=False)

    def __str__(self) -> str:
        return self.url.set(drivername="postgresql").render_as_string(hide_password=True)


def address(file: Path) -> Address:
    """The database whose URL stands in a file. Raises Invalid, without the text: it may hold a password."""
    try:
        url = make_url(file.read_text().strip())
    except (OSError, UnicodeDecodeError) as error:
        reason = (getattr(error, "strerror", None) or "no text").lower()
        raise Invalid(
            [Problem("LEEWARD_DATABASE_FILE", f"'{file}' cannot be read: {reason}", "name a file with the URL")]
        ) from error
    except ArgumentError:
        url = None
    if url is None or url.get_backend_name() not in ("postgresql", "postgres") or not url.database:
        problem = f"'{file}' does not hold the URL of a PostgreSQL database"
        hint = "write one line like 'postgresql://user:password@host:5432/leeward'"
        raise Invalid([Problem("LEEWARD_DATABASE_FILE", problem, hint)])
    return Address(url.set(drivername="postgresql+asyncpg"))

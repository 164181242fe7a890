"""Bring a database to the newest revision."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

MIGRATIONS = Path(__file__).parent / "migrations"


def newest() -> str:
    """The newest revision: revisions are numbered, and named like their files."""
    return max(path.stem for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def present(connection: Connection) -> str:
    """The revision of a database, '' when it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or "")


def migrate(connection: Connection) -> None:
    """Run what is missing; repeatable. A database that is up to date costs one query, and no import of Alembic."""
    if present(connection) == newest():
        return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")

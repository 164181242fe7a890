"""The tables, as SQLite and PostgreSQL both take them.

Times are Unix seconds, structured values are JSON text, secrets are sealed text (see `vault.py`).
A change here needs a migration beside it; a test compares the two.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    false,
    text,
)

metadata = MetaData()

# SQLite numbers rows by itself only where the type is exactly INTEGER.
Number = BigInteger().with_variant(Integer(), "sqlite")

data_keys = Table(
    "data_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project", Text, nullable=False, unique=True),
    Column("master", Text, nullable=False),
    Column("wrapped", Text, nullable=False),
    Column("created_at", Double, nullable=False),
)

apps = Table(
    "apps",
    metadata,
    Column("name", Text, primary_key=True),
    Column("project", Text, nullable=False),
    Column("spec", Text, nullable=False),
    Column("overrides", Text, nullable=False),
    Column("domains", Text, nullable=False),
    Column("source", Text),
    Column("live", Integer),
    Column("generation", Number, nullable=False),
    Column("cache_generation", Integer, nullable=False),
    Column("hook_digest", Text, nullable=False),
    Column("webhook_secret", Text),
    Column("versions", Text, nullable=False),
    Column("deleted", Boolean, nullable=False, server_default=false()),
    Column("created_at", Double),
)

variables = Table(
    "variables",
    metadata,
    Column("app", Text, ForeignKey("apps.name", ondelete="CASCADE"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("secret", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
)

releases = Table(
    "releases",
    metadata,
    Column("app", Text, ForeignKey("apps.name", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("image", Text, nullable=False),
    Column("spec", Text, nullable=False),
    Column("env", Text, nullable=False),
    Column("commands", Text, nullable=False),
    Column("read_only", Boolean, nullable=False),
    Column("commit", Text),
    Column("message", Text, nullable=False),
    Column("created_at", Double),
    Column("deploy", Text, nullable=False),
    Index(
        "one_release_of_a_deploy",
        "deploy",
        unique=True,
        sqlite_where=text("deploy <> ''"),
        postgresql_where=text("deploy <> ''"),
    ),
)

deploys = Table(
    "deploys",
    metadata,
    Column("seq", Number, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("app", Text, ForeignKey("apps.name", ondelete="CASCADE"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("release", Integer),
    Column("commit", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("cancel", Boolean, nullable=False),
    Column("error", Text),
    Column("receipt", Text),
    Column("carry", Text, nullable=False),
    Column("created_at", Double),
    Column("ended_at", Double),
    Column("owner", Text, nullable=False, server_default=""),
    Column("lease_until", Double, nullable=False, server_default="0"),
    Index(
        "one_running_deploy_of_an_app",
        "app",
        unique=True,
        sqlite_where=text("status = 'running'"),
        postgresql_where=text("status = 'running'"),
    ),
    Index("deploys_by_app", "app", "seq"),
    Index("deploys_by_status", "status", "seq"),
    sqlite_autoincrement=True,
)

steps = Table(
    "steps",
    metadata,
    Column("deploy", Text, ForeignKey("deploys.id", ondelete="CASCADE"), primary_key=True),
    Column("phase", Text, primary_key=True),
    Column("started_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("detail", Text, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("app", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("data", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Index("events_by_app", "app", "id"),
    sqlite_autoincrement=True,
)

users = Table(
    "users",
    metadata,
    Column("name", Text, primary_key=True),
    Column("password_hash", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("created_at", Double),
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("user", Text, ForeignKey("users.name", ondelete="CASCADE"), nullable=False),
    Column("expires_at", Double, nullable=False),
    Index("sessions_by_end", "expires_at"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("digest", Text, nullable=False, unique=True),
    Column("scope", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
    Column("last_used_at", Double),
)

answers = Table(
    "answers",
    metadata,
    Column("key", Text, primary_key=True),
    Column("request_digest", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("at", Double, nullable=False),
    Index("answers_by_age", "at"),
)

regions = Table(
    "regions",
    metadata,
    Column("name", Text, primary_key=True),
    Column("engine", Text, nullable=False),
    Column("credentials", Text),
    Column("context", Text, nullable=False),
    Column("registry", Text, nullable=False),
    Column("profile", Text, nullable=False),
    Column("pull_secret", Text),
    Column("options", Text, nullable=False),
    Column("created_at", Double),
)

logins = Table(
    "logins",
    metadata,
    Column("host", Text, primary_key=True),
    Column("username", Text, nullable=False),
    Column("password", Text, nullable=False),
    Column("created_at", Double),
)

# What the image of a release is: the base that it stands on, as JSON text.
images = Table(
    "images",
    metadata,
    Column("app", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("arch", Text, nullable=False),
    Column("base", Text),
    ForeignKeyConstraint(["app", "number"], ["releases.app", "releases.number"], ondelete="CASCADE"),
)

image_layers = Table(
    "image_layers",
    metadata,
    Column("app", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("layer", Text, nullable=False),
    ForeignKeyConstraint(["app", "number"], ["images.app", "images.number"], ondelete="CASCADE"),
    Index("image_layers_by_layer", "layer"),
)

# What a layer says of packages, once for all images that have it.
layers = Table(
    "layers",
    metadata,
    Column("layer", Text, primary_key=True),
    Column("packages", Text, nullable=False),
)

# Only names: an index into `layers`.
packages = Table(
    "packages",
    metadata,
    Column("name", Text, primary_key=True),
    Column("layer", Text, ForeignKey("layers.layer", ondelete="CASCADE"), primary_key=True),
    Index("packages_by_layer", "layer"),
)

bases = Table(
    "bases",
    metadata,
    Column("flavour", Text, primary_key=True),
    Column("content", Text, nullable=False),
    Column("former", Text, nullable=False),
    Column("newer", Text, nullable=False),
    Column("problem", Text, nullable=False),
    Column("checked_at", Double),
)

runs = Table(
    "runs",
    metadata,
    Column("app", Text, ForeignKey("apps.name", ondelete="CASCADE"), primary_key=True),
    Column("id", Text, primary_key=True),
    Column("process", Text, nullable=False),
    Column("release", Integer, nullable=False),
    Column("cause", Text, nullable=False),
    Column("scheduled_at", Double, nullable=False),
    Column("state", Text, nullable=False),
    Column("instance", Text, nullable=False),
    Column("started_at", Double),
    Column("ended_at", Double),
    Column("attempts", Integer, nullable=False),
    Column("exit_code", Integer),
    Column("reason", Text, nullable=False),
    Column("hint", Text, nullable=False),
    Column("tail", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("cancel", Text, nullable=False),
    Index("runs_by_time", "app", "process", "scheduled_at"),
    Index(
        "runs_that_go_on",
        "app",
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
)

# Since when each schedule counts.
schedules = Table(
    "schedules",
    metadata,
    Column("app", Text, ForeignKey("apps.name", ondelete="CASCADE"), primary_key=True),
    Column("process", Text, primary_key=True),
    Column("text", Text, nullable=False),
    Column("since", Double, nullable=False),
)

# Files that follow the lead: a name to what it is now, and that in parts.
kept_files = Table(
    "kept_files",
    metadata,
    Column("name", Text, primary_key=True),
    Column("file", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("used_at", Double, nullable=False),
)

kept_parts = Table(
    "kept_parts",
    metadata,
    Column("file", Text, primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

# What builds printed, where that follows the lead.
build_lines = Table(
    "build_lines",
    metadata,
    Column("id", Number, primary_key=True),
    Column("app", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("last_at", Double, nullable=False),
    Column("size", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Index("build_lines_by_source", "app", "source", "id"),
)

"""Who may do what."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Scope(StrEnum):
    """What a token may do; each one includes those before it."""

    READ = "read"
    DEPLOY = "deploy"
    ADMIN = "admin"

    def covers(self, wanted: "Scope") -> bool:
        """Whether a holder of this scope may do what needs `wanted`."""
        order = list(Scope)
        return order.index(self) >= order.index(wanted)


@dataclass(frozen=True, slots=True)
class User:
    """A person who can sign in. `password_hash` is argon2id."""

    name: str
    password_hash: str
    scope: Scope = Scope.ADMIN
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """An API token; only the SHA-256 of its text is kept. `prefix` is its first 12 characters, to recognise it by."""

    id: str
    name: str
    prefix: str
    digest: str
    scope: Scope
    user: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a name for the audit log and what they may do."""

    name: str
    scope: Scope
    token: str = ""

"""Keep people, their sessions and tokens, and answers to repeated requests."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from leeward.errors import Conflict, NotFound
from leeward.model.access import Scope, Token, User
from leeward.store.database import Database, put, to_the_end
from leeward.store.rows import moment, seconds
from leeward.store.tables import answers, sessions, tokens, users
from leeward.store.vault import Vault

ANSWER_S = 24 * 3600
USE_NOTED_S = 60
# The data key of what belongs to no project.
PLATFORM = "(platform)"


class SqlAccessStore:
    """People, sessions and tokens, by digests only; answers are sealed, for they may hold a new token."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    @to_the_end
    async def put_user(self, user: User) -> None:
        """Add a person, or change one."""
        values = {
            "password_hash": user.password_hash,
            "scope": user.scope.value,
            "created_at": seconds(user.created_at),
        }
        async with self._database.write() as connection:
            await put(connection, users, {"name": user.name}, values)

    async def find_user(self, name: str) -> User | None:
        """The person, or None."""
        async with self._database.read() as connection:
            row = (await connection.execute(select(users).where(users.c.name == name))).first()
        return None if row is None else _user(row)

    async def users(self) -> Sequence[User]:
        """Everybody, by name."""
        async with self._database.read() as connection:
            return [_user(row) for row in await connection.execute(select(users).order_by(users.c.name))]

    @to_the_end
    async def add_session(self, digest: str, user: str, expires_at: datetime) -> None:
        """Remember that a person signed in. Raises NotFound when there is no such person."""
        values = {"digest": digest, "user": user, "expires_at": expires_at.timestamp()}
        try:
            async with self._database.write() as connection:
                await connection.execute(insert(sessions).values(**values))
        except IntegrityError as error:
            raise NotFound(f"there is no user '{user}'", hint="sign in again") from error

    async def find_session(self, digest: str, now: datetime) -> User | None:
        """Who signed in, while that is not over."""
        query = (
            select(users)
            .join(sessions, sessions.c.user == users.c.name)
            .where(sessions.c.digest == digest, sessions.c.expires_at > now.timestamp())
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else _user(row)

    @to_the_end
    async def end_session(self, digest: str) -> None:
        """Forget one; repeatable."""
        async with self._database.write() as connection:
            await connection.execute(delete(sessions).where(sessions.c.digest == digest))

    @to_the_end
    async def add_token(self, token: Token) -> None:
        """Add a token. Raises Conflict when its id or digest is known."""
        values = {
            "id": token.id,
            "name": token.name,
            "prefix": token.prefix,
            "digest": token.digest,
            "scope": token.scope.value,
            "user": token.user,
            "created_at": seconds(token.created_at),
            "expires_at": seconds(token.expires_at),
            "revoked_at": seconds(token.revoked_at),
            "last_used_at": seconds(token.last_used_at),
        }
        try:
            async with self._database.write() as connection:
                await connection.execute(insert(tokens).values(**values))
        except IntegrityError as error:
            raise Conflict(f"token '{token.id}' already exists", hint="make another one") from error

    @to_the_end
    async def find_token(self, digest: str, now: datetime) -> Token | None:
        """A token that is neither revoked nor expired; its last use is noted (at most once a minute)."""
        at = now.timestamp()
        async with self._database.read() as connection:
            row = (await connection.execute(select(tokens).where(tokens.c.digest == digest))).first()
        if row is None or row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= at):
            return None
        if row.last_used_at is None or at - row.last_used_at >= USE_NOTED_S:
            async with self._database.write() as connection:
                await connection.execute(update(tokens).where(tokens.c.id == row.id).values(last_used_at=at))
        return _token(row)

    async def tokens(self) -> Sequence[Token]:
        """All, newest first, revoked ones too."""
        query = select(tokens).order_by(tokens.c.created_at.desc(), tokens.c.id)
        async with self._database.read() as connection:
            return [_token(row) for row in await connection.execute(query)]

    @to_the_end
    async def revoke_token(self, id: str, now: datetime) -> None:
        """End a token for ever; repeatable. Raises NotFound."""
        change = update(tokens).where(tokens.c.id == id, tokens.c.revoked_at.is_(None))
        async with self._database.write() as connection:
            await connection.execute(change.values(revoked_at=now.timestamp()))
            if (await connection.execute(select(tokens.c.id).where(tokens.c.id == id))).first() is None:
                raise NotFound(f"there is no token '{id}'", hint="'lee tokens list' shows those that there are")

    @to_the_end
    async def remember(self, key: str, request_digest: str, answer: str, now: datetime) -> None:
        """Keep the answer to an `Idempotency-Key` for 24 hours."""
        at = now.timestamp()
        async with self._database.write() as connection:
            await connection.execute(delete(answers).where(answers.c.at <= at - ANSWER_S))
            await connection.execute(delete(sessions).where(sessions.c.expires_at <= at))
            data_key = await self._vault.data_key(connection, PLATFORM, at)
            sealed = self._vault.seal(data_key, ("answer", key), answer)
            await put(connection, answers, {"key": key}, {"request_digest": request_digest, "answer": sealed, "at": at})

    async def recall(self, key: str, now: datetime) -> tuple[str, str] | None:
        """`(request_digest, answer)`, or None."""
        query = select(answers).where(answers.c.key == key, answers.c.at > now.timestamp() - ANSWER_S)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else (row.request_digest, self._vault.open(("answer", key), row.answer))


def _user(row: Any) -> User:
    return User(row.name, row.password_hash, Scope(row.scope), moment(row.created_at))


def _token(row: Any) -> Token:
    created_at = moment(row.created_at)
    assert created_at is not None  # the column is NOT NULL
    return Token(
        id=row.id,
        name=row.name,
        prefix=row.prefix,
        digest=row.digest,
        scope=Scope(row.scope),
        user=row.user,
        created_at=created_at,
        expires_at=moment(row.expires_at),
        revoked_at=moment(row.revoked_at),
        last_used_at=moment(row.last_used_at),
    )

"""Seal secrets so that the database alone tells nothing and a ciphertext fits one place only.

    master key (file, 0600) --wraps--> data key of a project --AES-256-GCM, AAD = place--> sealed text

A sealed text names its data key: `1.<data key id>.<base64 of nonce and ciphertext>`.
"""

import base64
import hashlib
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from leeward.errors import Conflict
from leeward.store.tables import data_keys

_NONCE_BYTES = 12
_KEY_BYTES = 32

Place = tuple[str, ...]
"""Where a secret belongs: kind, app, key, version. Sealed for one place, it opens at no other."""


class Vault:
    """Seals and opens; holds the data keys that were used so far."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._master = b""
        self._keys: dict[str, AESGCM] = {}
        self._by_project: dict[str, str] = {}

    async def load(self, connection: AsyncConnection) -> None:
        """Read the master key, made at the first start, and the data keys. Raises Conflict when it is the wrong one."""
        rows = (await connection.execute(select(data_keys))).all()
        self._master = _master_key(self._file, may_make=not rows)
        for row in rows:
            try:
                key = _open(AESGCM(self._master), ("data key", row.project, row.id), row.wrapped)
            except InvalidTag as error:
                raise Conflict(
                    f"'{self._file}' is not the master key of this database",
                    hint="restore the file and the database from the same backup",
                    code="master-key-wrong",
                ) from error
            self._keys[row.id] = AESGCM(key)
            self._by_project[row.project] = row.id

    async def data_key(self, connection: AsyncConnection, project: str, now: float) -> str:
        """The id of a project's data key, made within the caller's transaction when there is none."""
        if project in self._by_project:
            # Another transaction may have been rolled back after it made the key: the row decides.
            known = self._by_project[project]
            if (await connection.execute(select(data_keys.c.id).where(data_keys.c.id == known))).first():
                return known
        key, name = secrets.token_bytes(_KEY_BYTES), secrets.token_hex(8)
        wrapped = _seal(AESGCM(self._master), ("data key", project, name), key)
        master = hashlib.sha256(self._master).hexdigest()[:16]
        await connection.execute(
            insert(data_keys).values(id=name, project=project, master=master, wrapped=wrapped, created_at=now)
        )
        self._keys[name] = AESGCM(key)
        self._by_project[project] = name
        return name

    def seal(self, key: str, place: Place, text: str) -> str:
        """The sealed text."""
        return f"1.{key}.{_seal(self._keys[key], (key, *place), text.encode('utf-8', 'surrogatepass'))}"

    def open(self, place: Place, sealed: str) -> str:
        """The text. Raises Conflict when it was sealed for another place, or changed."""
        version, _, rest = sealed.partition(".")
        key, _, body = rest.partition(".")
        try:
            if version != "1":
                raise InvalidTag
            return _open(self._keys[key], (key, *place), body).decode("utf-8", "surrogatepass")
        except (InvalidTag, KeyError, ValueError) as error:
            raise Conflict(
                f"the secret at '{'/'.join(place)}' was not sealed for this place",
                hint="the database was changed outside of the platform: set the value again, or restore a backup",
                code="secret-refused",
            ) from error


def _seal(cipher: AESGCM, place: Place, data: bytes) -> str:
    nonce = os.urandom(_NONCE_BYTES)
    return base64.b64encode(nonce + cipher.encrypt(nonce, data, _aad(place))).decode()


def _open(cipher: AESGCM, place: Place, text: str) -> bytes:
    data = base64.b64decode(text, validate=True)
    return cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], _aad(place))


def _aad(place: Place) -> bytes:
    # Lengths first, so that no two places have the same bytes.
    return b"leeward" + b"".join(b"%d:%s" % (len(part.encode()), part.encode()) for part in place)


def _master_key(file: Path, may_make: bool) -> bytes:
    if not file.exists():
        if not may_make:
            raise Conflict(
                f"the master key '{file}' is missing, so that no secret can be opened",
                hint="restore the file from the backup of this database",
                code="master-key-missing",
            )
        _make(file)
    if file.stat().st_mode & 0o077:
        file.chmod(0o600)
    key = file.read_bytes()
    if len(key) != _KEY_BYTES:
        raise Conflict(
            f"'{file}' has {len(key)} bytes instead of {_KEY_BYTES}",
            hint="restore the file from a backup",
            code="master-key-wrong",
        )
    return key


def _make(file: Path) -> None:
    """Write a new key so that a crash leaves the whole key or none."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, secrets.token_bytes(_KEY_BYTES))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    part.rename(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

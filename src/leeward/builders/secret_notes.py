"""Remembers which layers were looked through for which secrets, so that no layer is looked through twice.

A note is a file for each layer with a keyed hash (HMAC) of every value that it was found to be free of. Without the key
it tells nothing of a value; lost notes cost time only.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

# Raise it when the scan finds more than before: then every layer is looked through again.
VERSION = 2
_MOST = 5000


class Notes:
    """The notes of one home."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = b""

    def marks(self, values: Mapping[str, str]) -> frozenset[str]:
        """The keyed hash of each variable's value."""
        if not self._key:
            self._key = self._load()
        return frozenset(self._mark(name, value) for name, value in values.items())

    def clean(self, diff: str, marks: frozenset[str]) -> bool:
        """Whether a layer is known to be free of these values."""
        with contextlib.suppress(OSError):
            note = self._note(diff)
            if marks <= set(note.read_text().split()):
                os.utime(note)
                return True
        return False

    def remember(self, diff: str, marks: frozenset[str]) -> None:
        """A layer is free of these values, too."""
        note = self._note(diff)
        with contextlib.suppress(OSError):
            known = marks.union(note.read_text().split()) if note.is_file() else marks
            draft = note.with_suffix(f".{os.getpid()}.{secrets.token_hex(4)}")
            draft.write_text("\n".join(sorted(known)))
            draft.replace(note)

    def sweep(self) -> None:
        """Keep the notes that were used last."""
        notes = sorted(self._folder.glob("layer-*"), key=lambda note: note.stat().st_mtime)
        for note in notes[: max(0, len(notes) - _MOST)]:
            note.unlink(missing_ok=True)

    def _note(self, diff: str) -> Path:
        return self._folder / f"layer-{diff.rpartition(':')[2]}"

    def _mark(self, name: str, value: str) -> str:
        text = f"{VERSION}\0{name}\0{value}".encode("utf-8", "surrogatepass")
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()[:32]

    def _load(self) -> bytes:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = self._folder / "key"
        if not file.is_file() or len(file.read_bytes()) != 32:
            draft = self._folder / f"key.{secrets.token_hex(4)}"
            draft.touch(0o600)
            draft.write_bytes(secrets.token_bytes(32))
            draft.replace(file)
        return file.read_bytes()

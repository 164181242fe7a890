"""Take archives from users, and unpack them where nothing in them can do harm."""

import asyncio
import contextlib
import hashlib
import os
import re
import secrets
import tarfile
import zlib
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath
from typing import IO

from leeward.errors import FetchFailed, Invalid, TooLarge, Unavailable
from leeward.model.release import SourceRef
from leeward.ports import Fetched, FileStore, Say, Upload
from leeward.settings import MIB, Settings
from leeward.sources.tree import emptied, leads_out, settle, warnings

_ID = re.compile(r"up_[0-9a-f]{24}")
_GZIP = b"\x1f\x8b"
# Source code packs to about a quarter; a thousand to one is a bomb, or a file of zeros.
MAX_RATIO = 200
RATIO_FROM = 16 * MIB
MAX_NAME = 4096
_CHUNK = 1024 * 1024
_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_HINT = "make the archive with 'lee deploy', or with 'tar -czf app.tgz -C folder .'"


def name_of(upload: str) -> str:
    """Under which an upload is kept where files follow the lead."""
    return f"upload/{upload}"


class UploadSource:
    """Both sides of an upload: `receive` keeps the archive, `fetch` unpacks it."""

    def __init__(self, settings: Settings, files: FileStore | None = None) -> None:
        self._settings = settings
        self._folder = settings.home / "sources" / "uploads"
        self._files = files

    async def receive(self, app: str, chunks: AsyncIterator[bytes]) -> Upload:
        """Stream an archive to disk. Raises TooLarge and Invalid; what breaks in the middle leaves nothing."""
        id = f"up_{secrets.token_hex(12)}"
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = self._folder / f"{id}.part"
        digest = hashlib.sha256()
        try:
            with part.open("xb") as file:
                await self._write(file, chunks, digest)
            if part.stat().st_size == 0:
                raise Invalid("the upload is empty", hint=_HINT)
            if self._files is not None:
                await self._files.put(name_of(id), part)
            part.rename(self._folder / f"{id}.tar.gz")
        except OSError as error:
            raise Unavailable(f"the upload could not be kept: {error.strerror}", hint="is the disk full?") from error
        finally:
            part.unlink(missing_ok=True)
        return Upload(id, f"sha256:{digest.hexdigest()}")

    async def _write(self, file: IO[bytes], chunks: AsyncIterator[bytes], digest: "hashlib._Hash") -> None:
        limit, size = self._settings.upload_max_mib * MIB, 0
        async for chunk in chunks:
            if size == 0 and chunk and not _GZIP.startswith(chunk[:2]) and not chunk.startswith(_GZIP):
                raise Invalid("the upload is not a tar.gz archive", hint=_HINT)
            size += len(chunk)
            if size > limit:
                raise TooLarge(
                    f"the upload is larger than {self._settings.upload_max_mib} MiB",
                    hint="leave out what .gitignore names, or raise LEEWARD_UPLOAD_MAX_MIB",
                )
            digest.update(chunk)
            file.write(chunk)
        # The answer says that it is kept: a crash right after must not take it back.
        await asyncio.to_thread(_sync, file)

    async def fetch(self, app: str, ref: SourceRef, into: Path, say: Say) -> Fetched:
        """Unpack an upload below `into`. Raises FetchFailed that names what is wrong in it."""
        archive = self._folder / f"{ref.upload}.tar.gz"
        if self._files is not None and _ID.fullmatch(ref.upload) and not archive.is_file():
            await self._bring(ref.upload, archive, self._files)
        if not _ID.fullmatch(ref.upload) or not archive.is_file():
            raise FetchFailed(
                f"there is no upload '{ref.upload}'", hint="uploads are kept for a while only: deploy again"
            )
        into = into.absolute()
        work = asyncio.create_task(asyncio.to_thread(self._unpack, archive, into))
        try:
            digest, files = await asyncio.shield(work)
        except asyncio.CancelledError:
            # A thread cannot be ended: whoever empties the tree next must not meet it.
            with contextlib.suppress(FetchFailed):
                await work
            raise
        say(f"unpacked {files} files")
        for warning in await asyncio.to_thread(list, warnings(into)):
            say(warning)
        with contextlib.suppress(FileNotFoundError):
            os.utime(archive)
        return Fetched(into, digest)

    async def _bring(self, id: str, archive: Path, files: FileStore) -> None:
        """Have an archive that another control plane took."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = archive.with_name(f"{id}.brought.part")
        try:
            if await files.get(name_of(id), part):
                part.rename(archive)
        finally:
            part.unlink(missing_ok=True)

    def _unpack(self, archive: Path, into: Path) -> tuple[str, int]:
        emptied(into)
        try:
            with archive.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            files = Unpacking(into, archive.stat().st_size, self._settings).run(archive)
            settle(into)
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise FetchFailed(f"the archive is damaged: {error}", hint=_HINT) from error
        except UnicodeError as error:
            raise FetchFailed("the archive has a name that is not UTF-8", hint="rename the file") from error
        except OSError as error:
            raise FetchFailed(
                f"the archive could not be unpacked: {error.strerror or error}",
                hint="see that the archive is whole and the disk has room, then deploy again",
            ) from error
        return digest, files


class _Counted:
    """A stream of unpacked bytes that ends a bomb while it unpacks."""

    def __init__(self, file: IO[bytes], packed: int, limit: int, message: str) -> None:
        self._file = file
        self._packed = packed
        self._limit = limit
        self._message = message
        self._unzip = zlib.decompressobj(wbits=31)
        self._rest = b""
        self.size = 0

    def read(self, wanted: int) -> bytes:
        """Up to `wanted` bytes; never more in memory than that and one chunk."""
        out = bytearray()
        while len(out) < wanted:
            piece = self._rest or self._file.read(65536)
            if not piece:
                if not self._unzip.eof:
                    raise EOFError("it ends too early")
                break
            if self._unzip.eof:
                # What follows the first gzip member is another one, or padding.
                if not piece.startswith(_GZIP):
                    break
                self._unzip = zlib.decompressobj(wbits=31)
            out += self._unzip.decompress(piece, wanted - len(out))
            self._rest = self._unzip.unused_data if self._unzip.eof else self._unzip.unconsumed_tail
        self.size += len(out)
        # Room for the archive's own headers: 1.5 KiB for each file.
        if self.size > self._limit:
            raise FetchFailed(self._message, hint="leave out what .gitignore names, or raise LEEWARD_UPLOAD_MAX_MIB")
        if self.size > RATIO_FROM and self.size > MAX_RATIO * self._packed:
            raise FetchFailed("the archive unpacks to far more than its size", hint="leave out large empty files")
        return bytes(out)


class _Entry(tarfile.TarInfo):
    """An entry whose extra headers are read only when they are small: tarfile takes them whole into memory."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _HEADERS and self.size > _CHUNK:
            raise FetchFailed("the archive has a header that is larger than 1 MiB", hint=_HINT)
        return super()._proc_member(tar)  # type: ignore[misc,no-any-return]


class Unpacking:
    """One archive on its way to disk."""

    def __init__(self, into: Path, packed: int, settings: Settings) -> None:
        self._into = into
        self._packed = packed
        self._settings = settings
        self._seen: dict[str, str] = {}
        self._bytes = 0

    def run(self, archive: Path) -> int:
        """Unpack all; how many files. Nothing is ever written through a link: they are made last."""
        limit, files = self._settings.upload_max_mib, self._settings.upload_max_files
        links: list[tuple[str, str]] = []
        with archive.open("rb") as file:
            stream = _Counted(file, self._packed, limit * MIB + files * 1536, self._message)
            # `r|`: one pass, entry by entry; a list of all entries would be another bomb.
            with tarfile.open(fileobj=stream, mode="r|", bufsize=65536, tarinfo=_Entry) as tar:  # type: ignore[call-overload]
                for count, member in enumerate(tar):
                    if count >= files:
                        raise FetchFailed(
                            f"the archive has more than {files} files",
                            hint="leave out what .gitignore names, or raise LEEWARD_UPLOAD_MAX_FILES",
                        )
                    self._member(tar, member, links)
        for name, target in links:
            self._place(name).symlink_to(target)
        return sum(kind == "file" for kind in self._seen.values())

    def _member(self, tar: tarfile.TarFile, member: tarfile.TarInfo, links: list[tuple[str, str]]) -> None:
        name = clean(member.name)
        if not name:
            return
        kind = "folder" if member.isdir() else "file"
        if name in self._seen and not (kind == "folder" and self._seen[name] == "folder"):
            raise FetchFailed(f"the archive has '{name}' twice", hint=_HINT)
        place = self._place(name)
        self._seen[name] = kind
        if member.isdir():
            place.mkdir(exist_ok=True)
        elif member.isreg():
            self._write(tar, member, place)
        elif member.issym():
            if leads_out(PurePosixPath(name), member.linkname) or "\0" in member.linkname:
                raise FetchFailed(
                    f"the link '{name}' leads out of the archive, to '{member.linkname}'", hint="remove the link"
                )
            links.append((name, member.linkname))
        elif member.islnk():
            self._copy(name, clean(member.linkname), place)
        else:
            raise FetchFailed(f"'{name}' is a device or a pipe, which no app needs", hint="remove it from the archive")

    def _place(self, name: str) -> Path:
        """Where an entry goes; its folders are made."""
        for parent in reversed(PurePosixPath(name).parents[:-1]):
            if self._seen.setdefault(str(parent), "folder") != "folder":
                raise FetchFailed(f"the archive has '{parent}' as a file and as the folder of '{name}'", hint=_HINT)
            (self._into / parent).mkdir(exist_ok=True)
        return self._into / name

    @property
    def _message(self) -> str:
        return f"the archive unpacks to more than {self._settings.upload_max_mib} MiB"

    def _count(self, size: int) -> None:
        """Holes in sparse files and hard links take no room in the archive, but they do in an image."""
        self._bytes += size
        if self._bytes > self._settings.upload_max_mib * MIB:
            raise FetchFailed(self._message, hint="leave out what .gitignore names, or raise LEEWARD_UPLOAD_MAX_MIB")

    def _write(self, tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
        self._count(member.size)
        stream = tar.extractfile(member)
        if stream is None:
            raise FetchFailed(f"'{member.name}' has no content", hint=_HINT)
        with place.open("xb") as file:
            while chunk := stream.read(_CHUNK):
                file.write(chunk)
        place.chmod(0o755 if member.mode & 0o100 else 0o644)

    def _copy(self, name: str, first: str, place: Path) -> None:
        """A hard link is a second name for a file that was there before."""
        if self._seen.get(first) != "file" or first == name or not (self._into / first).is_file():
            raise FetchFailed(f"'{name}' is a hard link to '{first}', which is not in the archive", hint=_HINT)
        self._count((self._into / first).stat().st_size)
        os.link(self._into / first, place)


def clean(name: str) -> str:
    """The name of an entry within the tree; '' for the tree itself. Raises FetchFailed for what leads out."""
    shown = name.encode(errors="backslashreplace").decode()[:200]
    if "\0" in name or len(name) > MAX_NAME or any(ord(sign) < 32 or 0xD800 <= ord(sign) <= 0xDFFF for sign in name):
        raise FetchFailed(f"the archive has a name that no file may have: {shown!r}", hint="rename the file")
    if name.startswith("/"):
        raise FetchFailed(f"the archive has an absolute path: '{shown}'", hint=_HINT)
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise FetchFailed(f"the archive has a path that leads out of it: '{shown}'", hint=_HINT)
    if any(len(part.encode()) > 255 for part in parts):
        raise FetchFailed(f"the archive has a name longer than 255 bytes: '{shown}'", hint="rename the file")
    return "/".join(parts)


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())

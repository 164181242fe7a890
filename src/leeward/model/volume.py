"""Disk space that outlives instances: how it is written, and how an engine reports it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

MOST_OF_A_PROCESS = 8
MIN_MIB = 16
_SIZE = re.compile(r"([1-9][0-9]{0,6})(Mi|Gi|Ti)")
_MIB = {"Mi": 1, "Gi": 1024, "Ti": 1024 * 1024}
# Of the system, or of the platform; nothing below them may be hidden either.
_SYSTEM = ("/proc", "/sys", "/dev", "/tmp", "/run", "/var/run", "/etc", "/bin", "/sbin", "/lib", "/lib64", "/usr")
# Hiding the whole of them would hide the app, or the system; a folder below is somebody's own.
_WHOLE = ("/", "/app", "/home", "/opt", "/root", "/srv", "/var", "/mnt", "/boot")


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume as an instance sees it."""

    name: str
    path: str
    size_mib: int


@dataclass(frozen=True, slots=True)
class Volume:
    """One volume that is there, as an engine reports it."""

    app: str
    process: str
    name: str
    project: str
    region: str
    path: str
    """Where instances see it, or saw it last."""
    size_mib: int
    used_bytes: int | None = None
    """None where nobody counts them."""
    enforced: bool = False
    """Whether what is below stops a write that goes over the size."""
    used_by: tuple[str, ...] = ()
    """The instances that have it."""
    problem: str = ""
    """Why it cannot be used, or is smaller than wished for."""
    hint: str = ""

    @property
    def title(self) -> str:
        """`web/data`."""
        return f"{self.process}/{self.name}"


def mebibytes(text: str) -> int:
    """'512Mi', '10Gi' or '1Ti' in MiB. Raises ValueError with a sentence."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"'{text}' is not a size of a volume: write it like '512Mi', '10Gi' or '1Ti'")
    size = int(found[1]) * _MIB[found[2]]
    if size < MIN_MIB:
        raise ValueError(f"a volume of '{text}' is too small: {MIN_MIB}Mi is the least")
    return size


def shown_size(mib: int) -> str:
    """As it is written: '512Mi', '10Gi'."""
    for unit in ("Ti", "Gi"):
        if mib % _MIB[unit] == 0:
            return f"{mib // _MIB[unit]}{unit}"
    return f"{mib}Mi"


def mount_path(text: str) -> str:
    """A path at which a volume may be seen, without '.' and double slashes. Raises ValueError with a sentence."""
    if not text.startswith("/"):
        raise ValueError(f"path '{text}' of a volume must begin with '/'")
    if "\0" in text or "\n" in text or ":" in text or "," in text or len(text) > 200:
        raise ValueError("the path of a volume must have at most 200 characters, and no ':', ',' or line break")
    path = PurePosixPath("/" + text.lstrip("/"))
    if ".." in path.parts:
        raise ValueError(f"path '{text}' of a volume must not have '..' in it")
    plain = str(path)
    if plain in _WHOLE:
        raise ValueError(f"a volume at '{plain}' would hide what the image has there: use a folder like '/data'")
    if taken := next((each for each in _SYSTEM if path.is_relative_to(each)), None):
        raise ValueError(f"a volume at '{plain}' is refused: '{taken}' belongs to the system; use one like '/data'")
    return plain


def clashes(paths: Mapping[str, str]) -> list[str]:
    """A sentence for each two volumes whose paths (by name) cannot be together."""
    found = []
    names = list(paths)
    for index, one in enumerate(names):
        for other in names[index + 1 :]:
            mine, its = PurePosixPath(paths[one]), PurePosixPath(paths[other])
            if mine == its:
                found.append(f"volumes '{one}' and '{other}' have one path, '{mine}'")
            elif mine.is_relative_to(its) or its.is_relative_to(mine):
                found.append(f"volumes '{one}' at '{mine}' and '{other}' at '{its}' lie in each other")
    return found

"""Puts our base images in the place of well-known public ones, in a user's Dockerfile. Pure.

Used where the public registry cannot be reached. The rewritten stages run their commands through `with-ca`, so that
they trust what this machine trusts and use its package indexes.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

_FROM = re.compile(r"^(\s*FROM\s+)((?:--\S+\s+)*)(\S+)(\s+AS\s+(\S+))?\s*$", re.I)
_COPY_FROM = re.compile(r"^(\s*COPY\s.*?--from=)(\S+)(.*)$", re.I | re.S)
_ARG = re.compile(r"^\s*ARG\s+([A-Za-z_]\w*)(?:=(.*?))?\s*$", re.I)
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)(?::?-([^}]*))?\}|([A-Za-z_]\w*))")
_SYNTAX = re.compile(r"^#\s*syntax\s*=", re.I)
_RUN = re.compile(r"^(\s*RUN\s+)(.*)$", re.I | re.S)
_LAST = re.compile(r"^\s*(CMD|ENTRYPOINT)\s", re.I)
_SHELL = re.compile(r"^\s*SHELL\s", re.I)
_LINK = re.compile(r"^(\s*(?:COPY|ADD)\s(?:.*\s)?)--link(?:=true)?\s", re.I)
_MOUNTS = " ".join(
    f"--mount=type=secret,id={name}" for name in ("leeward_ca", "leeward_pip_index", "leeward_npm_registry")
)
_TRUSTING = 'SHELL ["/usr/local/bin/with-ca", "/bin/sh", "-c"]'
_USUAL = "docker.io"
_PLAIN = 'SHELL ["/bin/sh", "-c"]'


@dataclass(frozen=True, slots=True)
class Substitute:
    """Ours for one public image: the flavour, lines that make it start alike, and a note where it is not the same."""

    flavour: str
    note: str = ""
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A Dockerfile on our base images, the flavours it needs, and what the user should know."""

    text: str
    flavours: tuple[str, ...]
    notes: tuple[str, ...]


def substitute(image: str) -> Substitute | None:
    """Our base image for a public one, None when there is none."""
    name, _, tag = image.partition("@")[0].partition(":")
    name = re.sub(r"^(?:docker\.io/)?(?:library/)?", "", name)
    tag = tag or "latest"
    if name.endswith("astral-sh/uv"):
        inside = re.search(r"python(3\.\d+)", tag)
        return _python(inside[1], image) if inside else Substitute("debian12-build")
    match name:
        case "python":
            version = re.match(r"\d+(?:\.\d+)?", tag)
            return _python(version[0] if version else "3", image)
        case "node":
            return _node(tag, image)
        case "nginx":
            return Substitute("static", _differs(image, "Debian's nginx"), ('CMD ["nginx", "-g", "daemon off;"]',))
        case "debian" if re.match(r"13|trixie|stable|latest", tag):
            return Substitute("debian13")
        case "debian" | "ubuntu":
            same = name == "debian" and re.match(r"12|bookworm|slim", tag)
            return Substitute("debian12", "" if same else _differs(image, "Debian 12"))
        case "buildpack-deps":
            return Substitute("debian12-build")
    return _language(name, tag, image)


def redirected(image: str, mirrors: Mapping[str, str]) -> str:
    """An image's name at its mirror: the longest mirrored prefix counts. Without a host it is the usual one's."""
    first, slash, _ = image.partition("/")
    named = bool(slash) and (set(".:") & set(first) or first == "localhost")
    whole = image if named else f"{_USUAL}/{image if slash else f'library/{image}'}"
    for prefix in sorted(mirrors, key=len, reverse=True):
        for name in (image, whole):
            rest = name.removeprefix(prefix.rstrip("/"))
            if rest != name and (not rest or rest[0] in "/:@"):
                return f"{mirrors[prefix].rstrip('/')}{rest}"
    return image


def images(text: str, args: Mapping[str, str]) -> tuple[str, ...]:
    """The foreign images that a Dockerfile builds on, variables filled in."""
    found: dict[str, None] = {}
    stages: set[str] = set()
    values = dict(args)
    for line in text.splitlines():
        _remember(line, values, args)
        if match := _FROM.match(line):
            image = _fill(match[3], values)
            if image.lower() not in stages and image != "scratch":
                found[image] = None
            if match[5]:
                stages.add(match[5].lower())
        elif match := _COPY_FROM.match(line):
            image = _fill(match[2], values)
            if image.lower() not in stages and not image.isdigit():
                found[image] = None
    return tuple(found)


def rewrite(
    text: str,
    args: Mapping[str, str],
    absent: Sequence[str],
    name_of: Callable[[str], str],
    renamed: Mapping[str, str] | None = None,
) -> Rewritten:
    """Put our images (`name_of` a flavour) in the place of those that are `absent`; stages and options stay.

    `renamed` images are named anew, and nothing else is changed about them.
    """
    state = _State(dict(args), args, frozenset(absent), name_of, renamed or {})
    lines = [piece for line in text.splitlines() for piece in state.line(line)]
    return Rewritten("\n".join(lines) + "\n", tuple(state.flavours), tuple(state.notes))


class _State:
    def __init__(
        self,
        values: dict[str, str],
        args: Mapping[str, str],
        absent: frozenset[str],
        name_of: Callable[[str], str],
        renamed: Mapping[str, str],
    ) -> None:
        self._values, self._args, self._absent, self._name_of = values, args, absent, name_of
        self._renamed = renamed
        flavours = {found.flavour for image in absent if (found := substitute(image))}
        # What these compile needs the C library that they have.
        self._newer = bool(flavours & {"go-build", "rust-build"})
        self._ours: dict[str, bool] = {}
        self._in_ours = False
        self._continued = False
        self.flavours: dict[str, None] = {}
        self.notes: dict[str, None] = {}

    def line(self, line: str) -> Sequence[str]:
        continued, comment = self._continued, line.lstrip().startswith("#")
        if not comment:
            self._continued = line.rstrip().endswith("\\")
        if continued:
            return (line,)
        if comment:
            return () if _SYNTAX.match(line) else (line,)
        _remember(line, self._values, self._args)
        if match := _FROM.match(line):
            return self._from(match)
        line = _LINK.sub(r"\1", line)
        if match := _COPY_FROM.match(line):
            image = _fill(match[2], self._values)
            ours = self._put(image)
            other = ours.image if ours else self._renamed.get(image)
            return (f"{match[1]}{other}{match[3]}",) if other else (line,)
        return self._command(line) if self._in_ours else (line,)

    def _from(self, match: re.Match[str]) -> Sequence[str]:
        image = _fill(match[3], self._values)
        known = self._ours.get(image.lower())
        ours = None if known is not None else self._put(image)
        self._in_ours = bool(known) or ours is not None
        if match[5]:
            self._ours[match[5].lower()] = self._in_ours
        if ours is None and known is None and image in self._renamed:
            return (f"{match[1]}{match[2]}{self._renamed[image]}{match[4] or ''}",)
        if ours is None:
            return (match[0], *((_TRUSTING,) if known else ()))
        return (f"{match[1]}{match[2]}{ours.image}{match[4] or ''}", _TRUSTING, *ours.lines)

    def _put(self, image: str) -> "_Put | None":
        found = substitute(image) if image in self._absent else None
        if found is None:
            return None
        flavour = "debian13" if found.flavour == "debian12" and self._newer else found.flavour
        self.flavours[flavour] = None
        if found.note:
            self.notes[found.note] = None
        return _Put(self._name_of(flavour), found.lines)

    def _command(self, line: str) -> Sequence[str]:
        if match := _RUN.match(line):
            return (f"{match[1]}{_MOUNTS} {match[2]}",)
        if _LAST.match(line):
            return (_PLAIN, line)
        if _SHELL.match(line):
            return (re.sub(r"\[\s*", '["/usr/local/bin/with-ca", ', line, count=1),)
        return (line,)


@dataclass(frozen=True, slots=True)
class _Put:
    image: str
    lines: tuple[str, ...]


def _python(version: str, image: str) -> Substitute:
    minor = int(version.partition(".")[2] or 13)
    ours = 11 if minor <= 11 else 13
    return Substitute(f"python3.{ours}-build", "" if minor == ours else _differs(image, f"Debian's Python 3.{ours}"))


def _node(tag: str, image: str) -> Substitute:
    number = re.match(r"\d+", tag)
    major = int(number[0]) if number else 24
    ours = min((version for version in (20, 22, 24) if version >= major), default=24)
    return Substitute(f"node{ours}-build", "" if major == ours else _differs(image, f"Node {ours}"))


def _language(name: str, tag: str, image: str) -> Substitute | None:
    """The images of further languages; those of a web server with it, or with `apk`, have none."""
    number = re.search(r"\d+(?:\.\d+)?", tag)
    version = number[0] if number else ""
    last = name.rpartition("/")[2]
    if "distroless/" in name:
        if match := re.match(r"(python3|java(?:17|21|25))", last):
            return Substitute("python3.11" if match[1] == "python3" else match[1])
        return Substitute("debian13") if last.startswith(("static", "base", "cc")) else None
    match last:
        case "golang":
            return Substitute("go-build", _differs(image, "Debian's Go 1.24"))
        case "rust":
            return Substitute("rust-build", _differs(image, "Debian's Rust 1.85"))
        case "ruby":
            ours = "3.1" if version in ("3.0", "3.1") else "3.3"
            return Substitute(f"ruby{ours}-build", "" if version == ours else _differs(image, f"Debian's Ruby {ours}"))
        case "php" if "apache" not in tag:
            ours = "8.2" if version in ("8.0", "8.1", "8.2") else "8.4"
            return Substitute(f"php{ours}-build", "" if version == ours else _differs(image, f"Debian's PHP {ours}"))
        case "composer":
            return Substitute("php8.4-build", _differs(image, "Debian's Composer"))
        case "eclipse-temurin" | "openjdk" | "amazoncorretto" | "ibm-semeru-runtimes" | "maven":
            major = (
                re.search(r"\d+$", tag.split("-alpine")[0].partition("-jdk")[0])
                if last == "maven" and "-" in tag
                else None
            )
            asked = int(major[0] if major else (last != "maven" and version.partition(".")[0]) or 21)
            nearest = min((known for known in (17, 21, 25) if known >= asked), default=25)
            flavour = f"java{nearest}" if "jre" in tag else f"java{nearest}-build"
            return Substitute(flavour, "" if asked == nearest else _differs(image, f"Java {nearest}"))
        case "elixir":
            return Substitute("elixir1.18-build", "" if version == "1.18" else _differs(image, "Debian's Elixir 1.18"))
    return None


def _differs(image: str, ours: str) -> str:
    return f"'{image}' cannot be had here: building on {ours} instead"


def _remember(line: str, values: dict[str, str], args: Mapping[str, str]) -> None:
    if (match := _ARG.match(line)) and match[1] not in args and match[2] is not None:
        values[match[1]] = match[2].strip("\"'")


def _fill(text: str, values: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda match: values.get(match[1] or match[3]) or match[2] or "", text.strip("\"'"))

"""Read the address of a Git repository, and what git says when it cannot be had. Pure."""

import base64
import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from leeward.errors import FetchFailed
from leeward.model.address import redacted

# git's own short form of ssh: user@host:path.
_SCP = re.compile(r"(?:(?P<user>[A-Za-z0-9._-]+)@)?(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):(?P<path>[^/].*)")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]+")
_PORTS = {"https": 443, "http": 80, "ssh": 22, "git": 9418}
SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
SHORT_SHA = re.compile(r"[0-9a-f]{7,40}")
# What `git check-ref-format` allows, and nothing that begins like an option.
_REF = re.compile(r"(?!-)(?!.*(\.\.|@\{|//|/\.|\.lock(/|$)))[^\x00-\x20\x7f~^:?*\[\\]{1,200}(?<![./])")


@dataclass(frozen=True, slots=True)
class GitUrl:
    """An address that may be given to git. `address` has no password; `header` carries it."""

    address: str
    scheme: str
    host: str = ""
    port: int = 0
    header: str = ""

    @property
    def local(self) -> bool:
        """Whether it is a path on this machine."""
        return self.scheme == "file"


def parse(url: str, *, local: bool) -> GitUrl:
    """Check an address; `local` allows paths, plain HTTP and git://. Raises FetchFailed."""
    shown = redacted(url)
    if not url or url.startswith("-") or any(ord(sign) < 33 or ord(sign) == 127 for sign in url):
        raise FetchFailed(f"'{shown}' is not the URL of a repository", hint="write it like 'https://host/team/app.git'")
    if url.startswith("/") or url.startswith("file://"):
        return _path(url, shown, local=local)
    if "://" not in url:
        return _scp(url, shown)
    allowed = ("https", "ssh", *(("http", "git") if local else ()))
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise FetchFailed(
            f"'{shown}' is not a URL: {error}", hint="write it like 'https://host/team/app.git'"
        ) from error
    if parts.scheme not in allowed:
        raise FetchFailed(
            f"'{shown}' begins with '{parts.scheme}', which is not allowed here", hint=f"use {' or '.join(allowed)}"
        )
    if not _HOST.fullmatch(host) or parts.query or parts.fragment or "::" in parts.scheme:
        raise FetchFailed(f"'{shown}' has no host that git could ask", hint="write it like 'https://host/team/app.git'")
    place = f"[{host}]" if ":" in host else host
    place += f":{port}" if port else ""
    port = port or _PORTS[parts.scheme]
    if parts.scheme == "ssh":
        user = parts.username or ""
        if user.startswith("-") or parts.password:
            raise FetchFailed(f"'{shown}' has a user that ssh does not take", hint="use 'ssh://git@host/team/app.git'")
        place = f"{user}@{place}" if user else place
    header = _basic(parts.username, parts.password) if parts.scheme in ("https", "http") else ""
    return GitUrl(f"{parts.scheme}://{place}{parts.path}", parts.scheme, host, port, header)


def _path(url: str, shown: str, *, local: bool) -> GitUrl:
    if not local:
        raise FetchFailed(
            f"'{shown}' is a path on the platform's machine, which is not allowed here",
            hint="use an https URL, or set LEEWARD_LOCAL_GIT=true",
        )
    path = unquote(urlsplit(url).path) if url.startswith("file://") else url
    return GitUrl(f"file://{quote(path)}", "file")


def _scp(url: str, shown: str) -> GitUrl:
    match = _SCP.fullmatch(url)
    # `ext::sh -c …` and its like are helpers that run programs.
    if match is None or "::" in url:
        raise FetchFailed(f"'{shown}' is not the URL of a repository", hint="write it like 'https://host/team/app.git'")
    user = f"{match['user']}@" if match["user"] else ""
    host = match["host"].strip("[]")
    return GitUrl(f"ssh://{user}{match['host']}/{match['path']}", "ssh", host, 22)


def _basic(user: str | None, password: str | None) -> str:
    if user is None and password is None:
        return ""
    text = f"{unquote(user or '')}:{unquote(password or '')}"
    return f"Authorization: Basic {base64.b64encode(text.encode()).decode()}"


def ref(text: str) -> str:
    """A branch, tag or commit that may be given to git. Raises FetchFailed."""
    if text and not _REF.fullmatch(text):
        raise FetchFailed(f"'{text}' is not a branch, tag or commit", hint="give the name of a branch, as 'main'")
    return text.removeprefix("refs/heads/") if text.startswith("refs/heads/") else text


def public(address: str) -> bool:
    """Whether an IP address is one of the open internet."""
    ip = ipaddress.ip_address(address.split("%")[0])
    mapped = getattr(ip, "ipv4_mapped", None) or getattr(ip, "sixtofour", None)
    return ip.is_global and not ip.is_multicast and (mapped is None or (mapped.is_global and not mapped.is_multicast))


def relative(url: str, other: str) -> str:
    """The address of a submodule: `../lib.git` is meant beside the repository itself."""
    if not other.startswith(("./", "../")):
        return other
    base = url.rstrip("/")
    while other.startswith(("./", "../")):
        if other.startswith("../"):
            base = base.rpartition("/")[0]
        other = other.split("/", 1)[1]
    return f"{base}/{other}"


# What git prints (in English: LC_ALL=C), what it means, and what to do. The first match counts.
_MEANINGS: tuple[tuple[str, str, str], ...] = (
    (
        r"could not read (Username|Password)|Authentication failed|HTTP Basic: Access denied|error: 40[13]"
        r"|Permission denied \(publickey",
        "'{url}' needs a password, or does not exist",
        "check the URL; for a private repository put a token in it: 'https://token@host/team/app.git'",
    ),
    (r"Host key verification failed", "the host key of '{url}' is not known", "add it to root's known_hosts"),
    (
        r"not our ref|unadvertised object|bad object|no such remote ref [0-9a-f]{40}",
        "'{url}' has no commit '{ref}'",
        "push it first",
    ),
    (
        r"couldn't find remote ref|no such remote ref",
        "'{url}' has no branch '{ref}'",
        "check the name, or push it first",
    ),
    (
        r"Repository not found|repository '.*' not found|does not appear to be a git repository|does not exist"
        r"|not a git repository|error: 404|access denied or repository not exported",
        "the repository '{url}' does not exist",
        "check the URL; a private repository needs a token in it",
    ),
    (
        r"Could not resolve host|Temporary failure in name resolution|Name or service not known",
        "the host of '{url}' is not known",
        "check the URL, and that this machine resolves names",
    ),
    (
        r"SSL certificate problem|certificate verif|SSL_ERROR|gnutls",
        "the certificate of '{url}' is not trusted",
        "use a host with a valid certificate, or add its authority to this machine",
    ),
    (
        r"Failed to connect|Connection refused|Connection timed out|No route to host|unable to connect"
        r"|Couldn't connect|Connection reset|Operation too slow|The requested URL returned error: 5",
        "the host of '{url}' does not answer",
        "check the URL, and that this machine reaches it; then deploy again",
    ),
    (r"unable to update url base from redirection|redirect", "'{url}' has moved", "use the repository's new URL"),
    (
        r"signal 25|File too large|file size limit",
        "'{url}' is larger than {limit} MiB",
        "make the repository smaller, or raise LEEWARD_UPLOAD_MAX_MIB",
    ),
    (r"No space left on device", "the disk is full", "free some disk space, then deploy again"),
    (
        r"fsck|index-pack failed|inflate|corrupt|unpack",
        "'{url}' holds an object that is damaged or not allowed",
        "run 'git fsck' in it",
    ),
    # index-pack says nothing itself when its file grows over the bound.
    (
        r"invalid index-pack output",
        "'{url}' is larger than {limit} MiB",
        "make the repository smaller, or raise LEEWARD_UPLOAD_MAX_MIB",
    ),
)


def failure(stderr: str, *, url: str, ref: str, limit_mib: int) -> FetchFailed:
    """What a failed git command means for the user."""
    values = {"url": redacted(url), "ref": ref or "HEAD", "limit": limit_mib}
    # The URL is the user's own text: it must not decide what the complaint means.
    said = stderr.replace(url, "")
    for pattern, message, hint in _MEANINGS:
        if re.search(pattern, said, re.IGNORECASE):
            return FetchFailed(message.format(**values), hint=hint)
    lines = [line for line in redacted(stderr).splitlines() if line.strip()]
    last = lines[-1].removeprefix("fatal: ")[:300] if lines else "git said nothing"
    return FetchFailed(f"'{values['url']}' could not be fetched: {last}", hint="try 'git ls-remote' with the same URL")

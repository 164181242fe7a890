"""Find the platform that `lee` talks to, and the token that it shows there."""

import contextlib
import json
import os
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from leeward.errors import Forbidden, Invalid

MACHINE_FILE = Path("/etc/leeward/cli.toml")


class Config(NamedTuple):
    """Where the platform is, who asks, and the CA file that is trusted beside the system's."""

    url: str
    token: str = ""
    ca: Path | None = None


def user_file(env: Mapping[str, str] = os.environ) -> Path:
    """Where `lee login` writes."""
    home = Path(env.get("HOME") or "~").expanduser()
    return Path(env.get("XDG_CONFIG_HOME") or home / ".config") / "leeward" / "cli.toml"


def load(env: Mapping[str, str] = os.environ, machine_file: Path = MACHINE_FILE) -> Config:
    """The variables win over the user's file, which wins over the machine's. Raises Invalid.

    Where LEEWARD_HOME names a platform beside the machine's own, the file in that home comes first. A
    token from a file is shown only to the platform of that file, never to another one named by LEEWARD_URL.
    """
    files = [user_file(env), machine_file]
    if env.get("LEEWARD_HOME"):
        files.insert(0, Path(env["LEEWARD_HOME"]) / "cli.toml")
    found = next((config for config in map(read, files) if config is not None), None)
    if found is None and not env.get("LEEWARD_URL"):
        found = _this_machine(env)
    known = found or Config("")
    url = checked(env.get("LEEWARD_URL") or known.url)
    same = origin(url) == origin(known.url)
    ca = env.get("LEEWARD_CA")
    return Config(url, env.get("LEEWARD_TOKEN") or (known.token if same else ""), Path(ca) if ca else known.ca)


def read(file: Path) -> Config | None:
    """What a file says; None when it is absent or not ours to read. Raises Invalid."""
    try:
        value = tomllib.loads(file.read_text())
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"'{file}' is not TOML: {error}", hint="correct the file, or `lee login URL` again") from error
    url, token, ca = (str(value.get(key, "")) for key in ("url", "token", "ca"))
    if not url:
        raise Invalid(f"'{file}' has no url", hint="`lee login URL` writes the file")
    return Config(url, token, Path(ca) if ca else None)


def save(config: Config, file: Path) -> None:
    """Write a file that only its owner can read; all of it or nothing."""
    # A JSON string is a TOML string.
    text = f"url = {json.dumps(config.url)}\ntoken = {json.dumps(config.token)}\n"
    if config.ca is not None:
        text += f"ca = {json.dumps(str(config.ca.resolve()))}\n"
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=".cli.")
        with os.fdopen(handle, "w") as temporary:
            temporary.write(text)
        os.replace(name, file)
    except OSError as error:
        raise Forbidden(f"'{file}' could not be written: {error.strerror}", hint="look at its owner") from error


def checked(url: str) -> str:
    """The URL without its last slash. Raises Invalid for what is none, and for plain HTTP to another machine."""
    try:
        parts = urlsplit(url)
        legal = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        legal = False
    if not legal or not parts.hostname:
        raise Invalid(f"'{url}' is not the URL of a platform", hint="write it like 'https://console.example.com'")
    if parts.scheme == "http" and not is_here(parts.hostname):
        raise Invalid(f"'{url}' would send the token unencrypted", hint=f"use 'https://{parts.netloc}'")
    return url.rstrip("/")


def is_here(host: str) -> bool:
    """Whether a host name means this machine."""
    return host in ("localhost", "127.0.0.1", "::1") or host.endswith(".localhost")


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port, by which two URLs are the same platform."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _this_machine(env: Mapping[str, str]) -> Config:
    """The platform that the settings of this machine describe, whether it runs or not."""
    from leeward import settings

    here = settings.load(env)
    token = ""
    with contextlib.suppress(OSError):
        token = here.token_file.read_text().strip()
    ca = here.home / "keys" / "root.pem"
    return Config(here.console_url, token, ca if os.access(ca, os.R_OK) else None)

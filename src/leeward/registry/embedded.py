"""The registry that comes with the platform: Debian's docker-registry on a loopback address."""

import secrets
from pathlib import Path

from leeward.settings import Settings

COMMAND = "/usr/bin/docker-registry"


def root(settings: Settings) -> Path:
    """Where it keeps everything."""
    return settings.home / "registry"


def config_file(settings: Settings) -> Path:
    """What its command line names."""
    return root(settings) / "config.yml"


def data(settings: Settings) -> Path:
    """Where it keeps manifests and blobs."""
    return root(settings) / "data" / "docker" / "registry" / "v2"


def render(settings: Settings, secret: str) -> str:
    """Its configuration. No cache of blob descriptors: the collector removes blobs beneath it."""
    return "\n".join(
        (
            "version: 0.1",
            "log: {level: warn, accesslog: {disabled: true}}",
            "storage:",
            f"  filesystem: {{rootdirectory: {root(settings) / 'data'}}}",
            "  delete: {enabled: true}",
            "  maintenance: {uploadpurging: {enabled: true, age: 24h, interval: 6h, dryrun: false}}",
            "http:",
            f"  addr: {settings.registry}",
            f"  secret: {secret}",
            "  headers: {X-Content-Type-Options: [nosniff]}",
            "",
        )
    )


def prepare(settings: Settings) -> None:
    """Write the configuration; repeatable."""
    root(settings).mkdir(parents=True, exist_ok=True, mode=0o700)
    (root(settings) / "data").mkdir(exist_ok=True, mode=0o700)
    secret = root(settings) / "secret"
    if not secret.is_file():
        secret.touch(0o600)
        secret.write_text(secrets.token_hex(32))
    config = config_file(settings)
    config.touch(0o600)
    config.write_text(render(settings, secret.read_text()))


def argv(settings: Settings) -> tuple[str, ...]:
    """The command that serves it, in the foreground."""
    return (COMMAND, "serve", str(config_file(settings)))

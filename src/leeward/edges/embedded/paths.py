"""Where the embedded edge keeps its files. Pure."""

from pathlib import Path

from leeward.settings import Settings


def prefix(settings: Settings) -> Path:
    """Everything of the edge but its sockets and keys."""
    return settings.home / "edge"


def config_file(settings: Settings) -> Path:
    """The rendered configuration of nginx."""
    return prefix(settings) / "nginx.conf"


def admin_socket(settings: Settings) -> Path:
    """Where the agent speaks to nginx. nginx makes its sockets writable by everyone, so the folder is private."""
    return settings.run_dir / "edge" / "edge.sock"


def snapshot_file(settings: Settings) -> Path:
    """The table as nginx loads it at its start: lines, later ones win; holds keys."""
    return prefix(settings) / "snapshot"


def acme_dir(settings: Settings) -> Path:
    """Files put here are served as `http://<any host>/.well-known/acme-challenge/<file>`: it is their root."""
    return prefix(settings) / "acme"


def keys_dir(settings: Settings) -> Path:
    """Certificate authorities, certificates and keys."""
    return settings.home / "keys"

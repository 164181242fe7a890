"""Keep the authorities and certificates of the edge on disk, and renew them in time."""

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from leeward.edges.embedded import ca, paths
from leeward.model.route import Certificate
from leeward.settings import Settings


def ca_file(settings: Settings) -> Path:
    """The root certificate that browsers of this machine may trust: it is good for the platform's domain only."""
    return paths.keys_dir(settings) / "root.pem"


class Keystore:
    """The keys of one home. Every method may be called again at any time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = paths.keys_dir(settings)
        self._hosts = self._folder / "hosts"

    def wildcard(self, now: datetime) -> Certificate:
        """The certificate of `*.<domain>` and `<domain>`."""
        domain = self._settings.domain
        pair = self._leaf(self._folder / "wildcard", self._root(now), (f"*.{domain}", domain), now)
        return Certificate(f"*.{domain}", pair.chain_pem, pair.key_pem)

    def certificates(self, hosts: Sequence[str], now: datetime) -> list[Certificate]:
        """One for each host that the wildcard does not cover.

        A host outside the platform's domain is signed by a second authority, which nobody trusts: the first one
        could not sign it, and must not.
        """
        found = []
        for host in dict.fromkeys(host.lower() for host in hosts):
            if self._is_covered(host):
                continue
            authority = self._root(now) if host.endswith(f".{self._settings.domain}") else self._foreign_root(now)
            pair = self._leaf(self._hosts / host.replace("*", "_"), authority, (host,), now)
            found.append(Certificate(host, pair.chain_pem, pair.key_pem))
        return found

    def _is_covered(self, host: str) -> bool:
        domain = self._settings.domain
        label, _, rest = host.partition(".")
        return host == domain or (rest == domain and bool(label))

    def _root(self, now: datetime) -> ca.Pair:
        domain = self._settings.domain
        pair = _read(self._folder / "root")
        if pair is None or not ca.is_fresh(pair, now) or ca.permits(pair) != domain:
            pair = ca.root(f"Leeward {domain}", domain, now)
            _write(self._folder / "root", pair)
        return pair

    def _foreign_root(self, now: datetime) -> ca.Pair:
        pair = _read(self._folder / "untrusted-root")
        if pair is None or not ca.is_fresh(pair, now):
            pair = ca.root("Leeward, not to be trusted", "", now)
            _write(self._folder / "untrusted-root", pair)
        return pair

    def _leaf(self, stem: Path, authority: ca.Pair, hosts: tuple[str, ...], now: datetime) -> ca.Pair:
        pair = _read(stem)
        if pair and ca.is_fresh(pair, now) and ca.names(pair) == hosts and ca.is_signed_by(pair, authority):
            return pair
        pair = ca.leaf(authority, hosts, now)
        _write(stem, pair)
        return pair


def _read(stem: Path) -> ca.Pair | None:
    try:
        return ca.Pair(_file(stem, "pem").read_text(), _file(stem, "key").read_text())
    except FileNotFoundError:
        return None


def _write(stem: Path, pair: ca.Pair) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # A key without its certificate is made anew at the next look; the other way round nginx would not start.
    write_private(_file(stem, "key"), pair.key_pem)
    write_private(_file(stem, "pem"), pair.chain_pem)


def _file(stem: Path, suffix: str) -> Path:
    return stem.with_name(f"{stem.name}.{suffix}")


def write_private(file: Path, text: str) -> None:
    """Replace a file's content at once, readable by its owner only."""
    fresh = file.with_name(f"{file.name}.new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(file)

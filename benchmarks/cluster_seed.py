"""Have many apps in a simulated cluster at once: what the cluster made of one is written for the others into its store.

Every name, address, identity and fingerprint keeps its length, so that the stored bytes stay well-formed. What comes
out is what a cluster holds that was filled app by app; only the hours of filling it are saved.
"""

import base64
import json
import re
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

ETCD = "http://127.0.0.1:2379/v3/kv/"
AT_ONCE = 100
UID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def ask(what: str, body: Mapping[str, Any]) -> Any:
    """One request to the store."""
    request = urllib.request.Request(ETCD + what, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def text(value: bytes) -> str:
    """As the store's JSON has it."""
    return base64.b64encode(value).decode()


def found(app: str) -> list[tuple[bytes, bytes]]:
    """Everything that names an app, but events."""
    end = b"/registry0"
    keys = ask("range", {"key": text(b"/registry/"), "range_end": text(end), "keys_only": True})["kvs"]
    names = [base64.b64decode(each["key"]) for each in keys]
    mine = [name for name in names if not name.startswith((b"/registry/events", b"/registry/leases"))]
    kept = []
    for name in mine:
        value = base64.b64decode(ask("range", {"key": text(name)})["kvs"][0]["value"])
        if app.encode() in name or (name.startswith(b"/registry/ipaddresses/") and app.encode() in value):
            kept.append((name, value))
    return kept


def copies(
    kept: Sequence[tuple[bytes, bytes]], words: Mapping[str, str], uids: Sequence[str], number: int
) -> Iterator[tuple[bytes, bytes]]:
    """The same for another app."""
    pairs = [(old.encode(), new.encode()) for old, new in words.items()]
    pairs += [(uid.encode(), f"{uid[:-12]}{number:012x}".encode()) for uid in uids]
    for key, value in kept:
        for old, new in pairs:
            if len(old) != len(new):
                raise SystemExit(f"'{old!r}' and '{new!r}' differ in length")
            key, value = key.replace(old, new), value.replace(old, new)
        yield key, value


def main() -> None:
    """Reads `{"app", "copies": [{"number", "words"}]}` from stdin."""
    told = json.load(sys.stdin)
    kept = found(told["app"])
    uids = sorted({uid.decode() for _, value in kept for uid in UID.findall(value)})
    print(json.dumps(sorted(key.decode() for key, _ in kept)), flush=True)
    puts: list[Any] = []
    for each in told["copies"]:
        for key, value in copies(kept, each["words"], uids, each["number"]):
            puts.append({"requestPut": {"key": text(key), "value": text(value)}})
            if len(puts) == AT_ONCE:
                ask("txn", {"success": puts})
                puts = []
    if puts:
        ask("txn", {"success": puts})


if __name__ == "__main__":
    main()

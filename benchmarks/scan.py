"""How fast secrets are looked for in images, and hidden in logs.

    python -m benchmarks.scan [--secrets 10]

The image is the largest of this machine's base images, every layer of it taken as new. The peer is one `bytes.find` for
each form of each secret, over a part of the same bytes. One JSON line for each.
"""

import argparse
import asyncio
import resource
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks import figure, say
from leeward.builders.buildkit import BuildkitBuilder
from leeward.builders.masking import Masker
from leeward.builders.recipes import RECIPES
from leeward.builders.secret_finder import Finder, needles
from leeward.builders.secret_notes import Notes
from leeward.builders.secret_scan import Scan
from leeward.ports import Entry
from leeward.registry.contents import EngineContents
from leeward.settings import Settings

BASE = RECIPES["python3.13-build"]
_MB = 1e6


def values(count: int) -> Mapping[str, str]:
    """Secrets as apps have them: tokens and addresses of databases, in turns."""
    return {
        f"SECRET_{number}": f"sk-{secrets.token_urlsafe(32)}"
        if number % 2
        else f"postgresql://app:{secrets.token_hex(12)}@db:5432/app"
        for number in range(count)
    }


class Counted:
    """Entries on their way, and how many bytes they have."""

    def __init__(self) -> None:
        self.bytes = 0
        self.sample: list[bytes] = []

    def entries(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        for entry in entries:
            self.bytes += len(entry.header)
            yield Entry(entry.path, entry.header, self._chunks(entry))

    def _chunks(self, entry: Entry) -> Iterator[bytes]:
        for chunk in entry.chunks:
            self.bytes += len(chunk)
            if sum(map(len, self.sample)) < 20 * _MB:
                self.sample.append(chunk)
            yield chunk


async def image(count: int, work: Path) -> bytes:
    """A whole image as if all of it were new; part of its bytes."""
    settings = Settings(home=work)
    await BuildkitBuilder(settings).bases.ensure([BASE.flavour], say)
    forms = needles(values(count))
    counted, scan = Counted(), Scan(Finder(forms))
    async with EngineContents(settings).open(BASE.image) as content:
        for layer in content.layers:
            for _ in Counted().entries(layer.read()):
                # Once before, so that the disk is not measured.
                pass
        cpu, began = time.process_time(), time.perf_counter()
        scan.config(content.config)
        for layer in content.layers:
            scan.layer(counted.entries(layer.read()))
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
    if scan.leaks:
        raise SystemExit(f"found secrets that were made a moment ago: {list(scan.leaks)[:3]}")
    sample = b"".join(counted.sample)
    began = time.perf_counter()
    for form in forms:
        sample.find(form)
    peer = len(sample) / _MB / (time.perf_counter() - began)
    about = {"secrets": count, "forms": len(forms), "mb": round(counted.bytes / _MB), "unread": len(scan.unread)}
    figure("scan: image", counted.bytes / _MB / took, "MB/s", peer="bytes.find", peer_value=peer, **about)
    figure("scan: image, CPU", cpu, "s", **about)
    figure("scan: memory at most", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MiB")
    return sample


def change(count: int, work: Path) -> None:
    """A code change: 60 files of 4 kB are new, 11 layers are known."""
    chosen = values(count)
    notes = Notes(work / "scans")
    diffs = [f"sha256:{number:064x}" for number in range(11)]
    for diff in diffs:
        notes.remember(diff, notes.marks(chosen))
    code = [Entry(f"app/file{number}.py", bytes(512), [secrets.token_bytes(4096)]) for number in range(60)]
    times = []
    for _ in range(20):
        began = time.perf_counter()
        notes = Notes(work / "scans")
        marks = notes.marks(chosen)
        scan = Scan(Finder(needles(chosen)))
        scan.config(b'{"config": {"Env": ["PATH=/bin"]}}')
        if not all(notes.clean(diff, marks) for diff in diffs):
            raise SystemExit("a layer was forgotten")
        scan.layer(code)
        times.append(time.perf_counter() - began)
    figure("scan: code change", sorted(times)[10] * 1000, "ms", secrets=count, slowest_ms=round(max(times) * 1000, 1))


def mask(count: int, sample: bytes) -> None:
    """A log as it streams by, 64 KiB at a time, one secret in each hundred kilobytes."""
    chosen = values(count)
    text = b"".join(b"#9 12.345 Downloading package-%d.whl (1.2 MB) from the index\n" % line for line in range(300_000))
    hidden = next(iter(chosen.values())).encode()
    text = b"".join(text[at : at + 100_000] + b"\n" + hidden + b"\n" for at in range(0, len(text), 100_000))
    for name, data in (("log", text), ("binary output", sample)):
        masker = Masker(chosen.values())
        began = time.perf_counter()
        for at in range(0, len(data), 65536):
            masker.mask(data[at : at + 65536])
        figure(f"mask: {name}", len(data) / _MB / (time.perf_counter() - began), "MB/s", secrets=count)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--secrets", type=int, default=10)
    count = parser.parse_args().secrets
    with tempfile.TemporaryDirectory() as work:
        sample = asyncio.run(image(count, Path(work)))
        change(count, Path(work))
    mask(count, sample)


if __name__ == "__main__":
    main()

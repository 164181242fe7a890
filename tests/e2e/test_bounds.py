"""Whatever one app or build does, the others are served and the disk does not fill."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.platform import Platform, change, copied, until
from tests.e2e.test_drop_free import load

FORKS = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass\n"
ALLOCATES = "held = []\nwhile True:\n    held.append(bytearray(os.urandom(1 << 20)) * 64)\n"
FILLS = "with open('/filler', 'wb') as file:\n    while True:\n        file.write(os.urandom(1 << 20) * 16)\n"
HOSTILE = {
    "forks without end": (FORKS, "build-processes"),
    "allocates 30 GB": ("import os\n" + ALLOCATES, "build-memory"),
    "fills the disk": ("import os\n" + FILLS, "build-disk"),
}


@pytest.fixture(scope="module")
def steady(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An app that is asked all the time."""
    platform.gone("steady", "hostile", "flood")
    tree = copied("echo", tmp_path_factory.mktemp("bounds"))
    change(tree, "name: echo", "name: steady", "leeward.yaml")
    platform.ok("deploy", tree)
    return "steady"


def hostile(folder: Path, script: str) -> Path:
    tree = folder / "hostile"
    tree.mkdir()
    (tree / "bad.py").write_text(script)
    # A new line each time: a layer of an earlier run must not stand in for it.
    (tree / "Dockerfile").write_text(
        f"FROM python:3.11-slim\nRUN echo {time.time()}\nCOPY bad.py /bad.py\nRUN python3 /bad.py\n"
    )
    return tree


@contextmanager
def api_times(platform: Platform) -> Iterator[list[float]]:
    """How long the API took to answer while the block ran, each 0.2 s."""
    times: list[float] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.wait(0.2):
            began = time.monotonic()
            assert platform.api("GET", "/v1/apps/steady").status == 200
            times.append(time.monotonic() - began)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield times
    finally:
        stop.set()
        thread.join()


@pytest.fixture(scope="module")
def calm(platform: Platform, steady: str) -> float:
    """The p99 of the app in milliseconds, while nothing else happens."""
    with load(platform, steady, "keep_alive", "fresh") as counted:
        time.sleep(4)
    assert counted["failed"] == 0
    return float(counted["p99_ms"])


@pytest.mark.timeout(400)
@pytest.mark.parametrize("case", HOSTILE)
def test_a_build_that_goes_wild_is_ended_by_its_bound_and_others_are_served(
    platform: Platform, steady: str, calm: float, tmp_path: Path, case: str
) -> None:
    script, code = HOSTILE[case]

    with load(platform, steady, "keep_alive", "fresh") as counted, api_times(platform) as api:
        answer = platform.lee("deploy", hostile(tmp_path, script), "--json", timeout_s=300)

    told = answer.json
    slowest = max(api) * 1000
    ratio = counted["p99_ms"] / calm
    print(json.dumps({"case": case, "calm": calm, "p99": counted["p99_ms"], "ratio": ratio, "api max": slowest}))
    assert (told["status"], told["step"]) == ("failed", "build"), told
    assert told["error"]["code"] == code, told["error"]
    assert counted["failed"] == 0, counted["failures"]
    # Generous: two cores are shared by the builds, the app, the edge, the load and this test.
    assert counted["p99_ms"] < max(20 * calm, 400.0)
    assert slowest < 5000
    assert not [line for line in _processes() if "/bad.py" in line]


def test_an_app_that_prints_without_end_fills_no_disk_and_the_platform_answers(
    platform: Platform, steady: str, tmp_path: Path
) -> None:
    tree = copied("probe", tmp_path)
    change(tree, "name: probe", "name: flood", "leeward.yaml")
    change(tree, "size: nano", "size: medium", "leeward.yaml")
    change(
        tree,
        'print(query["text"], number, flush=True)',
        'print(query["text"], number, os.urandom(400).hex(), flush=True)',
    )
    platform.ok("deploy", tree)
    control = platform.control_pid()

    with api_times(platform) as api:
        platform.ask("flood", "/say?text=line&times=100000", timeout_s=120)
        last = until(lambda: platform.ok("logs", "flood", "--search", "line 99999 "), 90, "the last line is not kept")

    kept = sum(path.stat().st_size for path in (platform.home / "logs" / "flood").rglob("*") if path.is_file())
    resident = int(Path(f"/proc/{control}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    print(json.dumps({"printed_mb": 82, "kept_mb": kept / 1e6, "control_mb": resident / 1e6, "api_max": max(api)}))
    assert last[-1]["text"].startswith("line 99999 ")
    assert kept < 12 * 1024 * 1024
    assert resident < 400e6
    assert max(api) < 5
    platform.gone("flood")


def test_a_tree_of_a_deploy_and_a_build_leave_no_files_behind(platform: Platform, steady: str) -> None:
    def left() -> list[Any]:
        trees = [path.name for path in (platform.home / "sources" / "trees").iterdir()]
        builds = [path.name for path in (platform.home / "run").glob("build-*")]
        return trees + builds

    until(lambda: not left(), 10, f"left: {left()}")


def _processes() -> list[str]:
    return subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()

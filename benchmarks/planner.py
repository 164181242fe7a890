"""How long the planner takes for repositories of different sizes.

    python -m benchmarks.planner

The goal is below 200 ms for 10,000 files, from a cold process's point of view: nothing is kept between plans.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import figure
from leeward.builders.plan import plan
from leeward.model.app import AppSpec

GOAL_S = 0.2
APP = 'from fastapi import FastAPI\n\napp = FastAPI()\n\n\n@app.get("/health")\ndef health():\n    return {}\n'


def repository(root: Path, files: int) -> None:
    """An app with many modules, tests and assets beside it."""
    (root / "main.py").write_text(APP)
    (root / "requirements.txt").write_text(
        "".join(f"package-{number}=={number}.0\n" for number in range(200)) + "fastapi\n"
    )
    for number in range(files - 2):
        folder = root / ("app", "tests", "assets", "docs")[number % 4] / f"part{number % 97}"
        folder.mkdir(parents=True, exist_ok=True)
        ending = ("py", "py", "svg", "md")[number % 4]
        (folder / f"file{number}.{ending}").write_text(f"value = {number}\n")


def monorepo(root: Path, files: int) -> None:
    """A workspace of forty packages, one of which is the app, and a Python app at the root that Node joins."""
    repository(root, files - 42)
    manifest = {"name": "shop", "private": True, "workspaces": ["packages/*"], "scripts": {"build": "turbo run build"}}
    (root / "package.json").write_text(json.dumps(manifest))
    (root / "package-lock.json").write_text("{}")
    for number in range(40):
        folder = root / "packages" / f"part{number}"
        folder.mkdir(parents=True)
        needs = {f"@shop/part{other}": "*" for other in range(number)}
        name = f"@shop/part{number}"
        (folder / "package.json").write_text(json.dumps({"name": name, "dependencies": needs}))


def measure(files: int, make: Callable[[Path, int], None] = repository, rounds: int = 7) -> tuple[float, float]:
    """Median and worst of some rounds, in seconds."""
    with tempfile.TemporaryDirectory() as name:
        make(Path(name), files)
        taken = []
        for _ in range(rounds):
            began = time.perf_counter()
            plan(Path(name), AppSpec(), {}, {})
            taken.append(time.perf_counter() - began)
    return statistics.median(taken), max(taken)


def main() -> None:
    """Print one line for each size."""
    for files in (10, 1_000, 10_000, 50_000):
        median, worst = measure(files)
        goal = {"goal": GOAL_S * 1000, "met": median < GOAL_S} if files == 10_000 else {}
        figure(f"plan_{files}_files", median * 1000, "ms", worst=round(worst * 1000, 2), **goal)  # type: ignore[arg-type]
    median, worst = measure(10_000, monorepo)
    met = median < GOAL_S
    figure("plan_10000_files_monorepo", median * 1000, "ms", worst=round(worst * 1000, 2), goal=GOAL_S * 1000, met=met)


if __name__ == "__main__":
    main()

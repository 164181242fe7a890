"""The example that is deployed, as a tree that nobody has built yet."""

import random
import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks.stage import ROOT
from leeward.daemon import plan_here

SOURCE = ROOT / "examples" / "finrag-backend"
MANIFEST = """
processes:
  web:
    command: uvicorn main:app --host 0.0.0.0 --port $PORT
    size: medium
    health: {path: /health, rollout_interval: 0.25, successes: 3}
env: {AWS_DEFAULT_REGION: us-east-1, UV_HTTP_TIMEOUT: "%d"}
"""


@dataclass(frozen=True, slots=True)
class Example:
    """A tree, its own short name, and what stands in those steps of its builds that nobody else's have."""

    tree: Path
    mark: str
    marks: tuple[str, ...]


def example(folder: Path) -> Example:
    """A copy in a folder. A variable and a comment are its own: no cache of another build fits."""
    mark, tree = secrets.token_hex(4), folder / "app"
    shutil.copytree(SOURCE, tree, ignore=shutil.ignore_patterns("__pycache__"))
    (tree / "leeward.yaml").write_text(MANIFEST.lstrip() % random.randrange(100_000, 1_000_000))
    with (tree / "requirements.txt").open("a") as file:
        file.write(f"# {mark}\n")
    planned = re.findall(r": variables \w+", plan_here(tree, None, {}).dockerfile)
    return Example(tree, mark, (f": {mark}", *planned))

"""Trees for the planner's tests."""

from collections.abc import Mapping
from pathlib import Path

from leeward.builders.plan import plan
from leeward.model import parse
from leeward.model.app import AppSpec
from leeward.model.build import BuildPlan

FASTAPI = 'from fastapi import FastAPI\n\napp = FastAPI()\n\n\n@app.get("/health")\ndef health():\n    return {}\n'


def write(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Put files into a directory."""
    for path, content in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def planned(
    root: Path,
    files: Mapping[str, str | bytes],
    spec: AppSpec | None = None,
    env: Mapping[str, str] | None = None,
    versions: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> BuildPlan:
    """The plan of these files; a `leeward.yaml` among them is the spec."""
    write(root, files)
    manifest = files.get("leeward.yaml", "")
    return plan(root, spec or parse.manifest(str(manifest)), env or {}, versions or {}, tags or {})


def decided(found: BuildPlan, topic: str) -> str:
    """What was chosen for a topic, with its first reason: `3.11 <- .python-version:1`."""
    decision = next(item for item in found.decisions if item.topic == topic)
    evidence = decision.because[0] if decision.because else None
    place = f"{evidence.file}:{evidence.line}" if evidence and evidence.line else evidence.file if evidence else ""
    return f"{decision.chose} <- {place}"


def warned(found: BuildPlan) -> set[str]:
    """The codes of its diagnostics."""
    return {note.code for note in found.diagnostics}

"""Every example is an app that somebody could deploy."""

from pathlib import Path

import pytest

from leeward.builders.plan import plan
from leeward.model.app import AppSpec
from leeward.model.parse import manifest, names

ROOT = Path(__file__).parents[2] / "examples"
EXAMPLES = sorted(path for path in ROOT.iterdir() if path.is_dir())


def specs(folder: Path) -> list[AppSpec]:
    file = folder / "leeward.yaml"
    text = file.read_text() if file.is_file() else ""
    return [manifest(text, name) for name in names(text)] or [manifest(text)]


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda folder: folder.name)
def test_every_example_can_be_planned_and_has_a_start(folder: Path) -> None:
    for spec in specs(folder):
        planned = plan(folder, spec, {}, {})

        assert planned.start_command or planned.strategy == "dockerfile" or "worker" in planned.processes
        assert not [item for item in planned.diagnostics if item.level == "error"]


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda folder: folder.name)
def test_every_example_says_in_five_lines_what_it_is_and_how_to_deploy_it(folder: Path) -> None:
    lines = (folder / "README.md").read_text().splitlines()

    assert lines[0] == f"# {folder.name}"
    assert len(lines) == 5
    assert any("lee deploy" in line for line in lines)


def test_the_frontend_calls_the_backend_by_its_internal_name() -> None:
    [spec] = specs(ROOT / "finrag-frontend")

    assert spec.env["BACKEND_URL"] == "http://finrag-backend:8080"

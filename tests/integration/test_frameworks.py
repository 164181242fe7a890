"""Frameworks whose packages are many: built for real and asked, where somebody asks for it.

`LEEWARD_TEST_FRAMEWORKS=all`, or the names of some folders of `frameworks/`; the results are in
`docs/reference/frameworks.md`.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contracts.tiny import needs_docker
from tests.integration.test_planned_images import Workshop, answer, running

FRAMEWORKS = Path(__file__).parent / "frameworks"
PAGES = {
    "angular": "Hello from Angular",
    "gradio": "gradio",
    "react-router-spa": "__reactRouterContext",
    "streamlit": "Streamlit",
}
NAMES = sorted(path.name for path in FRAMEWORKS.iterdir() if path.is_dir())


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    needs_docker()
    made = Workshop(tmp_path)
    yield made
    made.clean()


@pytest.mark.parametrize("name", NAMES)
async def test_an_app_of_a_framework_answers_and_is_healthy(workshop: Workshop, name: str) -> None:
    wanted = os.environ.get("LEEWARD_TEST_FRAMEWORKS", "").split()
    if name not in wanted and "all" not in wanted:
        pytest.skip(f"{name}: set LEEWARD_TEST_FRAMEWORKS=all, or to its name: it downloads a lot")
    shutil.copytree(FRAMEWORKS / name, workshop.tree)

    plan, built = await workshop.build()

    with running(plan, built.id) as url:
        found = await answer(url + "/")
        health = await answer(url + (plan.health_path or "/"))
    assert (found.status_code, health.status_code) == (200, 200)
    assert PAGES.get(name, "Hello from") in found.text

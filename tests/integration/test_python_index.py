"""The Python index is asked which Python a list of pinned packages has wheels for."""

import os
import time
from pathlib import Path

import pytest

from leeward.builders.catalogue import PYTHON
from leeward.builders.plan import plan
from leeward.builders.wheel_probe import WheelProbe
from leeward.builders.wheels_wanted import Wanted
from leeward.model.app import AppSpec
from leeward.settings import Settings


def settings(home: Path) -> Settings:
    return Settings(home=home, build_pip_index=os.environ.get("LEEWARD_BUILD_PIP_INDEX", ""))


async def test_pinned_packages_with_wheels_for_an_older_python_get_that(tmp_path: Path) -> None:
    probe = WheelProbe(settings(tmp_path))
    began = time.monotonic()

    try:
        found = await probe._ask(Wanted(("numpy==1.24.4", "pandas==2.0.3"), ("3.13", "3.11")))
    except OSError as error:
        pytest.skip(f"no Python index answers: {error}")

    assert found == "3.11"
    assert time.monotonic() - began < 40


async def test_a_tree_whose_packages_nobody_listed_before_is_planned_with_what_the_index_says(tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    # Its last release with wheels for 3.11 has none for 3.13, and no table of ours names it.
    (app / "requirements.txt").write_text("blis==0.7.9\n")
    (app / "main.py").write_text("print(1)\n")
    said: list[str] = []
    first = plan(app, AppSpec(), {}, {})
    assert first.versions == {"python": PYTHON.usual}

    found = await WheelProbe(settings(tmp_path)).find(app, AppSpec(), {}, first, said.append)
    if any("gave no answer" in line for line in said):
        pytest.skip(f"no Python index answers: {said}")

    assert found in ("3.11", "3.12")
    again = plan(app, AppSpec(), {}, {"python": found, "python wheels": "yes"})
    assert again.versions == {"python": found}

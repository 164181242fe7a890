"""Plans of small trees, compared with what a reviewer has read: `GOLDEN=write` writes them anew."""

import functools
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from leeward.builders.explain import explain
from leeward.builders.plan import plan
from leeward.builders.schema import plan_schema
from leeward.model import parse
from leeward.model.build import BuildPlan

HERE = Path(__file__).parent
TREES = HERE / "trees"
PLANS = HERE / "plans"
SCHEMA = HERE.parents[1] / "docs" / "reference" / "plan.schema.json"
NAMES = sorted(path.name for path in TREES.iterdir() if path.is_dir())
# Variables that an app has; values of secrets must appear nowhere.
ENV: Mapping[str, Mapping[str, str]] = {
    "django-postgres": {"SECRET_KEY": "hunter2-secret", "DATABASE_NAME": "shop"},
    "dockerfile-target": {"NPM_TOKEN": "hunter2-secret"},
    "fastapi": {"PIP_INDEX_URL": "https://user:hunter2-secret@pypi.example.com/simple", "OPENAI_API_KEY": "x"},
    "flask": {"NIXPACKS_PYTHON_VERSION": "3.11"},
    "turbo": {"NIXPACKS_TURBO_APP_NAME": "site"},
    "nixpacks-config-file": {"NIXPACKS_CONFIG_FILE": "ci/nixpacks.toml", "NIXPACKS_NO_CACHE": "1"},
    "railpack-python": {"API_KEY": "hunter2-secret", "OTHER": "x", "RAILPACK_DEPLOY_APT_PACKAGES": "curl"},
    "vite": {"VITE_API": "https://api.example.com", "NPM_TOKEN": "hunter2-secret"},
}


@functools.cache
def planned(name: str) -> BuildPlan:
    manifest = TREES / name / "leeward.yaml"
    app = "prices" if name == "monorepo" else None
    spec = parse.manifest(manifest.read_text() if manifest.exists() else "", app)
    return plan(TREES / name, spec, ENV.get(name, {}), {})


def same(path: Path, text: str) -> None:
    if os.environ.get("GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert path.exists(), f"{path.name} is not there: run `make golden` and read it"
    assert text == path.read_text()


@pytest.mark.parametrize("name", NAMES)
def test_the_plan_of_a_tree_is_as_reviewed(name: str) -> None:
    found = planned(name)

    value = found.as_dict()
    value["dockerignore"] = list(found.dockerignore)
    dockerfile = value.pop("dockerfile")
    same(PLANS / f"{name}.json", json.dumps(value, indent=1, ensure_ascii=False) + "\n")
    same(PLANS / f"{name}.txt", explain(found) + "\n" + dockerfile)


@pytest.mark.parametrize("name", sorted(ENV))
def test_no_value_of_a_variable_is_in_the_plan(name: str) -> None:
    text = json.dumps(planned(name).as_dict()) + explain(planned(name))

    assert "hunter2" not in text


def test_the_schema_of_a_plan_is_as_published() -> None:
    same(SCHEMA, json.dumps(plan_schema(), indent=1, ensure_ascii=False) + "\n")


def test_every_plan_has_exactly_the_fields_of_the_schema() -> None:
    fields = set(plan_schema()["properties"])

    assert all(set(planned(name).as_dict()) == fields for name in NAMES)


def digest() -> str:
    """One hash over all plans."""
    text = "".join(json.dumps(planned(name).as_dict()) for name in NAMES)
    return hashlib.sha256(text.encode()).hexdigest()


def test_another_process_makes_the_same_plans_byte_for_byte() -> None:
    # Three orders of sets: this process has its own.
    program = "from tests.golden.test_plans import digest; print(digest())"

    answers = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            cwd=HERE.parents[1],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert answers == {digest() + "\n"}

"""The documents say what the tree says."""

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from leeward import errors
from leeward.model import parse
from leeward.model.app import AppSpec, Health, Instances, JobSpec, ProcessSpec
from leeward.model.sizes import SIZES
from leeward.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "leeward"
REFERENCE = ROOT / "docs" / "reference"
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.M | re.S)
# Escaped, so that this file does not hold what it looks for.
NOWHERE = re.compile(
    rb"pypi\.org|files\.pythonhosted\.org|registry\.npmjs\.org|deb\.debian\.org|docker\.io/|\/work\/|\/tmp\/w\b"
)
# They show what BuildKit prints, or that an image of a well-known registry becomes one of ours.
ABOUT_HOSTS = frozenset({"uv.lock", "tests/unit/test_build_mirror.py", "tests/unit/test_build_output.py"})


@cache
def tracked() -> tuple[Path, ...]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is not a clone: git cannot say which files belong to it")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    paths = (ROOT / name for name in listed.stdout.decode().split("\0") if name)
    return tuple(path for path in paths if path.is_file() and not path.is_symlink())


def documents() -> Iterator[tuple[str, str]]:
    for path in tracked():
        if path.suffix == ".md":
            yield str(path.relative_to(ROOT)), path.read_text()


def rows(text: str) -> Iterator[tuple[str, ...]]:
    """The cells of every line of every table."""
    for line in text.splitlines():
        if line.startswith("| ") and not line.startswith("| ---"):
            yield tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|")))


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def as_text(value: object) -> str:
    if value is None or value == "":
        return "empty"
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_architecture_names_every_room_and_no_other() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = {word.split("/")[0] for cells in rows(text) if len(cells) == 2 for word in words(cells[0])}

    there = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    there |= {path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("__")}

    assert named == there


def test_the_manifests_reference_has_a_line_for_every_field() -> None:
    lines = {word for cells in rows((REFERENCE / "manifest.md").read_text()) for word in words(cells[0])}

    missing = [
        name
        for name in fields(AppSpec)
        if not {name, name.removeprefix("processes."), name.removeprefix("processes.instances.")} & lines
    ]

    assert missing == []


def test_the_manifests_reference_names_the_numbers_of_instances_and_health() -> None:
    said = {
        word.rsplit(".", 1)[-1]: cells[1]
        for cells in rows((REFERENCE / "manifest.md").read_text())
        if len(cells) > 2
        for word in words(cells[0])
    }

    wrong = {
        name: (said.get(name), field.default)
        for model in (Health, Instances)
        for name, field in model.model_fields.items()
        if name not in ("min", "max") and re.split(r"[ ,`]+", said.get(name, "").lstrip("`"))[0] != str(field.default)
    }

    assert wrong == {}


def fields(model: type[BaseModel], path: str = "") -> Iterator[str]:
    """Every key that a manifest can have, below which key it stands."""
    for name, field in model.model_fields.items():
        yield f"{path}{name}"
        inner = {"processes": ProcessSpec, "jobs": JobSpec}.get(name, field.annotation)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from fields(inner, f"{path}{name}.")


def test_every_setting_is_listed_with_its_default_and_meaning() -> None:
    listed = {
        word: (cells[1].strip("`"), cells[2])
        for cells in rows((REFERENCE / "settings.md").read_text())
        if len(cells) == 3
        for word in words(cells[0])
    }

    expected = {
        f"LEEWARD_{name.upper()}": (as_text(field.default), field.description)
        for name, field in Settings.model_fields.items()
    }

    assert listed == expected


def test_every_error_code_is_listed_and_no_other() -> None:
    text = (REFERENCE / "errors.md").read_text()
    listed = {word for cells in rows(text) if len(cells) > 2 for word in words(cells[0])}
    kinds = {kind.code for kind in classes()}
    particular = {
        constant.value
        for path in PACKAGE.rglob("*.py")
        if "code=" in (source := path.read_text())
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "code"
        for constant in ast.walk(keyword.value)
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str)
    }

    # The planner puts a tool's name before this one.
    versions = {code for code in listed if code.endswith("-version")}
    assert versions
    assert listed - versions == (kinds | particular) - {"-version"}


def test_every_kind_of_error_has_its_status_and_exit_code() -> None:
    text = (REFERENCE / "errors.md").read_text()
    listed = {words(cells[0])[0]: cells[1:3] for cells in rows(text) if len(cells) == 4 and words(cells[0])}

    expected = {kind.code: (str(kind.status), str(kind.exit_code)) for kind in classes()}

    assert listed == expected


def classes() -> list[type[errors.LeewardError]]:
    return [
        value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, errors.LeewardError)
    ]


def test_every_size_is_listed_with_its_limits() -> None:
    listed = {
        cells[0].strip("`"): tuple(float(cell) for cell in cells[1:4])
        for cells in rows((REFERENCE / "sizes.md").read_text())
        if len(cells) == 4 and cells[0] != "size"
    }

    expected = {
        size.value: (limits.millicpu / 1000, float(limits.memory_mib), float(limits.usd_per_month))
        for size, limits in SIZES.items()
    }

    assert listed == expected


def test_every_link_leads_to_a_file_and_a_heading() -> None:
    broken = [
        f"{name}: {target}"
        for name, text in documents()
        for target in LINK.findall(re.sub(r"^```.*?^```$|`[^`\n]*`", "", text, flags=re.M | re.S))
        if not re.match(r"[a-z]+:", target) and not resolves(ROOT / name, target)
    ]

    assert broken == []


def resolves(document: Path, target: str) -> bool:
    path, _, heading = target.partition("#")
    file = document.parent / path if path else document
    if not file.exists():
        return False
    return not heading or file.suffix != ".md" or heading in headings(file.read_text())


def headings(text: str) -> set[str]:
    """The anchors of a document, as code hosts make them."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_manifest_in_a_document_is_one() -> None:
    wrong = []
    for name, text in documents():
        for block in BLOCK.findall(text):
            # A block whose first line is the name of another file is no manifest.
            if re.match(r"# (?!leeward\.yaml)\S+\.ya?ml", block):
                continue
            try:
                for app in parse.names(block) or (None,):
                    parse.manifest(block, app)
            except errors.Invalid as error:
                wrong.append(f"{name}: {error.message}")

    assert wrong == []


def test_every_example_with_a_manifest_has_a_right_one() -> None:
    texts = [path.read_text() for path in sorted((ROOT / "examples").glob("*/leeward.yaml"))]

    read: list[Mapping[str, Any]] = [yaml.safe_load(text) for text in texts]

    assert read
    for text in texts:
        for app in parse.names(text) or (None,):
            parse.manifest(text, app)


def test_every_command_in_a_document_is_one_that_lee_knows() -> None:
    helps = dict(re.findall(r"^## (lee[^\n]*)\n\n```text\n(.*?)^```", (REFERENCE / "cli.md").read_text(), re.M | re.S))

    wrong = [
        f"{name}: {command}"
        for name, text in documents()
        if not name.endswith("reference/cli.md")
        for command in re.findall(r"(?:^ {4}(?:sudo )?|`)(lee [a-z][^`\n]*)", text, re.M)
        if not is_known(command, helps)
    ]

    assert helps
    assert wrong == []


def is_known(command: str, helps: Mapping[str, str]) -> bool:
    """Whether `lee --help` knows the command and each of its options."""
    ours = re.split(r" -- | # ", command)[0].split()
    name = next((" ".join(ours[:length]) for length in (3, 2) if " ".join(ours[:length]) in helps), "")
    options = [word for word in ours if re.fullmatch(r"--?[a-z][a-z-]*", word)]
    return bool(name) and all(re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", helps[name]) for option in options)


def test_no_file_names_a_package_registry_or_a_developers_folder() -> None:
    found = []
    for path in tracked():
        name = str(path.relative_to(ROOT))
        content = path.read_bytes()
        if name not in ABOUT_HOSTS and b"\0" not in content[:8192]:
            found += [f"{name}: {match.group().decode()}" for match in NOWHERE.finditer(content)]

    assert found == []

"""The dashboard's files: whose they are, and how they are named."""

import hashlib
import re
import tomllib

from leeward.web.assets import FOLDER

WEB = FOLDER.parent
VENDOR = FOLDER / "vendor"


def test_files_of_others_are_exactly_those_that_are_named() -> None:
    files = tomllib.loads((VENDOR / "vendor.toml").read_text())["file"]

    assert {file["name"] for file in files} == {path.name for path in VENDOR.iterdir()} - {"vendor.toml"}
    for file in files:
        assert hashlib.sha256((VENDOR / file["name"]).read_bytes()).hexdigest() == file["sha256"], file["name"]
        assert file["licence"] and re.fullmatch(r"\d+\.\d+\.\d+", file["version"])


def test_a_custom_element_stays_under_80_lines() -> None:
    long = {path.name: n for path in FOLDER.glob("*.js") if (n := len(path.read_text().splitlines())) >= 80}

    assert long == {}


def test_only_templates_of_fragments_begin_with_an_underscore() -> None:
    for path in (WEB / "templates").glob("*.html"):
        whole = "{% extends" in path.read_text() or path.name == "bare.html"
        assert whole is not path.name.startswith("_"), path.name

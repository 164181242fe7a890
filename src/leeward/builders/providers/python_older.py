"""Read what a Python project depends on where only `setup.py`, `setup.cfg` or conda's file says so. Nothing is run."""

import ast
import configparser
import re
from collections.abc import Iterator

import yaml

from leeward.builders.loose import mapping
from leeward.builders.providers.python_dependencies import Dependencies, Dependency, parse
from leeward.builders.tree import AppView
from leeward.model.build import Diagnostic, Evidence

CONDA = ("environment.yml", "environment.yaml")
SETUP = ("setup.py", "setup.cfg")
_MAX_TEXT = 64 * 1024
# What conda brings that is no package of Python's index: the base image has it, or the wheels do.
_NOT_PACKAGES = re.compile(
    r"(?:_\w+|python|pip|setuptools|wheel|conda|mkl|blas|libblas|openblas|libgcc\w*|libstdcxx\w*|openssl|ca-certificates"
    r"|cudatoolkit|cuda\w*|cudnn|nodejs|compilers|gcc\w*|gxx\w*|make|cmake|sqlite|zlib|xz|tk|readline|ncurses|nccl)"
)
# Conda's name where the index has another.
_NAMES = {"pytorch": "torch", "opencv": "opencv-python-headless", "py-xgboost": "xgboost", "lightgbm": "lightgbm"}
_CONDA = re.compile(r"(?:[A-Za-z0-9_-]+::)?([A-Za-z0-9][A-Za-z0-9._-]*)\s*(.*)")


def setup(view: AppView) -> Dependencies | None:
    """What `setup.py` or `setup.cfg` list; `whole_tree` where that is not written out."""
    if not view.first(*SETUP):
        return None
    lines = _from_setup_py(view)
    place = "setup.py"
    if not lines:
        lines, place = _from_setup_cfg(view), "setup.cfg"
    if lines is None:
        return Dependencies((), (), True, Evidence("setup.py", 0, "it computes its dependencies"))
    items = (parse(line, view.where(place, line, line[:80])) for line in lines)
    return Dependencies(tuple(item for item in items if item), ())


def _from_setup_py(view: AppView) -> list[str] | None:
    """The literal list, None when it is no literal; empty when there is none."""
    module = view.module("setup.py")
    for node in ast.walk(module) if module else ():
        if isinstance(node, ast.Call) and (getattr(node.func, "id", "") or getattr(node.func, "attr", "")) == "setup":
            for keyword in node.keywords:
                if keyword.arg == "install_requires":
                    return _literal(module, keyword.value)
                if keyword.arg is None:
                    return None
    return []


def _literal(module: ast.Module | None, value: ast.expr) -> list[str] | None:
    if isinstance(value, ast.Name) and module:
        for statement in module.body:
            if isinstance(statement, ast.Assign) and any(
                isinstance(target, ast.Name) and target.id == value.id for target in statement.targets
            ):
                return _literal(None, statement.value)
        return None
    if isinstance(value, ast.List | ast.Tuple):
        found = [each.value for each in value.elts if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        return found if len(found) == len(value.elts) else None
    return None


def _from_setup_cfg(view: AppView) -> list[str] | None:
    config = configparser.RawConfigParser()
    try:
        config.read_string(view.read("setup.cfg")[:_MAX_TEXT])
        text = config.get("options", "install_requires", fallback="")
    except (configparser.Error, ValueError):
        return []
    if "file:" in text:
        return None
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def conda(view: AppView) -> tuple[Dependencies, str, tuple[Diagnostic, ...]] | None:
    """What conda's file asks for, by the index's names; the Python that it names; and what to know."""
    path = view.first(*CONDA)
    content = view.read(path) if path else ""
    if not path or len(content) > _MAX_TEXT:
        return None
    try:
        value = yaml.safe_load(content)
    except (yaml.YAMLError, RecursionError, ValueError):
        return None
    listed = mapping(value).get("dependencies")
    version, items = "", []
    for name, rest, exact in _wanted(listed if isinstance(listed, list) else []):
        if name == "python":
            version = rest.lstrip("=<>~! ").split(",")[0]
        elif exact or not _NOT_PACKAGES.fullmatch(name):
            line = rest if exact else f"{_NAMES.get(name, name)}{_specifier(rest)}"
            place = view.where(path, name, line[:80])
            if item := parse(line, place):
                items.append(Dependency(item.name, item.extras, item.specifier, item.evidence))
    what = f"conda is not used: the packages of {path} come from Python's own index, by the same names"
    note = Diagnostic(
        "warning", "conda", what, "write a requirements.txt or a pyproject.toml, or a Dockerfile with conda"
    )
    return Dependencies(tuple(items), ()), version, (note,)


def _wanted(listed: list[object]) -> Iterator[tuple[str, str, bool]]:
    """Name, the rest, and whether the rest is a requirement of pip's."""
    for entry in listed[:500]:
        if isinstance(entry, str) and (match := _CONDA.fullmatch(entry.strip())):
            yield match[1].lower(), match[2].strip(), False
        pip = entry.get("pip") if isinstance(entry, dict) else None
        for line in pip if isinstance(pip, list) else []:
            if isinstance(line, str) and not line.strip().startswith("-") and "://" not in line:
                yield re.split(r"[\s=<>~!\[;]", line.strip(), maxsplit=1)[0].lower(), line.strip(), True


def _specifier(text: str) -> str:
    """Conda's version as pip's: one '=' means any release that begins so; the build's name is left out."""
    word = re.sub(r"^=(?!=)\s*", "==", text)
    word = re.sub(r"^([0-9])", r"==\1", word)
    parts = word.removeprefix("==").split("=")
    if word.startswith("==") and parts and re.fullmatch(r"[0-9][0-9A-Za-z.]*\*?", parts[0]):
        number = parts[0].rstrip("*.")
        return f"=={number}" if number.count(".") > 1 else f"=={number}.*"
    return word if re.fullmatch(r"(?:(?:>=|<=|~=|!=|>|<)[0-9][0-9A-Za-z.*]*,?)+", word) else ""

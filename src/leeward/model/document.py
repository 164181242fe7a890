"""Read the text of a YAML document to plain values, and say on which line it is wrong."""

from collections.abc import Mapping
from typing import Any

import yaml

from leeward.errors import Invalid, Problem

MAX_BYTES = 256 * 1024
# What a document with `*names` may grow to: a hundred bytes can stand for gigabytes.
MAX_VALUES = 20_000
_SPACES = "indent with spaces, and quote values with ':'"


def decoded(data: bytes, name: str) -> str:
    """The text of a file. Raises Invalid with the line of what is no UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Invalid(f"{name} is not UTF-8 text: see line {line}", hint="save it as UTF-8") from error


def document(text: str, name: str) -> Mapping[str, Any]:
    """The one mapping in the text; an empty text is an empty mapping. Raises Invalid."""
    if len(text) > MAX_BYTES:
        raise Invalid(
            f"{name} is {len(text)} bytes long, more than {MAX_BYTES}", hint="keep data in files of their own"
        )
    try:
        value = _value(text.removeprefix("\ufeff"), name)
    except yaml.MarkedYAMLError as error:
        raise _wrong(error, name) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        what = f"{name} is not YAML at line {line}: it holds the character U+{error.character:04X}"
        raise Invalid(what, hint="save it as text, in UTF-8") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise Invalid(f"{name} is not YAML", hint=_SPACES) from error
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        what = "a list" if isinstance(value, list) else f"'{shown(value)}'"
        raise Invalid(f"{name} must hold keys and values, not {what}", hint="begin with 'name: my-app'")
    return value


def shown(value: object) -> str:
    """A value of a document as people write it, at most 80 characters of it."""
    known = {None: "null", True: "true", False: "false"}
    text = known[value] if value is None or isinstance(value, bool) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _value(text: str, name: str) -> object:
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        doubles: dict[str, None] = {}
        if _size(root, {}, doubles) > MAX_VALUES:
            raise Invalid(
                f"{name} stands for more than {MAX_VALUES} values, by its '&' and '*'", hint="write the values out"
            )
        if doubles:
            raise Invalid([Problem("", f"{name} has {what}") for what in doubles], hint="keep one of them")
        return loader.construct_document(root)
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    """Plain values only."""


def _size(node: yaml.Node, known: dict[int, int], doubles: dict[str, None]) -> int:
    """How many values a node stands for, with what it names elsewhere; keys that stand twice are gathered."""
    if (size := known.get(id(node))) is not None:
        return size
    known[id(node)] = MAX_VALUES + 1  # Of what holds itself.
    size = 1
    if isinstance(node, yaml.MappingNode):
        seen: dict[tuple[str, str], int] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                line = key.start_mark.line + 1
                if first := seen.get((key.tag, key.value)):
                    doubles[f"'{shown(key.value)}' twice: at line {first} and at line {line}"] = None
                seen[key.tag, key.value] = line
            size += _size(value, known, doubles)
    elif isinstance(node, yaml.SequenceNode):
        size += sum(_size(item, known, doubles) for item in node.value)
    known[id(node)] = size
    return size


def _wrong(error: yaml.MarkedYAMLError, name: str) -> Invalid:
    mark = error.problem_mark
    place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    why = error.problem or ""
    if "'\\t'" in why:
        return Invalid(f"{name} is not YAML{place}: a tab begins something", hint="indent with spaces, not with tabs")
    if isinstance(error, yaml.constructor.ConstructorError) and "tag" in why:
        tag = why.partition("'")[2].rpartition("'")[0]
        return Invalid(f"{name} has an unknown type{place}: '{shown(tag)}'", hint="write plain values, without '!'")
    if isinstance(error, yaml.composer.ComposerError) and "another document" in why:
        return Invalid(
            f"{name} holds a second document{place}", hint="remove the '---'; several apps stand below 'apps:'"
        )
    return Invalid(f"{name} is not YAML{place}: {why}" if why else f"{name} is not YAML{place}", hint=_SPACES)

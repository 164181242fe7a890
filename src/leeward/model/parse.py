"""Read what people wrote: `leeward.yaml` to a spec, with every problem named at once."""

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from leeward.errors import Invalid, Problem
from leeward.model.app import AppSpec
from leeward.model.document import decoded, document, shown

_MANIFEST = "leeward.yaml"
# pydantic speaks of Python's types; the user wrote YAML.
_KEYS_AND_VALUES = frozenset({"dict_type", "mapping_type", "model_type", "model_attributes_type"})
_LIST = frozenset({"tuple_type", "list_type"})


def manifest(text: str | bytes, app: str | None = None) -> AppSpec:
    """The spec in the text of a manifest; `app` chooses one where it has several (`apps:`).

    Raises Invalid with the path, the user's value and a did-you-mean for every problem.
    """
    value = _load(text)
    if "apps" in value:
        return _one_of(value, app)
    return spec(value)


def names(text: str | bytes) -> tuple[str, ...]:
    """The names of the apps in a manifest with `apps:`, else ()."""
    apps = _load(text).get("apps")
    return tuple(str(name) for name in apps) if isinstance(apps, Mapping) else ()


def spec(value: Mapping[str, Any]) -> AppSpec:
    """The spec in a parsed mapping. Raises Invalid."""
    try:
        return AppSpec.model_validate(value)
    except ValidationError as error:
        raise Invalid([_problem(item) for item in error.errors()]) from error


def _load(text: str | bytes) -> Mapping[str, Any]:
    return document(text if isinstance(text, str) else decoded(text, _MANIFEST), _MANIFEST)


def _one_of(value: Mapping[str, Any], app: str | None) -> AppSpec:
    apps = value["apps"]
    if not isinstance(apps, Mapping) or not apps:
        raise Invalid([Problem("apps", "must hold a mapping of names to apps")])
    beside = [key for key in value if key not in ("apps", "name")]
    if beside:
        hint = "write it below each app that it is for"
        raise Invalid([Problem(str(key), "cannot stand beside 'apps'", hint) for key in beside])
    if app is None and len(apps) > 1:
        known = ", ".join(f"'{name}'" for name in apps)
        raise Invalid(f"{_MANIFEST} has several apps: {known}", hint="choose one with --app")
    chosen = app if app is not None else next(iter(apps))
    if chosen not in apps:
        raise Invalid(
            f"{_MANIFEST} has no app '{chosen}'", hint=_did_you_mean(str(chosen), [str(name) for name in apps])
        )
    one = apps[chosen] or {}
    if not isinstance(one, Mapping):
        raise Invalid([Problem(f"apps/{chosen}", f"must hold keys and values, not '{shown(one)}'")])
    return spec({"name": chosen, **one})


_PRIVATE = frozenset({"env", "args"})


def _problem(item: Any) -> Problem:
    path = "/".join(str(part) for part in item["loc"] if part != "[key]")
    message = str(item["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if item["type"] == "extra_forbidden":
        return Problem(path, message, _did_you_mean(str(item["loc"][-1]), _known(item["loc"][:-1])))
    if item["type"] in _KEYS_AND_VALUES:
        message = "must hold keys and values"
    elif item["type"] in _LIST:
        message = "must be a list, as in [a, b]"
    elif item["type"] == "string_type":
        message = "must be text"
    # What variables and arguments of a build hold may be secret, and more people see a problem than the file.
    if item["type"] != "value_error" and not _PRIVATE & set(item["loc"]):
        message = f"{message}, not '{shown(item['input'])}'"
    return Problem(path, message)


def _known(loc: tuple[Any, ...]) -> list[str]:
    """The field names that are allowed at a place in the spec."""
    model: Any = AppSpec
    for part in loc:
        field = model.model_fields.get(part) if hasattr(model, "model_fields") else None
        if field is None:
            continue
        model = next(
            (
                arg
                for arg in (field.annotation, *getattr(field.annotation, "__args__", ()))
                if hasattr(arg, "model_fields")
            ),
            model,
        )
    return list(getattr(model, "model_fields", {}))


def _did_you_mean(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else f"known are {', '.join(sorted(known))}"

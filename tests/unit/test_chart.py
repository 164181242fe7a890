"""The Helm chart gives what the engine asks for, and names settings that there are."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from leeward.engines.kubernetes.capabilities import HELPFUL, NEEDED
from leeward.settings import Settings

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "leeward"


def granted() -> list[dict[str, Any]]:
    text = (CHART / "templates" / "account.yaml").read_text()
    found = re.search(r"kind: ClusterRole\n.*?^rules:\n(.*?)^---$", text, re.M | re.S)
    assert found is not None
    return list(yaml.safe_load(found[1]))


def test_the_chart_grants_every_right_that_the_engine_asks_for() -> None:
    rules = granted()

    lacks = [
        (group, resource, verb)
        for group, resource, verbs in (*NEEDED, *HELPFUL)
        for verb in verbs
        if not any(
            group in rule["apiGroups"] and resource in rule["resources"] and verb in rule["verbs"] for rule in rules
        )
    ]

    assert lacks == []


def test_the_chart_grants_nothing_by_a_star() -> None:
    words = [word for rule in granted() for key in ("apiGroups", "resources", "verbs") for word in rule[key]]

    assert "*" not in words


def test_the_chart_sets_only_settings_that_there_are() -> None:
    text = (CHART / "templates" / "settings.yaml").read_text()
    named = set(re.findall(r"^  LEEWARD_([A-Z_]+):", text, re.M))

    assert named
    assert {name.lower() for name in named} <= set(Settings.model_fields)


def test_every_value_of_the_chart_is_in_its_schema() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())

    assert set(values) <= set(schema["properties"])

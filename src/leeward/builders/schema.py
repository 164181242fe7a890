"""The JSON schema of a plan, as `lee plan --json` prints it."""

from typing import Any

from pydantic import TypeAdapter

from leeward.model.build import BuildPlan

# Kept inside: what the executor needs and no reader of a plan asks for.
_INSIDE = frozenset({"dockerignore"})


def plan_schema() -> dict[str, Any]:
    """The schema, draft 2020-12."""
    schema = TypeAdapter(BuildPlan).json_schema(mode="serialization")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Plan"
    for name in _INSIDE:
        schema["properties"].pop(name)
    schema["required"] = sorted(schema["properties"])
    schema["additionalProperties"] = False
    return schema

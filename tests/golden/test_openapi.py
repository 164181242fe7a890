"""The API's schema and its reference are read as carefully as code. `make golden` writes both again."""

import json
import os
from pathlib import Path
from typing import Any, cast

from leeward.api import create_api
from leeward.services import Services

HERE = Path(__file__).resolve().parent
SCHEMA = HERE / "openapi.json"
REFERENCE = HERE.parents[1] / "docs" / "reference" / "api.md"
MARK = "<!-- Below is what the schema says; `make golden` writes it. -->\n"


def schema() -> dict[str, Any]:
    """The schema needs no services: nothing is asked."""
    return create_api(cast(Services, None)).openapi()


def reference(made: dict[str, Any]) -> str:
    """Every operation, by resource."""
    lines: list[str] = []
    resource = ""
    for path, operations in made["paths"].items():
        for method, operation in operations.items():
            tag = operation["operationId"].split(".")[0]
            if tag != resource:
                lines += ["", f"## {tag}", "", "| request | use case | needs | answer |", "| --- | --- | --- | --- |"]
                resource = tag
            lines.append(row(method.upper(), path, operation))
    return "\n".join(lines).strip() + "\n"


def row(method: str, path: str, operation: dict[str, Any]) -> str:
    parameters = [p["name"] for p in operation.get("parameters", ()) if p["in"] == "query"]
    body = operation.get("requestBody", {}).get("content", {})
    sent = ", ".join(name_of(content["schema"]) for content in body.values())
    done = next(code for code in operation["responses"] if code.startswith("2"))
    content = operation["responses"][done].get("content", {})
    answer = " ".join([done, *(name_of(value["schema"]) for value in content.values() if value.get("schema"))])
    query = f"`?{'&'.join(parameters)}`" if parameters else ""
    asked = " ".join(part for part in (f"`{method} {path}`", query, sent) if part)
    return f"| {asked} | `{operation['operationId']}`: {operation['description']} | {operation['x-scope']} | {answer} |"


def name_of(schema: dict[str, Any]) -> str:
    """The name of a schema, or of what it is a choice or list of."""
    if "$ref" in schema:
        return f"`{schema['$ref'].rsplit('/', 1)[1]}`"
    if "anyOf" in schema:
        return " or ".join(name_of(one) for one in schema["anyOf"] if one.get("type") != "null") or "null"
    if schema.get("type") == "array":
        return f"list of {name_of(schema['items'])}"
    return "bytes" if schema.get("type") == "string" else "object"


def test_the_schema_is_the_one_that_was_reviewed() -> None:
    made = json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
    if os.environ.get("GOLDEN") == "write":
        SCHEMA.write_text(made)

    assert made == SCHEMA.read_text()


def test_the_reference_lists_every_operation() -> None:
    head = REFERENCE.read_text().split(MARK)[0] if REFERENCE.exists() else ""
    made = head + MARK + "\n" + reference(schema())
    if os.environ.get("GOLDEN") == "write":
        REFERENCE.write_text(made)

    assert made == REFERENCE.read_text()

"""The API's own description: OpenAPI 3.1."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from leeward.api.problems import MEDIA_TYPE, ProblemBody
from leeward.model.access import Scope

PUBLIC = frozenset({"platform.healthz", "access.sign_in", "access.sign_out", "hooks.deploy_hook", "hooks.git_push"})
"""Operations that need no caller: the hooks are signed, or have a secret in their address."""
ADMIN = frozenset(
    {
        *("access.tokens", "access.add_token", "access.revoke_token", "apps.delete", "hooks.rotate"),
        *("regions.add", "regions.remove", "registries.add", "registries.remove"),
    }
)
FAILED: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "It failed",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}


def operation_id(route: APIRoute) -> str:
    """`apps.scale`: the resource and the use case."""
    return f"{route.tags[0]}.{route.name}" if route.tags else route.name


def scope_of(operation: str, method: str) -> str:
    """The smallest scope that may do it, 'none' for an operation that needs no caller."""
    if operation in PUBLIC:
        return "none"
    if operation in ADMIN:
        return Scope.ADMIN.value
    return Scope.READ.value if method == "get" else Scope.DEPLOY.value


def openapi(app: FastAPI) -> dict[str, Any]:
    """Made once. The framework's own validation error is never sent, so it is not in there."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = made["components"]["schemas"]
        schemas.pop("HTTPValidationError", None)
        schemas.pop("ValidationError", None)
        problem = ProblemBody.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= problem.pop("$defs")
        schemas["Problem"] = {**problem, "title": "Problem"}
        for path in made["paths"].values():
            for method, operation in path.items():
                _describe(method, operation)
        app.openapi_schema = made
    return app.openapi_schema


def _describe(method: str, operation: dict[str, Any]) -> None:
    operation["responses"].pop("422", None)
    operation["x-scope"] = scope_of(operation["operationId"], method)
    # Either of the two is enough; the framework writes that both are needed.
    operation.pop("security", None)
    if operation["x-scope"] != "none":
        operation["security"] = [{"HTTPBearer": []}, {"APIKeyCookie": []}]

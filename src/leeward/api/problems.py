"""Every failure as `application/problem+json` (RFC 9457)."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from leeward.errors import Invalid, LeewardError, NotFound, Problem, TooLarge, TooMany, Unauthorized

MEDIA_TYPE = "application/problem+json"
TITLES = {
    401: "Not signed in",
    403: "Not allowed",
    404: "Not found",
    409: "Not in the present state",
    413: "Too large",
    422: "The request is wrong",
    429: "Too many requests",
    500: "It broke",
    503: "A part of the platform does not answer",
}


class ProblemItem(BaseModel):
    """One thing wrong with one field; `path` is empty for the whole request."""

    path: str
    message: str
    hint: str


class ProblemBody(BaseModel):
    """The answer to every request that failed. `code` is stable; `hint` says what to do next."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    hint: str
    problems: list[ProblemItem]


def problem_response(error: LeewardError, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A failure that we can name, as it is sent."""
    return response(
        error.status, error.code, error.message, error.hint, _items(error), {**_extra(error), **(headers or {})}
    )


def response(
    status: int,
    code: str,
    detail: str,
    hint: str = "",
    items: Sequence[Problem] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """A problem as it is sent."""
    body = {
        "type": "about:blank",
        "title": TITLES.get(status, HTTPStatus(status).phrase),
        "status": status,
        "code": code,
        "detail": detail,
        "hint": hint,
        "problems": [{"path": item.path, "message": item.message, "hint": item.hint} for item in items],
    }
    return JSONResponse(body, status, media_type=MEDIA_TYPE, headers=headers)


def _items(error: LeewardError) -> Sequence[Problem]:
    return error.problems if isinstance(error, Invalid) else ()


def _extra(error: LeewardError) -> dict[str, str]:
    if isinstance(error, TooMany):
        return {"Retry-After": str(error.retry_after_s)}
    return {"WWW-Authenticate": "Bearer"} if isinstance(error, Unauthorized) else {}


async def on_leeward_error(request: Request, error: Exception) -> Response:
    """A failure that a service named."""
    assert isinstance(error, LeewardError)
    return git_response(error) if request.url.path.startswith("/git/") else problem_response(error)


def git_response(error: LeewardError) -> Response:
    """A failure as Git's client shows it to its user: of all types only plain text."""
    # Git asks its user for a name and password only when it is told so.
    headers = {"WWW-Authenticate": 'Basic realm="leeward"'} if isinstance(error, Unauthorized) else _extra(error)
    hint = f"\n  hint: {error.hint}" if error.hint else ""
    return PlainTextResponse(f"{error.message}{hint}\n", error.status, headers=headers)


async def on_invalid_request(request: Request, error: Exception) -> JSONResponse:
    """Every wrong field of a request at once, by its path."""
    assert isinstance(error, RequestValidationError)
    known = _fields(request)
    return problem_response(Invalid([_problem(item, known) for item in error.errors()]))


async def on_http_exception(request: Request, error: Exception) -> JSONResponse:
    """No such path, no such method, and what the framework itself refuses."""
    assert isinstance(error, HTTPException)
    method, path = request.method, request.url.path
    if error.status_code == 404:
        return problem_response(NotFound(f"there is no '{path[:200]}'", hint="see /openapi.json", code="no-such-path"))
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        text = f"'{path[:200]}' cannot be asked with {method}"
        return response(405, "method-not-allowed", text, f"use {allowed}" if allowed else "", headers=error.headers)
    if error.status_code == 413:
        return problem_response(TooLarge(str(error.detail), hint="send archives to /v1/uploads"))
    if error.status_code == 400:
        return problem_response(Invalid("the body is not JSON", hint="send UTF-8, and not nested without end"))
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    return response(error.status_code, code, str(error.detail), headers=error.headers)


def _problem(item: Any, known: Sequence[str]) -> Problem:
    place = [str(part) for part in item["loc"][1:]]
    path = "/".join(place)
    if item["type"] == "json_invalid":
        return Problem("", f"the body is not JSON: {item['ctx']['error'].lower()} at character {item['loc'][-1]}")
    message = str(item["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if item["type"] == "extra_forbidden":
        close = get_close_matches(place[-1], known, n=1)
        return Problem(path, message, f"did you mean '{close[0]}'?" if close else "")
    secret = any(part in ("password", "secrets") for part in place)
    if not secret and isinstance(item["input"], str | int | float | bool):
        message = f"{message}, not '{str(item['input'])[:200]}'"
    return Problem(path, message)


def _fields(request: Request) -> Sequence[str]:
    """The names that the body of this route may hold."""
    body = getattr(request.scope.get("route"), "body_field", None)
    model = getattr(getattr(body, "field_info", None), "annotation", None)
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []

"""The variables of an app."""

from collections.abc import Mapping

from starlette.responses import Response

from leeward.errors import LeewardError
from leeward.web.door import Visit, given, to
from leeward.web.pages.overview import heading


async def index(visit: Visit) -> Response:
    """The variables; secret values are stars."""
    return await _page(visit)


async def _page(visit: Visit, error: LeewardError | None = None, typed: Mapping[str, str] | None = None) -> Response:
    app = await visit.services.apps.show(visit.app)
    variables = await visit.services.environment.list(visit.app)
    # What was typed is shown again, but never a secret's value.
    kept = {key: value for key, value in (typed or {}).items() if key != "value" or "secret" not in (typed or {})}
    shown = given(error, kept) if error else {"typed": kept}
    return visit.page(
        "env.html",
        **heading(visit, app, "env"),
        variables=variables,
        manifest=app.spec.env,
        edited=visit.asked("edit"),
        cannot=visit.cannot(),
        **shown,
    )


async def change(visit: Visit) -> Response:
    """Add, change or remove one variable; what is live gets it by a deploy, which is shown."""
    typed = await visit.form()
    key = typed.get("key", "").strip()
    try:
        if typed.get("action") == "remove":
            _, deploy = await visit.services.environment.change(visit.caller, visit.app, unset=(key,))
        else:
            value = {key: typed.get("value", "").replace("\r\n", "\n")}
            put, secrets = ({}, value) if "secret" in typed else (value, {})
            _, deploy = await visit.services.environment.change(visit.caller, visit.app, put, secrets)
    except LeewardError as error:
        return await _page(visit, error, typed)
    return to(f"/apps/{visit.app}/env" if deploy is None else f"/apps/{visit.app}/deploys/{deploy.id}")

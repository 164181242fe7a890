"""The list of apps, and the form that makes a new one."""

from collections.abc import Mapping
from urllib.parse import urlencode

from starlette.responses import Response

from leeward.errors import Conflict, Invalid, LeewardError, Problem
from leeward.model.release import SourceKind, SourceRef
from leeward.web.door import Visit, given, to
from leeward.web.streams import fragments, stream

PAGE = 50
# So many are seen at a glance.
FEW = 8


async def index(visit: Visit) -> Response:
    """Every app with its state; kept up to date by `live`."""
    after, search = visit.asked("after"), visit.asked("search").strip()
    page = await visit.services.apps.list(after, PAGE, search)
    return visit.page(
        "apps.html",
        title="Apps",
        section="apps",
        apps=page.items,
        following=page.next,
        search=search,
        searchable=bool(search or after or page.next or len(page.items) > FEW),
        place=_place(after=after, search=search),
        onward=_place(after=page.next, search=search),
        cannot=visit.cannot(),
        settings=visit.services.settings,
    )


def _place(**asked: str) -> str:
    """The query of a part of the list; '' for its beginning."""
    given = {key: value for key, value in asked.items() if value}
    return f"?{urlencode(given)}" if given else ""


async def live(visit: Visit) -> Response:
    """The list again, each time it changes."""
    after, search = visit.asked("after"), visit.asked("search").strip()

    async def look() -> Mapping[str, str]:
        page = await visit.services.apps.list(after, PAGE, search)
        later = {"now": visit.services.clock.now(), "search": search}
        return {"apps": visit.html("_apps.html", apps=page.items, settings=visit.services.settings, **later)}

    return stream(fragments(visit.services.stores.notices, ("app/", "deploy/"), look), visit.still)


async def new(visit: Visit) -> Response:
    """The form for a new app."""
    return _form(visit, {"source": "git"})


def _form(visit: Visit, typed: Mapping[str, str], error: LeewardError | None = None) -> Response:
    shown = given(error, typed) if error else {"typed": typed}
    return visit.page(
        "new.html", title="New app", section="apps", cannot=visit.cannot(), settings=visit.services.settings, **shown
    )


async def create(visit: Visit) -> Response:
    """Make the app by its first deploy, and show that."""
    typed = await visit.form()
    try:
        name = typed.get("name", "").strip()
        if await visit.services.stores.apps.find(name) is not None:
            raise Conflict(f"there is an app '{name}' already", hint="choose another name, or deploy that one again")
        deploy = await visit.services.deploys.deploy(visit.caller, name, _source(typed), {"name": name})
    except LeewardError as error:
        return _form(visit, typed, error)
    return to(f"/apps/{deploy.app}/deploys/{deploy.id}")


def _source(typed: Mapping[str, str]) -> SourceRef:
    path = typed.get("path", "").strip() or "."
    if typed.get("source") == "image":
        if not typed.get("image", "").strip():
            raise Invalid([Problem("image", "is empty", "write it like 'registry.example.com/shop:1.4'")])
        return SourceRef(SourceKind.IMAGE, image=typed["image"].strip(), path=path)
    if not typed.get("url", "").strip():
        raise Invalid([Problem("url", "is empty", "write it like 'https://example.com/shop.git'")])
    return SourceRef(SourceKind.GIT, url=typed["url"].strip(), ref=typed.get("ref", "").strip(), path=path)

"""What an app's processes print, as it comes."""

from collections.abc import AsyncIterator

from starlette.responses import Response

from leeward.model.runtime import LogLine
from leeward.web import streams
from leeward.web.door import Visit
from leeward.web.pages.overview import heading

SHOWN = 300


async def show(visit: Visit) -> Response:
    """The last lines, searched and filtered as the address says; `<log-stream>` adds the new ones."""
    app = await visit.services.apps.show(visit.app)
    search, process = visit.asked("search").strip(), visit.asked("process")
    lines = await visit.services.logs.tail(visit.app, SHOWN, search, process)
    return visit.page(
        "logs.html",
        **heading(visit, app, "logs"),
        lines=lines,
        search=search,
        process=process,
        query=visit.request.url.query,
    )


async def stream(visit: Visit) -> Response:
    """The same lines and then each new one."""
    await visit.services.logs.tail(visit.app, 1)
    return streams.stream(
        streams.lines(_matching(visit, visit.asked("search").strip(), visit.asked("process"))), visit.still
    )


async def _matching(visit: Visit, search: str, process: str) -> AsyncIterator[LogLine]:
    if not search:
        async for line in visit.services.logs.follow(visit.app, process, recent=SHOWN):
            yield line
        return
    known = await visit.services.logs.tail(visit.app, SHOWN, search, process)
    for line in known:
        yield line
    shown = {(line.at, line.text) for line in known}
    # A few from before, so that none falls between the two.
    async for line in visit.services.logs.follow(visit.app, process, recent=100):
        if search.lower() in line.text.lower() and (line.at, line.text) not in shown:
            yield line

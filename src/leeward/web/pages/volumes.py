"""Volumes of an app: shown on its overview, and removed when nothing needs them."""

from collections.abc import Sequence

from starlette.responses import Response

from leeward.errors import LeewardError
from leeward.services.volumes import VolumeView
from leeward.web.door import Visit, to


async def shown(visit: Visit, project: str) -> Sequence[VolumeView]:
    """The volumes of the app of this project; a page without them is better than none."""
    try:
        return await visit.services.volumes.list(visit.app, project)
    except LeewardError:
        return ()


async def delete(visit: Visit) -> Response:
    """Remove a volume with its data, and go back to where the others are."""
    typed = await visit.form()
    process, name, region, project = (typed.get(key, "") for key in ("process", "name", "region", "project"))
    await visit.services.volumes.delete(visit.caller, visit.app, process, name, region, project)
    return to(f"/apps/{visit.app}#volumes-title")

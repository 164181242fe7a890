"""Volumes of an app: shown on its overview, and removed when nothing needs them."""

from collections.abc import Sequence

from starlette.responses import Response

from leeward.errors import LeewardError
from leeward.services.volumes import VolumeView
from leeward.web.door import Visit, to


async def shown(visit: Visit) -> Sequence[VolumeView]:
    """The volumes of the app; a page without them is better than none."""
    try:
        return await visit.services.volumes.list(visit.app)
    except LeewardError:
        return ()


async def delete(visit: Visit) -> Response:
    """Remove a volume with its data, and go back to where the others are."""
    typed = await visit.form()
    await visit.services.volumes.delete(
        visit.caller, visit.app, typed.get("process", ""), typed.get("name", ""), typed.get("region", "")
    )
    return to(f"/apps/{visit.app}#volumes-title")

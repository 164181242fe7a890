"""The platform itself."""

from collections.abc import Sequence

from fastapi import APIRouter

from leeward.api.callers import Asking, The
from leeward.services.platform import PlatformView, SizeView

router = APIRouter(tags=["platform"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Say that the control plane answers."""
    return {"status": "ok"}


@router.get("/v1/status")
async def status(services: The, caller: Asking) -> PlatformView:
    """Show version, counts, disk, memory, and the health of each part."""
    return await services.platform.status()


@router.get("/v1/sizes")
async def sizes(services: The, caller: Asking) -> Sequence[SizeView]:
    """List the sizes, their limits and prices."""
    return services.platform.sizes()

"""Metrics of apps."""

from typing import Annotated

from fastapi import APIRouter, Query

from leeward.api.answers import MetricsView, UsageView
from leeward.api.callers import Asking, The
from leeward.services.metrics import MINUTES_MAX

router = APIRouter(prefix="/v1/apps/{app}/metrics", tags=["metrics"])


@router.get("")
async def series(
    app: str, services: The, caller: Asking, minutes: Annotated[int, Query(ge=1, le=MINUTES_MAX)] = 60
) -> MetricsView:
    """Show an app's numbers over the last minutes, and what is used now."""
    found = await services.metrics.series(app, minutes)
    usage = [
        UsageView(**{name: getattr(one, name) for name in UsageView.model_fields})
        for one in await services.metrics.usage(app)
    ]
    return MetricsView(series=found, usage=usage)

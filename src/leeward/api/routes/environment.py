"""Variables."""

from fastapi import APIRouter

from leeward.api.answers import EnvChanged, EnvView, variables
from leeward.api.bodies import EnvChange
from leeward.api.callers import Asking, The

router = APIRouter(prefix="/v1/apps/{app}/env", tags=["environment"])


@router.get("")
async def list(app: str, services: The, caller: Asking) -> EnvView:
    """List an app's variables; secret values are stars."""
    return EnvView(env=variables(await services.environment.list(app)))


@router.patch("", status_code=202)
async def change(app: str, body: EnvChange, services: The, caller: Asking) -> EnvChanged:
    """Set and remove variables at once; a live app is deployed with them."""
    env, deploy = await services.environment.change(caller, app, body.set, body.secrets, body.unset)
    return EnvChanged(env=variables(env), deploy=await services.deploys.view(deploy) if deploy else None)

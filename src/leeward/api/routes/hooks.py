"""Deploy hooks and webhooks."""

from fastapi import APIRouter, Request, Response

from leeward.api.answers import HookAnswer
from leeward.api.callers import Asking, The
from leeward.services.hooks import HookSecrets

router = APIRouter(tags=["hooks"])


@router.post("/v1/apps/{app}/hook", status_code=201)
async def rotate(app: str, services: The, caller: Asking) -> HookSecrets:
    """Make new secrets for an app's hooks; they are in this answer and never again."""
    return await services.hooks.rotate(caller, app)


@router.post("/hooks/deploy/{app}/{secret}", status_code=202)
async def deploy_hook(app: str, secret: str, services: The) -> HookAnswer:
    """Deploy an app's source again."""
    deploy = await services.hooks.deploy_hook(app, secret)
    return HookAnswer(deploy=deploy.id, ignored="")


@router.post("/hooks/git/{app}", status_code=202)
async def git_push(app: str, request: Request, response: Response, services: The) -> HookAnswer:
    """Take a signed push of GitHub, Gitea, Forgejo or GitLab."""
    answer = await services.hooks.git_push(app, dict(request.headers), await request.body())
    if answer.deploy is None:
        response.status_code = 200
    return HookAnswer(deploy=answer.deploy.id if answer.deploy else None, ignored=answer.ignored)

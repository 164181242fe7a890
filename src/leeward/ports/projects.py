"""Read what the apps of a project ask for, and refuse what has no room there."""

import contextlib
from collections.abc import Mapping

from leeward.errors import NotFound
from leeward.model.app import AppSpec
from leeward.model.quota import NO_BOUND, Quotas, quota_of
from leeward.model.wish import App
from leeward.plan.quota import others_use, over_quota
from leeward.ports.stores import Stores, every_app

Asked = Mapping[str, tuple[AppSpec, ...]]


async def asked_for(stores: Stores, project: str = "") -> Mapping[str, Asked]:
    """Of each project, or of one, and each app the spec of its live release, and of a release that is on its way."""
    coming = {deploy.app: deploy.release for deploy in await stores.deploys.active() if deploy.release is not None}
    found: dict[str, dict[str, tuple[AppSpec, ...]]] = {}
    async for app in every_app(stores.apps):
        if app.deleted or (project and app.project != project):
            continue
        numbers = dict.fromkeys(number for number in (app.live, coming.get(app.name)) if number is not None)
        # An app may go between two looks.
        with contextlib.suppress(NotFound):
            specs = tuple([(await stores.releases.get(app.name, number)).spec for number in numbers])
            found.setdefault(app.project, {})[app.name] = specs
    return found


async def refuse_over_quota(stores: Stores, quotas: Quotas, app: App, spec: AppSpec) -> None:
    """Raises Conflict, with the numbers, when the app's project has no room for what `spec` asks for."""
    quota = quota_of(quotas, app.project)
    if quota == NO_BOUND:
        return
    live = (await stores.releases.get(app.name, app.live)).spec if app.live is not None else None
    others = others_use((await asked_for(stores, app.project)).get(app.project, {}), app.name)
    if (problem := over_quota(quota, app.project, app.name, spec, live, others)) is not None:
        raise problem

"""Deploys that other machines ask for: deploy hooks and the webhooks of Git hosts."""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace

from leeward.errors import Conflict, Unauthorized
from leeward.model.access import Caller, Scope
from leeward.model.release import Deploy, SourceKind, SourceRef
from leeward.model.secret import Secret
from leeward.model.wish import App
from leeward.services import pushes
from leeward.services.access import digest
from leeward.services.context import Context, require, standing
from leeward.services.deploys import Deploys
from leeward.services.references import COMMIT


@dataclass(frozen=True, slots=True)
class HookSecrets:
    """What to paste elsewhere; shown this once."""

    deploy_url: str
    webhook_url: str
    webhook_secret: str


@dataclass(frozen=True, slots=True)
class PushAnswer:
    """What a webhook led to: a deploy, or the reason why not."""

    deploy: Deploy | None
    ignored: str = ""


class Hooks:
    """Secret URLs and signed webhooks."""

    def __init__(self, context: Context, deploys: Deploys) -> None:
        self._context = context
        self._deploys = deploys
        self._access = context.stores.access
        # One at a time, so that two copies of a delivery cannot both be the first.
        self._one = asyncio.Lock()

    async def rotate(self, caller: Caller, app: str) -> HookSecrets:
        """New secrets for an app; the old ones end at once. Raises NotFound."""
        require(caller, Scope.ADMIN)
        await self._context.standing(app)
        hook, webhook = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        await self._context.stores.apps.update(
            app, lambda old: replace(standing(old), hook_digest=digest(hook), webhook_secret=Secret(webhook))
        )
        await self._context.note(caller, "hook.rotated", f"the hooks of '{app}' got new secrets", app)
        console = self._context.settings.console_url
        return HookSecrets(f"{console}/hooks/deploy/{app}/{hook}", f"{console}/hooks/git/{app}", webhook)

    async def deploy_hook(self, app: str, secret: str) -> Deploy:
        """Deploy the app's source again. Raises Unauthorized for a wrong app or secret alike."""
        wish = await self._context.stores.apps.find(app)
        wanted = wish.hook_digest if wish else ""
        right = hmac.compare_digest(digest(secret), wanted or digest(secrets.token_hex(16)))
        if wish is None or not wanted or not right:
            raise Unauthorized(
                "there is no such deploy hook", hint="make a new one with `lee hooks`", code="wrong-hook"
            )
        return await self._deploys.deploy(Caller("deploy hook", Scope.DEPLOY), app, message="deploy hook")

    async def git_push(self, app: str, headers: Mapping[str, str], body: bytes) -> PushAnswer:
        """Take a webhook of GitHub, Gitea, Forgejo or GitLab; the exact pushed commit is deployed.

        Raises Unauthorized for a wrong signature (or app), Conflict for a delivery that came before, Invalid.
        """
        headers = {name.lower(): value for name, value in headers.items()}
        wish = await self._context.stores.apps.find(app)
        secret = wish.webhook_secret if wish else None
        pushes.verify(secret.reveal() if secret else secrets.token_hex(32), headers, body)
        if wish is None or secret is None:
            raise Unauthorized("the webhook's signature is wrong", code="wrong-signature")
        async with self._one:
            keys = await self._first_time(app, headers, body)
            answer = await self._answer(standing(wish), headers, body)
            for key in keys:
                await self._access.remember(key, "", "", self._context.clock.now())
        return answer

    async def _first_time(self, app: str, headers: Mapping[str, str], body: bytes) -> tuple[str, ...]:
        """The names to remember this delivery by. Raises Conflict when it came before.

        The delivery's id is not covered by the signature, so the signed body counts too.
        """
        keys = [f"hook/{app}/{hashlib.sha256(pushes.delivery(headers).encode()).hexdigest()}"]
        if pushes.event(headers) in pushes.PUSH_EVENTS:
            keys.append(f"hook-body/{app}/{hashlib.sha256(body).hexdigest()}")
        for key in keys:
            if await self._access.recall(key, self._context.clock.now()) is not None:
                raise Conflict(
                    "this delivery was received before", hint="push again, or use `lee deploy`", code="replayed"
                )
        return tuple(keys)

    async def _answer(self, app: App, headers: Mapping[str, str], body: bytes) -> PushAnswer:
        event = pushes.event(headers)
        if event not in pushes.PUSH_EVENTS:
            return PushAnswer(None, f"event '{event[:60]}' is not a push")
        push = pushes.parse_push(headers, body)
        known = app.source if app.source is not None and app.source.kind is SourceKind.GIT else None
        followed = known.ref if known is not None and not COMMIT.fullmatch(known.ref) else ""
        why = pushes.ignored(push, app.spec.source, followed)
        caller = Caller(f"webhook {push.pusher}".strip(), Scope.DEPLOY)
        if why:
            await self._context.note(caller, "hook.ignored", f"a push to '{app.name}' deploys nothing: {why}", app.name)
            return PushAnswer(None, why)
        source = SourceRef(
            SourceKind.GIT,
            url=known.url if known else push.url,
            ref=push.branch,
            commit=push.commit,
            path=known.path if known else app.spec.path,
        )
        return PushAnswer(await self._deploys.deploy(caller, app.name, source, message=push.message))

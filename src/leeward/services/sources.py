"""Where code comes in: archives that are streamed, repositories that are pushed to."""

import asyncio
from collections.abc import AsyncIterator, Mapping

from leeward.errors import Invalid, NotFound, Problem, TooLarge
from leeward.model import parse
from leeward.model.access import Caller, Scope
from leeward.model.release import SourceKind, SourceRef
from leeward.model.wish import App
from leeward.ports import GitAnswer, Upload
from leeward.services.context import Context, require, standing
from leeward.services.deploys import Deploys
from leeward.settings import MIB

SERVICES = {"git-upload-pack": Scope.READ, "git-receive-pack": Scope.DEPLOY}
# Which branch a push deploys when the app does not say.
BRANCHES = ("main", "master")


class Sources:
    """Uploads, and git over HTTP."""

    def __init__(self, context: Context, deploys: Deploys) -> None:
        self._context = context
        self._deploys = deploys
        self._pushes: set[asyncio.Task[None]] = set()

    async def upload(self, caller: Caller, app: str, chunks: AsyncIterator[bytes]) -> Upload:
        """Take an archive (tar.gz) for a deploy of `app`, which need not exist. Raises Invalid, TooLarge."""
        require(caller, Scope.DEPLOY)
        parse.spec({"name": app})
        found = await self._context.stores.apps.find(app)
        if found is not None:
            standing(found)
        return await self._context.uploads.receive(app, self._bounded(chunks))

    async def _bounded(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        limit, size = self._context.settings.upload_max_mib, 0
        async for chunk in chunks:
            size += len(chunk)
            if size > limit * MIB:
                raise TooLarge(
                    f"the upload is larger than {limit} MiB",
                    hint="leave out what .gitignore names, or raise upload_max_mib",
                )
            yield chunk

    async def git(
        self,
        caller: Caller,
        app: str,
        method: str,
        path: str,
        query: str,
        headers: Mapping[str, str],
        body: AsyncIterator[bytes],
    ) -> GitAnswer:
        """One request of git's smart HTTP protocol; a push that moves the app's branch queues a deploy.

        The app is created at its first push. Raises Invalid, NotFound, Forbidden, Conflict.
        """
        service = _service(path, query)
        require(caller, SERVICES[service])
        found = await self._context.stores.apps.find(app)
        if found is not None:
            standing(found)
        elif service == "git-upload-pack":
            await self._context.stores.apps.get(app)
        else:
            await self._create(caller, app)
        if path != "/git-receive-pack":
            return await self._context.gits.serve(app, method, path, query, headers, body)
        before = await self._context.gits.heads(app)
        answer = await self._context.gits.serve(app, method, path, query, headers, body)
        return answer._replace(body=self._then_deploy(caller, app, before, answer.body))

    async def _create(self, caller: Caller, app: str) -> None:
        parse.spec({"name": app})
        await self._context.stores.apps.create(App(app, created_at=self._context.clock.now()))
        await self._context.note(caller, "app.created", f"app '{app}' created by a push", app)

    async def _then_deploy(
        self, caller: Caller, app: str, before: Mapping[str, str], body: AsyncIterator[bytes]
    ) -> AsyncIterator[bytes]:
        """The backend's answer; what was pushed is deployed before the last byte, or when the client goes away."""
        try:
            async for chunk in body:
                yield chunk
        finally:
            # A task of its own: the client may be gone, and what it pushed is deployed all the same.
            task = asyncio.create_task(self.pushed(caller, app, before))
            self._pushes.add(task)
            task.add_done_callback(self._pushes.discard)
            await asyncio.shield(task)

    async def pushed(self, caller: Caller, app: str, before: Mapping[str, str]) -> None:
        """Queue a deploy if the branch that the app follows moved since `before`."""
        after = await self._context.gits.heads(app)
        wish = await self._context.stores.apps.find(app)
        if wish is None or wish.deleted or not wish.spec.source.auto_deploy:
            return
        wanted = (wish.spec.source.branch,) if wish.spec.source.branch else BRANCHES
        branch = next((name for name in wanted if name in after and after[name] != before.get(name)), None)
        if branch is None:
            return
        source = SourceRef(SourceKind.PUSH, ref=branch, commit=after[branch], path=wish.spec.path)
        await self._deploys.deploy(caller, app, source, message=f"push to {branch}")


def _service(path: str, query: str) -> str:
    """The git service that a request is for. Raises NotFound, Invalid."""
    if path == "/info/refs":
        name = query.removeprefix("service=").split("&")[0]
        if name not in SERVICES:
            raise Invalid([Problem("service", "only git's smart HTTP protocol is spoken", "use git 1.6.6 or newer")])
        return name
    name = path.removeprefix("/")
    if name not in SERVICES:
        raise NotFound(f"there is no '{path}' in a repository")
    return name

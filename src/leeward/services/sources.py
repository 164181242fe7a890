"""Where code comes in: archives that are streamed, repositories that are pushed to."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

from leeward.errors import Invalid, LeewardError, NotFound, Problem, TooLarge
from leeward.model import parse
from leeward.model.access import Caller, Scope
from leeward.model.release import Deploy, DeployStatus, SourceKind, SourceRef
from leeward.model.wish import App
from leeward.plan.sideband import told
from leeward.ports import GitAnswer, Upload
from leeward.services.context import Context, require, standing
from leeward.services.deploys import Deploys
from leeward.settings import MIB

SERVICES = {"git-upload-pack": Scope.READ, "git-receive-pack": Scope.DEPLOY}
# Which branch a push deploys when the app does not say.
BRANCHES = ("main", "master")
# Seconds without news after which a push is told that the deploy goes on, so that no proxy ends the connection.
QUIET_S = 10.0


class Sources:
    """Uploads, and git over HTTP."""

    def __init__(self, context: Context, deploys: Deploys) -> None:
        self._context = context
        self._deploys = deploys
        self._pushes: set[asyncio.Task[Deploy | None]] = set()

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
        """The backend's answer, and in it what becomes of the push; the deploy goes on when the client goes away."""
        begun: list[asyncio.Task[Deploy | None]] = []

        def begin() -> asyncio.Task[Deploy | None]:
            if not begun:
                # A task of its own: the client may be gone, and what it pushed is deployed all the same.
                begun.append(asyncio.create_task(self.pushed(caller, app, before)))
                self._pushes.add(begun[0])
                begun[0].add_done_callback(self._pushes.discard)
            return begun[0]

        try:
            async for chunk in told(body, self._story(app, begin)):
                yield chunk
        finally:
            await asyncio.shield(asyncio.gather(begin(), return_exceptions=True))

    async def _story(self, app: str, begin: Callable[[], asyncio.Task[Deploy | None]]) -> AsyncIterator[str]:
        """What the user reads while a push is deployed; an empty line says only that it goes on."""
        try:
            deploy = await asyncio.shield(begin())
            if deploy is None:
                yield f"no deploy of '{app}': the branch that it follows did not move"
                return
            yield f"deploy {deploy.id} of '{app}' for {self._context.settings.url_of(app)}"
            async for line in self._progress(deploy.id):
                yield line
        except LeewardError as error:
            yield f"Error: {error.message}"
            if error.hint:
                yield f"  hint: {error.hint}"

    async def _progress(self, id: str) -> AsyncIterator[str]:
        watching = self._deploys.watch(id)
        phase = None
        while True:
            following = asyncio.ensure_future(anext(watching, None))
            try:
                while not (await asyncio.wait({following}, timeout=QUIET_S))[0]:
                    yield ""
            finally:
                following.cancel()
            deploy = following.result()
            if deploy is None or deploy.status.final:
                break
            if deploy.status is DeployStatus.RUNNING and deploy.phase is not phase:
                phase = deploy.phase
                yield f"{phase} ..."
        if deploy is None:
            return
        if deploy.status is DeployStatus.LIVE:
            yield f"live at {self._context.settings.url_of(deploy.app)} after {deploy.timings_s().get('total', 0.0)} s"
            return
        error = deploy.error or {}
        yield f"{deploy.status} at {error.get('step', deploy.phase)}: {error.get('message', 'no reason was given')}"
        if error.get("hint"):
            yield f"  hint: {error['hint']}"

    async def pushed(self, caller: Caller, app: str, before: Mapping[str, str]) -> Deploy | None:
        """Queue a deploy if the branch that the app follows moved since `before`; None when it did not."""
        after = await self._context.gits.heads(app)
        wish = await self._context.stores.apps.find(app)
        if wish is None or wish.deleted or not wish.spec.source.auto_deploy:
            return None
        wanted = (wish.spec.source.branch,) if wish.spec.source.branch else BRANCHES
        branch = next((name for name in wanted if name in after and after[name] != before.get(name)), None)
        if branch is None:
            return None
        source = SourceRef(SourceKind.PUSH, ref=branch, commit=after[branch], path=wish.spec.path)
        return await self._deploys.deploy(caller, app, source, message=f"push to {branch}")


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

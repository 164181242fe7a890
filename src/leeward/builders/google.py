"""Builds images with Google Cloud Build, which pushes them to Artifact Registry."""

import asyncio
import base64
import contextlib
import io
import tarfile
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import IO, Any

import httpx

from leeward.builders import context, google_plan
from leeward.builders.bases import Bases, tags
from leeward.builders.elsewhere import PulledBases, refuse_buildpacks
from leeward.builders.failures import explain
from leeward.builders.google_plan import Place, Wanted
from leeward.builders.google_token import Tokens, trust
from leeward.builders.inputs import labels, secret_files, secret_values
from leeward.builders.masking import Masker
from leeward.builders.neighbours import refusing
from leeward.builders.progress import Progress
from leeward.builders.sink import Sink
from leeward.builders.upstream import DistantUpstream
from leeward.errors import BuildFailed, Forbidden, LeewardError, NotFound, Unavailable
from leeward.model.app import AppSpec, Strategy
from leeward.model.build import BuildPlan
from leeward.ports import BuildJob, Built, Say, Shelf
from leeward.settings import Settings

EVERY_S = 1.0
_ASK_S = 60.0
_CHUNK = 1024 * 1024
_CA = "leeward_ca"


class GoogleBuilder:
    """The port Builder on one project."""

    def __init__(
        self,
        settings: Settings,
        place: Place,
        bases: Bases,
        shelf: Shelf,
        tokens: Tokens | None = None,
        every_s: float = EVERY_S,
    ) -> None:
        self._settings = settings
        self._place = place
        self._shelf = shelf
        self._pulled = PulledBases(settings, bases, shelf, settings.registry)
        self._tokens = tokens or Tokens(settings.google["metadata"], settings.google_key_file)
        self._every_s = every_s
        self._upstream = DistantUpstream((), settings.mirrors)

    def plan(self, tree: Path, spec: AppSpec, env: Mapping[str, str], versions: Mapping[str, str]) -> BuildPlan:
        """Decide how to build. Reads files only. Raises PlanFailed."""
        from leeward.builders.plan import plan

        return plan(tree, spec, env, versions, tags())

    async def build(self, job: BuildJob, say: Say) -> Built:
        """Build and push; cancelling the task cancels the build there. Raises BuildFailed."""
        refuse_buildpacks(job)
        text, bases = await self._dockerfile(job, say)
        source = google_plan.source_name(job.app, job.key)
        folder = context.inside(job.tree, job.plan.context)
        await asyncio.to_thread(context.settle, folder)
        async with self._source(job, folder, text, source) as generation, self._secrets(job) as secrets:
            wanted = Wanted(
                app=job.app,
                image=f"{self._settings.registry}/{job.app}",
                source=source,
                generation=generation,
                timeout_s=self._settings.build_timeout_s,
                target=job.plan.target,
                args=job.plan.args,
                labels=labels(job, str(self._settings.home), ""),
                secrets=secrets,
            )
            begun = await self._ask(
                "POST", "cloudbuild", self._place.builds, json=google_plan.request(wanted, self._place)
            )
            id = str(begun["metadata"]["build"]["id"])
            say(f"built by Google Cloud Build: {id}")
            own = job.plan.strategy == Strategy.DOCKERFILE
            look = refusing(self._settings.registry, job.app, self._settings.mirrors) if own else None
            progress, masker = Progress(look), Masker(secret_values(job))
            ended = await self._follow(id, Sink(progress, say), masker)
        if ended["status"] != "SUCCESS":
            raise self._failure(ended, progress, masker)
        pushed = f"{wanted.image}@{google_plan.digest(ended)}"
        return Built(google_plan.digest(ended), await self._shelf.size(pushed), not progress.ran, tuple(bases), pushed)

    # --- what it is given ---------------------------------------------------------------------------------

    async def _dockerfile(self, job: BuildJob, say: Say) -> tuple[str, Mapping[str, str]]:
        """The Dockerfile with images that can be had there, and our base images by the names that they have there."""
        text, flavours = await self._upstream.resolve(job, say)
        bases = await self._pulled.names(flavours, say)
        return google_plan.on_bases(text, bases), bases

    @contextlib.asynccontextmanager
    async def _source(self, job: BuildJob, folder: Path, text: str, name: str) -> AsyncIterator[str]:
        """The archive in the bucket, for as long as the build lasts; its generation."""
        bucket = self._place.bucket
        with tempfile.TemporaryFile() as file:
            await asyncio.to_thread(pack, file, folder, text, job.plan.dockerignore)
            file.seek(0)
            path = f"/upload/storage/v1/b/{bucket}/o"
            params = {"uploadType": "media", "name": name}
            told = await self._ask("POST", "storage", path, params=params, content=_chunks(file))
        try:
            yield str(told["generation"])
        finally:
            with contextlib.suppress(LeewardError):
                await asyncio.shield(self._ask("DELETE", "storage", f"/storage/v1/b/{bucket}/o/{_quoted(name)}"))

    @contextlib.asynccontextmanager
    async def _secrets(self, job: BuildJob) -> AsyncIterator[Mapping[str, str]]:
        """What steps may mount, in Secret Manager for as long as the build lasts: id to version."""
        found: dict[str, str] = {}
        # This machine's certificates mean nothing there.
        values = {name: value for name, value in secret_files(job, self._settings).items() if name != _CA}
        try:
            for name, value in values.items():
                id, body = google_plan.secret_id(job.app, job.key, name), google_plan.secret_body()
                root = self._place.secrets
                with contextlib.suppress(_Exists):
                    await self._ask("POST", "secretmanager", root, params={"secretId": id}, json=body)
                payload = {"payload": {"data": base64.b64encode(value).decode()}}
                told = await self._ask("POST", "secretmanager", f"{root}/{id}:addVersion", json=payload)
                found[name] = str(told["name"])
            yield found
        finally:
            for name in values:
                path = f"{self._place.secrets}/{google_plan.secret_id(job.app, job.key, name)}"
                with contextlib.suppress(LeewardError):
                    await asyncio.shield(self._ask("DELETE", "secretmanager", path))

    # --- following ----------------------------------------------------------------------------------------

    async def _follow(self, id: str, sink: Sink, masker: Masker) -> Mapping[str, Any]:
        """Hand the log on until the build has ended; what it is then. Cancelled, it ends the build there first."""
        path, lines = f"{self._place.builds}/{id}", _Lines(sink, masker)
        try:
            while True:
                build: Mapping[str, Any] = await self._ask("GET", "cloudbuild", path)
                lines.take(await self._log(id, lines.seen))
                if build["status"] not in google_plan.RUNNING:
                    lines.end()
                    return build
                await asyncio.sleep(self._every_s)
        except (asyncio.CancelledError, BuildFailed):
            await asyncio.shield(self._cancel(path))
            raise

    async def _cancel(self, path: str) -> None:
        with contextlib.suppress(LeewardError):
            await self._ask("POST", "cloudbuild", f"{path}:cancel", json={})

    async def _log(self, id: str, seen: int) -> bytes:
        """What was added to the log since `seen` bytes."""
        path = f"/storage/v1/b/{self._place.bucket}/o/{google_plan.log_name(id)}"
        answer = await self._send("GET", "storage", path, params={"alt": "media"}, headers={"Range": f"bytes={seen}-"})
        # Not there yet, or nothing new.
        if answer.status_code in (404, 416):
            return b""
        self._check(answer)
        return answer.content if answer.status_code == 206 else answer.content[seen:]

    def _failure(self, build: Mapping[str, Any], progress: Progress, masker: Masker) -> LeewardError:
        why = masker.text(google_plan.detail(build))
        match build["status"]:
            case "TIMEOUT":
                return BuildFailed(
                    f"the build took longer than {self._settings.build_timeout_s} s",
                    hint="look for a step that waits for input; LEEWARD_BUILD_TIMEOUT_S sets the bound",
                    code="build-timeout",
                )
            case "CANCELLED":
                return BuildFailed("the build was cancelled in Google Cloud Build", hint="deploy again")
            case "EXPIRED":
                return BuildFailed(
                    "the build waited too long in Google Cloud Build", hint="see the project's quota of builds at once"
                )
            case "INTERNAL_ERROR":
                return Unavailable(
                    f"Google Cloud Build failed by itself: {why or 'no reason'}", hint="it is tried again"
                )
        if google_plan.push_failed(build) or (not progress.step and "push" in why.lower()):
            return BuildFailed(
                f"the image could not be pushed to '{self._settings.registry}': {why}",
                hint="let the builds' account write to the repository (roles/artifactregistry.writer)",
            )
        message, hint = explain(progress.step, progress.output, progress.error or why)
        return BuildFailed(masker.text(message), hint=hint)

    # --- asking -------------------------------------------------------------------------------------------

    async def _ask(self, method: str, service: str, path: str, **options: Any) -> Any:
        """One request, one answer in JSON. Raises Forbidden, NotFound, Unavailable."""
        answer = await self._send(method, service, path, **options)
        self._check(answer)
        return answer.json() if answer.content else {}

    async def _send(self, method: str, service: str, path: str, **options: Any) -> httpx.Response:
        url = f"{self._settings.google[service]}{path}"
        headers = {"Authorization": f"Bearer {await self._tokens.get()}", **options.pop("headers", {})}
        try:
            async with httpx.AsyncClient(timeout=_ASK_S, verify=trust()) as client:
                return await client.request(method, url, headers=headers, **options)
        except httpx.HTTPError as error:
            why = " ".join(str(error).split()) or type(error).__name__
            raise Unavailable(
                f"Google's service '{service}' does not answer: {why}", hint="it is tried again"
            ) from error

    def _check(self, answer: httpx.Response) -> None:
        if not answer.is_error:
            return
        try:
            body = answer.json()
        except ValueError:
            body = {}
        why = google_plan.refused(answer.status_code, body if isinstance(body, dict) else {})
        project = self._place.project
        if answer.status_code in (401, 403):
            raise Forbidden(
                f"Google does not let us build in project '{project}': {why}",
                hint="the account needs the roles cloudbuild.builds.editor, storage.objectAdmin of the bucket and "
                "secretmanager.admin",
            )
        if answer.status_code == 404:
            raise NotFound(f"Google has no such thing in project '{project}': {why}", hint="check project and bucket")
        if answer.status_code == 409:
            raise _Exists(why)
        if answer.status_code < 500 and answer.status_code != 429:
            raise BuildFailed(f"Google Cloud Build refuses the build: {why}", hint="see the region's options")
        raise Unavailable(f"Google answered {answer.status_code}: {why}", hint="it is tried again")


class _Exists(Unavailable):
    """It is there already: another try of the same build made it."""


class _Lines:
    """Cuts what comes of a log into lines, without its secrets."""

    def __init__(self, sink: Sink, masker: Masker) -> None:
        self._sink, self._masker = sink, masker
        self._rest = b""
        self.seen = 0

    def take(self, data: bytes) -> None:
        """Hand the whole lines on; secrets never go over the end of one."""
        self.seen += len(data)
        whole, newline, self._rest = (self._rest + data).rpartition(b"\n")
        if newline:
            for line in self._masker.mask(whole).split(b"\n"):
                self._line(line)

    def end(self) -> None:
        """The last line may have no end."""
        if self._rest:
            self._line(self._masker.mask(self._rest))

    def _line(self, line: bytes) -> None:
        shown = google_plan.of_step(line.decode("utf-8", "replace").rstrip("\r"))
        if shown is not None:
            self._sink.line(shown)


def pack(file: IO[bytes], folder: Path, dockerfile: str, ignored: tuple[str, ...]) -> None:
    """Write the archive that a build begins with. Blocks."""
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as tar:
        tar.add(folder, arcname=google_plan.CONTEXT, recursive=True)
        texts = {google_plan.DOCKERFILE: dockerfile}
        if ignored:
            texts[f"{google_plan.DOCKERFILE}.dockerignore"] = "\n".join(ignored) + "\n"
        for name, text in texts.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))


async def _chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    while chunk := await asyncio.to_thread(file.read, _CHUNK):
        yield chunk


def _quoted(name: str) -> str:
    return name.replace("/", "%2F")

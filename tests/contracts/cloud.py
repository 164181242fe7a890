"""Google's services as far as builds ask them, over HTTP and as strict as their reference says."""

import asyncio
import base64
import contextlib
import hashlib
import io
import itertools
import json
import re
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TOKEN = "token-of-the-account"
PROJECT, LOCATION, BUCKET = "shop-builds", "europe-west1", "shop-sources"
_BUILD = {"source", "steps", "images", "timeout", "logsBucket", "options", "tags", "availableSecrets"}
_STEP = {"id", "name", "env", "args", "secretEnv"}
_DETAIL = 'build step 0 "gcr.io/cloud-builders/docker" failed: step exited with non-zero status: {code}'

Say = Callable[[str], None]
Run = Callable[["Task", Say], Awaitable[tuple[int, str]]]
"""Carries a step out: what docker ends with, and the digest of its image."""


@dataclass
class Task:
    """One step as it is carried out."""

    args: list[str]
    archive: bytes
    secrets: Mapping[str, str]
    known: set[str]
    """What was built before: the cache."""

    def text(self, name: str) -> str:
        with tarfile.open(fileobj=io.BytesIO(self.archive), mode="r:gz") as tar:
            file = tar.extractfile(name)
            assert file is not None
            return file.read().decode()


@dataclass
class Cloud:
    """All that is remembered."""

    run: Run
    url: str = ""
    objects: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    secrets: dict[str, list[bytes]] = field(default_factory=dict)
    builds: dict[str, dict[str, Any]] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    tokens: int = 0
    ends: str = ""
    """A status that every build ends with, whatever it does."""
    says: str = ""
    """What docker says before anything else."""
    denies: bool = False
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def running(self) -> int:
        return sum(not task.done() for task in self.tasks.values())

    # --- the account --------------------------------------------------------------------------------------

    async def token(self, request: Request) -> Response:
        if request.headers.get("metadata-flavor") != "Google":
            return Response("Missing Metadata-Flavor:Google header.", 403)
        self.tokens += 1
        return JSONResponse({"access_token": TOKEN, "expires_in": 3599, "token_type": "Bearer"})

    async def exchange(self, request: Request) -> Response:
        """A signed claim for a token; whether it is signed rightly is looked at by who gave out the key."""
        form = dict(pair.split("=", 1) for pair in (await request.body()).decode().split("&"))
        head, claims, signature = form["assertion"].split(".")
        told = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        if told.get("iss") != "builder@shop-builds.iam" or not (head and signature):
            return JSONResponse({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}, 400)
        self.tokens += 1
        return JSONResponse({"access_token": TOKEN, "expires_in": 3599})

    # --- storage ------------------------------------------------------------------------------------------

    async def upload(self, request: Request) -> Response:
        if request.path_params["bucket"] != BUCKET or request.query_params.get("uploadType") != "media":
            return _error(404, "The specified bucket does not exist.", "notFound")
        name, generation = request.query_params["name"], str(next(self.numbers))
        self.objects[name] = (generation, await request.body())
        return JSONResponse({"kind": "storage#object", "name": name, "bucket": BUCKET, "generation": generation})

    async def object(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self.objects:
            return _error(404, f"No such object: {BUCKET}/{name}", "notFound")
        if request.method == "DELETE":
            del self.objects[name]
            self.deleted.append(name)
            return Response(status_code=204)
        content = self.objects[name][1]
        found = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
        if found is None:
            return Response(content)
        if int(found[1]) >= len(content):
            return Response(status_code=416)
        return Response(content[int(found[1]) :], 206)

    # --- secrets ------------------------------------------------------------------------------------------

    async def add_secret(self, request: Request) -> Response:
        id, body = request.query_params.get("secretId", ""), await request.json()
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", id) or "replication" not in body:
            return _error(400, "The request is malformed.", "INVALID_ARGUMENT")
        if id in self.secrets:
            return _error(409, f"Secret [projects/1/secrets/{id}] already exists.", "ALREADY_EXISTS")
        self.secrets[id] = []
        return JSONResponse({"name": f"projects/1/secrets/{id}"})

    async def secret(self, request: Request) -> Response:
        id, _, verb = request.path_params["id"].partition(":")
        if id not in self.secrets:
            return _error(404, f"Secret [projects/1/secrets/{id}] not found.", "NOT_FOUND")
        if request.method == "DELETE":
            del self.secrets[id]
            self.deleted.append(id)
            return JSONResponse({})
        assert verb == "addVersion"
        self.secrets[id].append(base64.b64decode((await request.json())["payload"]["data"]))
        return JSONResponse({"name": f"projects/1/secrets/{id}/versions/{len(self.secrets[id])}"})

    # --- builds -------------------------------------------------------------------------------------------

    async def create(self, request: Request) -> Response:
        body = await request.json()
        if wrong := self._wrong(body):
            return _error(400, wrong, "INVALID_ARGUMENT")
        id = f"b{next(self.numbers):07d}-0000-4000-8000-000000000000"
        build = {**body, "id": id, "status": "QUEUED", "projectId": PROJECT}
        self.builds[id] = build
        self.tasks[id] = asyncio.create_task(self._carry_out(build))
        self.tasks[id].add_done_callback(lambda task: _broken(task, build))
        kind = "type.googleapis.com/google.devtools.cloudbuild.v1.BuildOperationMetadata"
        name = f"operations/build/{PROJECT}/{base64.b64encode(id.encode()).decode()}"
        return JSONResponse({"name": name, "metadata": {"@type": kind, "build": build}})

    def _wrong(self, body: Mapping[str, Any]) -> str:
        for given, known in ((body, _BUILD), *((step, _STEP) for step in body.get("steps", ()))):
            if unknown := set(given) - known:
                return f'Invalid JSON payload received. Unknown name "{sorted(unknown)[0]}"'
        source = body["source"]["storageSource"]
        if self.objects.get(source["object"], ("",))[0] != source["generation"] or source["bucket"] != BUCKET:
            return "source object was not found"
        if not re.fullmatch(r"\d+s", body["timeout"]) or body["logsBucket"] != f"gs://{BUCKET}":
            return "invalid timeout or logs bucket"
        given = {
            each["env"]: each["versionName"] for each in (body.get("availableSecrets") or {}).get("secretManager", ())
        }
        for step in body["steps"]:
            if set(step.get("secretEnv", ())) != set(given):
                return "secretEnv names a secret that is not available"
            for word in step["args"]:
                if found := re.search(r"(?<!\$)(?:\$\$)*\$([A-Za-z_{]\w*)", word):
                    return f'generic::invalid_argument: key "{found[1]}" in the template is not a valid substitution'
        return ""

    async def one(self, request: Request) -> Response:
        id, _, verb = request.path_params["id"].partition(":")
        build = self.builds.get(id)
        if build is None:
            return _error(404, "Requested entity was not found.", "NOT_FOUND")
        if verb == "cancel":
            self.tasks[id].cancel()
            await asyncio.gather(self.tasks[id], return_exceptions=True)
            if build["status"] in ("QUEUED", "WORKING"):
                build["status"] = "CANCELLED"
        return JSONResponse(build)

    async def _carry_out(self, build: dict[str, Any]) -> None:
        log = f"log-{build['id']}.txt"

        def write(text: str) -> None:
            self.objects[log] = ("1", self.objects.get(log, ("1", b""))[1] + f"{text}\n".encode())

        build["status"] = "WORKING"
        write(f'starting build "{build["id"]}"')
        write("FETCHSOURCE\nBUILD")
        if self.says:
            write(f'Step #0 - "build": {self.says}')
        step = build["steps"][0]
        task = Task(
            args=[word.replace("$$", "$") for word in step["args"]],
            archive=self.objects[build["source"]["storageSource"]["object"]][1],
            secrets=self._revealed(build),
            known=self.known,
        )
        try:
            async with asyncio.timeout(int(build["timeout"][:-1])):
                code, digest = await self.run(task, lambda line: write(f'Step #0 - "build": {line}'))
        except TimeoutError:
            write("TIMEOUT\nERROR: context deadline exceeded")
            build["status"] = "TIMEOUT"
            return
        if self.ends:
            build["status"] = self.ends
            build["statusDetail"] = "something inside went wrong"
        elif code:
            write(f"ERROR\nERROR: {_DETAIL.format(code=code)}")
            build["failureInfo"] = {"type": "USER_BUILD_STEP", "detail": _DETAIL.format(code=code)}
            build["status"] = "FAILURE"
        else:
            write(f"PUSH\nPushing {build['images'][0]}\nDONE")
            build["results"] = {"images": [{"name": build["images"][0], "digest": digest}]}
            build["status"] = "SUCCESS"

    def _revealed(self, build: Mapping[str, Any]) -> Mapping[str, str]:
        found = (build.get("availableSecrets") or {}).get("secretManager", ())
        return {each["env"]: self.secrets[each["versionName"].split("/")[3]][-1].decode() for each in found}

    # --- the door -----------------------------------------------------------------------------------------

    def app(self) -> Starlette:
        builds = f"/v1/projects/{PROJECT}/locations/{LOCATION}/builds"
        secrets = f"/v1/projects/{PROJECT}/secrets"
        return Starlette(
            routes=[
                Route("/computeMetadata/v1/instance/service-accounts/default/token", self.token),
                Route("/token", self.exchange, methods=["POST"]),
                Route("/upload/storage/v1/b/{bucket}/o", self._known(self.upload), methods=["POST"]),
                Route(f"/storage/v1/b/{BUCKET}/o/{{name:path}}", self._known(self.object), methods=["GET", "DELETE"]),
                Route(secrets, self._known(self.add_secret), methods=["POST"]),
                Route(f"{secrets}/{{id}}", self._known(self.secret), methods=["POST", "DELETE"]),
                Route(builds, self._known(self.create), methods=["POST"]),
                Route(f"{builds}/{{id}}", self._known(self.one), methods=["GET", "POST"]),
            ]
        )

    def _known(self, inner: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def door(request: Request) -> Response:
            if request.headers.get("authorization") != f"Bearer {TOKEN}":
                return _error(401, "Request had invalid authentication credentials.", "UNAUTHENTICATED")
            if self.denies:
                return _error(403, "The caller does not have permission", "PERMISSION_DENIED")
            return await inner(request)

        return door


def _broken(task: asyncio.Task[None], build: dict[str, Any]) -> None:
    """A build whose worker fell over ends too."""
    if not task.cancelled() and (error := task.exception()) is not None:
        build.update(status="INTERNAL_ERROR", statusDetail=repr(error))


def _error(status: int, message: str, reason: str) -> Response:
    return JSONResponse({"error": {"code": status, "message": message, "status": reason}}, status)


async def pretended(task: Task, say: Say) -> tuple[int, str]:
    """Carry out the RUN lines of a Dockerfile that are `echo`, `sleep`, `test` or `exit`, as BuildKit tells of it."""
    text = task.text("Dockerfile")
    id = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    steps = [line for line in text.splitlines() if line.startswith("RUN ")]
    for number, step in enumerate(steps, start=5):
        say(f"#{number} [{number - 3}/{len(steps) + 1}] {step}")
        if id in task.known:
            say(f"#{number} CACHED")
            continue
        for part in step.removeprefix("RUN ").split(";"):
            word, _, rest = part.strip().partition(" ")
            if word == "echo":
                say(f"#{number} 0.1 {rest.partition(' > ')[0]}")
            elif word == "sleep":
                await asyncio.sleep(float(rest))
            elif word == "reveal":
                say(f"#{number} 0.1 {rest} is {task.secrets[rest]}")
            elif word == "exit":
                said = f'process "/bin/sh -c {part.strip()}" did not complete successfully: exit code: {rest}'
                say(f"#{number} ERROR: {said}")
                say(f"ERROR: failed to solve: {said}")
                return 1, ""
        say(f"#{number} DONE 0.1s")
    task.known.add(id)
    return 0, id


class _Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.up.set()


@contextlib.asynccontextmanager
async def cloud(run: Run = pretended) -> AsyncIterator[Cloud]:
    """Google's services at an address of this machine."""
    made = Cloud(run)
    server = _Server(uvicorn.Config(made.app(), port=0, log_level="error", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    try:
        await asyncio.wait_for(server.up.wait(), 10)
        port = server.servers[0].sockets[0].getsockname()[1]
        made.url = f"http://127.0.0.1:{port}"
        yield made
    finally:
        for task in made.tasks.values():
            task.cancel()
        await asyncio.gather(*made.tasks.values(), return_exceptions=True)
        server.should_exit = True
        await serving


def endpoints(url: str) -> str:
    """The setting that leads there."""
    return ",".join(f"{name}={url}" for name in ("cloudbuild", "storage", "secretmanager", "metadata"))


class Shelf:
    """A registry of which only the sizes matter."""

    async def publish(self, image: str) -> None:
        """Nothing is kept."""

    async def size(self, reference: str) -> int:
        """As any image."""
        return 1_000_000


def tree(folder: Path) -> Path:
    """A folder with one file."""
    folder.mkdir()
    (folder / "index.html").write_text("hello\n")
    return folder

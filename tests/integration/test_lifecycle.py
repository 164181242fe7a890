"""Cloud Native Buildpacks for real: the lifecycle, our own builder, and what a hostile app gets."""

import asyncio
import contextlib
import json
import secrets
import shutil
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from tests.contracts.builder import SECRET, BuilderContract
from tests.contracts.tiny import docker, needs_docker

from leeward.builders.bases import MACHINE_CACHE
from leeward.builders.buildkit import BuildkitBuilder
from leeward.builders.buildpacks_images import BUILD, NODES, RUN, tag
from leeward.builders.buildpacks_lifecycle import MACHINE_CACHE as LIFECYCLES
from leeward.builders.buildpacks_lifecycle import VERSION
from leeward.builders.buildpacks_phases import LABEL
from leeward.builders.recipes import RECIPES
from leeward.errors import BuildFailed, PlanFailed, Unavailable
from leeward.model import parse
from leeward.model.build import BuildPlan
from leeward.plan.command import arguments
from leeward.ports import BuildJob, Built
from leeward.registry import embedded
from leeward.registry.oci import OciRegistry, argv, prepare
from leeward.settings import Settings

HOLD_S = 30
FLASK = {
    "requirements.txt": "flask==3.0.3\ngunicorn==22.0.0\n",
    "Procfile": "web: gunicorn app:app\nworker: python worker.py\n",
    "app.py": 'from flask import Flask\n\napp = Flask(__name__)\n\n\n@app.get("/")\ndef index():\n    return "hello"\n',
    "worker.py": 'import flask\n\nprint("worked")\n',
}
NODE = {
    "package.json": '{"name": "x", "private": true, "scripts": {"start": "node server.js"}, "dependencies": '
    '{"ms": "2.1.3"}}',
    "server.js": 'const ms = require("ms"); require("http").createServer((q, r) => r.end(`hello ${ms("1m")}`))'
    ".listen(process.env.PORT)\n",
}
GO = {
    "go.mod": "module example.com/hello\n\ngo 1.22\n",
    "main.go": 'package main\n\nimport (\n\t"net/http"\n\t"os"\n)\n\nfunc main() {\n'
    '\thttp.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("hello from go")) })\n'
    '\thttp.ListenAndServe(":"+os.Getenv("PORT"), nil)\n}\n',
}
STATIC = {"public/index.html": "<h1>hello, files</h1>\n", "public/404.html": "<h1>nothing here</h1>\n"}


@pytest.fixture(autouse=True)
def _world() -> None:
    needs_docker()
    needs_builder()


def needs_builder() -> None:
    """Making the builder takes minutes: it is used where this machine has it, or has all that it is made from."""
    with contextlib.suppress(RuntimeError):
        docker("image", "inspect", f"leeward-buildpacks/builder:{tag()}")
        return
    for flavour in (BUILD, RUN, *(f"node{major}" for major in NODES)):
        if not (MACHINE_CACHE / f"{flavour}-{RECIPES[flavour].tag}.tar.zst").is_file():
            pytest.skip(f"buildpacks: base image {flavour} is not in the machine's cache")
    if not (LIFECYCLES / f"lifecycle-{VERSION}" / "lifecycle").is_file() and not shutil.which("go"):
        pytest.skip("buildpacks: no lifecycle in the machine's cache, and no Go to build it")


class Shop:
    """Builds apps with buildpacks; everything that it made is taken away at the end."""

    def __init__(self, home: Path, **settings: object) -> None:
        self.settings = Settings.model_validate({"home": home / "home", **settings})
        self.builder = BuildkitBuilder(self.settings)
        self.app = f"b{secrets.token_hex(4)}"
        self.tree = home / "tree"
        self.tree.mkdir(exist_ok=True)
        self.lines: list[str] = []

    def put(self, files: Mapping[str, str]) -> None:
        for path, text in files.items():
            target = self.tree / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)

    def plan(self, env: Mapping[str, str] | None = None, build: str = "{strategy: buildpacks}") -> BuildPlan:
        return self.builder.plan(self.tree, parse.manifest(f"build: {build}\n"), env or {}, {})

    def job(
        self, *steps: str, env: Mapping[str, str] | None = None, key: str = "d1", secrets: tuple[str, ...] = ()
    ) -> BuildJob:
        """A build whose build script is these commands."""
        # A build is no root: what a step writes to the root of the image goes into the app.
        script = " && ".join((f"export TEST={self.app}", *(step.replace("> /", "> ./") for step in steps)))
        self.put({"package.json": json.dumps({"scripts": {"build": script, "start": "node server.js"}})})
        return BuildJob(self.app, key, self.tree, self.plan(env), env or {})

    async def build(self, env: Mapping[str, str] | None = None, build: str = "{strategy: buildpacks}") -> Built:
        plan = self.plan(env, build)
        return await self.builder.build(BuildJob(self.app, "d1", self.tree, plan, env or {}), self.lines.append)

    def running(self) -> int:
        mark = f"TEST={self.app}".encode()
        found = 0
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                found += mark in path.read_bytes()
        return found

    def containers(self) -> list[str]:
        return docker("ps", "--all", "--quiet", f"--filter=label={LABEL}={self.settings.home}").split()

    def clean(self) -> None:
        for id in self.containers():
            docker("rm", "--force", id)
        for id in set(docker("images", "-q", "--no-trunc", "--filter", f"label=leeward.app={self.app}").split()):
            docker("rmi", "--force", id)


@contextlib.contextmanager
def shop(home: Path, **settings: object) -> Iterator[Shop]:
    made = Shop(home, **settings)
    try:
        yield made
    finally:
        made.clean()


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Shop]:
    with shop(tmp_path) as made:
        yield made


@contextlib.contextmanager
def running(image: str, command: str | None = None) -> Iterator[str]:
    """The image as the engine runs it; its address."""
    bounds = ("--init", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--env=PORT=8123")
    id = docker("run", "--detach", *bounds, image, *(arguments(command) or ())).strip()
    try:
        address = docker("inspect", "--format={{.NetworkSettings.IPAddress}}", id).strip()
        yield f"http://{address}:8123"
    finally:
        docker("rm", "--force", id)


async def answer(url: str) -> str:
    until = time.monotonic() + HOLD_S
    async with httpx.AsyncClient(trust_env=False) as client:
        while True:
            try:
                return (await client.get(url, timeout=5)).text
            except httpx.TransportError:
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(0.1)


def layers(built: Built) -> list[str]:
    found: list[str] = json.loads(docker("inspect", "--format={{json .RootFS.Layers}}", built.id))
    return found


def file_in(image: str, path: str) -> str:
    return docker("run", "--rm", "--network=none", "--entrypoint=/bin/cat", image, path)


class TestBuildpacks(BuilderContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> Iterator[Shop]:
        with shop(tmp_path) as made:
            yield made


SERVE = "import http.server, os\n\nimport colorama\n\n\nclass Answer(http.server.BaseHTTPRequestHandler):\n"
SERVE += "    def do_GET(self):\n        self.send_response(200)\n        self.end_headers()\n"
SERVE += "        self.wfile.write(f'hello {colorama.__version__}'.encode())\n\n\n"
SERVE += "http.server.HTTPServer(('', int(os.environ['PORT'])), Answer).serve_forever()\n"
POETRY = {
    "pyproject.toml": '[tool.poetry]\nname = "x"\nversion = "0"\n[tool.poetry.dependencies]\npython = ">=3.11"\n'
    'colorama = "^0.4"\n',
    "poetry.lock": '[[package]]\nname = "colorama"\nversion = "0.4.5"\noptional = false\ngroups = ["main"]\n'
    'files = []\n\n[metadata]\nlock-version = "2.1"\npython-versions = ">=3.11"\ncontent-hash = "x"\n',
    "main.py": SERVE,
    "Procfile": "web: python main.py\n",
}
PNPM_LOCK = (
    "lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\n      ms:\n        specifier: 2.1.3\n"
    "        version: 2.1.3\npackages:\n  ms@2.1.3:\n    resolution: {integrity: "
    "sha512-6FlzubTLZG3J2a/NVCAleEhjzq5oxgHyaCU9yYXvcLsvoVaHJq/s5xXI6/XXP6tz7R9xAOtHnSO/tXtF3WRTlA==}\n"
    "snapshots:\n  ms@2.1.3: {}\n"
)
PNPM = {
    "package.json": NODE["package.json"].replace('"private"', '"packageManager": "pnpm@9.15.0", "private"'),
    "pnpm-lock.yaml": PNPM_LOCK,
    "server.js": NODE["server.js"],
}
SITE = {
    "package.json": '{"private": true, "scripts": {"build": "vite build"}, "devDependencies": {"vite": "5.4.0"}}',
    "index.html": '<h1>a site</h1><script type="module" src="/main.js"></script>',
    "main.js": 'document.title = "ready"\n',
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (FLASK, "hello"),
        (NODE, "hello 60000"),
        (GO, "hello from go"),
        (STATIC, "hello, files"),
        (POETRY, "hello 0.4.5"),
        (PNPM, "hello 60000"),
        (SITE, "a site"),
    ],
    ids=["python", "node", "go", "static", "poetry", "pnpm", "vite"],
)
async def test_an_app_answers_by_the_plans_command_and_by_the_images_own(
    here: Shop, files: Mapping[str, str], expected: str
) -> None:
    here.put(files)

    built = await here.build()

    with running(built.id, here.plan().start_command) as url:
        assert expected in await answer(url)
    with running(built.id) as url:
        assert expected in await answer(url)
    assert here.containers() == []
    assert not list(here.settings.run_dir.glob("cnb-*"))


async def test_a_worker_and_a_release_command_find_what_was_installed(here: Shop) -> None:
    here.put(FLASK)

    built = await here.build()

    assert docker("run", "--rm", built.id, *(arguments("python worker.py") or ())) == "worked"
    # As `lee exec` does: without the launcher.
    assert docker("run", "--rm", "--entrypoint=python", built.id, "worker.py") == "worked"
    assert "3.0.3" in docker("run", "--rm", built.id, *(arguments("flask --version | grep Flask") or ()))


async def test_the_image_says_its_processes_its_buildpacks_and_its_contents(here: Shop) -> None:
    here.put(FLASK)

    built = await here.build()

    labels = json.loads(docker("inspect", "--format={{json .Config.Labels}}", built.id))
    facts = json.loads(labels["io.buildpacks.build.metadata"])
    assert [process["type"] for process in facts["processes"]] == ["web", "worker"]
    assert [each["id"] for each in facts["buildpacks"]] == ["leeward/python", "leeward/procfile"]
    assert labels["io.buildpacks.rebasable"] == "true"
    assert json.loads(labels["io.buildpacks.lifecycle.metadata"])["runImage"]["topLayer"] in layers(built)
    bill = json.loads(file_in(built.id, "/layers/sbom/launch/leeward_python/venv/sbom.cdx.json"))
    assert {"flask", "gunicorn"} <= {item["name"].lower() for item in bill["components"]}


async def test_a_change_of_the_code_takes_the_dependencies_from_the_last_image(here: Shop) -> None:
    here.put(FLASK)
    first = await here.build()
    here.put({"app.py": FLASK["app.py"].replace('"hello"', '"changed"')})
    here.lines.clear()

    second = await here.build()

    before, after = layers(first), layers(second)
    assert len(before) == len(after)
    assert [old == new for old, new in zip(before, after, strict=True)].count(False) == 1
    assert any("the layer is used again" in line for line in here.lines)
    with running(second.id) as url:
        assert await answer(url) == "changed"
    assert "flask" in file_in(second.id, "/layers/sbom/launch/leeward_python/venv/sbom.cdx.json").lower()


async def test_a_change_of_what_lies_below_keeps_the_layers_above(here: Shop) -> None:
    here.put(NODE | {"package.json": NODE["package.json"].replace("}}", '}, "engines": {"node": "22"}}')})
    await here.build()
    here.put({"package.json": NODE["package.json"].replace("}}", '}, "engines": {"node": "24"}}')})

    await here.build()
    here.put({"server.js": NODE["server.js"].replace("hello", "third")})
    third = await here.build()

    with running(third.id) as url:
        assert await answer(url) == "third 60000"


async def test_two_builds_from_scratch_are_the_same_image(here: Shop) -> None:
    here.put(FLASK)
    first = await here.build()
    shutil.rmtree(here.settings.home / "cnb" / "apps")
    docker("rmi", "--force", first.id)

    second = await BuildkitBuilder(here.settings).build(
        BuildJob(here.app, "d2", here.tree, here.plan(), {}), here.lines.append
    )

    assert not second.cached
    assert second.id == first.id


async def test_a_previous_image_that_is_gone_is_done_without(here: Shop) -> None:
    here.put(FLASK)
    first = await here.build()
    docker("rmi", "--force", first.id)

    second = await here.build()

    assert second.id == first.id


async def test_a_change_of_the_code_sends_one_small_layer_to_the_registry(tmp_path: Path) -> None:
    if shutil.which("docker-registry") is None:
        pytest.skip("needs docker-registry (apt-get install docker-registry)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with shop(tmp_path, registry=address) as made:
        prepare(made.settings)
        nothing = asyncio.subprocess.DEVNULL
        server = await asyncio.create_subprocess_exec(*argv(made.settings), stdout=nothing, stderr=nothing)
        try:
            registry = OciRegistry(made.settings)
            made.put(FLASK)
            first = await made.build()
            await eventually(lambda: registry.push(first.id, made.app, "v1"))
            before = sizes(made.settings)
            made.put({"app.py": FLASK["app.py"].replace('"hello"', '"changed"')})

            second = await made.build()
            reference = await registry.push(second.id, made.app, "v2")

            sent = {name: size for name, size in sizes(made.settings).items() if name not in before}
            # The app, the layers above it that are as they were, a configuration and a manifest.
            assert len(sent) <= 3
            assert sum(sent.values()) < 100_000
            with running(reference) as url:
                assert await answer(url) == "changed"
        finally:
            server.terminate()
            await server.wait()
            for name in docker("images", "--format={{.Repository}}:{{.Tag}}", f"{address}/*").split():
                docker("rmi", "--force", name)


async def eventually(work: Callable[[], Awaitable[str]]) -> str:
    """What does not answer yet is asked again."""
    until = time.monotonic() + HOLD_S
    while True:
        try:
            return await work()
        except Unavailable:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.1)


def sizes(settings: Settings) -> dict[str, int]:
    blobs = embedded.data(settings) / "blobs" / "sha256"
    return {path.parent.name: path.stat().st_size for path in blobs.glob("*/*/data")}


HOSTILE = r"""
say() { echo "PROBE $*"; }
say user $(id -u)
say $(grep CapEff /proc/self/status)
say $(grep NoNewPrivs /proc/self/status)
for place in /var/run/docker.sock /run/docker.sock /cache /layout ~/.docker/config.json /root; do
    if ls "$place" >/dev/null 2>&1; then say reads "$place"; else say shut "$place"; fi
done
env | grep -i -E 'registry_auth|docker' | sed 's/^/PROBE env /'
node -e '
const net = require("net");
const host = require("fs").readFileSync("/proc/net/route", "utf8").split("\n").map(l => l.split("\t"))
  .filter(f => f[1] === "00000000").map(f => f[2].match(/../g).reverse().map(h => parseInt(h, 16)).join("."))[0];
let left = 2;
for (const name of ["127.0.0.1", host]) {
  const socket = net.connect(REGISTRY, name);
  const end = (word) => { console.log("PROBE registry " + word + " at " + name); socket.destroy(); };
  socket.setTimeout(1500, () => end("refused"));
  socket.on("connect", () => end("answers"));
  socket.on("error", () => end("refused"));
}'
ln -sf /etc/shadow stolen; ln -sf /proc/1/environ environ
"""


async def test_a_hostile_build_script_gets_no_socket_no_registry_and_no_rights(here: Shop) -> None:
    port = int(here.settings.registry.rpartition(":")[2])
    here.put({"evil.sh": HOSTILE.replace("REGISTRY", str(port)), "server.js": NODE["server.js"]})
    job = here.job("sh evil.sh", env={"APP_TOKEN": SECRET})

    built = await here.builder.build(job, here.lines.append)

    probes = [line.strip().removeprefix("PROBE ") for line in here.lines if line.strip().startswith("PROBE ")]
    assert "user 1000" in probes
    assert any(line.startswith("CapEff:") and set(line.split()[-1]) == {"0"} for line in probes)
    assert "NoNewPrivs: 1" in probes
    assert [line for line in probes if line.startswith(("reads", "env", "registry answers"))] == []
    assert len([line for line in probes if line.startswith("registry refused")]) == 2
    shown = docker("inspect", built.id) + docker("history", "--no-trunc", built.id)
    assert SECRET not in shown
    assert docker("run", "--rm", "--entrypoint=/bin/readlink", built.id, "/workspace/stolen") == "/etc/shadow"


async def test_a_fork_bomb_is_ended_by_its_bound(tmp_path: Path) -> None:
    with shop(tmp_path, build_pids=64) as made:
        bomb = made.job("for i in $(seq 200); do (sleep 300 &) 2>/dev/null; done; sleep 300")

        with pytest.raises(BuildFailed, match="more than 64 processes") as caught:
            await made.builder.build(bomb, lambda line: None)

        assert caught.value.code == "build-processes"
        assert made.running() == 0
        assert made.containers() == []


async def test_a_build_that_allocates_without_end_is_ended_by_its_bound(tmp_path: Path) -> None:
    with shop(tmp_path, build_memory_mib=300) as made:
        step = "python3 -c 'x = []\nwhile True: x.append(bytearray(b\"x\") * 10000000)'"

        with pytest.raises(BuildFailed, match="more than 300 MiB of memory") as caught:
            await made.builder.build(made.job(step), lambda line: None)

        assert caught.value.code == "build-memory"


async def test_a_build_that_fills_the_disk_is_ended_by_its_bound(tmp_path: Path) -> None:
    with shop(tmp_path, build_disk_mib=256) as made:
        with pytest.raises(BuildFailed, match="wrote more than 256 MiB"):
            await made.builder.build(made.job("dd if=/dev/zero of=/tmp/fill bs=1M count=600; sleep 60"), lambda _: None)

        assert made.running() == 0


async def test_a_build_that_never_ends_is_ended_by_its_bound(tmp_path: Path) -> None:
    with shop(tmp_path, build_timeout_s=10) as made:
        with pytest.raises(BuildFailed, match="longer than 10 s"):
            await made.builder.build(made.job("sleep 600"), lambda line: None)

        assert made.containers() == []


async def test_only_named_variables_reach_a_build_and_none_reaches_the_image(here: Shop) -> None:
    here.put({"server.js": "", ".npmrc": ""})
    lines: list[str] = []
    job = here.job('echo "$APP_TOKEN" | rev | rev; echo "got $APP_TOKEN"', env={"APP_TOKEN": SECRET})

    built = await here.builder.build(job, lines.append)

    assert "    got ********" in lines
    assert not any(SECRET in line for line in lines)
    assert SECRET not in docker("inspect", built.id)
    here.tree.joinpath("package.json").unlink()
    here.put(FLASK)
    assert here.plan({"APP_TOKEN": SECRET, "PIP_TIMEOUT": "9"}).build_secrets == ("PIP_TIMEOUT",)


async def test_cancelling_leaves_no_container(here: Shop) -> None:
    begun = asyncio.Event()
    job = here.job("echo begun; sleep 600")
    build = asyncio.create_task(here.builder.build(job, lambda line: begun.set() if "begun" in line else None))
    await asyncio.wait_for(begun.wait(), 60)

    build.cancel()
    with pytest.raises(asyncio.CancelledError):
        await build

    assert here.containers() == []
    assert not list(here.settings.run_dir.glob("cnb-*"))


async def test_what_a_dead_control_plane_left_is_swept(here: Shop) -> None:
    image = f"leeward-buildpacks/run:{tag()}"
    here.put(STATIC)
    await here.build()
    label = f"--label={LABEL}={here.settings.home}"
    docker("run", "--detach", label, "--network=none", image, "sleep", "600")
    left = here.settings.run_dir / "cnb-left"
    (left / "platform").mkdir(parents=True)

    await BuildkitBuilder(here.settings).build(BuildJob(here.app, "d2", here.tree, here.plan(), {}), here.lines.append)

    assert here.containers() == []
    assert not left.exists()


async def test_a_builder_image_by_name_builds_with_its_own_order(here: Shop, tmp_path: Path) -> None:
    here.put(STATIC)
    await here.build()
    name = f"leeward-test/builder:{secrets.token_hex(4)}"
    metadata = json.dumps({"stack": {"runImage": {"image": f"leeward-buildpacks/run:{tag()}"}}})
    text = f"FROM leeward-buildpacks/builder:{tag()}\nLABEL io.buildpacks.builder.metadata={json.dumps(metadata)}\n"
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "Dockerfile").write_text(text)
    docker("build", "--quiet", f"--tag={name}", str(tmp_path / "foreign"))
    shutil.rmtree(here.tree)
    here.tree.mkdir()
    here.put(FLASK)
    try:
        built = await here.build(build=f"{{strategy: buildpacks, builder: '{name}'}}")

        with running(built.id, "gunicorn app:app") as url:
            assert await answer(url) == "hello"
        shutil.rmtree(here.tree)
        here.tree.mkdir()
        here.put({"notes.txt": "nothing to build\n"})
        with pytest.raises(PlanFailed, match="no buildpack knows this app") as caught:
            await here.build(build=f"{{strategy: buildpacks, builder: '{name}'}}")
        assert caught.value.code == "no-buildpack"
    finally:
        docker("rmi", "--force", name)


async def test_an_image_that_is_no_builder_is_named(here: Shop) -> None:
    here.put(STATIC)
    await here.build()

    with pytest.raises(BuildFailed, match="is not a builder image") as caught:
        await here.build(build=f"{{strategy: buildpacks, builder: 'leeward-buildpacks/run:{tag()}'}}")

    assert caught.value.code == "not-a-builder"


async def test_a_builder_that_cannot_be_pulled_is_named(here: Shop) -> None:
    here.put(STATIC)

    with pytest.raises(BuildFailed, match="'localhost:1/nobody/builder:1' could not be pulled") as caught:
        await here.build(build="{strategy: buildpacks, builder: 'localhost:1/nobody/builder:1'}")

    assert caught.value.code == "no-builder"


async def test_a_requirement_that_does_not_exist_is_named(here: Shop) -> None:
    here.put(FLASK | {"requirements.txt": "flask==99.0.0\n"})

    with pytest.raises(BuildFailed, match="flask==99"):
        await here.build()

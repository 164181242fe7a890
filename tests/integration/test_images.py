"""Images as they are built, pushed, looked into, rebased and thrown away, for real."""

import contextlib
import io
import json
import re
import secrets
import shutil
import tarfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import zstandard
from tests.contracts.tiny import docker, needs_docker
from tests.integration.test_planned_images import answer, running
from tests.integration.test_registry import Depot

from leeward.builders.bases import MACHINE_CACHE, STATUS, Bases
from leeward.builders.buildkit import BuildkitBuilder
from leeward.builders.newer import Newer
from leeward.builders.recipes import RECIPES, Recipe
from leeward.errors import PushFailed
from leeward.model import parse
from leeward.model.build import BuildPlan
from leeward.model.image import Base
from leeward.plan.contents import merged
from leeward.plan.images import spare
from leeward.ports import BuildJob
from leeward.registry import embedded
from leeward.settings import Settings

TREES = Path(__file__).parents[1] / "golden" / "trees"
# The registry's own copies of a small change: a layer of code, a configuration and a manifest.
CODE_BYTES = 20_000


class NoCache(BuildkitBuilder):
    """Builds every step."""

    def _arguments(self, job: BuildJob, work: Path, marker: str) -> Iterator[str]:
        yield "--no-cache"
        yield from super()._arguments(job, work, marker)


class Yard:
    """A registry of its own, and builders beside it; everything is taken away at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.depot = Depot(folder / "home")
        self.app = f"i{secrets.token_hex(4)}"
        self.registry = self.depot.registry

    async def build(self, name: str, builder: BuildkitBuilder, plan: BuildPlan | None = None, **files: str) -> str:
        tree = self.folder / f"tree-{secrets.token_hex(4)}"
        shutil.copytree(TREES / name, tree)
        for file, text in files.items():
            (tree / file.replace("_", ".")).write_text(text)
        plan = plan or self.plan(tree, builder)
        return (await builder.build(BuildJob(self.app, secrets.token_hex(4), tree, plan, {}), lambda line: None)).id

    def plan(self, tree: Path, builder: BuildkitBuilder) -> BuildPlan:
        spec = parse.manifest((tree / "leeward.yaml").read_text() if (tree / "leeward.yaml").exists() else "")
        return builder.plan(tree, spec.model_copy(update={"name": self.app}), {}, {})

    def builder(self) -> BuildkitBuilder:
        return BuildkitBuilder(self.depot.settings)

    def blobs(self) -> Mapping[str, int]:
        """The registry's blobs with their bytes."""
        place = embedded.data(self.depot.settings) / "blobs" / "sha256"
        return {path.parent.name: path.stat().st_size for path in place.glob("*/*/data")}

    def new(self, before: Mapping[str, int]) -> Mapping[str, int]:
        return {name: size for name, size in self.blobs().items() if name not in before}

    def clean(self) -> None:
        for id in set(docker("images", "-q", "--no-trunc", "--filter", f"label=leeward.app={self.app}").split()):
            with contextlib.suppress(RuntimeError):
                docker("rmi", "-f", id)


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Yard]:
    needs_docker()
    if shutil.which("docker-registry") is None:
        pytest.skip("needs docker-registry (apt-get install docker-registry)")
    made = Yard(tmp_path)
    await made.depot.start()
    try:
        yield made
    finally:
        await made.depot.clean()
        made.clean()


def next_second() -> None:
    """Files get whole seconds: two builds in one second would be the same without anybody's doing."""
    now = int(time.time())
    while int(time.time()) == now:
        time.sleep(0.01)


@pytest.mark.parametrize("name", ["flask", "node-without-lock", "static"])
async def test_two_clean_builders_give_the_same_digest(yard: Yard, name: str) -> None:
    raw, pushed = [], []
    for number in range(2):
        builder = NoCache(Settings(home=yard.folder / f"builder{number}"))
        tree = yard.folder / f"plan{number}"
        shutil.copytree(TREES / name, tree)
        plan = yard.plan(tree, builder)
        # Neither builder finds what the other one downloaded or compiled.
        text = re.sub(r"id=leeward-", f"id=leeward-{number}{yard.app}-", plan.dockerfile)
        raw.append(await yard.build(name, builder, replace(plan, dockerfile=text)))
        pushed.append(await yard.registry.push(raw[-1], "shop", f"v{number}"))
        next_second()

    assert raw[0] != raw[1]
    assert pushed[0] == pushed[1]


async def test_what_was_pushed_is_what_runs_and_answers(yard: Yard) -> None:
    tree = yard.folder / "plan"
    shutil.copytree(TREES / "flask", tree)
    plan = yard.plan(tree, yard.builder())
    reference = await yard.registry.push(await yard.build("flask", yard.builder(), plan), "shop", "v1")

    with running(plan, reference) as url:
        assert "hello" in (await answer(url + "/")).text

    manifest = await _manifest(yard, reference)
    assert docker("image", "inspect", "--format", "{{.Id}}", reference) == manifest["config"]["digest"]


async def test_a_change_of_the_code_sends_the_code_only(yard: Yard) -> None:
    await yard.registry.push(await yard.build("flask", yard.builder()), "shop", "v1")
    before = yard.blobs()
    code = (TREES / "flask" / "app.py").read_text()
    image = await yard.build("flask", yard.builder(), app_py=f"{code}# {yard.app}\n")

    began = time.monotonic()
    await yard.registry.push(image, "shop", "v2")

    sent = yard.new(before)
    assert len(sent) == 3, "a layer, a configuration, a manifest"
    assert sum(sent.values()) < CODE_BYTES
    assert time.monotonic() - began < 5


async def test_an_image_tells_of_its_packages(yard: Yard) -> None:
    reference = await yard.registry.push(await yard.build("flask", yard.builder()), "shop", "v1")

    facts = await yard.registry.describe(reference)
    found = await yard.registry.contents(reference)

    names = {(one.ecosystem.value, one.name): one.version for one in merged(found[layer] for layer in facts.layers)}
    installed = docker("run", "--rm", reference, "dpkg-query", "-W", "-f", "${Package} ${Version}\\n").splitlines()
    assert {f"{name} {version}" for (kind, name), version in names.items() if kind == "deb"} == set(installed)
    listed = docker("run", "--rm", reference, "python", "-c", _DISTRIBUTIONS).split()
    assert {f"{name}=={version}" for (kind, name), version in names.items() if kind == "pypi"} == set(listed)
    assert facts.base is not None
    assert (facts.base.flavour, facts.base.layers) == ("python3.13", 1)


_DISTRIBUTIONS = (
    "import importlib.metadata as m, re, sys;"
    "print(*sorted({re.sub('[-_.]+', '-', d.name).lower() + '==' + d.version"
    " for d in m.distributions(path=['/opt/venv/lib/python3.13/site-packages'])}))"
)


async def test_the_budget_is_kept_exactly_and_strangers_stay(yard: Yard) -> None:
    stranger = yard.depot.foreign()
    pushed = [
        await yard.registry.push(await yard.build("static", yard.builder(), index_html=f"{n}" * 500), "shop", f"v{n}")
        for n in range(4)
    ]
    held = await yard.registry.held()
    assert {image.reference for image in held} == set(pushed)
    total = sum({part: size for image in held for part, size in image.parts}.values())

    sparing = spare(held, frozenset({pushed[0]}), total - 1)
    yard.depot.age()
    await yard.registry.collect({"shop": sparing.keep})

    left = await yard.registry.held()
    assert pushed[0] in sparing.keep and pushed[1] not in sparing.keep, "the oldest that is not protected"
    assert {image.reference for image in left} == set(sparing.keep)
    assert sum({part: size for image in left for part, size in image.parts}.values()) == sparing.after <= total - 1
    assert sum(yard.blobs().values()) == sum(
        {part: size for image in left for part, size in image.parts if part.startswith("blob")}.values()
    )
    assert [yard.depot.local(reference) for reference in pushed] == [ref in sparing.keep for ref in pushed]
    assert yard.depot.local(stranger)


# --- rebase -----------------------------------------------------------------------------------------------


class Quay:
    """A base of its own, made of a real one, that can be patched without a mirror having anything newer."""

    def __init__(self, yard: Yard, like: str) -> None:
        self.yard = yard
        self.bases = Bases(yard.depot.settings, machine_cache=yard.folder / "machine")
        self.like = RECIPES[like]
        self.recipe = Recipe(f"{like}-{yard.app}", self.like.suite, (*self.like.packages, yard.app))
        self.tar = yard.folder / "root.tar"
        packed = MACHINE_CACHE / f"{like}-{self.like.tag}.tar.zst"
        if not packed.is_file():
            pytest.skip(f"base image {like} is not in the machine's cache")
        with packed.open("rb") as source, self.tar.open("wb") as sink:
            zstandard.ZstdDecompressor().copy_stream(source, sink)

    async def take(self, **files: str) -> Base:
        """Have the base with these files in it, by paths with `__` for a slash."""
        texts = {f"./{path.replace('__', '/')}": text.encode() for path, text in files.items()}
        draft = self.tar.with_suffix(".draft")
        with tarfile.open(self.tar) as old, tarfile.open(draft, "w", format=tarfile.PAX_FORMAT) as new:
            for item in old:
                if item.name not in texts:
                    new.addfile(item, old.extractfile(item) if item.isreg() else None)
            for path, content in texts.items():
                item = tarfile.TarInfo(path)
                item.size, item.mode = len(content), 0o644
                new.addfile(item, io.BytesIO(content))
        draft.replace(self.tar)
        return await self.bases.take(self.recipe.flavour, self.tar)

    async def patched(self, package: str) -> Base:
        """The base with another version of a package, and a file that says so."""
        status, version = self._status(package)
        return await self.take(
            **{
                "var__lib__dpkg__status": status.replace(version, f"{version}+fixed"),
                "etc__patched": f"{package}\n",
            }
        )

    async def older(self, package: str, version: str) -> Base:
        """The base with an older version of a package, as far as dpkg knows."""
        status, present = self._status(package)
        number = present.rpartition("Version: ")[2]
        return await self.take(**{"var__lib__dpkg__status": status.replace(present, present.replace(number, version))})

    def _status(self, package: str) -> tuple[str, str]:
        """The dpkg status, and what it says of a package up to its version."""
        with tarfile.open(self.tar) as archive:
            file = archive.extractfile(f".{STATUS}")
            assert file is not None
            status = file.read().decode()
        found = re.search(rf"^Package: {package}\n(?:.+\n)*?Version: .+", status, re.M)
        assert found is not None
        return status, found[0]

    async def app(self, name: str, app: str, extra: str = "") -> tuple[BuildPlan, str]:
        """An app on this base, pushed."""
        builder = self.yard.builder()
        tree = self.yard.folder / f"app-{secrets.token_hex(4)}"
        shutil.copytree(TREES / name, tree)
        plan = self.yard.plan(tree, builder)
        text = plan.dockerfile.replace(f"FROM {self.like.image}\n", f"FROM {self.recipe.image}\n{extra}")
        assert self.recipe.image in text
        plan = replace(plan, dockerfile=text)
        image = await self.yard.build(name, builder, plan)
        return plan, await self.yard.registry.push(image, app, "v1")

    def clean(self) -> None:
        repository = self.recipe.image.rpartition(":")[0]
        for name in docker("images", "--format", "{{.Repository}}:{{.Tag}}", repository).split():
            with contextlib.suppress(RuntimeError):
                docker("rmi", "-f", name)


@pytest.fixture
async def quay(yard: Yard, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> AsyncIterator[Quay]:
    made = Quay(yard, request.param)
    monkeypatch.setitem(RECIPES, made.recipe.flavour, made.recipe)
    await made.take()
    try:
        yield made
    finally:
        made.clean()


@pytest.mark.parametrize("quay", ["python3.13"], indirect=True)
async def test_a_rebased_app_has_its_code_and_environment_and_the_new_base(quay: Quay) -> None:
    registry = quay.yard.registry
    plan, old = await quay.app("flask", "shop")
    _, other = await quay.app("flask", "cafe", "ENV OTHER=1\n")
    base = await quay.patched("openssl-provider-legacy")
    before = quay.yard.blobs()

    began = time.monotonic()
    new = await registry.rebase(old, "shop", "v2", base.image, base.mark)
    first, one = quay.yard.new(before), time.monotonic() - began
    after = quay.yard.blobs()
    began = time.monotonic()
    second = await registry.rebase(other, "cafe", "v2", base.image, base.mark)

    print(
        f"\nfirst {sum(first.values())} bytes in {one:.2f} s, second {sum(quay.yard.new(after).values())} bytes in"
        f" {time.monotonic() - began:.2f} s"
    )
    assert sum(quay.yard.new(after).values()) < CODE_BYTES, "the base is there already: a configuration, a manifest"
    assert docker("run", "--rm", new, "cat", "/etc/patched") == "openssl-provider-legacy"
    assert "+fixed" in docker("run", "--rm", new, "dpkg-query", "-W", "openssl-provider-legacy")
    with pytest.raises(RuntimeError):
        docker("run", "--rm", old, "cat", "/etc/patched")
    with running(plan, new) as url:
        assert "hello" in (await answer(url + "/")).text
    was, now = [await registry.describe(reference) for reference in (old, new)]
    assert was.layers[1:] == now.layers[1:] and was.layers[0] != now.layers[0]
    assert was.base and now.base == replace(base.mark, built=was.base.built), "what built it is as it was"
    settings = [json.loads(docker("inspect", "--format", "{{json .Config}}", reference)) for reference in (old, new)]
    assert [each.pop("Labels")["leeward.base.content"] for each in settings] == [was.base.content, base.mark.content]  # type: ignore[union-attr]
    assert settings[0] == settings[1]
    assert "OTHER=1" in docker("inspect", "--format", "{{json .Config.Env}}", second)


@pytest.mark.parametrize("quay", ["static"], indirect=True)
async def test_an_app_that_installs_packages_on_its_base_is_refused_by_their_names(quay: Quay) -> None:
    install = (
        r"RUN printf '\nPackage: libfun1\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n'"
        f" >> {STATUS}\n"
    )
    _, old = await quay.app("static", "shop", install)
    base = await quay.patched("openssl")

    with pytest.raises(PushFailed, match="installs libfun1 on top of the base") as refused:
        await quay.yard.registry.rebase(old, "shop", "v2", base.image, base.mark)

    assert "deploy it again" in refused.value.hint


@pytest.mark.parametrize("quay", ["static"], indirect=True)
async def test_new_builds_get_the_newest_content_until_it_is_pointed_back(quay: Quay) -> None:
    first = await quay.bases.present(quay.recipe.flavour)
    second = await quay.patched("openssl")

    assert first.mark.content != second.mark.content
    assert first.mark.abi == second.mark.abi
    assert (await quay.bases.present(quay.recipe.flavour)) == second
    assert await quay.bases.point(quay.recipe.flavour, first.mark.content)
    assert (await quay.bases.present(quay.recipe.flavour)) == first
    assert not await quay.bases.point(quay.recipe.flavour, "never")


async def test_a_mirror_tells_which_packages_of_a_base_are_newer(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    needs_docker()
    bases = Bases(settings)
    status = await bases._status((await bases.present("static")).image)
    old = re.sub(r"(Package: openssl\n(?:.+\n)*?Version: )(.+)", r"\g<1>3.0.1-1", status)

    found = await Newer(settings).than("bookworm", old)

    assert [(one.package, one.present) for one in found if one.package == "openssl"] == [("openssl", "3.0.1-1")]
    assert not any(one.package == "openssl" for one in await Newer(settings).than("bookworm", status))


async def _manifest(yard: Yard, reference: str) -> Mapping[str, Mapping[str, str]]:
    name, _, digest = reference.partition("/")[2].partition("@")
    async with httpx.AsyncClient(trust_env=False) as client:
        found = await client.get(
            f"http://{yard.depot.address}/v2/{name}/manifests/{digest}",
            headers={"Accept": "application/vnd.docker.distribution.manifest.v2+json"},
        )
    return found.json()  # type: ignore[no-any-return]


async def test_an_image_that_a_dead_control_plane_made_and_never_named_is_collected(yard: Yard) -> None:
    raw = await yard.registry._images.find(await yard.build("static", yard.builder(), index_html=yard.app))
    assert raw is not None
    settled = await yard.registry._settled(raw)
    assert settled.id != raw.id and not settled.tags

    await yard.registry.collect({})
    assert yard.depot.local(settled.id), "it may be about to get its name"
    yard.depot.age()
    await yard.registry.collect({})

    assert not yard.depot.local(settled.id)


async def test_a_base_with_older_packages_is_made_anew_from_the_mirror(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    quay = Quay(yard, "static")
    quay.recipe = replace(RECIPES["static"], flavour=f"static-{yard.app}")
    monkeypatch.setitem(RECIPES, quay.recipe.flavour, quay.recipe)
    said: list[str] = []
    try:
        old = await quay.older("openssl", "3.0.1-1")
        newest = (await Bases(yard.depot.settings).present("static")).mark

        fresh = await quay.bases.fresh(quay.recipe.flavour, said.append)

        assert old.mark.content != fresh.mark.content == newest.content
        assert fresh.mark.abi == old.mark.abi
        assert any("1 newer, like openssl 3.0.1-1 -> " in line for line in said), said
        assert await quay.bases.newer(quay.recipe.flavour) == ()
        said.clear()
        assert await quay.bases.fresh(quay.recipe.flavour, said.append) == fresh
        assert said == [], "nothing is newer, so nothing is made"
    finally:
        quay.clean()

"""Which images go, and which never do."""

import json
import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from leeward.registry import embedded
from leeward.registry.gc import Local, names_to_remove
from leeward.registry.sweep import Sweep
from leeward.settings import Settings

PREFIX = "127.0.0.1:5010/"
NOW = 1_000_000.0


def reference(app: str, digit: str) -> str:
    return f"{PREFIX}{app}@sha256:{digit * 64}"


def image(id: str, *tags: str, digests: tuple[str, ...] = (), ours: bool = True, age: float = 9999.0) -> Local:
    return Local(id, tags, digests, ours, NOW - age)


def removed(*images: Local, keep: tuple[str, ...] = (), used: tuple[str, ...] = ()) -> tuple[str, ...]:
    return names_to_remove(images, PREFIX, {"a": frozenset(keep)}, frozenset(used), NOW, 3600)


def test_an_image_that_nobody_needs_loses_all_its_names() -> None:
    old = image("i1", f"{PREFIX}a:v1", digests=(reference("a", "1"),))

    assert removed(old) == (f"{PREFIX}a:v1", reference("a", "1"))


def test_a_kept_a_used_and_a_young_image_stay() -> None:
    kept = image("i1", f"{PREFIX}a:v1", digests=(reference("a", "1"),))
    used = image("i2", f"{PREFIX}a:v2", digests=(reference("a", "2"),))
    young = image("i3", f"{PREFIX}a:v3", age=10)

    assert removed(kept, used, young, keep=(reference("a", "1"),), used=("i2",)) == ()


def test_only_our_names_of_a_foreign_image_go() -> None:
    pinned = image("i1", "nginx:1", f"{PREFIX}a:v1", digests=("nginx@sha256:1", reference("a", "1")), ours=False)

    assert removed(pinned) == (f"{PREFIX}a:v1", reference("a", "1"))


def test_a_nameless_image_goes_only_if_we_built_it() -> None:
    assert removed(image("i1"), image("i2", ours=False)) == ("i1",)


names = st.sampled_from(["nginx:1", "postgres:15", "leeward-base/python3.11:x", "127.0.0.1:50100/a:v1", "x/y:z"])


@given(st.lists(st.tuples(st.lists(names, min_size=1), st.booleans(), st.floats(0, 1e5))))
def test_an_image_that_is_not_ours_is_never_touched(found: list[tuple[list[str], bool, float]]) -> None:
    images = [image(f"i{n}", *tags, ours=ours, age=age) for n, (tags, ours, age) in enumerate(found)]

    assert removed(*images) == ()


class Disk:
    """A registry's files, as docker-registry lays them out."""

    def __init__(self, root: Path) -> None:
        self.data = root / "v2"
        self.memory = root / "layers"
        self.memory.mkdir()

    def blob(self, name: str, content: bytes) -> None:
        place = self.data / "blobs" / "sha256" / name[:2] / name
        place.mkdir(parents=True)
        (place / "data").write_bytes(content)

    def manifest(self, app: str, name: str, layers: list[str], tag: str) -> None:
        content = {
            "config": {"digest": f"sha256:{layers[0]}"},
            "layers": [{"digest": f"sha256:{x}"} for x in layers[1:]],
        }
        self.blob(name, json.dumps(content).encode())
        repository = self.data / "repositories" / app
        for kind in (f"_manifests/revisions/sha256/{name}", *(f"_layers/sha256/{layer}" for layer in layers)):
            (repository / kind).mkdir(parents=True, exist_ok=True)
            (repository / kind / "link").write_text(f"sha256:{name}")
        current = repository / "_manifests" / "tags" / tag / "current"
        current.mkdir(parents=True)
        (current / "link").write_text(f"sha256:{name}")

    def blobs(self) -> set[str]:
        return {path.name for path in (self.data / "blobs" / "sha256").glob("*/*")}


def test_a_sweep_keeps_what_kept_manifests_name_and_frees_the_rest(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    for name in ("c1", "c2", "shared", "only-old", "only-new"):
        disk.blob(name, b"x" * 100)
    disk.manifest("shop", "m1", ["c1", "shared", "only-old"], "v1")
    disk.manifest("shop", "m2", ["c2", "shared", "only-new"], "v2")
    (disk.memory / "diff").write_text(json.dumps({"digest": "sha256:only-old", "size": 1, "repository": "shop"}))

    freed = Sweep(disk.data, disk.memory, now=1e12, grace_s=3600).run({"shop": frozenset({"host/shop@sha256:m2"})})

    assert disk.blobs() == {"m2", "c2", "shared", "only-new"}
    assert freed > 200
    assert not (disk.data / "repositories" / "shop" / "_manifests" / "tags" / "v1").exists()
    assert not (disk.data / "repositories" / "shop" / "_layers" / "sha256" / "only-old").exists()
    assert (disk.data / "repositories" / "shop" / "_layers" / "sha256" / "shared").exists()
    assert list(disk.memory.iterdir()) == []


def test_a_sweep_leaves_what_is_young(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    for name in ("c1", "l1"):
        disk.blob(name, b"x")
    disk.manifest("shop", "m1", ["c1", "l1"], "v1")
    before = disk.blobs()

    Sweep(disk.data, disk.memory, now=os.stat(tmp_path).st_mtime + 60, grace_s=3600).run({})

    assert disk.blobs() == before


def test_a_layer_that_another_app_keeps_stays(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    for name in ("c1", "c2", "shared"):
        disk.blob(name, b"x")
    disk.manifest("shop", "m1", ["c1", "shared"], "v1")
    disk.manifest("cafe", "m2", ["c2", "shared"], "v1")

    Sweep(disk.data, disk.memory, now=1e12, grace_s=1).run({"cafe": frozenset({"host/cafe@sha256:m2"})})

    assert disk.blobs() == {"m2", "c2", "shared"}


def test_the_embedded_registry_is_prepared_once_and_keeps_its_secret(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, registry="127.0.0.1:5999")

    embedded.prepare(settings)
    first = (tmp_path / "registry" / "config.yml").read_text()
    embedded.prepare(settings)

    assert (tmp_path / "registry" / "config.yml").read_text() == first
    assert "addr: 127.0.0.1:5999" in first
    assert "delete: {enabled: true}" in first
    assert embedded.argv(settings)[-1] == str(tmp_path / "registry" / "config.yml")

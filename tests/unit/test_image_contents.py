"""What layers say of packages, and how they read without the dates of their build."""

import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Iterator

import pytest
from tests.contracts.test_stores import release

from leeward.model.image import Component, Ecosystem, LayerPackages
from leeward.plan.contents import merged, program, read_program, reader_of, removed_by
from leeward.plan.cyclonedx import document
from leeward.plan.settle import EPOCH, settled_config, settled_tar

STATUS = """Package: openssl
Status: install ok installed
Architecture: amd64
Version: 3.0.15-1~deb12u1
Description: a text
 with Version: 9 in it

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: broken
Status: install ok not-installed
Version: 1
"""


def read(path: str, content: bytes | str) -> list[tuple[str, str, str]]:
    data = content.encode() if isinstance(content, str) else content
    reader = reader_of(path, len(data))
    assert reader is not None, path
    return [(one.ecosystem.value, one.name, one.version) for one in reader(path, io.BytesIO(data))]


def jar(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


POM = "META-INF/maven/org.postgresql/postgresql/pom.properties"


@pytest.mark.parametrize(
    ("path", "content", "expected"),
    [
        ("var/lib/dpkg/status", STATUS, [("deb", "openssl", "3.0.15-1~deb12u1")]),
        ("var/lib/dpkg/status.d/tzdata", "Package: tzdata\nVersion: 2025b\n", [("deb", "tzdata", "2025b")]),
        (
            "opt/venv/lib/python3.13/site-packages/Flask_Login-0.6.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: Flask_Login\nVersion: 0.6\n\nName: other\n",
            [("pypi", "flask-login", "0.6")],
        ),
        ("app/node_modules/express/package.json", '{"name":"express","version":"4.1"}', [("npm", "express", "4.1")]),
        ("app/node_modules/@a/b/package.json", '{"name":"@a/b","version":"1.0.0"}', [("npm", "@a/b", "1.0.0")]),
        ("app/node_modules/bad/package.json", "{not json", []),
        ("opt/bundle/ruby/3.3.0/specifications/rack-3.0.1.gemspec", "", [("gem", "rack", "3.0.1")]),
        ("opt/bundle/ruby/3.3.0/specifications/net-http-0.4.gemspec", "", [("gem", "net-http", "0.4")]),
        (
            "app/vendor/composer/installed.json",
            '{"packages":[{"name":"monolog/monolog","version":"v3.5.0"}]}',
            [("composer", "monolog/monolog", "3.5.0")],
        ),
        ("app/lib/x.jar", jar({POM: b"version=42.7.3\n"}), [("maven", "org.postgresql/postgresql", "42.7.3")]),
        (
            "app/app.jar",
            jar(
                {"BOOT-INF/lib/spring-core-6.1.jar": jar({"a": b""}), "BOOT-INF/lib/p.jar": jar({POM: b"version=1\n"})}
            ),
            [("maven", "spring-core", "6.1"), ("maven", "org.postgresql/postgresql", "1")],
        ),
        ("app/lib/guava-33.0-jre.jar", b"no zip at all", []),
    ],
)
def test_a_file_tells_of_its_packages(path: str, content: bytes | str, expected: list[tuple[str, str, str]]) -> None:
    assert read(path, content) == expected


@pytest.mark.parametrize(
    "path",
    [
        "app/package.json",
        "app/node_modules/express/lib/package.json",
        "app/node_modules/.package-lock.json",
        "usr/lib/python3/dist-packages/apt-2.dist-info/METADATA",
        "etc/passwd",
    ],
)
def test_other_files_are_not_read(path: str) -> None:
    assert reader_of(path, 100) is None


def go_program(modules: str) -> bytes:
    """An ELF file with nothing but the section that Go's linker writes."""
    text = b"m" * 16 + modules.encode() + b"\n" + b"m" * 16
    info = b"\xff Go buildinf:" + bytes((8, 2)) + bytes(16)
    for part in (b"go1.24.4", text):
        size = bytes(((len(part) & 0x7F) | 0x80, len(part) >> 7)) if len(part) > 127 else bytes((len(part),))
        info += size + part
    names = b"\0.go.buildinfo\0"
    table = 64 + len(info) + len(names)
    head = b"\x7fELF\x02\x01".ljust(40, b"\0") + struct.pack("<Q", table)
    head = head.ljust(58, b"\0") + struct.pack("<HHH", 64, 2, 1)
    section = struct.pack("<I", 1).ljust(24, b"\0") + struct.pack("<QQ", 64, len(info))
    strings = bytes(24) + struct.pack("<QQ", 64 + len(info), len(names))
    return head + info + names + section.ljust(64, b"\0") + strings.ljust(64, b"\0")


def test_a_go_program_names_its_modules_and_what_replaced_them() -> None:
    replaced = "dep\told.example/c\tv1\n=>\tnew.example/c\tv2\th1:y"
    text = f"path\tshop\nmod\tshop\t(devel)\ndep\tgithub.com/a/b\tv1.2.3\th1:x\n{replaced}"

    found = read_program("app/bin/shop", io.BytesIO(go_program(text)))

    assert [(one.name, one.version) for one in found] == [
        ("stdlib", "1.24.4"),
        ("github.com/a/b", "v1.2.3"),
        ("new.example/c", "v2"),
    ]


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"\x7fELF\x02\x01" + b"\xff" * 200, b"#!/bin/sh\n" * 60_000])
def test_what_only_looks_like_a_program_tells_nothing(content: bytes) -> None:
    assert list(read_program("app/x", io.BytesIO(content))) == []
    assert not program(100, 0o755)


OPENSSL = Component(Ecosystem.DEB, "openssl", "1", "var/lib/dpkg/status", "amd64")
FLASK = Component(Ecosystem.PYPI, "flask", "3", "opt/venv/flask.dist-info/METADATA")


def test_an_upper_layer_replaces_what_a_lower_one_said_in_the_same_file() -> None:
    newer = Component(Ecosystem.DEB, "openssl", "2", OPENSSL.path, "amd64")
    below = LayerPackages((OPENSSL,), (), (OPENSSL.path,))

    assert merged([below, LayerPackages((newer,), (), (OPENSSL.path,))]) == (newer,)
    assert merged([below, LayerPackages((), (), (OPENSSL.path,))]) == ()
    assert merged([below, LayerPackages((FLASK,), (), (FLASK.path,))]) == (OPENSSL, FLASK)


@pytest.mark.parametrize(
    ("whiteout", "stays"),
    [
        ("opt/venv/flask.dist-info/.wh.METADATA", False),
        ("opt/.wh.venv", False),
        ("opt/venv/.wh..wh..opq", False),
        ("opt/.wh.ven", True),
        ("opt/.wh.other", True),
    ],
)
def test_a_layer_takes_packages_away(whiteout: str, stays: bool) -> None:
    gone = removed_by(whiteout)

    assert gone
    assert merged([LayerPackages((FLASK,)), LayerPackages((), (gone,))]) == ((FLASK,) if stays else ())


def test_an_ordinary_file_takes_nothing_away() -> None:
    assert removed_by("opt/venv/wh.x") == ""


def test_a_bill_of_materials_is_cyclonedx_and_the_same_each_time() -> None:
    bill = document(release(), (OPENSSL, FLASK), "1.0")

    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert [one["purl"] for one in bill["components"]] == ["pkg:deb/debian/openssl@1?arch=amd64", "pkg:pypi/flask@3"]
    assert len({one["bom-ref"] for one in bill["components"]}) == 2
    assert bill["metadata"]["component"]["name"] == "shop"
    assert json.dumps(bill) == json.dumps(document(release(), (OPENSSL, FLASK), "1.0"))


def test_a_package_url_escapes_what_it_must() -> None:
    assert Component(Ecosystem.NPM, "@a/b c", "1+2").purl == "pkg:npm/%40a/b%20c@1%2B2"


# --- without dates ----------------------------------------------------------------------------------------


def tar(when: int, **files: bytes) -> list[tuple[bytes, bytes]]:
    """Header and content of each file, as dockerd records them: what pads a file stands before the next header."""
    parts: list[tuple[bytes, bytes]] = []
    padding = b""
    for name, content in files.items():
        item = tarfile.TarInfo(name)
        item.size, item.mtime = len(content), when
        parts.append((padding + item.tobuf(tarfile.GNU_FORMAT), content))
        padding = bytes(-len(content) % 512)
    return [*parts, (padding + bytes(1024), b"")]


def settled(parts: list[tuple[bytes, bytes]]) -> bytes:
    def chunks(content: bytes) -> Iterator[bytes]:
        return (content[at : at + 3] for at in range(0, len(content), 3))

    return b"".join(settled_tar((header, chunks(content)) for header, content in parts))


def members(data: bytes) -> dict[str, tuple[int, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {one.name: (int(one.mtime), archive.extractfile(one).read()) for one in archive}  # type: ignore[union-attr]


def test_the_same_files_are_the_same_bytes_whenever_they_were_made() -> None:
    one, two = (settled(tar(when, a=b"hello", b=b"x" * 1000)) for when in (EPOCH + 5, EPOCH + 5_000_000))

    assert one == two
    assert {name: content for name, (_, content) in members(one).items()} == {"a": b"hello", "b": b"x" * 1000}
    assert all(when <= EPOCH for when, _ in members(one).values())


def test_a_change_of_the_same_size_has_another_time() -> None:
    one, two = (members(settled(tar(EPOCH + 5, page=content)))["page"][0] for content in (b"hello", b"hallo"))

    assert one != two


def test_what_is_older_than_the_epoch_stays_as_it_was() -> None:
    parts = tar(EPOCH, a=b"hello")

    assert settled(parts) == b"".join(header + content for header, content in parts)


def test_the_configuration_forgets_when_and_where_it_was_built() -> None:
    def built(when: str, home: str) -> dict[str, object]:
        labels = {"leeward.home": home, "leeward.app": "shop"}
        return {
            "architecture": "amd64",
            "os": "linux",
            "created": when,
            "config": {"User": "1000", "Labels": labels, "Cmd": ["x"]},
            "history": [{"created": when, "created_by": "COPY"}],
            "rootfs": {"type": "layers", "diff_ids": ["sha256:raw"]},
            "moby.buildkit.cache.v0": when,
        }

    one, two = (settled_config(built(*facts), ["sha256:a"]) for facts in (("2026-01-02", "/a"), ("2026-05-02", "/b")))

    assert json.dumps(one) == json.dumps(two)
    assert one["config"] == {"Cmd": ["x"], "Labels": {"leeward.app": "shop"}, "User": "1000"}
    assert one["rootfs"]["diff_ids"] == ["sha256:a"]

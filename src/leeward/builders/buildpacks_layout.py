"""Brings images into an OCI layout for the lifecycle, and what it wrote back into the engine's store.

A layout here is sparse: layers that the engine has already are named by their digests, and lie nowhere. Only what a
build made anew is written, and only that is read again.
"""

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leeward.errors import BuildFailed

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_LARGEST = 16 << 20
# The engine cannot stack more.
_MOST_LAYERS = 120
_METADATA = "io.buildpacks.lifecycle.metadata"
_BUILD = "io.buildpacks.build.metadata"
# Without a command: the process that the buildpacks made, which brings its own environment.
_ENTRY = 'if [ $# -gt 0 ]; then exec /cnb/lifecycle/launcher -- "$@"; else exec /cnb/process/web; fi'
# What the app's own scripts set is there for all that is started, as on the platform that they come from.
_PROFILE = 'for file in .profile.d/*.sh .profile; do if [ -r "$file" ]; then . "./$file"; fi; done; exec "$@"'
# The launcher takes its own variables away from what it starts, which here may be itself.
_ENTRY_WITH_PROFILE = (
    '[ $# -gt 0 ] || set -- /usr/bin/env "CNB_PLATFORM_API=$CNB_PLATFORM_API" /cnb/process/web; '
    f"exec /cnb/lifecycle/launcher -- /bin/bash -c '{_PROFILE}' bash \"$@\""
)
# Layers that lie above the app's: every change of the code needs their bytes again.
_ABOVE = ("sbom", "launcher", "config", "process-types")


@dataclass(frozen=True, slots=True)
class Exported:
    """An image that a build wrote: its configuration, and of each layer the blob (which may lie nowhere)."""

    config: Mapping[str, Any]
    blobs: tuple[str, ...]
    folder: Path

    @property
    def layers(self) -> tuple[str, ...]:
        """The digests of the layers' tars, from the bottom to the top."""
        return tuple(self.config["rootfs"]["diff_ids"])

    @property
    def labels(self) -> Mapping[str, str]:
        """The image's labels."""
        return self.config.get("config", {}).get("Labels") or {}

    def blob(self, index: int) -> Path | None:
        """The file of a layer, None where this build did not make it."""
        path = _blob(self.folder, self.blobs[index])
        return path if path.is_file() else None


def folder_of(layout: Path, reference: str) -> Path:
    """Where the lifecycle looks for an image in a layout directory."""
    repository, _, tag = reference.rpartition(":")
    host, slash, rest = repository.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        host, rest = "index.docker.io", repository if slash else f"library/{repository}"
    return layout / host / rest / tag


def write_sparse(folder: Path, shown: Mapping[str, Any]) -> None:
    """An image of the engine's store as a layout without layers, from what the engine shows of it."""
    settings = shown.get("Config") or {}
    names = ("User", "Env", "Entrypoint", "Cmd", "WorkingDir", "Labels", "ExposedPorts", "StopSignal")
    layers = list(shown["RootFS"]["Layers"])
    config = {
        "architecture": shown["Architecture"],
        "os": shown["Os"],
        "config": {name: settings[name] for name in names if settings.get(name)},
        "rootfs": {"type": "layers", "diff_ids": layers},
        "history": [{"created_by": "leeward"} for _ in layers],
    }
    # The blobs' own digests are not known: nothing reads them, as the layers are taken from the store.
    _write(folder, _json(config), [{"mediaType": _LAYER, "digest": layer, "size": 1} for layer in layers])


def read(folder: Path) -> Exported:
    """What the lifecycle wrote."""
    try:
        index = _load(folder / "index.json")
        manifest = _load(_blob(folder, index["manifests"][0]["digest"]))
        config = _load(_blob(folder, manifest["config"]["digest"]))
        found = Exported(config, tuple(layer["digest"] for layer in manifest["layers"]), folder)
        if len(found.layers) != len(found.blobs) or len(found.blobs) > _MOST_LAYERS:
            raise ValueError(f"{len(found.layers)} layers")
        # What is read of its labels later can be read.
        process_types(found)
        _with_programs("PATH=", found)
        _above(found)
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise BuildFailed(f"the build wrote no image that can be read: {error}", hint="read the log above") from error
    return found


def keep(exported: Exported, target: Path) -> None:
    """Keep for the next build what it asks of this image: manifest, configuration, and the small layers."""
    shutil.rmtree(target, ignore_errors=True)
    (target / "blobs" / "sha256").mkdir(parents=True)
    for name in ("index.json", "oci-layout"):
        shutil.copyfile(exported.folder / name, target / name)
    index = json.loads((target / "index.json").read_bytes())
    manifest = index["manifests"][0]["digest"]
    wanted = [manifest, json.loads(_blob(exported.folder, manifest).read_bytes())["config"]["digest"]]
    above = _above(exported)
    wanted += [exported.blobs[at] for at, diff in enumerate(exported.layers) if diff in above]
    for digest in wanted:
        if _blob(exported.folder, digest).is_file():
            shutil.copyfile(_blob(exported.folder, digest), _blob(target, digest))


def _above(exported: Exported) -> set[str]:
    """The layers above the app's, by the digests of their tars."""
    metadata = json.loads(exported.labels.get(_METADATA, "{}"))
    return {str((metadata.get(name) or {}).get("sha")) for name in _ABOVE}


def missing(exported: Exported, known: Sequence[Sequence[str]]) -> tuple[int, ...]:
    """The layers that neither the build wrote nor the engine has in this place, given the layers of images it has."""
    return tuple(
        at
        for at, _ in enumerate(exported.blobs)
        if exported.blob(at) is None and not _stored(exported.layers, at, known)
    )


def has_profile(app: Path) -> bool:
    """Whether the app has scripts that are read before anything is started."""
    return (app / ".profile").is_file() or any((app / ".profile.d").glob("*.sh"))


def image_config(
    exported: Exported, labels: Mapping[str, str], env: Mapping[str, str] | None = None, *, profile: bool = False
) -> bytes:
    """The configuration as the engine gets it: any command runs with the buildpacks' environment.

    The lifecycle lets the image start one process and nothing else. Here the launcher comes first whatever is started,
    so that a command of the manifest, a worker or a release command find what the buildpacks installed.
    """
    config = json.loads(json.dumps(dict(exported.config)))
    settings = config["config"]
    settings["Entrypoint"] = ["/bin/sh", "-c", _ENTRY_WITH_PROFILE if profile else _ENTRY, "leeward"]
    settings["Cmd"] = []
    variables = [_with_programs(item, exported) for item in settings.get("Env") or ()]
    there = {item.partition("=")[0] for item in variables}
    settings["Env"] = variables + [f"{key}={value}" for key, value in (env or {}).items() if key not in there]
    settings["Labels"] = {**(settings.get("Labels") or {}), **labels}
    return _json(config)


def _with_programs(variable: str, exported: Exported) -> str:
    """`PATH` with the programs of the layers in front: for a command in an instance, without the launcher."""
    if not variable.startswith("PATH="):
        return variable
    found = json.loads(exported.labels.get(_METADATA, "{}")).get("buildpacks") or []
    folders = [
        f"/layers/{str(each.get('key', '')).replace('/', '_')}/{name}/bin"
        for each in reversed(found)
        for name in sorted(each.get("layers") or {})
    ]
    return "PATH=" + ":".join([*(folder for folder in folders if ":" not in folder), variable.removeprefix("PATH=")])


def process_types(exported: Exported) -> tuple[str, ...]:
    """The processes that the image has."""
    found = json.loads(exported.labels.get(_BUILD, "{}")).get("processes") or []
    return tuple(str(process.get("type")) for process in found)


def archive(
    exported: Exported, config: bytes, known: Sequence[Sequence[str]], fetched: Mapping[int, Path], target: Path
) -> str:
    """Write what the engine loads: the configuration, and the layers that it lacks; the image's id."""
    id = hashlib.sha256(config).hexdigest()
    names = [f"{layer.removeprefix('sha256:')}.tar" for layer in exported.layers]
    manifest = [{"Config": f"{id}.json", "RepoTags": None, "Layers": names}]
    with tarfile.open(target, "w") as tar:
        _add(tar, "manifest.json", _json(manifest))
        _add(tar, f"{id}.json", config)
        added: set[str] = set()
        for at, name in enumerate(names):
            path = fetched.get(at) or exported.blob(at)
            if path is None or name in added or _stored(exported.layers, at, known):
                continue
            added.add(name)
            tar.add(path, name)
    return f"sha256:{id}"


def take(saved: Path, wanted: Mapping[str, int], into: Path) -> Mapping[int, Path]:
    """The tars of some layers out of an image that the engine saved."""
    found: dict[int, Path] = {}
    with tarfile.open(saved) as tar:
        manifest = json.loads(_member(tar, "manifest.json"))[0]
        layers = json.loads(_member(tar, manifest["Config"]))["rootfs"]["diff_ids"]
        for diff, name in zip(layers, manifest["Layers"], strict=True):
            if diff in wanted:
                path = into / f"{wanted[diff]}.tar"
                source = tar.extractfile(name)
                assert source is not None
                with path.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
                found[wanted[diff]] = path
    return found


def _stored(layers: Sequence[str], at: int, known: Sequence[Sequence[str]]) -> bool:
    """Whether an image of the store begins with the same layers: only then does the engine know this one there."""
    return any(tuple(layers[: at + 1]) == tuple(other[: at + 1]) for other in known)


def _write(folder: Path, config: bytes, layers: Sequence[Mapping[str, Any]]) -> None:
    (folder / "blobs" / "sha256").mkdir(parents=True)
    manifest = _json(
        {"schemaVersion": 2, "mediaType": _MANIFEST, "config": _store(folder, config, _CONFIG), "layers": list(layers)}
    )
    index = {"schemaVersion": 2, "manifests": [_store(folder, manifest, _MANIFEST)]}
    (folder / "index.json").write_bytes(_json(index))
    (folder / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))


def _load(path: Path) -> Any:
    """A small JSON file: what a build decides about has a bound."""
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"its description is larger than {_LARGEST >> 20} MiB")
    return json.loads(path.read_bytes())


def _store(folder: Path, content: bytes, kind: str) -> dict[str, Any]:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    _blob(folder, digest).write_bytes(content)
    return {"mediaType": kind, "digest": digest, "size": len(content)}


def _blob(folder: Path, digest: str) -> Path:
    return folder / "blobs" / "sha256" / digest.removeprefix("sha256:")


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    source = tar.extractfile(name)
    assert source is not None
    return source.read()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    item = tarfile.TarInfo(name)
    item.size = len(content)
    tar.addfile(item, io.BytesIO(content))


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

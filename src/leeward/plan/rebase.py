"""Decide whether an image can be put on another base, and how its configuration reads then. Pure."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from leeward.model.image import BaseMark
from leeward.plan.contents import dpkg_packages

LABELS = {
    "flavour": "leeward.base",
    "tag": "leeward.base.tag",
    "content": "leeward.base.content",
    "abi": "leeward.base.abi",
    "layers": "leeward.base.layers",
}
REBASABLE = "io.buildpacks.rebasable"
# What an image was built in: what a compiler put into a program is in no package list.
BUILT = "leeward.build"
# As `leeward-base/go-build:<tag>`.
_BASE = re.compile(r"leeward-base/([a-z0-9.-]+):[\w.-]+")
# The names of these packages say what is compatible with what.
_ABI = re.compile(
    r"(?:libc6|libssl\d\S*|libstdc\+\+6|python3\.\d+-minimal|libruby\d\S*|php\d\.\d-cli|openjdk-\d+-jre-headless"
    r"|erlang-base)"
)


def mark(labels: Mapping[str, str]) -> BaseMark | None:
    """The base that an image's labels name, None when they name none."""
    flavour = labels.get(LABELS["flavour"], "")
    if not flavour:
        return None
    count = labels.get(LABELS["layers"], "1")
    return BaseMark(
        flavour,
        labels.get(LABELS["tag"], ""),
        labels.get(LABELS["content"], ""),
        labels.get(LABELS["abi"], ""),
        int(count) if count.isdigit() else 1,
        labels.get(BUILT, ""),
    )


def flavours(images: Iterable[str]) -> Sequence[str]:
    """The flavours of the bases among these images."""
    return [found[1] for image in images if (found := _BASE.fullmatch(image))]


def labels(mark: BaseMark) -> Mapping[str, str]:
    """What the labels of a base say, so that every image on it says it too."""
    return {label: str(getattr(mark, field)) for field, label in LABELS.items()}


def content(status: str) -> str:
    """The digest of the packages that a dpkg status names, with their versions."""
    lines = sorted(" ".join(package) for package in dpkg_packages(status))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def abi(status: str) -> str:
    """What programs above these packages are linked against."""
    found = sorted((name, arch) for name, _, arch in dpkg_packages(status) if _ABI.fullmatch(name))
    arches = sorted({arch for _, arch in found if arch != "all"})
    return " ".join((*arches, *(name for name, _ in found)))


def unfit(old: BaseMark | None, new: BaseMark) -> str:
    """Why an image on `old` cannot be put on `new`; '' when it can."""
    if old is None:
        return "its image stands on no base of the platform"
    if not old.content:
        return "its image was made before bases had a digest: deploy it once"
    if old.flavour != new.flavour:
        return f"its image stands on '{old.flavour}', not on '{new.flavour}'"
    if old.tag != new.tag:
        return f"the recipe of '{new.flavour}' changed: deploy it again"
    if old.layers != new.layers:
        return f"'{new.flavour}' has another number of layers: deploy it again"
    if old.abi != new.abi:
        before, after = set(old.abi.split()), set(new.abi.split())
        return f"{', '.join(sorted(before ^ after))} changed in '{new.flavour}': deploy it again"
    return ""


def own_packages(base: str, image: str) -> Sequence[str]:
    """The packages that an image's dpkg status has and its base's has not, or has in another version."""
    before = {name: version for name, version, _ in dpkg_packages(base)}
    return sorted(name for name, version, _ in dpkg_packages(image) if before.get(name) != version)


def rebased(config: Mapping[str, Any], base: Mapping[str, Any], count: int) -> Mapping[str, Any]:
    """The configuration of an image whose lowest `count` layers give their place to those of `base`."""
    upper = config["rootfs"]["diff_ids"][count:]
    history = [*base.get("history", ()), *_above(config.get("history", ()), base.get("history", ()), count)]
    settings = dict(config["config"])
    theirs = base["config"].get("Labels") or {}
    settings["Labels"] = {**(settings.get("Labels") or {}), **{key: theirs[key] for key in LABELS.values()}}
    return {
        **config,
        "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [*base["rootfs"]["diff_ids"], *upper]},
        "history": history,
    }


def _above(history: Sequence[Mapping[str, Any]], base: Iterable[Mapping[str, Any]], count: int) -> Sequence[Any]:
    """What was done above the lowest `count` layers; steps of the base that made no layer are the base's too."""
    at = 0
    while at < len(history) and count:
        count -= not history[at].get("empty_layer")
        at += 1
    bases = {step.get("created_by") for step in base if step.get("empty_layer")}
    while at < len(history) and history[at].get("empty_layer") and history[at].get("created_by") in bases:
        at += 1
    return history[at:]

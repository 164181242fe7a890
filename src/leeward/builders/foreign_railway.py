"""Read `railway.json` and `railway.toml`. Pure, but for reading the tree."""

from collections.abc import Mapping
from typing import Any

from leeward.builders import foreign_nixpacks
from leeward.builders.foreign import Foreign
from leeward.builders.foreign_nixpacks import Places
from leeward.builders.loose import mapping, text, texts
from leeward.builders.providers.provider import bounded
from leeward.builders.tree import AppView

FILES = ("railway.json", "railway.toml")
# What cannot be said for an image: each with the field that says it.
_ELSEWHERE: Mapping[str, str] = {
    "build.watchPatterns": "set source.paths in leeward.yaml",
    "build.dockerfilePath": "set build.strategy: dockerfile and build.dockerfile in leeward.yaml",
    "deploy.cronSchedule": "give a process a schedule in leeward.yaml: processes.NAME.schedule",
    "deploy.drainingSeconds": "set processes.web.health.drain in leeward.yaml",
    "deploy.healthcheckTimeout": "set processes.web.health.deadline in leeward.yaml",
    "deploy.limitOverride": "set processes.web.size in leeward.yaml",
    "deploy.multiRegionConfig": "set region in leeward.yaml",
    "deploy.numReplicas": "set processes.web.instances in leeward.yaml",
    "deploy.overlapSeconds": "old instances always stay until the new ones are ready",
    "deploy.region": "set region in leeward.yaml",
    "deploy.requiredMountPath": "the file system of an instance ends with it",
    "deploy.restartPolicyMaxRetries": "what ends is always started again",
    "deploy.restartPolicyType": "what ends is always started again",
    "deploy.runtime": "remove it",
    "deploy.sleepApplication": "set processes.web.instances in leeward.yaml",
}
_HONOURED = frozenset(
    {"build.builder", "build.buildCommand", "build.nixpacksConfigPath", "build.nixpacksPlan", "build.nixpacksVersion"}
    | {"build.railpackVersion", "deploy.startCommand", "deploy.preDeployCommand", "deploy.healthcheckPath"}
)


def read(found: Foreign, view: AppView, file: str) -> None:
    """All that the file says. Raises PlanFailed when it cannot be read."""
    found.files.append(file)
    table = view.json(file) if file.endswith(".json") else view.toml(file)
    where = Places(view, file)
    build, deploy = mapping(table, "build"), mapping(table, "deploy")
    _commands(found, build, deploy, where)
    path = text(deploy, "healthcheckPath")
    if path.startswith("/") and path.isprintable() and len(path) < 500:
        found.health = found.health or (path, where("healthcheckPath", "deploy.healthcheckPath"))
    count = deploy.get("numReplicas")
    replicas = isinstance(count, int) and not isinstance(count, bool) and 0 < count <= 50
    if replicas:
        found.formation.setdefault("web", (count, None, where("numReplicas", "deploy.numReplicas")))
    if inner := text(build, "nixpacksConfigPath").removeprefix("./"):
        if view.has(inner):
            foreign_nixpacks.read(found, view, inner)
        else:
            found.note(where("nixpacksConfigPath"), f"names '{inner[:80]}', which is not there", "correct the path")
    foreign_nixpacks.read_table(found, mapping(build, "nixpacksPlan"), where)
    said = [f"{part}.{key}" for part, keys in (("build", build), ("deploy", deploy)) for key in keys]
    for name in sorted(said):
        key = name.partition(".")[2]
        if name in _HONOURED or (name == "deploy.numReplicas" and replicas):
            continue
        if fix := _ELSEWHERE.get(name):
            found.note(where(key, name), f"{name} has no effect", fix, level="info")
        else:
            found.note(where(key, name), f"has the key '{name[:60]}', which is not known", "remove it", level="info")
    for key in sorted(set(table) - {"$schema", "build", "deploy"}):
        found.note(where(key), f"'{key[:60]}' has no effect", "deploy each environment as an app", level="info")


def _commands(found: Foreign, build: Mapping[str, Any], deploy: Mapping[str, Any], where: Places) -> None:
    for key, name, option in (("buildCommand", "build", "BUILD_CMD"), ("startCommand", "deploy", "START_CMD")):
        if command := text(build if name == "build" else deploy, key):
            place = where(key, f"{name}.{key}")
            found.option(option, bounded(command, str(place)), place)
    before = text(deploy, "preDeployCommand") or " && ".join(texts(deploy, "preDeployCommand"))
    if before:
        place = where("preDeployCommand", "deploy.preDeployCommand")
        found.release = found.release or (bounded(before, str(place)), place)

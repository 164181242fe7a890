"""Tell the images of other apps, which no build may stand on or copy from. Pure."""

import re
from collections.abc import Callable, Mapping

from leeward.builders.recipes import REPOSITORY
from leeward.errors import BuildFailed

# How BuildKit names the images that it fetches: bases, those that are copied or mounted from, and frontends. It says so
# after it has filled in every variable, and before any step runs.
_FETCHED = re.compile(
    r"\[internal\] load metadata for (\S+)|resolve image config for (\S+)"
    r"|docker-image://(\S+)|(?:\[[^\]]*\] )?FROM (\S+)"
)
_OURS = (f"{REPOSITORY}/", "leeward-buildpacks/")

OnImage = Callable[[str], None]


def fetched(vertex: str) -> str:
    """The image that a vertex of BuildKit fetches, '' when it fetches none."""
    match = _FETCHED.match(vertex)
    return next((name for name in match.groups() if name), "") if match else ""


def refusing(registry: str, app: str, mirrors: Mapping[str, str], *others: str) -> OnImage:
    """What raises BuildFailed for an image that the platform's registry keeps for another app; `others` are further
    names of that registry."""

    def look(image: str) -> None:
        mirrored = any(image.startswith(f"{place.rstrip('/')}/") for place in mirrors.values())
        if not mirrored and any(_foreign(image, name, app) for name in (registry, *others)):
            raise BuildFailed(
                f"the image '{image}' is another app's",
                hint="build on a public image, or on one that this app brings itself",
                code="foreign-image",
            )

    return look


def _foreign(image: str, registry: str, app: str) -> bool:
    name = image.partition("@")[0]
    host, slash, repository = name.partition("/")
    ours, _, folder = registry.partition("/")
    _, colon, port = ours.rpartition(":")
    # The registry on this machine has many names there, and a stranger can give it one more: its port is the same.
    same = host == ours or (bool(colon) and host.endswith(f":{port}"))
    if not slash or not same:
        return False
    repository = repository.removeprefix(f"{folder}/") if folder else repository
    repository = re.sub(r":[^:/]*$", "", repository)
    return repository != app and not repository.startswith(_OURS)

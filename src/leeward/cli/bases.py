"""List the base images, put apps on newer ones, and take that back."""

from typing import Annotated, Any

from cyclopts import Parameter

from leeward.cli import output
from leeward.cli.flags import Detach, Json

One = Annotated[str, Parameter(name="--app", help="Only this app; else all.")]
DryRun = Annotated[
    bool, Parameter(name="--dry-run", negative=(), show_default=False, help="Only say what would be done.")
]


def list_bases(*, as_json: Json = False) -> int:
    """List the base images that apps stand on, and what is newer."""
    from leeward.cli.client import Platform, path

    with Platform.connect() as platform:
        found = platform.items(path("bases"))
    if as_json:
        return output.as_json(found)
    rows = [(b["flavour"], b["content"], b["apps"], len(b["behind"]), newer(b)) for b in found]
    return output.table(("BASE", "CONTENT", "APPS", "BEHIND", "NEWER"), rows, "no app stands on a base")


def check(*, as_json: Json = False) -> int:
    """Look now for newer packages of the base images.

    It takes some seconds for each; `lee bases list` shows what was found.
    """
    from leeward.cli.client import Platform, path

    with Platform.connect() as platform:
        found = platform.post(path("bases", "check"))["items"]
    if as_json:
        return output.as_json(found)
    output.answer(f"looking at {', '.join(base['flavour'] for base in found) or 'nothing: no app stands on a base'}")
    return 0


def rebase(*, app: One = "", dry_run: DryRun = False, detach: Detach = False, as_json: Json = False) -> int:
    """Put apps on the newest base image, without building them again.

    Each gets a release of its own that differs in the base only, rolled out
    like any other: nothing is dropped. `lee bases undo` goes back.
    """
    from leeward.cli.client import Platform, path

    with Platform.connect() as platform:
        found = platform.post(path("bases", "rebase"), {"app": app, "dry_run": dry_run})["items"]
        ended = {} if detach or dry_run else _waited(platform, found)
    if as_json:
        output.as_json([{**one, **ended.get(one["app"], {})} for one in found])
    else:
        rows = [(o["app"], o["release"], o["flavour"], _outcome(o, ended, dry_run), _why(o, ended)) for o in found]
        output.table(("APP", "RELEASE", "BASE", "REBASE", "WHY"), rows, "no app is live")
    return 1 if any(one["status"] != "live" for one in ended.values()) else 0


def rebuild(*, app: One = "", dry_run: DryRun = False, detach: Detach = False, as_json: Json = False) -> int:
    """Build apps again that were built in an older base.

    What a compiler puts into a program (a library, the runtime of Go) is
    no layer that a rebase could change. The code stays the same.
    """
    from leeward.cli.client import Platform, path

    with Platform.connect() as platform:
        found = platform.post(path("bases", "rebuild"), {"app": app, "dry_run": dry_run})["items"]
        ended = {} if detach or dry_run else _waited(platform, found)
    if as_json:
        output.as_json([{**one, **ended.get(one["app"], {})} for one in found])
    else:
        rows = [
            (o["app"], o["release"], " ".join(o["bases"]) or "-", _outcome(o, ended, dry_run), _why(o, ended))
            for o in found
        ]
        output.table(("APP", "RELEASE", "BUILT IN", "REBUILD", "WHY"), rows, "no app is live")
    return 1 if any(one["status"] != "live" for one in ended.values()) else 0


def undo(*, app: One = "", detach: Detach = False, as_json: Json = False) -> int:
    """Take rebases back.

    Each app gets the release that it had before, and new builds the base
    that they had.
    """
    from leeward.cli.client import Platform, path

    with Platform.connect() as platform:
        found = platform.post(path("bases", "undo"), {"app": app})["items"]
        queued = [{"app": deploy["app"], "deploy": deploy["id"]} for deploy in found]
        ended = {} if detach else _waited(platform, queued)
    if as_json:
        output.as_json([{**one, **ended.get(one["app"], {})} for one in queued])
    else:
        rows = [(one["app"], ended.get(one["app"], {}).get("status", "queued")) for one in queued]
        output.table(("APP", "ROLLBACK"), rows)
    return 1 if any(one["status"] != "live" for one in ended.values()) else 0


def newer(base: Any) -> str:
    """How many packages are newer, with the first of them; those for security come first."""
    if base.get("problem"):
        return f"not known: {base['problem']}"
    if not base.get("checked_at"):
        return "not looked yet"
    found = sorted(base["newer"], key=lambda one: (not one["suite"].endswith("-security"), one["package"]))
    if not found:
        return "nothing"
    first = found[0]
    security = f" ({first['suite']})" if first["suite"].endswith("-security") else ""
    named = f"{first['package']} {first['present']} -> {first['newer']}{security}"
    return f"{len(found)} package{'s' if len(found) > 1 else ''}: {named}{', …' if len(found) > 1 else ''}"


def _waited(platform: Any, queued: Any) -> dict[str, dict[str, Any]]:
    """Each app's deploy at its end."""
    from leeward.cli.client import path
    from leeward.cli.follow import waited

    ended: dict[str, dict[str, Any]] = {}
    for one in queued:
        if one.get("deploy"):
            done = waited(platform, platform.get(path("deploys", one["deploy"])))
            ended[one["app"]] = {"status": done["status"], "error": done.get("error")}
    return ended


def _outcome(one: Any, ended: dict[str, dict[str, Any]], dry_run: bool) -> str:
    if not one["fits"]:
        return "no"
    return "would be" if dry_run else str(ended.get(one["app"], {}).get("status", "queued"))


def _why(one: Any, ended: dict[str, dict[str, Any]]) -> str:
    error = ended.get(one["app"], {}).get("error") or {}
    return str(error.get("message") or one["why"])

"""Start, stop and examine the platform on this machine."""

from typing import Annotated, Any

from cyclopts import Parameter

from leeward.cli import output
from leeward.cli.flags import Json

_GIB = 2**30


def up(*, as_json: Json = False) -> int:
    """Start the platform on this machine.

    May be called again at any time: it starts what is missing and returns
    once all is ready.
    """
    from leeward import daemon, settings

    done = daemon.machine_up(settings.load(), output.say)
    if as_json:
        return output.as_json({"url": done.url, "dashboard": done.dashboard, "token_file": str(done.token_file)})
    return output.pairs([("url", done.url), ("dashboard", done.dashboard), ("token file", done.token_file)])


def down(
    *,
    purge: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Remove all state too: apps, images, logs, keys.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Stop the platform on this machine.

    The apps stop too. What was deployed is kept, unless --purge is given.
    """
    from leeward import daemon, settings

    daemon.machine_down(settings.load(), purge, output.say)
    if as_json:
        return output.as_json({"down": True, "purged": purge})
    output.answer("the platform is down" + (", and nothing is left of it" if purge else ""))
    return 0


def doctor(
    *,
    region: Annotated[str, Parameter(help="Examine this region instead of this machine.")] = "",
    as_json: Json = False,
) -> int:
    """Look for what is wrong on this machine or in a region, and say what to do.

    Exit code 1 when something is.
    """
    found = _in_region(region) if region else _on_this_machine()
    if as_json:
        output.as_json(found)
    else:
        for finding in found:
            mark = "ok " if finding["ok"] else "BAD" if finding.get("needed", True) else "-- "
            output.answer(f"{mark}  {finding['name']}: {finding['text']}")
            if not finding["ok"] and finding["hint"]:
                output.answer(f"       hint: {finding['hint']}")
    return 0 if all(finding["ok"] or not finding.get("needed", True) for finding in found) else 1


def _on_this_machine() -> list[dict[str, Any]]:
    from leeward import daemon, settings

    return [finding.as_dict() for finding in daemon.machine_doctor(settings.load())]


def _in_region(region: str) -> list[dict[str, Any]]:
    from leeward.cli.client import Platform, path

    with Platform.connect() as platform:
        return list(platform.items(path("regions", region, "doctor")))


def status(*, as_json: Json = False) -> int:
    """Show how the platform is."""
    from leeward.cli.client import Platform

    with Platform.connect() as platform:
        found = platform.get("/v1/status")
        url = platform.url
    parts = found.get("parts") or []
    if as_json:
        output.as_json({"url": url, **found})
    else:
        output.pairs(
            [
                ("platform", url),
                ("version", found.get("version")),
                ("apps", found.get("apps")),
                ("instances", found.get("instances")),
                ("deploys", f"{found.get('deploys_active', 0)} active"),
                ("memory", _free(found, "memory_available", "memory_total")),
                ("disk", _free(found, "disk_free", "disk_total")),
                *(("warning", text) for text in found.get("warnings") or ()),
                *((str(p["name"]), "ok" if p["ok"] else f"does not answer: {p.get('detail')}") for p in parts),
            ]
        )
    return 0 if all(part["ok"] for part in parts) else 1


def serve() -> None:
    """Run the control plane in the foreground."""
    from leeward import daemon, settings

    daemon.serve(settings.load())


def _free(found: Any, free: str, total: str) -> str:
    if not found.get(total):
        return ""
    return f"{found.get(free, 0) / _GIB:,.1f} of {found[total] / _GIB:,.1f} GiB free"

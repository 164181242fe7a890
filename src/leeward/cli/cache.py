"""Empty what the edge keeps of an app."""

from leeward.cli import output
from leeward.cli.flags import App, Json


def purge(app: App, /, *, as_json: Json = False) -> int:
    """Empty what the edge keeps of an app."""
    from leeward.cli.client import Platform, path

    with Platform.connect() as platform:
        done = platform.post(path("apps", app, "cache", "purge"))
    if as_json:
        return output.as_json(done or {"app": app, "purged": True})
    output.answer(f"the cache of {app} is empty")
    return 0

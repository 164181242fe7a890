"""Make the secrets by which others ask for a deploy."""

from leeward.cli import output
from leeward.cli.flags import App, Json


def hooks(app: App, /, *, as_json: Json = False) -> int:
    """Make the deploy hook and webhook secret of an app, or renew them.

    They are shown this once. Older ones no longer work.
    """
    from leeward.cli.client import Platform, path

    with Platform.connect() as platform:
        made = platform.post(path("apps", app, "hook"))
    if as_json:
        return output.as_json(made)
    output.say("Shown this once; keep them like passwords.")
    return output.pairs((name.replace("_", " "), value) for name, value in made.items())

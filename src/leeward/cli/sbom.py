"""Show the packages in an app, or the apps that have a package."""

from typing import Annotated, Any

from cyclopts import Parameter

from leeward.cli import output
from leeward.cli.flags import Json
from leeward.errors import Invalid


def sbom(
    app: Annotated[str, Parameter(help="Name of the app.")] = "",
    version: Annotated[str, Parameter(help="Like 'v3'; else the live release.")] = "",
    /,
    *,
    find: Annotated[str, Parameter(help="List the apps that have this package; '*' stands for any text.")] = "",
    as_json: Json = False,
) -> int:
    """Show the packages in an app, or the apps that have a package.

    With --json a release's list is a CycloneDX document.
    """
    from leeward.cli.client import Platform, path
    from leeward.cli.releases import number

    if bool(app) == bool(find):
        raise Invalid("one of an app and --find must be given", hint="like: lee sbom shop, or: lee sbom --find openssl")
    with Platform.connect() as platform:
        if find:
            return _found(platform.items(path("packages"), name=find), find, as_json)
        place = ("apps", app, "releases", str(number(version)), "sbom") if version else ("apps", app, "sbom")
        bill = platform.get(path(*place))
    if as_json:
        return output.as_json(bill)
    rows = [
        (str(one["purl"]).split(":", 1)[1].split("/")[0], one["name"], one["version"]) for one in bill["components"]
    ]
    return output.table(("KIND", "PACKAGE", "VERSION"), rows, "no packages were found in it")


def _found(found: list[Any], name: str, as_json: bool) -> int:
    if as_json:
        return output.as_json(found)
    rows = [(f["app"], f["release"], f["ecosystem"], f["name"], f["version"], f["path"]) for f in found]
    return output.table(
        ("APP", "RELEASE", "KIND", "PACKAGE", "VERSION", "WHERE"), rows, f"no live release has '{name}'"
    )

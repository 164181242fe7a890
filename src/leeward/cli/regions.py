"""List, add and remove the regions, and show what an app is there."""

import base64
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from leeward.cli import output
from leeward.cli.flags import App, Json

Name = Annotated[str, Parameter(help="Name of the region.")]
# Fields of the file that name another file, and the field that holds its content.
_FILES = {
    "certificate-authority": "certificate-authority-data",
    "client-certificate": "client-certificate-data",
    "client-key": "client-key-data",
}


def list_regions(*, as_json: Json = False) -> int:
    """List the regions: this machine, and the clusters that were added."""
    from leeward.cli.client import Platform, path

    with Platform.connect() as platform:
        found = platform.items(path("regions"))
    if as_json:
        return output.as_json(found)
    rows = [(r["name"], r["engine"], r.get("context"), r.get("profile"), len(r.get("apps") or ())) for r in found]
    return output.table(("REGION", "ENGINE", "CONTEXT", "PROFILE", "APPS"), rows, "no regions")


def add(
    name: Name,
    /,
    *,
    engine: Annotated[str, Parameter(help="What runs apps there.")] = "kubernetes",
    kubeconfig: Annotated[Path | None, Parameter(help="The cluster's file; its certificates are sent along.")] = None,
    context: Annotated[str, Parameter(help="The context in it; else the current one.")] = "",
    registry: Annotated[str, Parameter(help="host:port by which its nodes reach the platform's registry.")] = "",
    profile: Annotated[str, Parameter(help="plain, gke-standard or gke-autopilot.")] = "plain",
    pull_secret: Annotated[Path | None, Parameter(help="A Docker config.json with which its nodes pull.")] = None,
    builds: Annotated[str, Parameter(help="Where its apps are built: local, cluster or google.")] = "",
    option: Annotated[list[str] | None, Parameter(help="NAME=VALUE, like gateway=edge/main; repeatable.")] = None,
    as_json: Json = False,
) -> int:
    """Add a cluster, or give a known one new credentials.

    It is examined first: what is wrong with it is said, and nothing changes.
    """
    from leeward.cli.client import Platform, path

    body: dict[str, Any] = {"name": name, "engine": engine, "context": context}
    body |= {"registry": registry, "profile": profile, "options": _options(option or [])}
    body["options"] |= {"builds": builds} if builds else {}
    if kubeconfig is not None:
        body["credentials"] = _whole(kubeconfig)
    if pull_secret is not None:
        body["pull_secret"] = _text(pull_secret)
    with Platform.connect() as platform:
        made = platform.post(path("regions"), body)
    if as_json:
        return output.as_json(made)
    output.answer(f"region {name} is there: write 'region: {name}' into leeward.yaml")
    return 0


def remove(name: Name, /, *, as_json: Json = False) -> int:
    """Forget a region where nothing runs."""
    from leeward.cli.client import Platform, path

    with Platform.connect() as platform:
        platform.delete(path("regions", name))
    if as_json:
        return output.as_json({"region": name, "removed": True})
    output.answer(f"region {name} is forgotten")
    return 0


def render(app: App, /, *, as_json: Json = False) -> int:
    """Show the objects that an app is in its region; secrets are stars."""
    import yaml

    from leeward.cli.client import Platform, path

    with Platform.connect() as platform:
        found = platform.get(path("apps", app, "render"))
    if as_json:
        return output.as_json(found)
    output.answer("---\n".join(yaml.safe_dump(one, sort_keys=False) for one in found).rstrip())
    return 0


def _options(given: list[str]) -> dict[str, str]:
    """Raises Invalid."""
    from leeward.errors import Invalid, Problem

    wrong = [Problem("--option", f"'{text}' is not NAME=VALUE") for text in given if "=" not in text]
    if wrong:
        raise Invalid(wrong, hint="write it like --option gateway=edge/main")
    return {name: value for name, _, value in (text.partition("=") for text in given)}


def _text(file: Path) -> str:
    """Raises Invalid."""
    from leeward.errors import Invalid

    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = (getattr(error, "strerror", None) or "no text").lower()
        raise Invalid(f"'{file}' cannot be read: {reason}", hint="name a file that you may read") from error


def _whole(file: Path) -> str:
    """The file's text with the content of the files that it names. Raises Invalid."""
    import yaml

    from leeward.errors import Invalid

    try:
        value = yaml.safe_load(file.read_text())
        for entry in [*(value.get("clusters") or ()), *(value.get("users") or ())]:
            held = entry.get("cluster") or entry.get("user") or {}
            for name, content in _FILES.items():
                if name in held:
                    held[content] = base64.b64encode(_beside(file, held.pop(name))).decode()
    except OSError as error:
        raise Invalid(
            f"'{error.filename}' cannot be read: {str(error.strerror).lower()}", hint="name the cluster's file"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, TypeError) as error:
        raise Invalid(f"'{file}' is no file for a cluster", hint="`kubectl config view --raw` prints one") from error
    return yaml.safe_dump(value)


def _beside(file: Path, named: Any) -> bytes:
    return (file.parent / str(named)).read_bytes()

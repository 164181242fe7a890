"""Deploy a directory, a Git repository or an image."""

import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from cyclopts import Parameter

from leeward.cli import output
from leeward.cli.flags import Detach, Json
from leeward.errors import Invalid

if TYPE_CHECKING:
    from leeward.cli.client import Platform
    from leeward.cli.pack import Entry
    from leeward.model.app import AppSpec

MANIFESTS = ("leeward.yaml", "leeward.yml")


class Wish(NamedTuple):
    """What is deployed: the app, the body of the request, and the files that are sent before it."""

    app: str
    body: dict[str, Any]
    files: "list[Entry] | None" = None


def deploy(
    path: Annotated[str | None, Parameter(help="Directory of the app; '.' unless --git or --image is given.")] = None,
    /,
    *,
    app: Annotated[str | None, Parameter(help="Name of the app; else of leeward.yaml, else of the directory.")] = None,
    git: Annotated[str | None, Parameter(help="URL of a Git repository to deploy from.")] = None,
    ref: Annotated[str | None, Parameter(help="Branch, tag or commit of the Git repository.")] = None,
    image: Annotated[str | None, Parameter(help="Reference of an image to deploy.")] = None,
    message: Annotated[str | None, Parameter(name=["--message", "-m"], help="A word for the list of releases.")] = None,
    detach: Detach = False,
    as_json: Json = False,
) -> int:
    """Deploy a directory, a Git repository or an image.

    Sends the directory without what .gitignore, .dockerignore and
    .leewardignore leave out, then shows the steps until the release is live.
    Ctrl-C ends the showing, not the deploy.
    """
    for option, value in (("--git", git), ("--image", image), ("--ref", ref), ("--app", app)):
        if value == "":
            # An empty variable of a script must not become a deploy of the directory.
            raise Invalid(f"{option} is empty", hint="give it a value, or leave it out", code="usage")
    if git and image:
        raise Invalid("--git and --image exclude each other", hint="give one of them", code="usage")
    if ref and not git:
        raise Invalid(f"--ref '{ref}' needs --git", hint="name the repository with --git URL", code="usage")
    wish = _remote(path, app, git, ref, image) if git or image else _local(Path(path or "."), app)
    if message:
        wish.body["message"] = message
    from leeward.cli.client import Platform
    from leeward.cli.follow import finish

    with Platform.connect() as platform:
        return finish(platform, _asked(platform, wish), detach=detach, as_json=as_json)


def _local(root: Path, app: str | None) -> Wish:
    """The wish for a directory. Raises Invalid with every problem of its manifest."""
    from leeward.cli.pack import entries

    if not root.is_dir():
        raise Invalid(f"'{root}' is not a directory", hint="name the directory of the app")
    spec = manifest(root, app)
    name = _named(app or (spec.name if spec else None), root.resolve().name, "the directory")
    kept = [*MANIFESTS, ".dockerignore"]
    body: dict[str, Any] = {}
    if spec is not None:
        body = _spec_body(spec)
        kept += [spec.build.dockerfile, str(Path(spec.path) / spec.build.dockerfile)]
    return Wish(name, body, entries(root, kept))


def _remote(path: str | None, app: str | None, git: str | None, ref: str | None, image: str | None) -> Wish:
    spec = manifest(Path(path), app) if path else None
    name = app or (spec.name if spec else None)
    body = _spec_body(spec) if spec else {}
    if git:
        body["git"] = {"url": git, "ref": ref or ""}
        return Wish(_named(name, re.sub(r"\.git/*$", "", git.rstrip("/")), "the repository"), body)
    return Wish(_named(name, re.sub(r"[@:][^/]*$", "", image or ""), "the image"), {**body, "image": image})


def manifest(root: Path, app: str | None) -> "AppSpec | None":
    """The spec of the directory's leeward.yaml, None without one. Raises Invalid with every problem."""
    file = next((root / name for name in MANIFESTS if (root / name).exists()), None)
    return None if file is None else written(file, app)


def written(file: Path, app: str | None) -> "AppSpec":
    """The spec in a file. Raises Invalid with every problem."""
    from leeward.model import parse

    try:
        text = file.read_bytes()
    except IsADirectoryError as error:
        raise Invalid(f"'{file}' is a folder", hint="name it otherwise: a file of that name is looked for") from error
    except OSError as error:
        raise Invalid(f"'{file}' could not be read: {error.strerror}", hint="look at its mode") from error
    return parse.manifest(text, app)


def _spec_body(spec: "AppSpec") -> dict[str, Any]:
    value = spec.model_dump(mode="json", exclude_unset=True, exclude={"name"})
    return {"spec": value, **({"path": spec.path} if spec.path != "." else {})}


def _named(name: str | None, of: str, what: str) -> str:
    """The app's name, made of something else where nobody gave one; the user is told. Raises Invalid."""
    from leeward.model.app import NAME, RESERVED_NAMES

    if name is None:
        name = legal(of)
        output.say(f"The app is called '{name}', after {what}; --app NAME calls it otherwise.")
    if not NAME.fullmatch(name) or name in RESERVED_NAMES:
        raise Invalid(
            f"'{name}' cannot be the name of an app",
            hint="use 1 to 40 lower-case letters, digits and hyphens, beginning with a letter",
        )
    return name


def legal(text: str) -> str:
    """A legal app name that looks like the last part of a path or URL."""
    from leeward.model.app import RESERVED_NAMES

    name = re.sub(r"[^a-z0-9]+", "-", re.split(r"[/:]", text)[-1].lower()).strip("-")
    name = name if name[:1].isalpha() else f"app-{name}".rstrip("-")
    name = name[:40].rstrip("-")
    return f"{name}-app" if name in RESERVED_NAMES else name


def _asked(platform: "Platform", wish: Wish) -> Any:
    """Send the directory, then the wish; both may be repeated when the platform restarts meanwhile."""
    from leeward.cli.client import path
    from leeward.cli.follow import patiently

    body = dict(wish.body)
    if wish.files is not None:
        files = wish.files
        sent = patiently(platform, lambda: platform.upload("/v1/uploads", _bytes(files), app=wish.app))
        body["upload"] = sent["upload"]
    key = uuid.uuid4().hex
    return patiently(platform, lambda: platform.post(path("apps", wish.app, "deploys"), body, key=key))


def _bytes(files: "list[Entry]") -> Iterator[bytes]:
    from leeward.cli.pack import packed

    size = 0
    for piece in packed(files):
        size += len(piece)
        yield piece
    count = sum(1 for entry in files if entry.size >= 0 and not entry.link)
    output.say(f"sent {output.counted(count, 'file')}, {size / 1e6:,.1f} MB")

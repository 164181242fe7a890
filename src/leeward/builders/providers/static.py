"""Plan a site of ready files."""

from collections.abc import Iterator

from leeward.builders.blueprint import Copy
from leeward.builders.loose import text
from leeward.builders.providers import static_site
from leeward.builders.providers.provider import Context, Contribution, Detection, Start
from leeward.builders.providers.python_dependencies import SAFE_PATH
from leeward.builders.tree import AppView
from leeward.errors import PlanFailed
from leeward.model.build import Decision, Diagnostic, Evidence

_FOLDERS = ("", "public/", "dist/", "index/", "site/", "build/", "_site/", "out/", "html/", "www/")
# Directories that are a site by their name, even without an index page.
_NAMED = ("public", "dist", "index")
# What a Staticfile may say besides; the rest has no counterpart here.
_SPA = ("pushstate", "index_fallback")
_KNOWN = frozenset({"root", "force_https", *_SPA})
_IGNORE = ("Dockerfile", ".dockerignore", "leeward.yaml", ".env", ".env.*", "node_modules")


class Static:
    """Sites of files: an `index.html` at the root or in a directory with a usual name."""

    name = "static"
    looked_for = ("index.html", "Staticfile", "public/index.html", "dist/index.html", "index/index.html")

    def detect(self, view: AppView) -> Detection | None:
        """By an index page, or by a Staticfile."""
        found = view.first("Staticfile", *(f"{folder}index.html" for folder in _FOLDERS))
        if found:
            return Detection(20, (Evidence(found),))
        # Without a page, only a directory that is all there is: others have one beside their code.
        besides = [path for path in view.paths if not path.startswith(".") and not path.endswith((".md", ".yaml"))]
        folder = besides[0].partition("/")[0] if besides else ""
        alone = folder in _NAMED and all(path.startswith(f"{folder}/") for path in besides)
        return Detection(5, (Evidence(f"{folder}/"),)) if alone else None

    def plan(self, context: Context) -> Contribution:
        """Copy the files into nginx's image."""
        view = context.view
        folder, evidence = self._folder(context)
        if folder and not SAFE_PATH.fullmatch(folder):
            raise PlanFailed(f"'{folder}' is not a directory of the app", hint="use a plain relative path")
        if folder and view.at(folder) is None:
            raise PlanFailed(
                f"'{folder}' ({evidence.file}) has no files in it", hint="set build.output to the directory of the site"
            )
        below = f"{folder}/" if folder else ""
        said = dict(_staticfile(view))
        wanted = next((said[key] for key in _SPA if key in said and _yes(said[key][0])), None)
        spa = wanted is not None or (not view.has(f"{below}404.html") and self._alone(view, below))
        copies = (Copy((folder or ".",), static_site.ROOT, owned=True),)
        decisions = (
            Decision("site", folder or ".", (evidence,)),
            Decision(
                "unknown paths",
                "answered by index.html" if spa else "answered by 404",
                (
                    wanted[1]
                    if wanted
                    else Evidence(
                        f"{below}index.html" if spa else f"{below}404.html" if view.has(f"{below}404.html") else "."
                    ),
                ),
            ),
        )
        notes: tuple[Diagnostic, ...] = ()
        if not view.has(f"{below}index.html"):
            notes = (Diagnostic("warning", "no-index", f"there is no index.html in '{folder or '.'}'", "add one"),)
        notes += tuple(_not_honoured(key, place) for key, (_, place) in sorted(said.items()) if key not in _KNOWN)
        start = Start(static_site.COMMAND, (Evidence("base image", 0, "nginx serves the files"),))
        return Contribution(
            static_site.blueprint((), copies, spa),
            start=start,
            health=("/", Evidence(f"{below}index.html")) if view.has(f"{below}index.html") else None,
            decisions=decisions,
            diagnostics=notes,
            key_files=(folder,) if folder else (),
            ignore=_IGNORE,
            own_command=True,
        )

    def start_help(self) -> str:
        """A site needs no start command."""
        return "add an index.html"

    def _folder(self, context: Context) -> tuple[str, Evidence]:
        view = context.view
        if said := context.output():
            return said[0].strip("/").removeprefix("./"), said[1]
        if root := dict(_staticfile(view)).get("root"):
            return root[0].strip("/").removeprefix("./"), root[1]
        for folder in _FOLDERS:
            if view.has(f"{folder}index.html"):
                return folder.rstrip("/"), Evidence(f"{folder}index.html")
        for name in _NAMED:
            if view.at(name) is not None:
                return name, Evidence(f"{name}/")
        return "", Evidence("Staticfile")

    def _alone(self, view: AppView, below: str) -> bool:
        """Whether the only page is the index, as in an app with a router in the browser."""
        pages = [path for path in view.paths if path.startswith(below) and path.endswith(".html")]
        return pages == [f"{below}index.html"]


def _staticfile(view: AppView) -> Iterator[tuple[str, tuple[str, Evidence]]]:
    """The settings of a Staticfile, each with its line."""
    for number, line in view.lines("Staticfile"):
        key, colon, value = line.partition(":")
        if colon and value.strip() and not line.lstrip().startswith("#"):
            yield key.strip()[:40], (text(value).strip("'\""), Evidence("Staticfile", number, line.strip()[:60]))


def _yes(value: str) -> bool:
    return value.lower() in ("enabled", "true", "yes", "on")


def _not_honoured(key: str, place: Evidence) -> Diagnostic:
    what = f"'{key}' (Staticfile:{place.line}) has no counterpart here"
    return Diagnostic("info", "staticfile-key", what, "remove it, or write a Dockerfile with a server of your own")

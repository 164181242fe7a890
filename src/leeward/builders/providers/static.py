"""Plan a site of ready files."""

from leeward.builders.blueprint import Copy
from leeward.builders.loose import text
from leeward.builders.providers import static_site
from leeward.builders.providers.provider import Context, Contribution, Detection, Start
from leeward.builders.providers.python_dependencies import SAFE_PATH
from leeward.builders.tree import AppView
from leeward.errors import PlanFailed
from leeward.model.build import Decision, Diagnostic, Evidence

_FOLDERS = ("", "public/", "dist/", "site/", "build/", "_site/", "out/", "html/", "www/")
_IGNORE = ("Dockerfile", ".dockerignore", "leeward.yaml", ".env", ".env.*", "node_modules")


class Static:
    """Sites of files: an `index.html` at the root or in a directory with a usual name."""

    name = "static"
    looked_for = ("index.html", "Staticfile", "public/index.html", "dist/index.html")

    def detect(self, view: AppView) -> Detection | None:
        """By an index page, or by a Staticfile."""
        found = view.first("Staticfile", *(f"{folder}index.html" for folder in _FOLDERS))
        return Detection(20, (Evidence(found),)) if found else None

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
        spa = not view.has(f"{below}404.html") and self._alone(view, below)
        copies = (Copy((folder or ".",), static_site.ROOT, owned=True),)
        decisions = (
            Decision("site", folder or ".", (evidence,)),
            Decision(
                "unknown paths",
                "answered by index.html" if spa else "answered by 404",
                (
                    Evidence(
                        f"{below}index.html" if spa else f"{below}404.html" if view.has(f"{below}404.html") else "."
                    ),
                ),
            ),
        )
        notes: tuple[Diagnostic, ...] = ()
        if not view.has(f"{below}index.html"):
            notes = (Diagnostic("warning", "no-index", f"there is no index.html in '{folder or '.'}'", "add one"),)
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
        for number, line in view.lines("Staticfile"):
            key, _, value = line.partition(":")
            if key.strip() == "root" and value.strip():
                return text(value).strip("/").removeprefix("./"), Evidence("Staticfile", number, line.strip()[:60])
        for folder in _FOLDERS:
            if view.has(f"{folder}index.html"):
                return folder.rstrip("/"), Evidence(f"{folder}index.html")
        return "", Evidence("Staticfile")

    def _alone(self, view: AppView, below: str) -> bool:
        """Whether the only page is the index, as in an app with a router in the browser."""
        pages = [path for path in view.paths if path.startswith(below) and path.endswith(".html")]
        return pages == [f"{below}index.html"]

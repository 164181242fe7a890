"""Read a Node project's manifest: its scripts and dependencies."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leeward.builders.loose import mapping, text
from leeward.builders.providers.node_workspace import Member, Workspace
from leeward.builders.providers.provider import bounded
from leeward.builders.tree import AppView
from leeward.model.build import Evidence

FILE = "package.json"
# Scripts that a package manager runs while installing: they may need any file of the tree.
_INSTALL_SCRIPTS = ("preinstall", "install", "postinstall", "prepare")
# What these do needs no file of the tree, or only files that are known.
_HARMLESS = re.compile(
    r"(?:npx |is-ci \|\| )?(?:husky(?: install)?(?: \S+)?|lefthook install|simple-git-hooks|patch-package"
    r"|prisma generate|only-allow \w+|nuxt prepare|svelte-kit sync|true|exit 0)(?: \|\| (?:true|exit 0|echo ''))?"
)
_SCHEMAS = ("prisma/schema.prisma", "schema.prisma", "db/schema.prisma")
_NEEDS_TREE = re.compile(r"\b(?:nuxt prepare|svelte-kit sync)\b")
_LOCAL = ("file:", "link:", "./", "../", "portal:")


@dataclass(frozen=True, slots=True)
class Project:
    """What `package.json` says, with the place of each script and dependency.

    In a workspace `root` is the directory that is installed in, and `folder` is the app's below it.
    """

    view: AppView
    manifest: Mapping[str, Any]
    root: AppView
    folder: str = ""
    workspace: Workspace | None = None
    member: Member | None = None
    shown: str = ""
    """Comes before the names of its files where somebody reads them."""

    def script(self, name: str) -> str:
        """The text of a script, '' when there is none."""
        found = text(self.manifest, "scripts", name)
        return bounded(found, f"{FILE} scripts.{name}") if found else ""

    def script_at(self, name: str) -> Evidence:
        """Where a script stands."""
        return self.key_at(name, f"scripts.{name}: {self.script(name)}"[:100])

    def key_at(self, key: str, what: str = "") -> Evidence:
        """Where a key stands."""
        found = self.view.where(FILE, f'"{key}":', what or key)
        return Evidence(f"{self.shown}{found.file}", found.line, found.what)

    @property
    def at(self) -> str:
        """The app's directory in the image."""
        return f"/app/{self.folder}" if self.folder else "/app"

    @property
    def dependencies(self) -> tuple[str, ...]:
        """What is installed at run time too."""
        return tuple(str(name) for name in mapping(self.manifest, "dependencies"))

    @property
    def dev_dependencies(self) -> frozenset[str]:
        """What is installed for the build only."""
        named = (str(name) for name in mapping(self.manifest, "devDependencies"))
        return frozenset(named) - frozenset(self.dependencies)

    @property
    def all_dependencies(self) -> frozenset[str]:
        """What is installed for the build."""
        return frozenset(self.dependencies) | self.dev_dependencies

    @property
    def has_dev_dependencies(self) -> bool:
        """Whether something is installed for the build only."""
        manifests = [self.manifest, *(member.manifest for member in self.siblings)]
        if self.workspace:
            manifests.append(self.workspace.manifest)
        return any(mapping(manifest, "devDependencies") for manifest in manifests)

    @property
    def siblings(self) -> tuple[Member, ...]:
        """The packages of the workspace that the app depends on, those that others need first."""
        return self.workspace.needs(self.member) if self.workspace and self.member else ()

    @property
    def install_scripts(self) -> tuple[tuple[str, str], ...]:
        """The scripts that run while installing, of the directory that is installed in."""
        manifest = self.workspace.manifest if self.workspace else self.manifest
        found = ((name, text(manifest, "scripts", name)) for name in _INSTALL_SCRIPTS)
        return tuple((name, script) for name, script in found if script)

    def schema_files(self) -> tuple[str, ...]:
        """Prisma's schema, from the directory that is installed in."""
        if not {"prisma", "@prisma/client"} & self.all_dependencies:
            return ()
        places = [f"{self.folder}/{path}".lstrip("/") for path in _SCHEMAS]
        found = [path for path in places if self.root.has(path)]
        below = [path for path in self.root.paths if path.endswith(".prisma") and path not in found]
        return (*found, *below[:50])

    def whole_tree(self) -> Evidence | None:
        """Why installing needs the whole tree."""
        for name, script in self.install_scripts:
            parts = [part.strip() for part in script.split("&&")]
            if _NEEDS_TREE.search(script) or not all(_HARMLESS.fullmatch(part) for part in parts):
                return self.root.where(FILE, f'"{name}":', f"scripts.{name}: {script}"[:100])
        manifests = [("", self.workspace.manifest if self.workspace else self.manifest)]
        if self.workspace:
            manifests += [(f"{member.folder}/", member.manifest) for member in self.workspace.members]
        for below, manifest in manifests:
            for group in ("dependencies", "devDependencies", "optionalDependencies"):
                for name, value in mapping(manifest, group).items():
                    if isinstance(value, str) and value.startswith(_LOCAL):
                        what = f"{name} is a directory of the tree"[:80]
                        return self.root.where(f"{below}{FILE}", f'"{name}":', what)
        return None

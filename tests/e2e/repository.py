"""A Git repository of a test, and the command that changes it."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.platform import change, copied

IDENTITY = ("-c", "user.name=Tests", "-c", "user.email=tests@example.com", "-c", "init.defaultBranch=main")


@dataclass
class Repository:
    """One repository with the probe app; its branch is `main`."""

    folder: Path
    text: str = "one"

    @classmethod
    def made(cls, folder: Path, app: str = "probe") -> "Repository":
        """A repository with one commit in a new folder; the manifest names no app."""
        folder.mkdir(parents=True, exist_ok=True)
        tree = copied("probe", folder)
        change(tree, "name: probe", f"name: {app}", "leeward.yaml")
        made = cls(tree)
        made.git("init", "-q")
        made.git("add", ".")
        made.git("commit", "-qm", "first")
        return made

    @property
    def url(self) -> str:
        """Where others fetch it."""
        return f"file://{self.folder}"

    @property
    def head(self) -> str:
        """The commit that is checked out."""
        return self.git("rev-parse", "HEAD").stdout.strip()

    def git(
        self, *arguments: str, env: Mapping[str, str] | None = None, ok: bool = True
    ) -> "subprocess.CompletedProcess[str]":
        """Run git in it."""
        return subprocess.run(
            ["git", *IDENTITY, *arguments],
            cwd=self.folder,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0", **(env or {})},
            check=ok,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def say(self, text: str) -> str:
        """Commit an app that says something else; the commit."""
        change(self.folder, f'TEXT = "{self.text}"', f'TEXT = "{text}"')
        self.text = text
        self.git("commit", "-qam", f"say {text}")
        return self.head

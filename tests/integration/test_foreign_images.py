"""Apps from other platforms, built for real: what their files ask for is in the image, and works."""

import json
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.contracts.tiny import docker, needs_docker

from leeward.builders.buildkit import BuildkitBuilder
from leeward.model.app import AppSpec
from leeward.ports import BuildJob
from leeward.settings import Settings

SERVER = (
    "import http.server, os\n"
    "http.server.HTTPServer(('', int(os.environ['PORT'])), http.server.SimpleHTTPRequestHandler).serve_forever()\n"
)


@pytest.fixture(autouse=True)
def _docker() -> None:
    needs_docker()


class Workshop:
    """Builds files with variables; what it made is taken away at the end."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.app = f"f{secrets.token_hex(4)}"
        self.lines: list[str] = []

    async def image(self, files: Mapping[str, str], env: Mapping[str, str] | None = None) -> str:
        """The image's id."""
        tree = self.root / "tree"
        for path, text in files.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(text)
        builder = BuildkitBuilder(Settings(home=self.root / "home"))
        plan = builder.plan(tree, AppSpec(), env or {}, {})
        job = BuildJob(self.app, "d1", tree, plan, env or {})
        return (await builder.build(job, self.lines.append)).id

    def clean(self) -> None:
        for id in set(docker("images", "-q", "--no-trunc", "--filter", f"label=leeward.app={self.app}").split()):
            docker("rmi", "-f", id)


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    made = Workshop(tmp_path)
    yield made
    made.clean()


def run(image: str, *command: str) -> str:
    """What a command says in a fresh container of the image, as its user."""
    return docker("run", "--rm", "--network=none", "--cap-drop=ALL", image, *command).strip()


async def test_packages_commands_variables_and_assets_of_nixpacks_are_in_the_image(workshop: Workshop) -> None:
    nixpacks = """
        [variables]
        GREETING = "it costs $5"
        [phases.setup]
        nixPkgs = ["...", "jq"]
        aptPkgs = ["file"]
        [phases.install]
        cmds = ["jq --version > /dev/null", "pip install -r requirements.txt"]
        [phases.build]
        cmds = ["...", "file main.py > built.txt"]
        [staticAssets]
        "motd.txt" = "welcome"
        [start]
        cmd = "python main.py"
    """
    files = {"main.py": SERVER, "requirements.txt": "itsdangerous==2.2.0\n", "nixpacks.toml": nixpacks}

    image = await workshop.image(files)

    assert run(image, "jq", "--null-input", "1+1") == "2"
    assert run(image, "file", "--brief", "/assets/motd.txt") == "ASCII text"
    assert run(image, "sh", "-c", 'echo "$GREETING"') == "it costs $5"
    assert "ASCII text" in run(image, "cat", "/app/built.txt")
    assert run(image, "python", "-c", "import itsdangerous; print(itsdangerous.__version__)") == "2.2.0"


async def test_packages_for_the_build_or_the_image_alone_are_only_there(workshop: Workshop) -> None:
    railpack = """{
        // For the build only.
        "buildAptPackages": ["file"],
        "steps": {"install": {"commands": ["file --version > /dev/null", "..."]}},
        "deploy": {"aptPackages": ["jq"], "startCommand": "python main.py", "variables": {"MODE": "live"}},
    }"""
    files = {"main.py": SERVER, "requirements.txt": "itsdangerous==2.2.0\n", "railpack.json": railpack}

    image = await workshop.image(files, {"RAILPACK_DEPLOY_APT_PACKAGES": "tree"})

    found = run(image, "sh", "-c", "command -v jq; command -v tree; command -v file; echo $MODE").splitlines()
    assert [Path(line).name for line in found] == ["jq", "tree", "live"]


async def test_a_heroku_app_of_node_has_its_packages_and_what_its_scripts_made(workshop: Workshop) -> None:
    package = {
        "name": "site",
        "scripts": {"heroku-postbuild": "jq -n 1+1 > sum.txt", "start": "node server.js"},
        "dependencies": {"is-odd": "3.0.1"},
    }
    app = {"env": {"LANGUAGE": "en", "SECRET_KEY": {"generator": "secret"}}}
    files = {
        "package.json": json.dumps(package),
        "server.js": "require('http').createServer((q, a) => a.end('hi')).listen(process.env.PORT)\n",
        "Aptfile": "jq\n",
        "app.json": json.dumps(app),
        "Procfile": "web: node server.js\nclock: node clock.js\n",
        "bin/post_compile": "#!/usr/bin/env bash\necho compiled > compiled.txt\n",
        ".slugignore": "*.psd\n",
        "art/logo.psd": "x",
    }

    image = await workshop.image(files)

    assert run(image, "sh", "-c", "cat sum.txt compiled.txt; echo $LANGUAGE").split() == ["2", "compiled", "en"]
    assert run(image, "jq", "--null-input", "2") == "2"
    assert run(image, "find", "/app", "-name", "*.psd") == ""

"""What an app brings from the platform that buildpacks come from, for real: packages, scripts, variables."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contracts.tiny import docker, needs_docker
from tests.integration.test_lifecycle import Shop, answer, layers, needs_builder, running, shop

from leeward.errors import BuildFailed
from leeward.plan.command import arguments

APP = """import http.server, json, os, shutil, subprocess

import colorama


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        found = {name: os.environ.get(name, "") for name in ("MODE", "FROM_PROFILE", "FROM_SCRIPT")}
        found |= {name: open(name).read().strip() for name in ("before", "built", "after")}
        found["jq"] = subprocess.run(["jq", "-n", "1+1"], capture_output=True, text=True).stdout.strip()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(found).encode())


http.server.HTTPServer(("", int(os.environ["PORT"])), Answer).serve_forever()
"""
FILES = {
    "requirements.txt": "colorama==0.4.6\n",
    "Procfile": "web: python app.py\n",
    "app.py": APP,
    "Aptfile": "# tools\njq\n",
    ".profile": 'export FROM_PROFILE="$MODE at the start"\n',
    ".profile.d/more.sh": "export FROM_SCRIPT=1\n",
    "bin/pre_compile": "jq -n '\"before\"' > before\n",
    "bin/post_compile": "python -c 'import colorama; print(colorama.__version__)' > after\n",
    "app.json": json.dumps({"env": {"MODE": {"value": "demo"}}}),
}
BUILD = "{strategy: buildpacks, command: 'python -c \"import colorama; print(1)\" > built'}"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Shop]:
    needs_docker()
    needs_builder()
    with shop(tmp_path) as made:
        yield made


async def test_an_app_with_everything_around_it_runs_unchanged_and_builds_quickly_again(here: Shop) -> None:
    here.put(FILES)
    first = await here.build(build=BUILD)

    with running(first.id, "python app.py") as url:
        found = json.loads(await answer(url))
    with running(first.id) as url:
        assert json.loads(await answer(url)) == found
    assert found == {
        "MODE": "demo",
        "FROM_PROFILE": "demo at the start",
        "FROM_SCRIPT": "1",
        "before": '"before"',
        "built": "1",
        "after": "0.4.6",
        "jq": "2",
    }
    command = arguments("echo $FROM_PROFILE of $MODE") or ()
    assert docker("run", "--rm", "--env=MODE=live", first.id, *command) == "live at the start of live"

    here.put({"app.py": APP + "# changed\n"})
    here.lines.clear()
    began = time.monotonic()
    second = await here.build(build=BUILD)

    # Neither packages nor dependencies are brought again, and one layer is new.
    said = "\n".join(here.lines)
    assert "the layer is used again" in said
    assert "installing" not in said.lower(), f"{said} ({time.monotonic() - began:.1f} s)"
    pairs = list(zip(layers(first), layers(second), strict=True))
    assert [old == new for old, new in pairs].count(False) == 1


async def test_a_package_that_there_is_not_fails_with_its_name(here: Shop) -> None:
    here.put({**FILES, "Aptfile": "no-such-package-at-all\n"})

    with pytest.raises(BuildFailed, match="no-such-package-at-all"):
        await here.build(build=BUILD)

"""An app with a Procfile is deployed with buildpacks, as a stranger does it."""

import subprocess
from pathlib import Path

import pytest

from leeward.builders.buildpacks_images import tag
from tests.e2e.platform import Platform, docker, until

APP = (
    'import os\n\nfrom flask import Flask\n\napp = Flask(__name__)\n\n\n@app.get("/")\ndef index():\n    return "one"\n'
)


def test_a_procfile_app_is_live_with_its_worker_and_its_release_command(platform: Platform, tmp_path: Path) -> None:
    try:
        docker("image", "inspect", f"leeward-buildpacks/builder:{tag()}")
    except subprocess.CalledProcessError:
        pytest.skip("buildpacks: this machine has no builder image yet (tests/integration/test_lifecycle.py makes it)")
    tree = tmp_path / "procfile-app"
    tree.mkdir()
    (tree / "leeward.yaml").write_text("name: procfile-app\nbuild: {strategy: buildpacks}\n")
    (tree / "requirements.txt").write_text("flask==3.0.3\ngunicorn==22.0.0\n")
    (tree / "Procfile").write_text(
        "release: python -c \"import flask; print('migrated', flask.__name__)\"\nweb: gunicorn app:app\n"
        "worker: python -u worker.py\n"
    )
    (tree / "app.py").write_text(APP)
    (tree / "worker.py").write_text(
        "import time\n\nimport flask\n\nwhile True:\n    print('works')\n    time.sleep(1)\n"
    )

    first = platform.ok("deploy", str(tree), timeout_s=1200)
    (tree / "app.py").write_text(APP.replace('"one"', '"two"'))
    second = platform.ok("deploy", str(tree))

    assert (first["status"], second["status"]) == ("live", "live")
    until(lambda: platform.get("procfile-app") == (200, "two"), 15, "the second release does not answer")
    assert second["receipt"]["failed"] == 0
    log = platform.lee("logs", "procfile-app", "--build", "v1", "-n", "400").out
    assert "migrated flask" in log
    assert "leeward/python" in log
    until(lambda: "works" in platform.lee("logs", "procfile-app").out, 15, "the worker does not work")
    platform.ok("apps", "delete", "procfile-app", "--yes")

"""How Python apps are planned."""

from pathlib import Path

import pytest
from tests.unit.planner_trees import FASTAPI, decided, planned, warned

from leeward.builders.providers.python_locks import pep440
from leeward.errors import PlanFailed

UVICORN = "--host 0.0.0.0 --port $PORT --proxy-headers"
WEB = "fastapi\nuvicorn\n"


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"main.py": FASTAPI}, f"uvicorn main:app {UVICORN}"),
        ({"app.py": FASTAPI}, f"uvicorn app:app {UVICORN}"),
        ({"main.py": "import fastapi as f\nserver: f.FastAPI = f.FastAPI()\n"}, f"uvicorn main:server {UVICORN}"),
        ({"main.py": "from fastapi import FastAPI as F\nif True:\n    x = F()\n"}, f"uvicorn main:x {UVICORN}"),
        (
            {"main.py": "from fastapi import FastAPI\nsub = FastAPI()\nroot = FastAPI()\nroot.mount('/sub', sub)\n"},
            f"uvicorn main:root {UVICORN}",
        ),
        ({"main.py": "from fastapi import FastAPI\na = FastAPI()\napp = FastAPI()\n"}, f"uvicorn main:app {UVICORN}"),
        ({"app/__init__.py": "", "app/main.py": FASTAPI}, f"uvicorn app.main:app {UVICORN}"),
        ({"app/__init__.py": FASTAPI}, f"uvicorn app:app {UVICORN}"),
        ({"src/main.py": FASTAPI}, f"uvicorn main:app {UVICORN}"),
        ({"src/main.py": "from src.x import y\n" + FASTAPI, "src/x.py": ""}, f"uvicorn src.main:app {UVICORN}"),
        ({"deep/er/api.py": FASTAPI}, f"uvicorn deep.er.api:app {UVICORN}"),
        ({"my-app/main.py": FASTAPI}, f"uvicorn main:app {UVICORN}"),
        (
            {"web.py": "from fastapi import FastAPI\ndef create_app():\n    return FastAPI()\n"},
            f"uvicorn web:create_app --factory {UVICORN}",
        ),
        (
            {"main.py": "from made import create_app\napp = create_app()\n", "made.py": "def create_app(): ...\n"},
            f"uvicorn main:app {UVICORN}",
        ),
        ({"main.py": "import made\n", "core/made.py": FASTAPI}, f"uvicorn core.made:app {UVICORN}"),
        ({"main.py": "print('FastAPI')\n"}, "python main.py"),
        ({"main.py": "def broken(:\n", "bot.py": ""}, "python main.py"),
        ({"tests/main.py": FASTAPI, "bot.py": ""}, "python bot.py"),
    ],
)
def test_an_application_is_found_without_importing_it(tmp_path: Path, files: dict[str, str], command: str) -> None:
    assert planned(tmp_path, {"requirements.txt": WEB, **files}).start_command == command


def test_a_class_of_the_same_name_from_elsewhere_is_no_application(tmp_path: Path) -> None:
    files = {"requirements.txt": WEB, "main.py": "from mine import FastAPI\napp = FastAPI()\n"}

    assert planned(tmp_path, files).start_command == "python main.py"


def test_code_that_is_not_importable_from_the_root_gets_its_directory_on_the_path(tmp_path: Path) -> None:
    files = {"requirements.txt": WEB, "svc/main.py": "import db\n" + FASTAPI, "svc/db.py": ""}

    found = planned(tmp_path, files)

    assert found.start_command == f"uvicorn main:app {UVICORN}"
    assert "PYTHONPATH=/app/svc:/app" in found.dockerfile


def test_the_manifest_decides_the_start_command_and_its_line_is_named(tmp_path: Path) -> None:
    manifest = "name: shop\nprocesses:\n  web:\n    command: uvicorn main:app --port $PORT\n"
    files = {"requirements.txt": WEB, "main.py": FASTAPI, "leeward.yaml": manifest, "Procfile": "web: python main.py\n"}

    found = planned(tmp_path, files)

    assert decided(found, "start command") == "uvicorn main:app --port $PORT <- leeward.yaml:4"
    assert found.processes == {"web": "uvicorn main:app --port $PORT"}


def test_a_variable_is_weaker_than_the_manifest_and_stronger_than_the_procfile(tmp_path: Path) -> None:
    files = {"requirements.txt": WEB, "main.py": FASTAPI, "Procfile": "web: python main.py\n"}

    found = planned(tmp_path, files, env={"NIXPACKS_START_CMD": "python other.py"})

    assert decided(found, "start command") == "python other.py <- variable NIXPACKS_START_CMD"


def test_a_procfile_gives_processes_and_a_release_command(tmp_path: Path) -> None:
    procfile = (
        "# types\nweb: python main.py\nbig_worker: python worker.py --all\nrelease: python migrate.py\nnonsense\n"
    )

    found = planned(tmp_path, {"requirements.txt": WEB, "main.py": FASTAPI, "Procfile": procfile})

    assert found.processes == {"web": "python main.py", "big-worker": "python worker.py --all"}
    assert found.release_command == "python migrate.py"
    assert decided(found, "process big-worker") == "python worker.py --all <- Procfile:3"
    assert "procfile-line" in warned(found)


def test_a_worker_beside_a_recognised_server_keeps_the_server(tmp_path: Path) -> None:
    manifest = "processes:\n  worker: {command: python worker.py}\n"

    found = planned(tmp_path, {"requirements.txt": WEB, "main.py": FASTAPI, "leeward.yaml": manifest})

    assert set(found.processes) == {"web", "worker"}


def test_a_worker_beside_a_script_that_only_has_a_usual_name_is_alone(tmp_path: Path) -> None:
    found = planned(tmp_path, {"main.py": "", "Procfile": "worker: python main.py\n"})

    assert found.processes == {"worker": "python main.py"}


def test_a_server_that_nobody_asked_for_is_added_with_a_warning(tmp_path: Path) -> None:
    found = planned(tmp_path, {"requirements.txt": "fastapi\n", "main.py": FASTAPI})

    assert "uv pip install uvicorn" in found.dockerfile
    assert "server-added" in warned(found)


@pytest.mark.parametrize("line", ["uvicorn[standard]==0.38", "fastapi[standard]", "FastAPI[All]", "-r more.txt"])
def test_a_server_that_is_there_is_not_added(tmp_path: Path, line: str) -> None:
    files = {
        "requirements.txt": f"fastapi\n{line}\n",
        "more.txt": "uvicorn\n",
        "main.py": FASTAPI,
    }

    assert "server-added" not in warned(planned(tmp_path, files))


def test_only_the_dependency_files_are_copied_before_the_install(tmp_path: Path) -> None:
    files = {
        "requirements.txt": "-r requirements/web.txt\n--constraint=limits.txt\n",
        "requirements/web.txt": "fastapi\nuvicorn\n",
        "limits.txt": "",
        "main.py": FASTAPI,
    }

    text = planned(tmp_path, files).dockerfile

    before = text[: text.index("uv pip install")]
    assert "COPY requirements.txt limits.txt ./" in before
    assert "COPY requirements/web.txt ./requirements/" in before
    assert "COPY . " not in before
    assert text.index("from=build,source=/opt/venv,") < text.index("COPY --chown=1000:1000 . /app")


@pytest.mark.parametrize("line", ["-e .", "./lib", "-e ./lib", "lib @ file:///app/lib", "--editable ./lib"])
def test_a_dependency_of_the_tree_itself_needs_the_whole_tree(tmp_path: Path, line: str) -> None:
    found = planned(tmp_path, {"requirements.txt": f"{WEB}{line}\n", "main.py": FASTAPI})

    assert decided(found, "dependency layer").endswith("<- requirements.txt:3")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-r missing.txt", "requirements.txt:1 includes 'missing.txt', which is not there"),
        ("-r ../secret.txt", "requirements.txt:1 includes '../secret.txt', which is outside of '.'"),
        ("-c /etc/passwd", "requirements.txt:1 includes '/etc/passwd', which is outside of '.'"),
    ],
)
def test_an_include_that_cannot_be_read_fails_with_its_line(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(PlanFailed) as caught:
        planned(tmp_path, {"requirements.txt": f"{line}\n", "main.py": ""})

    assert caught.value.message == message


def test_files_that_include_each_other_end(tmp_path: Path) -> None:
    files = {"requirements.txt": "-r a.txt\n", "a.txt": "-r requirements.txt\nfastapi\nuvicorn\n", "main.py": FASTAPI}

    assert planned(tmp_path, files).package_manager == "pip"


@pytest.mark.parametrize(
    ("files", "manager"),
    [
        ({"requirements.txt": WEB}, "pip"),
        ({"pyproject.toml": '[project]\nname = "x"\ndependencies = ["fastapi", "uvicorn"]\n'}, "pyproject"),
        ({"pyproject.toml": '[project]\nname = "x"\n', "uv.lock": "", "requirements.txt": WEB}, "uv"),
        ({"pyproject.toml": "[tool.ruff]\n", "requirements.txt": WEB}, "pip"),
        ({"Pipfile": '[packages]\nfastapi = "*"\nuvicorn = ">=0.3"\n'}, "pipenv"),
        ({}, None),
    ],
)
def test_an_exact_lock_is_preferred_to_a_list(tmp_path: Path, files: dict[str, str], manager: str | None) -> None:
    assert planned(tmp_path, {"main.py": FASTAPI, **files}).package_manager == manager


def test_system_packages_are_known_by_whole_names(tmp_path: Path) -> None:
    files = {"requirements.txt": "psycopg2-binary\nPsycoPG2==2.9\nmy-ffmpeg-python-thing\n", "main.py": ""}

    found = planned(tmp_path, files)

    assert decided(found, "system packages") == "libpq5 <- requirements.txt:2"
    assert "libpq-dev" in found.dockerfile.split("FROM")[1]


def test_packages_of_the_manifest_and_the_aptfile_are_installed_in_both_stages(tmp_path: Path) -> None:
    files = {"main.py": "", "Aptfile": "# tools\nffmpeg\n", "leeward.yaml": "build: {packages: [graphviz]}\n"}

    assert planned(tmp_path, files).dockerfile.count("--no-install-recommends ffmpeg graphviz") == 2


def test_secrets_reach_only_the_steps_in_whose_scope_they_are(tmp_path: Path) -> None:
    env = {"UV_INDEX_TOKEN": "hunter2", "DATABASE_URL": "hunter2", "PLAN_PYTHON_VERSION": "3.11", "UVULA": "x"}

    found = planned(tmp_path, {"requirements.txt": WEB, "main.py": FASTAPI}, env=env)

    assert found.build_secrets == ("UV_INDEX_TOKEN",)
    assert "--mount=type=secret,id=UV_INDEX_TOKEN" in found.dockerfile
    assert "DATABASE_URL" not in found.dockerfile
    assert "hunter2" not in found.dockerfile


def test_a_changed_secret_runs_its_step_again(tmp_path: Path) -> None:
    files = {"requirements.txt": WEB, "main.py": FASTAPI}

    first, second = (planned(tmp_path, files, env={"PIP_X": value}).dockerfile for value in ("a", "b"))

    assert first != second


def test_a_database_file_beside_the_code_makes_the_file_system_writable(tmp_path: Path) -> None:
    beside = planned(tmp_path / "a", {"main.py": "import sqlite3\nsqlite3.connect('data.db')\n"})
    elsewhere = planned(tmp_path / "b", {"main.py": "import sqlite3\nsqlite3.connect('/tmp/data.db')\n"})

    assert (beside.read_only, elsewhere.read_only) == (False, True)
    assert decided(beside, "file system").endswith("<- main.py:2")


@pytest.mark.parametrize(
    ("code", "path"),
    [
        ("@app.get('/items')\ndef i(): ...\n\n@app.get('/healthz')\ndef h(): ...\n", "/healthz"),
        ("@app.get('/')\ndef i(): ...\n", "/"),
        ("@app.post('/health')\ndef i(): ...\n", "/openapi.json"),
        ("@other.get('/health')\ndef i(): ...\n", "/openapi.json"),
    ],
)
def test_the_health_path_is_one_that_the_code_answers(tmp_path: Path, code: str, path: str) -> None:
    files = {"requirements.txt": WEB, "main.py": f"from fastapi import FastAPI\napp = FastAPI()\n{code}"}

    assert planned(tmp_path, files).health_path == path


def test_a_project_with_a_build_system_is_importable_without_being_built(tmp_path: Path) -> None:
    project = (
        '[project]\nname = "price-service"\nversion = "1.2"\ndependencies = ["fastapi", "uvicorn"]\n'
        '[project.scripts]\nprices = "price_service.cli:main"\nevil = "a; rm -rf /"\n[build-system]\nrequires = []\n'
    )
    files = {"pyproject.toml": project, "src/price_service/main.py": FASTAPI}

    text = planned(tmp_path, files).dockerfile

    assert "/opt/venv/bin/prices" in text
    assert "evil" not in text
    assert "/app/src" in text


def test_the_tags_of_base_images_are_written_where_they_are_given(tmp_path: Path) -> None:
    found = planned(tmp_path, {"main.py": ""}, tags={"python3.13": "abc", "python3.13-build": "def"})

    assert found.bases == ("leeward-base/python3.13-build:def", "leeward-base/python3.13:abc")
    assert "FROM leeward-base/python3.13:abc\n" in found.dockerfile


def test_an_app_without_a_start_fails_with_what_to_add(tmp_path: Path) -> None:
    files = {"requirements.txt": "polars\n", "one.py": "", "two.py": "", "backend/requirements.txt": "fastapi\n"}

    with pytest.raises(PlanFailed, match="no start command was found for this python app") as caught:
        planned(tmp_path, files)

    assert "Procfile" in caught.value.hint
    assert "set path: backend" in caught.value.hint


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("^1.2.3", ">=1.2.3,<2"),
        ("^0.2.3", ">=0.2.3,<0.3"),
        ("^0", ">=0,<1"),
        ("~1.2.3", ">=1.2.3,<1.3"),
        ("~1", ">=1,<2"),
        ("1.2.*", "==1.2.*"),
        ("1.2", "==1.2"),
        ("*", ""),
        (">=1.0, <2.0", ">=1.0,<2.0"),
        ("~=1.4", "~=1.4"),
    ],
)
def test_poetrys_versions_are_read_as_poetry_reads_them(written: str, meant: str) -> None:
    assert pep440(written) == meant


POETRY = '[tool.poetry.dependencies]\npython = "^3.11"\nfastapi = "^0.115"\nnumpy = "*"\n'


def test_a_lock_of_poetrys_holds_every_package_at_its_version(tmp_path: Path) -> None:
    lock = '[[package]]\nname = "fastapi"\nversion = "0.115.6"\n\n[[package]]\nname = "anyio"\nversion = "4.1"\n'

    found = planned(tmp_path, {"pyproject.toml": POETRY, "poetry.lock": lock, "main.py": FASTAPI})

    assert found.package_manager == "poetry"
    assert "anyio==4.1" in found.dockerfile and "fastapi==0.115.6" in found.dockerfile
    assert "uv pip install 'fastapi>=0.115,<0.116' numpy -c /tmp/held.txt" in found.dockerfile
    assert "COPY . ./" not in found.dockerfile


def test_an_old_version_that_only_a_lock_names_chooses_the_python(tmp_path: Path) -> None:
    lock = '[[package]]\nname = "numpy"\nversion = "1.24.4"\n'

    found = planned(tmp_path, {"pyproject.toml": POETRY, "poetry.lock": lock, "main.py": FASTAPI})

    assert found.versions == {"python": "3.11"}


def test_a_package_that_a_lock_holds_at_two_versions_is_not_held(tmp_path: Path) -> None:
    lock = '[[package]]\nname = "numpy"\nversion = "2.1"\n\n[[package]]\nname = "numpy"\nversion = "2.2"\n'

    found = planned(tmp_path, {"pyproject.toml": POETRY, "poetry.lock": lock, "main.py": FASTAPI})

    assert "numpy==" not in found.dockerfile


@pytest.mark.parametrize("value", ['{git = "https://x"}', '{path = "lib"}', '">=1; rm -rf /"', '"1\\nRUN x"', "7"])
def test_what_is_more_than_a_version_is_left_to_the_build_backend(tmp_path: Path, value: str) -> None:
    text = f"[tool.poetry.dependencies]\nlib = {value}\n"

    found = planned(tmp_path, {"pyproject.toml": text, "main.py": FASTAPI})

    assert "uv pip install ." in found.dockerfile or value == "7"
    assert "\nRUN x" not in found.dockerfile


def test_a_package_that_only_a_lock_names_installs_no_system_packages(tmp_path: Path) -> None:
    lock = '[[package]]\nname = "gitpython"\nversion = "3.1"\n'

    found = planned(tmp_path, {"pyproject.toml": POETRY, "poetry.lock": lock, "main.py": FASTAPI})

    assert "apt-get" not in found.dockerfile


@pytest.mark.parametrize(
    ("made", "writable"),
    [("fast_app()", True), ("FastHTML(debug=True)", True), ("fast_app(secret_key=KEY)", False)],
)
def test_a_fasthtml_app_may_write_its_session_key_unless_it_has_one(tmp_path: Path, made: str, writable: bool) -> None:
    code = f"from fasthtml.common import *\n\napp = {made}\n\n\n@app.get('/')\ndef index(): ...\n"

    found = planned(tmp_path, {"requirements.txt": "python-fasthtml\n", "main.py": code})

    assert found.read_only is not writable
    assert any(note.code == "session-key" for note in found.diagnostics) is writable


def test_a_package_that_lies_in_the_tree_is_held_at_no_version(tmp_path: Path) -> None:
    lock = (
        '[[package]]\nname = "flask"\nversion = "3.0.3"\n\n[[package]]\nname = "prices"\nversion = "0.1.0"\n\n'
        '[package.source]\ntype = "directory"\nurl = "libs/prices"\n\n[[package]]\nname = "jinja2"\nversion = "3.1.4"\n'
    )
    project = '[tool.poetry.dependencies]\npython = "^3.11"\nflask = "*"\nprices = { path = "libs/prices" }\n'
    files = {"pyproject.toml": project, "poetry.lock": lock, "app.py": "from flask import Flask\napp = Flask('x')\n"}

    text = planned(tmp_path, files).dockerfile

    assert "flask==3.0.3" in text
    assert "jinja2==3.1.4" in text
    assert "prices==" not in text

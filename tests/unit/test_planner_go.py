"""How Go apps are planned."""

from pathlib import Path

import pytest
from tests.unit.planner_trees import decided, planned, warned

from leeward.errors import PlanFailed

MAIN = 'package main\n\nimport "net/http"\n\nfunc main() { http.ListenAndServe(":8080", nil) }\n'
WORKER = "package main\n\nfunc main() {}\n"
MODULE = "module example.com/shop\n\ngo 1.22\n"


def test_the_modules_are_a_layer_of_their_own_before_the_code(tmp_path: Path) -> None:
    text = planned(tmp_path, {"go.mod": MODULE, "go.sum": "", "main.go": MAIN}).dockerfile

    assert text.index("COPY go.mod go.sum") < text.index("with-ca go mod download") < text.index("COPY . ./")
    assert text.index("FROM leeward-base/debian13") > text.index("with-ca go build")


@pytest.mark.parametrize(
    ("module", "toolchain", "why"),
    [
        (MODULE, "local", "1.24 <- go.mod:3"),
        ("module x\n\ngo 1.26\n", "go1.27.4", "1.27 <- go.mod:3"),
        ("module x\n\ngo 1.23\n\ntoolchain go1.27.1\n", "go1.27.4", "1.27 <- go.mod:5"),
        ("module x\n\ngo 1.23\n\ntoolchain go1.24.11\n", "local", "1.24 <- go.mod:5"),
        ("module x\n\ngo 1.23\n\ntoolchain go1.99.1\n", "local", "1.24 <- go.mod:3"),
        ("module x\n\ngo 1.99\n", "auto", "1.24 <- usual version"),
    ],
)
def test_another_go_is_fetched_only_when_the_module_needs_it(
    tmp_path: Path, module: str, toolchain: str, why: str
) -> None:
    found = planned(tmp_path, {"go.mod": module, "main.go": MAIN})

    assert f"GOTOOLCHAIN={toolchain}" in found.dockerfile
    assert ("go-toolchain" in warned(found)) == (toolchain == "auto")
    assert decided(found, "go version") == why


def test_an_older_go_that_is_asked_for_by_name_is_fetched_and_its_end_told_with_the_day(tmp_path: Path) -> None:
    found = planned(tmp_path, {"go.mod": MODULE, "main.go": MAIN}, env={"PLAN_GO_VERSION": "1.22.3"})

    assert "GOTOOLCHAIN=go1.22.12" in found.dockerfile
    assert [note.text for note in found.diagnostics] == [
        "go 1.22 gets no more fixes from its makers since 2025-02-11",
    ]


def test_of_several_programs_the_server_answers_and_all_are_built(tmp_path: Path) -> None:
    files = {"go.mod": MODULE, "cmd/server/main.go": MAIN, "cmd/worker/main.go": WORKER}

    found = planned(tmp_path, files)

    assert found.start_command == "/app/bin/server"
    assert "-o /out/bin/worker ./cmd/worker" in found.dockerfile


def test_a_program_named_like_the_module_goes_before_the_others(tmp_path: Path) -> None:
    found = planned(tmp_path, {"go.mod": MODULE, "cmd/shop/main.go": MAIN, "cmd/other/main.go": MAIN})

    assert found.start_command == "/app/bin/shop"


def test_programs_that_cannot_be_told_apart_are_listed(tmp_path: Path) -> None:
    files = {"go.mod": MODULE, "cmd/a/main.go": MAIN, "cmd/b/main.go": MAIN}

    with pytest.raises(PlanFailed, match="'cmd/a', 'cmd/b'") as failure:
        planned(tmp_path, files)

    assert "PLAN_GO_BIN=cmd/a" in failure.value.hint
    assert planned(tmp_path, files, env={"PLAN_GO_BIN": "b"}).start_command == "/app/bin/b"
    with pytest.raises(PlanFailed, match=r"'c' .* is no program"):
        planned(tmp_path, files, env={"NIXPACKS_GO_BIN": "c"})


def test_a_module_of_the_tree_makes_the_whole_tree_the_key(tmp_path: Path) -> None:
    found = planned(tmp_path, {"go.mod": MODULE + "replace example.com/y => ./y\n", "main.go": MAIN, "y/y.go": ""})

    assert decided(found, "dependency layer") == "renewed by every change of the code <- go.mod:4"
    assert "go mod download" not in found.dockerfile


def test_a_file_without_a_module_is_built_by_name(tmp_path: Path) -> None:
    assert "go build -trimpath -ldflags='-s -w' -o /out/bin/app ./main.go" in (
        planned(tmp_path, {"main.go": MAIN}).dockerfile
    )


def test_only_variables_for_go_reach_the_build(tmp_path: Path) -> None:
    env = {"GOPROXY": "https://hunter2@proxy.example.com", "GOOGLE_API_KEY": "x", "PLAN_GO_VERSION": "1.24"}

    found = planned(tmp_path, {"go.mod": MODULE, "main.go": MAIN}, env=env)

    assert found.build_secrets == ("GOPROXY",)
    assert "--mount=type=secret,id=GOPROXY" in found.dockerfile
    assert "hunter2" not in found.dockerfile


def test_the_users_own_build_keeps_what_it_made(tmp_path: Path) -> None:
    files = {"go.mod": MODULE, "main.go": MAIN, "Procfile": "web: ./server\n"}

    found = planned(tmp_path, files, env={"PLAN_BUILD_CMD": "make server"})

    assert found.start_command == "./server"
    assert "make server" in found.dockerfile
    assert "COPY --from=build --chown=1000:1000 /app /app" in found.dockerfile


def test_a_directory_with_an_unusual_name_is_no_program(tmp_path: Path) -> None:
    files = {"go.mod": MODULE, "cmd/web/main.go": MAIN, "cmd/a b/main.go": MAIN, "cmd/$(id)/main.go": MAIN}

    found = planned(tmp_path, files)

    assert found.start_command == "/app/bin/web"
    assert "(id)" not in found.dockerfile
    assert "a b" not in found.dockerfile


def test_a_program_that_does_not_listen_is_a_guess(tmp_path: Path) -> None:
    assert "start-guessed" in warned(planned(tmp_path, {"go.mod": MODULE, "main.go": WORKER}))


def test_a_module_above_the_apps_directory_is_refused_with_what_to_do(tmp_path: Path) -> None:
    files = {"go.mod": "module x\n\ngo 1.22\n\nreplace example.com/lib => ../lib\n", "main.go": "package main\n"}

    with pytest.raises(PlanFailed, match=r"go\.mod:5 replaces a module by '\.\./lib'") as refused:
        planned(tmp_path, files)

    assert "go.work" in (refused.value.hint or "")

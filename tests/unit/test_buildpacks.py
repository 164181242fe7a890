"""Buildpacks: what each phase may see, what its exit codes mean, and how images come in and go out."""

import hashlib
import json
import os
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.unit.planner_trees import planned, write

from leeward.builders import buildpacks_cache as cache
from leeward.builders import buildpacks_images as images
from leeward.builders import buildpacks_layout as layout
from leeward.builders import buildpacks_lifecycle as lifecycle
from leeward.builders import buildpacks_phases as phases
from leeward.builders.buildpacks import looked_for
from leeward.builders.buildpacks_cache import AppCache
from leeward.builders.buildpacks_failures import failure
from leeward.builders.buildpacks_phases import Bounds, Builder, Folders, Phase
from leeward.errors import BuildFailed, Invalid, LeewardError, PlanFailed, Unavailable
from leeward.model.build import BuildPlan

BUILDER = Builder("builder:1", "run:1", 1000, 1000)
FOREIGN = Builder("heroku/builder:24", "heroku/heroku:24", 1002, 1001, own=False)
BOUNDS = Bounds(1.75, 4096, 4096, "/docker/buildkit")
FOLDERS = Folders(Path("/w"), Path("/c"), Path("/t"))
HUB = "index.docker.io"
BUILDPACKS = "build: {strategy: buildpacks}\n"


def steps(builder: Builder = BUILDER, *, previous: bool = False) -> dict[str, Phase]:
    found = phases.phases(
        builder, "builder:1", FOLDERS, previous=previous, proxies={"HTTPS_PROXY": "http://me:s3cret@p:1"}
    )
    return {phase.name: phase for phase in found}


def argv(phase: Phase, builder: Builder = BUILDER) -> tuple[str, ...]:
    return tuple(phases.arguments(phase, builder, BOUNDS, "name", {"a": "b"}))


# --- phases -----------------------------------------------------------------------------------------------


def test_the_phases_come_in_the_order_of_the_specification() -> None:
    assert list(steps()) == ["analyze", "detect", "restore", "build", "export"]


@pytest.mark.parametrize("builder", [BUILDER, FOREIGN])
def test_no_phase_sees_the_engines_socket_or_runs_as_root_or_with_rights(builder: Builder) -> None:
    for phase in steps(builder).values():
        words = argv(phase, builder)
        assert not any("docker.sock" in word or "--privileged" in word or "REGISTRY_AUTH" in word for word in words)
        assert f"--user={builder.user}:{builder.group}" in words
        assert {"--cap-drop=ALL", "--security-opt=no-new-privileges", "--pids-limit=4096"} <= set(words)
        assert {"--memory=4096m", "--memory-swap=4096m", "--cpus=1.75"} <= set(words)
        assert "--cgroup-parent=/docker/buildkit" in words


def test_a_phase_is_as_heavy_as_a_step_of_buildkit_where_they_share_a_cgroup() -> None:
    phase = steps()["build"]
    alone = Bounds(1, 512, 64, "leeward-builds.slice", 256)

    assert not any(word.startswith("--cpu-shares") for word in argv(phase))
    assert "--cpu-shares=256" in tuple(phases.arguments(phase, BUILDER, alone, "name", {}))


def test_only_the_phases_that_run_foreign_code_have_a_network() -> None:
    without = {name for name, phase in steps().items() if "--network=none" in argv(phase)}

    assert without == {"analyze", "restore", "export"}


def test_a_proxy_and_its_password_are_given_on_and_in_no_argument() -> None:
    given = {name for name, phase in steps().items() if "--env=HTTPS_PROXY" in argv(phase)}

    assert given == {"detect", "build"}
    assert not any("s3cret" in word for phase in steps().values() for word in argv(phase))


def test_foreign_code_sees_neither_the_image_layout_nor_the_cache_of_layers() -> None:
    for name in ("detect", "build"):
        targets = {target for _, target, _ in steps()[name].mounts}
        assert not targets & {"/layout", "/cache", "/leeward-cache"} - (
            {"/leeward-cache"} if name == "build" else set()
        )


def test_only_the_build_may_write_the_app() -> None:
    writers = {
        name
        for name, phase in steps().items()
        for _, target, writable in phase.mounts
        if target == "/workspace" and writable
    }

    assert writers == {"build"}


def test_variables_of_the_app_are_shown_to_detect_and_build_only() -> None:
    seeing = {name for name, phase in steps().items() if any(target == "/platform" for _, target, _ in phase.mounts)}

    assert seeing == {"detect", "build"}


def test_images_are_handled_by_our_own_lifecycle_whatever_the_builder() -> None:
    used = {name: phase.image for name, phase in steps(FOREIGN).items()}

    assert used == {
        "analyze": "builder:1",
        "detect": "heroku/builder:24",
        "restore": "builder:1",
        "build": "heroku/builder:24",
        "export": "builder:1",
    }


def test_a_foreign_builder_keeps_its_own_order_and_gets_none_of_our_words() -> None:
    assert not any("order.toml" in word for word in argv(steps(FOREIGN)["detect"], FOREIGN))
    assert "-order=/leeward/order.toml" in argv(steps()["detect"])
    assert not any(target == "/leeward-cache" for _, target, _ in steps(FOREIGN)["build"].mounts)


def test_a_previous_image_is_named_only_when_there_is_one() -> None:
    assert not any("previous" in word for word in argv(steps()["analyze"]))
    assert f"-previous-image={phases.PREVIOUS}" in argv(steps(previous=True)["analyze"])


def plan_of(secrets: tuple[str, ...] = (), args: Mapping[str, str] | None = None) -> BuildPlan:
    return BuildPlan("buildpacks", ("python",), None, {}, None, {}, (), "", build_secrets=secrets, args=args or {})


def test_the_platforms_variables_hold_trust_indexes_and_what_the_plan_names_and_nothing_else() -> None:
    env = {"PIP_TOKEN": "t", "DATABASE_URL": "d"}
    plan = plan_of(("PIP_TOKEN", "ABSENT"), {"BP_X": "1"})

    found = phases.variables(plan, env, True, ca=True, pip_index="https://p.test", npm_registry="https://n.test")

    assert found["SSL_CERT_FILE"] == phases.CA
    assert found["PIP_INDEX_URL"] == found["UV_DEFAULT_INDEX"] == "https://p.test"
    assert found["NPM_CONFIG_REGISTRY"] == "https://n.test"
    assert (found["PIP_TOKEN"], found["BP_X"]) == ("t", "1")
    assert not {"DATABASE_URL", "ABSENT"} & found.keys()
    assert "LEEWARD_BUILD_CACHE" not in phases.variables(plan, env, False, ca=False, pip_index="", npm_registry="")


@pytest.mark.parametrize("name", ["../../etc/cron.d/x", "/etc/x", "a/b", "", ".", "A=B", "A\nB"])
def test_no_argument_becomes_a_file_elsewhere(name: str, tmp_path: Path) -> None:
    plan = plan_of(("..",), {name: "x", "FINE": "y"})

    found = phases.variables(plan, {"..": "z"}, False, ca=False, pip_index="", npm_registry="")

    assert found == {"FINE": "y"}
    manifest = f"build: {{strategy: buildpacks, args: {{{json.dumps(name)}: x}}}}\n"
    with pytest.raises(Invalid, match="build/args"):
        planned(tmp_path, {"leeward.yaml": manifest, "Procfile": "web: ./run\n"})


def test_what_app_json_and_project_toml_say_is_taken_over(tmp_path: Path) -> None:
    files = {
        "leeward.yaml": BUILDPACKS,
        "requirements.txt": "flask\n",
        "Procfile": "web: gunicorn app:app\nclock: python clock.py\n",
        "app.json": json.dumps({"env": {"MODE": "demo"}, "formation": {"web": {"quantity": 2}}}),
        "project.toml": '[[build.env]]\nname = "BP_LOG_LEVEL"\nvalue = "debug"\n',
    }

    found = planned(tmp_path, files)

    assert found.args["BP_LOG_LEVEL"] == "debug"
    assert found.formation["web"]["instances"] == 2
    assert json.loads(found.args["LEEWARD_ENV"])["MODE"] == "demo"
    assert not any("BP_LOG_LEVEL" in note.text for note in found.diagnostics)


def test_an_order_has_one_group_in_which_only_the_procfile_may_stay_out() -> None:
    text = phases.order_toml(("node", "static", "procfile"))

    assert text.count("[[order]]") == 1
    assert text.count("optional = true") == 1
    assert "optional" not in phases.order_toml(("procfile",))


# --- exit codes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "code", "kind", "text"),
    [
        ("detect", 20, PlanFailed, "no buildpack knows this app: looked for go.mod"),
        ("detect", 21, BuildFailed, "a buildpack failed while it looked at the app"),
        ("detect", 11, BuildFailed, "speaks another version of the buildpacks API"),
        ("analyze", 12, BuildFailed, "speaks another version of the buildpacks API"),
        ("analyze", 32, BuildFailed, "the previous image or the run image could not be read: broken thing"),
        ("restore", 42, BuildFailed, "layers of the previous build could not be brought back"),
        ("build", 51, BuildFailed, "a buildpack failed: broken thing"),
        ("build", 52, BuildFailed, "the build could not be carried out"),
        ("export", 62, BuildFailed, "the image could not be written"),
        ("build", 125, Unavailable, "dockerd could not run a phase of the build"),
        ("build", 1, BuildFailed, "the phase 'build' ended with exit code 1"),
        ("build", 137, BuildFailed, "was ended from outside"),
        ("build", 3, BuildFailed, "the phase 'build' ended with exit code 3"),
    ],
)
def test_each_exit_code_of_the_lifecycle_is_a_sentence_with_a_hint(
    phase: str, code: int, kind: type[LeewardError], text: str
) -> None:
    found = failure(phase, code, ["fine", "ERROR: broken thing", "done"], "go.mod", "builder:1")

    assert type(found) is kind
    assert text in found.message
    assert found.hint
    assert found.message[0].islower() and not found.message.endswith(".")


def test_an_engine_that_went_away_is_asked_again() -> None:
    assert isinstance(failure("build", 1, ["fine", "unexpected EOF"], "", "b"), Unavailable)


def test_a_failed_tool_is_named_rather_than_the_lifecycles_last_word() -> None:
    output = [
        "npm error 404  'no-such-thing@1.0.0' is not in this registry.",
        "error: 'npm ci' ended with exit code 1",
        "ERROR: failed to build: exit status 1",
    ]

    assert (
        failure("build", 51, output, "", "b").message == "no package 'no-such-thing@1.0.0' exists in the npm registry"
    )
    assert failure("build", 51, output[1:], "", "b").message == "a buildpack failed: 'npm ci' ended with exit code 1"


def test_what_was_looked_for_is_named_once() -> None:
    assert looked_for(("static", "procfile"), True).endswith("Procfile")
    assert looked_for(("python",), True).split(", ")[0] == "requirements.txt"


# --- images -----------------------------------------------------------------------------------------------


def shown(*layers: str) -> dict[str, object]:
    return {
        "Architecture": "amd64",
        "Os": "linux",
        "Config": {"Env": ["PATH=/bin"], "Labels": {"a": "b"}, "Hostname": "", "User": "1000"},
        "RootFS": {"Layers": list(layers)},
    }


def test_an_image_of_the_store_is_laid_out_without_its_layers(tmp_path: Path) -> None:
    layout.write_sparse(tmp_path / "x", shown("sha256:1", "sha256:2"))

    found = layout.read(tmp_path / "x")

    assert found.layers == ("sha256:1", "sha256:2")
    assert [found.blob(at) for at in (0, 1)] == [None, None]
    assert found.labels == {"a": "b"}
    assert len(list((tmp_path / "x" / "blobs" / "sha256").iterdir())) == 2


def test_the_same_image_is_laid_out_in_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        layout.write_sparse(tmp_path / name, shown("sha256:1"))

    assert (tmp_path / "one" / "index.json").read_bytes() == (tmp_path / "two" / "index.json").read_bytes()


@pytest.mark.parametrize(
    ("reference", "folder"),
    [
        ("registry.test/team/run:1", "registry.test/team/run/1"),
        ("heroku/heroku:24", f"{HUB}/heroku/heroku/24"),
        ("run:24", f"{HUB}/library/run/24"),
        ("localhost:5000/x/run:24", "localhost:5000/x/run/24"),
    ],
)
def test_an_image_lies_where_the_lifecycle_looks(tmp_path: Path, reference: str, folder: str) -> None:
    assert layout.folder_of(tmp_path, reference) == tmp_path / folder


def exported(
    root: Path, made: Mapping[str, bytes], stored: tuple[str, ...], metadata: object = None
) -> layout.Exported:
    """An image of which `stored` layers are named only, and `made` ones are files."""
    labels = {"io.buildpacks.lifecycle.metadata": json.dumps(metadata or {})}
    layout.write_sparse(root, {**shown(*stored, *made), "Config": {"Labels": labels}})
    for name, content in made.items():
        (root / "blobs" / "sha256" / name.removeprefix("sha256:")).write_bytes(content)
    return layout.read(root)


def test_a_layer_is_known_to_the_engine_only_above_the_same_layers(tmp_path: Path) -> None:
    image = exported(tmp_path / "x", {}, ("run", "deps", "app"))

    assert layout.missing(image, [("run", "deps", "app", "more")]) == ()
    assert layout.missing(image, [("run", "other", "app"), ("run",)]) == (1, 2)


def test_the_engine_is_given_what_it_lacks_and_the_id_of_it_all(tmp_path: Path) -> None:
    image = exported(tmp_path / "x", {"app": b"code"}, ("run", "deps"))
    config = layout.image_config(image, {"leeward.app": "shop"})

    id = layout.archive(image, config, [("run", "deps", "old")], {}, tmp_path / "image.tar")

    assert id == f"sha256:{hashlib.sha256(config).hexdigest()}"
    with tarfile.open(tmp_path / "image.tar") as tar:
        assert sorted(tar.getnames()) == sorted([f"{id.removeprefix('sha256:')}.json", "app.tar", "manifest.json"])
    settings = json.loads(config)["config"]
    assert settings["Labels"]["leeward.app"] == "shop"
    assert settings["Entrypoint"][:2] == ["/bin/sh", "-c"]
    assert settings["Cmd"] == []


def test_the_programs_of_layers_are_on_the_path_of_a_command_in_an_instance(tmp_path: Path) -> None:
    metadata = {
        "buildpacks": [{"key": "leeward/python", "layers": {"venv": {}}}, {"key": "a/b", "layers": {"x:y": {}}}]
    }
    labels = {"io.buildpacks.lifecycle.metadata": json.dumps(metadata)}
    layout.write_sparse(tmp_path / "x", {**shown("run"), "Config": {"Labels": labels, "Env": ["PATH=/bin", "A=b"]}})

    config = json.loads(layout.image_config(layout.read(tmp_path / "x"), {}))

    assert config["config"]["Env"] == ["PATH=/layers/leeward_python/venv/bin:/bin", "A=b"]


def test_a_description_without_end_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout.write_sparse(tmp_path / "x", {**shown("run"), "Config": {"Labels": {"a": "b" * 5000}}})
    monkeypatch.setattr(layout, "_LARGEST", 4000)

    with pytest.raises(BuildFailed, match="no image that can be read"):
        layout.read(tmp_path / "x")


@pytest.mark.parametrize("text", ["[]", "no json", '{"buildpacks": [1]}', '{"sbom": "x"}'])
def test_labels_that_are_not_what_the_lifecycle_writes_are_refused(tmp_path: Path, text: str) -> None:
    labels = {"io.buildpacks.lifecycle.metadata": text}
    layout.write_sparse(tmp_path / "x", {**shown("run"), "Config": {"Labels": labels}})

    with pytest.raises(BuildFailed, match="no image that can be read"):
        layout.read(tmp_path / "x")


def test_a_build_that_wrote_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match="no image that can be read"):
        layout.read(tmp_path / "x")


def test_what_lies_above_the_app_is_kept_for_the_next_build(tmp_path: Path) -> None:
    metadata = {"sbom": {"sha": "bill"}, "launcher": {"sha": "start"}}
    image = exported(tmp_path / "x", {"venv": b"big", "bill": b"b", "start": b"s"}, ("run",), metadata)

    layout.keep(image, tmp_path / "kept")

    kept = layout.read(tmp_path / "kept")
    assert [kept.blob(at) is not None for at in range(4)] == [False, False, True, True]


def test_layers_are_taken_out_of_what_the_engine_saved(tmp_path: Path) -> None:
    saved = tmp_path / "saved.tar"
    files = {
        "manifest.json": json.dumps([{"Config": "c.json", "Layers": ["1/layer.tar", "2/layer.tar"]}]),
        "c.json": json.dumps({"rootfs": {"diff_ids": ["run", "deps"]}}),
        "1/layer.tar": "one",
        "2/layer.tar": "two",
    }
    with tarfile.open(saved, "w") as tar:
        for name, text in files.items():
            (tmp_path / "part").write_text(text)
            tar.add(tmp_path / "part", name)

    found = layout.take(saved, {"deps": 5}, tmp_path)

    assert found[5].read_text() == "two"


# --- the builder image ------------------------------------------------------------------------------------


def test_the_builder_image_is_named_by_what_it_is_made_from() -> None:
    assert images.tag() == images.tag()
    assert len(images.tag()) == 12


def test_without_go_the_lifecycle_is_built_in_a_base_image() -> None:
    with_go, without = images.dockerfile(True), images.dockerfile(False)

    assert not any("AS lifecycle" in line for line in with_go)
    assert without[0].startswith("FROM leeward-base/go-build:")
    assert f"{lifecycle.MODULE}@v{lifecycle.VERSION}" in without[2]
    assert "COPY --from=lifecycle /out/ /cnb/lifecycle/" in without


def test_an_image_on_a_patched_base_is_made_anew() -> None:
    assert images.stands_on(shown("base", "node"), shown("base"))
    assert not images.stands_on(shown("old base", "node"), shown("base"))


def test_the_run_image_can_be_rebased() -> None:
    assert "LABEL io.buildpacks.rebasable=true" in images.run_dockerfile()


# --- what is kept -----------------------------------------------------------------------------------------


def mine(home: Path, app: str = "shop", builder: str = "b:1") -> AppCache:
    return AppCache(home, app, builder, os.getuid(), os.getgid())


def test_apps_and_builders_share_no_cache(tmp_path: Path) -> None:
    folders = {mine(tmp_path, "a").tools, mine(tmp_path, "b").tools, mine(tmp_path, "a", "b:2").tools}

    assert len(folders) == 3


def test_the_last_image_is_remembered_and_forgotten(tmp_path: Path) -> None:
    kept = mine(tmp_path)
    assert kept.known() == ""

    kept.remember(exported(tmp_path / "x", {}, ("run",)), "sha256:1")

    assert mine(tmp_path).known() == "sha256:1"
    kept.forget()
    assert mine(tmp_path).known() == ""


def test_what_was_not_used_for_longest_goes_when_the_budget_is_spent(tmp_path: Path) -> None:
    now = time.time()
    for age, app in enumerate(("new", "old", "mine")):
        kept = mine(tmp_path, app)
        (kept.tools / "file").write_bytes(b"x" * 100_000)
        os.utime(kept.folder, (now - age, now - age))

    # The one that was just built is kept, though it is the oldest here.
    cache.trim(tmp_path, 250_000, kept.folder)

    left = {path.parent.name for path in (tmp_path / "cnb" / "apps").glob("*/*")}
    assert left == {"new", "mine"}


def test_what_was_not_used_for_a_month_goes_whatever_the_budget(tmp_path: Path) -> None:
    kept = mine(tmp_path, "gone")
    os.utime(kept.folder, (1000, 1000))

    cache.trim(tmp_path, 10**12, mine(tmp_path).folder)

    assert not kept.folder.exists()


def test_a_source_is_copied_without_following_a_link_or_taking_a_pipe(tmp_path: Path) -> None:
    source = write(tmp_path / "app", {"main.py": "x", ".git/config": "secret", "sub/a": "1"})
    (source / "out").symlink_to("/etc")
    (source / "secret").symlink_to("/etc/hostname")

    cache.copy_source(source, tmp_path / "copy", frozenset({".git"}), os.getuid(), os.getgid())

    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == ["main.py", "out", "secret", "sub"]
    assert (tmp_path / "copy" / "out").is_symlink()
    assert (tmp_path / "copy" / "secret").readlink() == Path("/etc/hostname")


def test_folders_of_builds_that_nobody_waits_for_are_removed(tmp_path: Path) -> None:
    living, left = tmp_path / "cnb-1", tmp_path / "cnb-2"
    for path in (living, left, tmp_path / "build-3"):
        path.mkdir()

    cache.sweep(tmp_path, {living})

    assert sorted(path.name for path in tmp_path.iterdir()) == ["build-3", "cnb-1"]


# --- plans ------------------------------------------------------------------------------------------------


def test_what_no_buildpack_knows_is_named_with_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(PlanFailed, match=r"looked for go\.mod, requirements\.txt") as caught:
        planned(tmp_path, {"leeward.yaml": BUILDPACKS, "README.md": "hello"})

    assert caught.value.code == "no-buildpack"


def test_a_procfile_alone_is_enough(tmp_path: Path) -> None:
    found = planned(tmp_path, {"leeward.yaml": BUILDPACKS, "Procfile": "web: ./run\n"})

    assert found.providers == ("procfile",)
    assert found.processes == {"web": "./run"}


def test_a_program_of_go_is_found_by_its_name(tmp_path: Path) -> None:
    main = 'package main\n\nimport "net/http"\n\nfunc main() { http.ListenAndServe(":8080", nil) }\n'
    found = planned(tmp_path, {"leeward.yaml": BUILDPACKS, "go.mod": "module x/shop\n\ngo 1.22\n", "main.go": main})

    assert found.providers == ("go", "procfile")
    assert found.start_command == "shop"


def test_a_version_that_the_builder_lacks_fails_with_those_it_has(tmp_path: Path) -> None:
    files = {"leeward.yaml": BUILDPACKS, "requirements.txt": "flask\n", ".python-version": "3.11\n", "app.py": ""}

    with pytest.raises(PlanFailed, match=r"python 3\.11 is not in Leeward's own builder: it has 3\.13") as caught:
        planned(tmp_path, files)

    assert caught.value.code == "python-version"


def test_a_remembered_version_of_another_strategy_does_not_hold(tmp_path: Path) -> None:
    files = {"leeward.yaml": BUILDPACKS, "requirements.txt": "flask\n", "Procfile": "web: gunicorn app:app\n"}

    assert planned(tmp_path, files, versions={"python": "3.11"}).versions == {"python": "3.13"}


def test_fields_that_a_named_builder_does_not_read_are_said(tmp_path: Path) -> None:
    build = "{strategy: buildpacks, builder: 'heroku/builder:24', command: make, packages: [ffmpeg]}"
    files = {"leeward.yaml": f"build: {build}\n", "requirements.txt": "flask\n", "bin/post_compile": "x\n"}

    found = planned(tmp_path, {**files, "Procfile": "web: gunicorn app:app\n"})

    said = [note.text for note in found.diagnostics if note.code == "not-for-buildpacks"]
    assert [text.split()[0] for text in said] == ["build.command", "build.packages", "bin/post_compile"]


def test_a_builder_image_must_be_a_name(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="build/builder"):
        planned(tmp_path, {"leeward.yaml": 'build: {strategy: buildpacks, builder: "--privileged x"}\n', "a": ""})


def test_a_named_builder_sees_the_apps_variables_and_ours_only_those_of_its_tools(tmp_path: Path) -> None:
    env = {"BP_NODE_VERSION": "22", "PIP_TOKEN": "t", "OTHER": "o"}
    files = {"requirements.txt": "flask\n", "Procfile": "web: gunicorn app:app\n"}

    named = planned(
        tmp_path, {**files, "leeward.yaml": "build: {strategy: buildpacks, builder: 'heroku/builder:24'}\n"}, env=env
    )
    ours = planned(tmp_path, {**files, "leeward.yaml": BUILDPACKS}, env=env)

    assert named.build_secrets == ("BP_NODE_VERSION", "OTHER", "PIP_TOKEN")
    assert named.bases == ("heroku/builder:24",)
    assert ours.build_secrets == ("PIP_TOKEN",)

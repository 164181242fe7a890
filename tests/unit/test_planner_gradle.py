"""How apps are planned that Gradle builds."""

from pathlib import Path

import pytest
from tests.unit.planner_trees import decided, planned, warned

from leeward.errors import PlanFailed

URL = "https\\://services.gradle.org/distributions/gradle-8.10.2-bin.zip"
MAIN = "package a;\n\nclass App {\n  public static void main(String[] words) {}\n}\n"
APP = "plugins {\n  id 'application'\n}\nmainClassName = 'a.App'\n"
BOOT = 'plugins {\n  id("org.springframework.boot") version "3.5.0"\n}\n'


def wrapper(url: str = URL) -> dict[str, str]:
    return {
        "gradlew": "#!/bin/sh\n",
        "gradle/wrapper/gradle-wrapper.jar": "x",
        "gradle/wrapper/gradle-wrapper.properties": f"distributionUrl={url}\n",
    }


def test_the_wrapper_is_fetched_in_a_step_of_its_own_before_the_code(tmp_path: Path) -> None:
    found = planned(tmp_path, {**wrapper(), "build.gradle.kts": BOOT})
    text = found.dockerfile

    assert text.index("sh gradlew --no-daemon --version") < text.index("COPY . ./") < text.index("bootJar")
    assert decided(found, "build tool") == "gradle 8.10.2 <- gradle/wrapper/gradle-wrapper.properties:1"
    assert text.index("from=build,source=/out/lib,") < text.index("COPY --from=build /out/app.jar")
    assert found.package_manager == "gradle"


def test_where_the_wrapper_downloads_from_is_told_and_can_be_changed(tmp_path: Path) -> None:
    files = {**wrapper(), "build.gradle": BOOT}
    mirror = "https://mirror.example.com/gradle-8.14-bin.zip?a=1&b=2"

    found = planned(tmp_path, files)
    moved = planned(tmp_path, files, env={"PLAN_GRADLE_DISTRIBUTION_URL": mirror})

    [note] = [note for note in found.diagnostics if note.code == "gradle-download"]
    assert "downloads gradle 8.10.2 from services.gradle.org" in note.text
    assert "PLAN_GRADLE_DISTRIBUTION_URL" in note.fix
    assert "sed -i 's|^distributionUrl=.*|distributionUrl=https://mirror.example.com/" in moved.dockerfile
    assert "a=1\\&b=2" in moved.dockerfile
    with pytest.raises(PlanFailed, match="is no address"):
        planned(tmp_path, files, env={"PLAN_GRADLE_DISTRIBUTION_URL": "x|e\nRUN id"})


def test_a_distribution_of_the_tree_needs_no_download(tmp_path: Path) -> None:
    found = planned(tmp_path, {**wrapper("gradle-8.14-bin.zip"), "build.gradle": BOOT})

    assert "gradle-download" not in warned(found)
    assert "--version" not in found.dockerfile


@pytest.mark.parametrize("missing", ["gradle/wrapper/gradle-wrapper.jar", "gradle/wrapper/gradle-wrapper.properties"])
def test_half_a_wrapper_is_refused_and_the_missing_file_named(tmp_path: Path, missing: str) -> None:
    files = {path: text for path, text in wrapper().items() if path != missing}

    with pytest.raises(PlanFailed, match=f"'{missing}' is missing"):
        planned(tmp_path, {**files, "build.gradle": BOOT})


def test_without_a_wrapper_debians_gradle_builds_what_it_can(tmp_path: Path) -> None:
    found = planned(tmp_path, {"build.gradle": APP})

    assert "--no-install-recommends gradle" in found.dockerfile
    assert "with-ca gradle --no-daemon" in found.dockerfile
    assert found.start_command == "java $JAVA_OPTS -XX:MaxRAMPercentage=75 -cp '/app/own/*:/app/lib/*' a.App"


@pytest.mark.parametrize("files", [{"build.gradle.kts": "plugins { application }\n"}, {"build.gradle": BOOT}])
def test_without_a_wrapper_what_debians_gradle_cannot_read_is_refused(tmp_path: Path, files: dict[str, str]) -> None:
    with pytest.raises(PlanFailed, match=r"there is no 'gradlew', and Debian's Gradle 4\.4 is too old") as failure:
        planned(tmp_path, files)

    assert "gradle wrapper" in failure.value.hint


@pytest.mark.parametrize(
    ("more", "version"),
    [
        ("java { toolchain { languageVersion = JavaLanguageVersion.of(17) } }\n", "17 <- build.gradle:4"),
        ("kotlin { jvmToolchain(21) }\n", "21 <- build.gradle:4"),
        ("sourceCompatibility = '1.8'\n", "21 <- build.gradle:4"),
        ("sourceCompatibility = JavaVersion.VERSION_21\n", "21 <- build.gradle:4"),
        ("", "21 <- gradle/wrapper/gradle-wrapper.properties:1"),
    ],
)
def test_a_toolchain_is_that_java_and_a_source_level_the_least(tmp_path: Path, more: str, version: str) -> None:
    assert decided(planned(tmp_path, {**wrapper(), "build.gradle": BOOT + more}), "java version") == version


def test_a_toolchain_that_cannot_be_had_is_refused(tmp_path: Path) -> None:
    text = BOOT + "java { toolchain { languageVersion = JavaLanguageVersion.of(11) } }\n"

    with pytest.raises(PlanFailed, match=r"java '11' \(build\.gradle:4\) is not available: there are 17, 21, 25"):
        planned(tmp_path, {**wrapper(), "build.gradle": text})


def test_a_gradle_gets_no_java_that_it_does_not_run_on(tmp_path: Path) -> None:
    older = wrapper("https\\://example.com/gradle-8.0-bin.zip")
    oldest = wrapper("https\\://example.com/gradle-6.9-bin.zip")

    assert planned(tmp_path / "a", {**older, "build.gradle": BOOT}).versions == {"java": "17"}
    assert "gradle-java" in warned(planned(tmp_path / "b", {**oldest, "build.gradle": BOOT}))


def test_of_several_projects_the_one_with_a_program_is_built(tmp_path: Path) -> None:
    files = {
        **wrapper(),
        "settings.gradle.kts": 'include(":api", ":lib:prices")\nincludeBuild("../../etc")\n',
        "build.gradle.kts": 'plugins {\n  id("org.springframework.boot") version "3.5.0" apply false\n}\n',
        "api/build.gradle.kts": 'plugins {\n  id("org.springframework.boot")\n}\n',
        "lib/prices/build.gradle.kts": "plugins {\n  `java-library`\n}\n",
    }

    found = planned(tmp_path, files)

    assert decided(found, "module") == "api <- api/build.gradle.kts:2"
    assert ":api:bootJar" in found.dockerfile


def test_a_function_main_of_kotlin_is_a_class_with_the_files_name(tmp_path: Path) -> None:
    files = {
        **wrapper(),
        "build.gradle": "plugins {\n  id 'application'\n}\n",
        "src/main/kotlin/a/server.kt": "package a\n\nfun main() {}\n",
    }

    assert (planned(tmp_path, files).start_command or "").endswith("a.ServerKt")


def test_a_library_alone_is_no_app(tmp_path: Path) -> None:
    with pytest.raises(PlanFailed, match="the build of Gradle makes no program"):
        planned(tmp_path, {**wrapper(), "build.gradle": "plugins {\n  id 'java-library'\n}\n"})


def test_maven_goes_before_gradle_and_says_so(tmp_path: Path) -> None:
    files = {"pom.xml": "<project>\n<mainClass>a.App</mainClass>\n</project>\n", **wrapper(), "build.gradle": APP}

    assert decided(planned(tmp_path, files), "build tool") == "maven <- pom.xml"


def test_only_variables_for_gradle_reach_the_build(tmp_path: Path) -> None:
    env = {"ORG_GRADLE_PROJECT_token": "hunter2", "TOKEN": "hunter2"}

    found = planned(tmp_path, {**wrapper(), "build.gradle": APP}, env=env)

    assert found.build_secrets == ("ORG_GRADLE_PROJECT_token",)
    assert "hunter2" not in found.dockerfile


def test_the_users_own_build_keeps_what_it_made(tmp_path: Path) -> None:
    files = {**wrapper(), "build.gradle": APP, "Procfile": "web: java -jar build/x.jar\n"}

    found = planned(tmp_path, files, env={"PLAN_BUILD_CMD": "./gradlew shadowJar"})

    assert found.start_command == "java -jar build/x.jar"
    assert "COPY --from=build --chown=1000:1000 /app /app" in found.dockerfile

"""How Java apps are planned."""

from pathlib import Path

import pytest
from tests.unit.planner_trees import decided, planned

from leeward.errors import PlanFailed

MAIN = "package a;\n\nclass App {\n  public static void main(String[] words) {}\n}\n"
SPRING = "<project>\n<artifactId>spring-boot-maven-plugin</artifactId>\n</project>\n"


def pom(*lines: str) -> str:
    return "\n".join(("<project>", *lines, "</project>", ""))


def test_the_libraries_are_a_layer_of_their_own_below_the_code(tmp_path: Path) -> None:
    text = planned(tmp_path, {"pom.xml": pom(), "src/main/java/a/App.java": MAIN}).dockerfile

    assert text.count("with-ca mvn ") == 1 and "target=/root/.m2" in text
    assert text.index("from=build,source=/out/lib,") < text.index("COPY --from=build /out/app.jar")
    assert text.rindex("FROM leeward-base/java21:") > text.index("FROM leeward-base/java21-build:")


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"pom.xml": pom("<mainClass>a.b.Main</mainClass>")}, "-cp '/app/app.jar:/app/lib/*' a.b.Main"),
        ({"pom.xml": pom(), "src/main/java/a/App.java": MAIN}, "-cp '/app/app.jar:/app/lib/*' a.App"),
        ({"pom.xml": SPRING}, "-Dserver.port=$PORT -jar /app/app.jar"),
    ],
)
def test_what_maven_makes_is_started(tmp_path: Path, files: dict[str, str], command: str) -> None:
    expected = f"java $JAVA_OPTS -XX:MaxRAMPercentage=75 {command}"

    assert planned(tmp_path, files).start_command == expected


def test_a_jar_with_everything_gets_no_libraries_beside_it(tmp_path: Path) -> None:
    shaded = pom("<mainClass>a.B</mainClass>", "<artifactId>maven-shade-plugin</artifactId>")

    assert "copy-dependencies" not in planned(tmp_path, {"pom.xml": shaded}).dockerfile


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({"pom.xml": pom("<java.version>17</java.version>")}, "pom.xml:2"),
        ({"pom.xml": pom("<maven.compiler.source>1.8</maven.compiler.source>")}, "pom.xml:2"),
        ({"pom.xml": pom(), "system.properties": "java.runtime.version=11\n"}, "system.properties:1"),
        ({"pom.xml": pom(), ".sdkmanrc": "java=21.0.2-tem\n"}, ".sdkmanrc:1"),
        ({"pom.xml": pom(), ".java-version": "temurin-21.0.1\n"}, ".java-version:1"),
    ],
)
def test_an_older_java_is_no_hindrance(tmp_path: Path, files: dict[str, str], place: str) -> None:
    found = planned(tmp_path, {**files, "src/main/java/a/App.java": MAIN})

    assert decided(found, "java version") == f"21 <- {place}"


def test_a_newer_java_is_refused_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(PlanFailed, match=r"java '26' \(pom\.xml:2\) is not available: there are 17, 21, 25"):
        planned(tmp_path, {"pom.xml": pom("<java.version>26</java.version>"), "src/main/java/a/App.java": MAIN})


def test_of_several_modules_the_one_with_a_program_is_run(tmp_path: Path) -> None:
    files = {
        "pom.xml": pom("<modules><module>api</module><module>shared</module><module>../out</module></modules>"),
        "api/pom.xml": SPRING,
        "shared/pom.xml": pom(),
    }

    found = planned(tmp_path, files)

    assert decided(found, "module") == "api <- api/pom.xml:2"
    assert "package -pl api -am" in found.dockerfile


def test_modules_that_cannot_be_told_apart_are_listed(tmp_path: Path) -> None:
    files = {"pom.xml": pom("<module>a</module>", "<module>b</module>"), "a/pom.xml": SPRING, "b/pom.xml": SPRING}

    with pytest.raises(PlanFailed, match="'a', 'b'") as failure:
        planned(tmp_path, files)

    assert "PLAN_JAVA_MODULE=a" in failure.value.hint
    assert decided(planned(tmp_path, files, env={"PLAN_JAVA_MODULE": "b"}), "module") == "b <- b/pom.xml:2"


def test_a_library_alone_is_no_app(tmp_path: Path) -> None:
    with pytest.raises(PlanFailed, match="makes no program"):
        planned(tmp_path, {"pom.xml": pom()})


def test_springs_own_health_check_is_asked_when_it_is_there(tmp_path: Path) -> None:
    manifest = SPRING.replace("<project>", "<project>\n<artifactId>spring-boot-starter-actuator</artifactId>")

    assert planned(tmp_path, {"pom.xml": manifest}).health_path == "/actuator/health"


def test_the_users_own_build_keeps_what_it_made(tmp_path: Path) -> None:
    files = {"pom.xml": pom(), "Procfile": "web: java -jar target/x.jar\n"}

    found = planned(tmp_path, files, env={"PLAN_BUILD_CMD": "mvn package", "TOKEN": "hunter2"})

    assert found.start_command == "java -jar target/x.jar"
    assert found.build_secrets == ("TOKEN",)
    assert "COPY --from=build --chown=1000:1000 /app /app" in found.dockerfile
    assert "hunter2" not in found.dockerfile

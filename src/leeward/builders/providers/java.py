"""Plan a Java app that Maven builds, or hand it to Gradle's planner."""

import re
import shlex
from collections.abc import Iterator

from leeward.builders import system_packages
from leeward.builders.blueprint import Blueprint, Cache, Env, Stage, Workdir
from leeward.builders.catalogue import JAVA
from leeward.builders.providers import built, java_gradle, java_program
from leeward.builders.providers.java_program import Program
from leeward.builders.providers.provider import Context, Contribution, Detection
from leeward.builders.providers.python import asked
from leeward.builders.providers.python_dependencies import SAFE_PATH
from leeward.builders.tree import AppView
from leeward.builders.versions import Demand, choose
from leeward.errors import PlanFailed
from leeward.model.build import Decision, Evidence

FILE = "pom.xml"
_SCOPE = ("MAVEN_",)
_CACHE = Cache("maven", "/root/.m2", locked=True)
# Maven lives for seconds: the second compiler and the parallel collector take half of its CPU and give nothing back.
_OPTIONS = "-Dmaven.repo.local=/root/.m2/repository -XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
# The same source gives the same jar.
_PACKAGE = "mvn -B -ntp -DskipTests -Dproject.build.outputTimestamp=1980-01-01T00:00:02Z package"
_VERSION = re.compile(
    r"<(?:maven\.compiler\.(?:release|source|target)|java\.version|release)>\s*([0-9.]{1,12})\s*</", re.I
)
_MAIN_CLASS = re.compile(
    r"<(?:mainClass|main\.class|start-class|exec\.mainClass)>\s*([A-Za-z_$][\w$.]{0,200})\s*</", re.A
)
_MODULE = re.compile(r"<module>\s*([^<\s]{1,200})\s*</module>")
_IGNORE = (*built.IGNORE, "**/target", "Dockerfile", ".dockerignore")


class Java:
    """Java and Kotlin apps with Maven or Gradle: Spring Boot, Quarkus, Micronaut, or a program with a main class."""

    name = "java"
    looked_for = (FILE, *java_gradle.FILES)

    def detect(self, view: AppView) -> Detection | None:
        """By `pom.xml`, or by a Gradle build."""
        found = [path for path in (view.first(FILE), view.first(*java_gradle.FILES)) if path]
        return Detection(80, tuple(Evidence(path) for path in found)) if found else None

    def plan(self, context: Context) -> Contribution:
        """Version, the module that runs, and the two stages."""
        view = context.view
        if not view.has(FILE):
            return java_gradle.plan(context)
        version = choose(JAVA, list(_demands(context)), context.remembered)
        own = context.build_command()
        program = None if own else _chosen(context)
        if program is None and not own:
            raise PlanFailed(
                f"'{FILE}' makes no program: looked for spring-boot-maven-plugin, a main class and a 'main' method",
                hint="name the main class in the configuration of maven-jar-plugin, or write a Dockerfile",
                code="no-start-command",
            )
        found = system_packages.find({}, (), asked(context))
        commands, after = (_commands(program, _bounds(view, version.name)), _after(program)) if program else ((), ())
        steps = (
            *built.packages(found.build),
            Workdir("/app"),
            Env({"MAVEN_OPTS": _OPTIONS}),
            # No step brings the libraries before: they are in the cache, not in a layer, and `dependency:go-offline`
            # would fetch what no build of this app asks for, which took more than half of a first build.
            *built.install(context, (), (), (_CACHE,), _SCOPE),
            *built.build(context, commands, (_CACHE,), _SCOPE, after=after),
        )
        copies = java_program.copies(program)
        run = Stage("run", f"java{version.name}", built.run(found.run, {"JAVA_OPTS": ""}, copies))
        decisions = [version.decision, *found.decisions, *built.said(context)]
        if other := view.first(*java_gradle.FILES):
            decisions.append(Decision("build tool", "maven", (Evidence(FILE),), (f"gradle ({other})",)))
        if program:
            decisions.append(Decision("module", program.place, (program.evidence,)))
        manifest = f"{program.folder}{FILE}" if program else FILE
        return Contribution(
            Blueprint((Stage("build", f"java{version.name}-build", steps), run)),
            "maven",
            {"java": version.name},
            java_program.start(program) if program else None,
            health=java_program.health(view, manifest, program) if program and context.start is None else None,
            decisions=tuple(decisions),
            diagnostics=version.diagnostics,
            secrets=built.secrets(context, _SCOPE),
            ignore=_IGNORE,
        )

    def start_help(self) -> str:
        """What to add so that a start command is found."""
        return "set processes.web.command in leeward.yaml to what your build makes, as in 'java -jar target/app.jar'"


def _demands(context: Context) -> Iterator[Demand]:
    yield from context.version_demands(JAVA, 1)
    yield from java_program.demands(context)
    for number, line in context.view.lines(FILE):
        if match := _VERSION.search(line[:500]):
            value = match[1].removeprefix("1.")
            if demand := java_program.newer(value, Evidence(FILE, number, line.strip()[:60])):
                yield demand


def _modules(view: AppView) -> tuple[str, ...]:
    """The directories that the root's `<modules>` name, and the root."""
    found = [""]
    for match in _MODULE.finditer(view.read(FILE)):
        folder = match[1].strip("/")
        if SAFE_PATH.fullmatch(folder) and " " not in folder and ".." not in folder and view.has(f"{folder}/{FILE}"):
            found.append(f"{folder}/")
    return tuple(found)


def _module(view: AppView, folder: str) -> Program | None:
    path = f"{folder}{FILE}"
    text = view.read(path)
    if _MODULE.search(text):
        return None
    main = _MAIN_CLASS.search(text)
    for plugin, kind in (("spring-boot-maven-plugin", "spring"), ("quarkus-maven-plugin", "quarkus")):
        if plugin in text:
            return Program(folder, kind, main[1] if main else "", view.where(path, plugin, plugin))
    if main is None:
        only = java_program.main_class(view, folder)
        return Program(folder, "plain", *only) if only else None
    where = view.where(path, main[0].strip()[:30], f"mainClass {main[1]}"[:80])
    fat = "maven-shade-plugin" in text or "jar-with-dependencies" in text or "micronaut-maven-plugin" in text
    port = "-Dmicronaut.server.port=$PORT" if "io.micronaut" in text else ""
    return Program(folder, "fat" if fat else "plain", main[1], where, port)


def _chosen(context: Context) -> Program | None:
    """The module that answers requests. Raises PlanFailed when several could."""
    view = context.view
    found = [module for folder in _modules(view) if (module := _module(view, folder))]
    return java_program.chosen(context, found)


def _bounds(view: AppView, java: str) -> str:
    """The compiler that Debian 12's Maven takes by itself knows no `release`, and would compile for Java 5."""
    match = re.search(r"<maven\.compiler\.release>\s*(\d{1,2})\s*</", view.read(FILE))
    if java != "17" or match is None:
        return ""
    return f" -Dmaven.compiler.source={match[1]} -Dmaven.compiler.target={match[1]}"


def _commands(program: Program, bounds: str) -> tuple[str, ...]:
    only = f" -pl {shlex.quote(program.folder.rstrip('/'))} -am" if program.folder else ""
    if program.kind != "plain":
        return (f"{_PACKAGE}{bounds}{only}",)
    # In the same run, so that modules of the tree are found.
    copy = "dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=/out/lib"
    return (f"{_PACKAGE}{bounds}{only} {copy}",)


def _after(program: Program) -> tuple[str, ...]:
    """Put what was made where the image takes it from."""
    folder = f"{program.folder}target"
    if program.kind == "quarkus":
        return java_program.quarkus(folder)
    return (*java_program.jar(folder), *(java_program.apart() if program.kind == "spring" else ()))

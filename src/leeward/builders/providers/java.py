"""Plan a Java app that Maven builds."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from leeward.builders import system_packages
from leeward.builders.blueprint import Blueprint, Cache, Copy, Env, Stage, Workdir
from leeward.builders.catalogue import JAVA
from leeward.builders.providers import built
from leeward.builders.providers.provider import Context, Contribution, Detection, Start
from leeward.builders.providers.python import asked
from leeward.builders.providers.python_dependencies import SAFE_PATH
from leeward.builders.tree import AppView
from leeward.builders.versions import Demand, choose
from leeward.errors import PlanFailed
from leeward.model.build import Decision, Evidence

FILE = "pom.xml"
_SCOPE = ("MAVEN_",)
_CACHE = Cache("maven", "/root/.m2", locked=True)
# The same source gives the same jar.
_PACKAGE = "mvn -B -ntp -DskipTests -Dproject.build.outputTimestamp=1980-01-01T00:00:02Z package"
_VERSION = re.compile(
    r"<(?:maven\.compiler\.(?:release|source|target)|java\.version|release)>\s*([0-9.]{1,12})\s*</", re.I
)
_MAIN_CLASS = re.compile(r"<(?:mainClass|main\.class|start-class)>\s*([A-Za-z_$][\w$.]{0,200})\s*</", re.A)
_MODULE = re.compile(r"<module>\s*([^<\s]{1,200})\s*</module>")
_MAIN = re.compile(r"\bstatic\s+void\s+main\s*\(\s*(?:final\s+)?String")
_HEALTH = re.compile(r'(?:Mapping|Path|createContext|\.get)\(\s*"(/(?:healthz?|livez|readyz|up))"')
_COPIED = (FILE, ".mvn/maven.config", ".mvn/extensions.xml", ".mvn/jvm.config")
_IGNORE = (*built.IGNORE, "**/target", "Dockerfile", ".dockerignore")
_JAVA = "java $JAVA_OPTS -XX:MaxRAMPercentage=75"


@dataclass(frozen=True, slots=True)
class Module:
    """One `pom.xml`: its directory ('' is the root), and how what it makes is run."""

    folder: str
    kind: str
    """'spring', 'fat' (one jar with everything), or 'plain' (a jar beside its libraries)."""
    main: str
    evidence: Evidence


class Java:
    """Java apps with Maven: Spring Boot, or a program with a main class."""

    name = "java"
    looked_for = (FILE,)

    def detect(self, view: AppView) -> Detection | None:
        """By `pom.xml`."""
        return Detection(80, (Evidence(FILE),)) if view.has(FILE) else None

    def plan(self, context: Context) -> Contribution:
        """Version, the module that runs, and the two stages."""
        view = context.view
        version = choose(JAVA, list(_demands(context)), context.remembered)
        own = context.build_command()
        module = None if own else _chosen(context)
        if module is None and not own:
            raise PlanFailed(
                f"'{FILE}' makes no program: looked for spring-boot-maven-plugin, a main class and a 'main' method",
                hint="name the main class in the configuration of maven-jar-plugin, or write a Dockerfile",
                code="no-start-command",
            )
        found = system_packages.find({}, (), asked(context))
        reason = _whole_tree(view)
        files = () if reason else tuple(path for path in _COPIED if view.has(path))
        fetch = () if reason else ("mvn -B -ntp dependency:go-offline",)
        steps = (
            *built.packages(found.build),
            Workdir("/app"),
            Env({"MAVEN_OPTS": "-Dmaven.repo.local=/root/.m2/repository"}),
            *built.install(context, files, fetch, (_CACHE,), _SCOPE),
            *built.build(
                context, _commands(module) if module else (), (_CACHE,), _SCOPE, after=_after(module) if module else ()
            ),
        )
        copies = (
            (Copy(("/out/lib",), "/app/lib", stage="build"), Copy(("/out/app.jar",), "/app/", stage="build"))
            if module
            else (Copy(("/app",), "/app", stage="build", owned=True),)
        )
        run = Stage("run", f"java{version.name}", built.run(found.run, {"JAVA_OPTS": ""}, copies))
        decisions = [version.decision, *found.decisions, *built.said(context)]
        if module:
            decisions.append(Decision("module", module.folder.rstrip("/") or ".", (module.evidence,)))
        if reason and not context.install_command():
            decisions.append(Decision("dependency layer", "renewed by every change of the code", (reason,)))
        return Contribution(
            Blueprint((Stage("build", f"java{version.name}-build", steps), run)),
            "maven",
            {"java": version.name},
            _start(module) if module else None,
            health=_health(view, module) if module and context.start is None else None,
            decisions=tuple(decisions),
            diagnostics=version.diagnostics,
            secrets=built.secrets(context, _SCOPE),
            key_files=files,
            ignore=_IGNORE,
        )

    def start_help(self) -> str:
        """What to add so that a start command is found."""
        return "set processes.web.command in leeward.yaml to what your build makes, as in 'java -jar target/app.jar'"


def _demands(context: Context) -> Iterator[Demand]:
    yield from context.version_demands(JAVA, 1)
    view = context.view
    asked: list[tuple[str, Evidence]] = []
    if option := context.option("JDK_VERSION"):
        asked.append(option)
    for path, key in (("system.properties", "java.runtime.version"), (".sdkmanrc", "java")):
        for number, line in view.lines(path):
            name, _, value = line.partition("=")
            if name.strip() == key:
                asked.append((value.strip()[:60], Evidence(path, number, line.strip()[:60])))
    asked += built.first_line(view, ".java-version")
    for number, line in view.lines(FILE):
        if match := _VERSION.search(line[:500]):
            asked.append((match[1], Evidence(FILE, number, line.strip()[:60])))
    asked += built.tools(view, "java")
    for value, evidence in asked:
        # A newer Java builds and runs what was written for an older one.
        version = re.search(r"\d+(?:\.\d+)*", value)
        if version and (demand := built.at_least(version[0], evidence, 1)):
            yield demand


def _modules(view: AppView) -> tuple[str, ...]:
    """The directories that the root's `<modules>` name, and the root."""
    found = [""]
    for match in _MODULE.finditer(view.read(FILE)):
        folder = match[1].strip("/")
        if SAFE_PATH.fullmatch(folder) and " " not in folder and ".." not in folder and view.has(f"{folder}/{FILE}"):
            found.append(f"{folder}/")
    return tuple(found)


def _module(view: AppView, folder: str) -> Module | None:
    path = f"{folder}{FILE}"
    text = view.read(path)
    if _MODULE.search(text):
        return None
    main = _MAIN_CLASS.search(text)
    where = view.where(path, main[0].strip()[:30], f"mainClass {main[1]}"[:80]) if main else Evidence(path)
    if "spring-boot-maven-plugin" in text:
        at = view.where(path, "spring-boot-maven-plugin", "spring-boot-maven-plugin")
        return Module(folder, "spring", main[1] if main else "", at)
    if main is None:
        sources = [p for p in view.paths if p.startswith(f"{folder}src/main/java/") and p.endswith(".java")]
        mains = [p for p in sources[:40] if _MAIN.search(view.read(p))]
        if len(mains) != 1:
            return None
        name = mains[0].removeprefix(f"{folder}src/main/java/").removesuffix(".java").replace("/", ".")
        if not re.fullmatch(r"[\w$.]+", name, re.A):
            return None
        return Module(folder, "plain", name, view.where(mains[0], "main", "its only main method"))
    fat = "maven-shade-plugin" in text or "jar-with-dependencies" in text
    return Module(folder, "fat" if fat else "plain", main[1], where)


def _chosen(context: Context) -> Module | None:
    """The module that answers requests. Raises PlanFailed when several could."""
    view = context.view
    found = [module for folder in _modules(view) if (module := _module(view, folder))]
    if option := context.option("JAVA_MODULE"):
        wanted = option[0].strip("/")
        found = [module for module in found if module.folder.rstrip("/") == wanted]
        if not found:
            raise PlanFailed(
                f"'{option[0]}' ({option[1].file}) is no module with a program", hint="name the directory of one"
            )
    boot = [module for module in found if module.kind == "spring"]
    for group in (found, boot):
        if len(group) == 1:
            return group[0]
    if not found:
        return None
    names = ", ".join(repr(module.folder.rstrip("/") or ".") for module in found[:8])
    raise PlanFailed(
        f"there are several programs: {names}",
        hint=f"choose one: set the variable PLAN_JAVA_MODULE={found[0].folder.rstrip('/')}",
        code="plan-ambiguous",
    )


def _commands(module: Module) -> tuple[str, ...]:
    only = f" -pl {shlex.quote(module.folder.rstrip('/'))} -am" if module.folder else ""
    if module.kind != "plain":
        return (f"{_PACKAGE}{only}",)
    # In the same run, so that modules of the tree are found.
    copy = "dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=/out/lib"
    return (f"{_PACKAGE}{only} {copy}",)


def _after(module: Module) -> tuple[str, ...]:
    """Put the jar, and the libraries if they are beside it, where the image takes them from."""
    jars = f"{module.folder}target"
    pick = (
        f"jar=$(find {shlex.quote(jars)} -maxdepth 1 -name '*.jar' ! -name '*-sources.jar' ! -name '*-javadoc.jar' "
        "! -name '*-tests.jar' ! -name '*-plain.jar' ! -name 'original-*' -printf '%s %p\\n' | sort -rn | head -n 1 "
        "| cut -d' ' -f2-)"
    )
    commands = ["mkdir -p /out/lib", pick, 'cp "$jar" /out/app.jar']
    if module.kind == "spring":
        # Since Spring Boot 3.3 the jar takes itself apart, so that the libraries are a layer of their own.
        apart = "java -Djarmode=tools -jar /out/app.jar extract --destination /tmp/apart"
        moved = "cp /tmp/apart/lib/* /out/lib/ && mv /tmp/apart/app.jar /out/app.jar"
        commands.append(f"if {apart} && [ -d /tmp/apart/lib ]; then {moved}; fi")
    return tuple(commands)


def _start(module: Module) -> Start:
    if module.kind == "spring":
        return Start(f"{_JAVA} -Dserver.port=$PORT -jar /app/app.jar", (module.evidence,))
    return Start(f"{_JAVA} -cp '/app/app.jar:/app/lib/*' {shlex.quote(module.main)}", (module.evidence,))


def _health(view: AppView, module: Module) -> tuple[str, Evidence] | None:
    path = f"{module.folder}{FILE}"
    if "spring-boot-starter-actuator" in view.read(path):
        return "/actuator/health", view.where(path, "spring-boot-starter-actuator", "spring-boot-starter-actuator")
    sources = [p for p in view.paths if p.startswith(f"{module.folder}src/main/java/") and p.endswith(".java")]
    return built.health(view, sources, _HEALTH)


def _whole_tree(view: AppView) -> Evidence | None:
    """Why the libraries cannot be fetched from the root's manifest alone."""
    if _MODULE.search(view.read(FILE)):
        return view.where(FILE, "<module>", "several modules")
    return None

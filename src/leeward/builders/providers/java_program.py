"""What a Java build makes, and how it is started."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from leeward.builders.blueprint import Copy
from leeward.builders.catalogue import JAVA
from leeward.builders.providers import built
from leeward.builders.providers.provider import Context, Start
from leeward.builders.tree import AppView
from leeward.builders.versions import Demand, pinned
from leeward.errors import PlanFailed
from leeward.model.build import Evidence

_JAVA = "java $JAVA_OPTS -XX:MaxRAMPercentage=75"
_MAIN = re.compile(r"\bstatic\s+(?:final\s+)?void\s+main\s*\(\s*(?:final\s+)?String|^fun\s+main\s*\(", re.M)
_PACKAGE = re.compile(r"^\s*package\s+([\w.]{1,200})", re.M | re.A)
_HEALTH = re.compile(r'(?:Mapping|Path|createContext|\.get|\bget)\(\s*"(/(?:healthz?|livez|readyz|up))"')
_SOURCES = ("src/main/java/", "src/main/kotlin/")


@dataclass(frozen=True, slots=True)
class Program:
    """One module with a program: its directory ('' is the root), and how what it makes is run."""

    folder: str
    kind: str
    """'spring', 'quarkus', 'fat' (one jar with everything), 'plain' (a jar beside its libraries), or 'installed'
    (Gradle's jars beside their libraries)."""
    main: str
    evidence: Evidence
    options: str = ""
    """What else the virtual machine is told, as the port in a framework's own way."""

    @property
    def place(self) -> str:
        """The directory as a person writes it."""
        return self.folder.rstrip("/") or "."


def sources(view: AppView, folder: str) -> list[str]:
    """The code of a module."""
    below = tuple(f"{folder}{place}" for place in _SOURCES)
    return [path for path in view.paths if path.startswith(below) and path.endswith((".java", ".kt"))]


def main_class(view: AppView, folder: str) -> tuple[str, Evidence] | None:
    """The only class with a `main` method."""
    mains = [path for path in sources(view, folder)[:40] if _MAIN.search(view.read(path))]
    if len(mains) != 1:
        return None
    path = mains[0]
    package = _PACKAGE.search(view.read(path))
    stem, _, kind = path.rpartition("/")[2].rpartition(".")
    # Kotlin puts a function of a file into a class with the file's name.
    name = f"{package[1]}." if package else ""
    name += stem[:1].upper() + stem[1:] + "Kt" if kind == "kt" and "fun main" in view.read(path) else stem
    if not re.fullmatch(r"[\w$.]+", name, re.A):
        return None
    return name, view.where(path, "main", "its only main method")


def chosen(context: Context, found: Sequence[Program]) -> Program | None:
    """The module that answers requests. Raises PlanFailed when several could."""
    if option := context.option("JAVA_MODULE"):
        wanted = option[0].strip("/")
        found = [module for module in found if module.folder.rstrip("/") == wanted]
        if not found:
            raise PlanFailed(
                f"'{option[0]}' ({option[1].file}) is no module with a program", hint="name the directory of one"
            )
    framework = [module for module in found if module.kind in ("spring", "quarkus")]
    for group in (found, framework):
        if len(group) == 1:
            return group[0]
    if not found:
        return None
    names = ", ".join(repr(module.place) for module in found[:8])
    raise PlanFailed(
        f"there are several programs: {names}",
        hint=f"choose one: set the variable PLAN_JAVA_MODULE={found[0].folder.rstrip('/')}",
        code="plan-ambiguous",
    )


def start(program: Program) -> Start:
    """How it is started."""
    options = f"{_JAVA}{f' {program.options}' if program.options else ''}"
    match program.kind:
        case "spring":
            command = f"{options} -Dserver.port=$PORT -jar /app/app.jar"
        case "quarkus":
            command = f"{options} -Dquarkus.http.host=0.0.0.0 -Dquarkus.http.port=$PORT -jar /app/quarkus-run.jar"
        case _:
            own = "/app/own/*" if program.kind == "installed" else "/app/app.jar"
            command = f"{options} -cp '{own}:/app/lib/*' {shlex.quote(program.main)}"
    return Start(command, (program.evidence,))


def jar(folder: str) -> tuple[str, ...]:
    """Put the largest jar of a directory, taken apart if it can be, where the image takes it from."""
    pick = (
        f"jar=$(find {shlex.quote(folder)} -maxdepth 1 -name '*.jar' ! -name '*-sources.jar' ! -name '*-javadoc.jar' "
        "! -name '*-tests.jar' ! -name '*-plain.jar' ! -name 'original-*' -printf '%s %p\\n' | sort -rn | head -n 1 "
        "| cut -d' ' -f2-)"
    )
    return ("mkdir -p /out/lib", pick, 'cp "$jar" /out/app.jar')


def apart() -> tuple[str, ...]:
    """Since Spring Boot 3.3 the jar takes itself apart, so that the libraries are a layer of their own."""
    extract = "java -Djarmode=tools -jar /out/app.jar extract --destination /tmp/apart"
    moved = "cp /tmp/apart/lib/* /out/lib/ && mv /tmp/apart/app.jar /out/app.jar"
    return (f"if {extract} && [ -d /tmp/apart/lib ]; then {moved}; fi",)


def quarkus(folder: str) -> tuple[str, ...]:
    """Quarkus lays out a directory of its own: its libraries apart from what the code became."""
    made = shlex.quote(f"{folder}/quarkus-app")
    return ("mkdir -p /out/own", f"mv {made}/lib /out/lib", f"cp -a {made}/. /out/own/")


def copies(program: Program | None) -> tuple[Copy, ...]:
    """What the image takes from the build stage: the libraries first, the code last."""
    if program is None:
        return (Copy(("/app",), "/app", stage="build", owned=True),)
    libraries = Copy(("/out/lib",), "/app/lib", stage="build", dependencies=True)
    match program.kind:
        case "quarkus":
            return (libraries, Copy(("/out/own",), "/app", stage="build"))
        case "installed":
            return (libraries, Copy(("/out/own",), "/app/own", stage="build"))
        case _:
            return (libraries, Copy(("/out/app.jar",), "/app/", stage="build"))


def health(view: AppView, manifest: str, program: Program) -> tuple[str, Evidence] | None:
    """A framework's own check, or a route with a usual name."""
    text = view.read(manifest)
    for needle, path in (
        ("spring-boot-starter-actuator", "/actuator/health"),
        ("quarkus-smallrye-health", "/q/health/ready"),
        ("micronaut-management", "/health"),
    ):
        if needle in text:
            return path, view.where(manifest, needle, needle)
    return built.health(view, sources(view, program.folder), _HEALTH)


def demands(context: Context) -> Iterator[Demand]:
    """The versions that files for every build tool ask for; those that pin one Java do, if it is there."""
    view = context.view
    asked: list[tuple[str, Evidence]] = []
    if option := context.option("JDK_VERSION"):
        asked.append(option)
    for path, key in (("system.properties", "java.runtime.version"), (".sdkmanrc", "java")):
        for number, line in view.lines(path):
            name, _, value = line.partition("=")
            if name.strip() == key:
                asked.append((value.strip()[:60], Evidence(path, number, line.strip()[:60])))
    asked += [*built.first_line(view, ".java-version"), *built.tools(view, "java")]
    for value, evidence in asked:
        if demand := exactly(value, evidence) or newer(value, evidence):
            yield demand


def exactly(value: str, evidence: Evidence) -> Demand | None:
    """One Java, when it is there."""
    version = re.search(r"\d+(?:\.\d+)*", value)
    accepts = pinned(version[0], 1) if version else None
    if not version or not accepts or not any(map(accepts, JAVA.offers)):
        return None
    return Demand(version[0], accepts, evidence, pin=True)


def newer(value: str, evidence: Evidence) -> Demand | None:
    """A newer Java builds and runs what was written for an older one."""
    version = re.search(r"\d+(?:\.\d+)*", value)
    return built.at_least(version[0], evidence, 1) if version else None

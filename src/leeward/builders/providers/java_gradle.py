"""Plan a Java or Kotlin app that Gradle builds."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from leeward.builders import system_packages
from leeward.builders.blueprint import Blueprint, Cache, Copy, Env, Instruction, Run, Stage, Workdir
from leeward.builders.catalogue import JAVA, Offer
from leeward.builders.providers import built, java_program
from leeward.builders.providers.java_program import Program
from leeward.builders.providers.provider import Context, Contribution
from leeward.builders.providers.python import asked
from leeward.builders.providers.python_dependencies import SAFE_PATH
from leeward.builders.providers.static_site import write
from leeward.builders.tree import AppView
from leeward.builders.versions import Demand, choose, numbers
from leeward.errors import PlanFailed
from leeward.model.build import Decision, Diagnostic, Evidence

FILES = ("build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts", "gradlew")
WRAPPER = "gradle/wrapper/gradle-wrapper.properties"
_JAR = "gradle/wrapper/gradle-wrapper.jar"
_BUILDS = ("build.gradle.kts", "build.gradle")
_SCOPE = ("GRADLE_", "ORG_GRADLE_PROJECT_")
_CACHE = Cache("gradle", "/var/cache/gradle", locked=True)
_INIT = "/usr/local/share/leeward/same-jars.gradle"
# The same source gives the same jars.
_SAME = (
    "allprojects {",
    "  tasks.withType(AbstractArchiveTask) { preserveFileTimestamps = false; reproducibleFileOrder = true }",
    "}",
)
_INCLUDE = re.compile(r"""["'](:?[\w.-]+(?::[\w.-]+)*)["']""", re.A)
_MAIN = re.compile(r"""\bmainClass(?:Name)?(?:\.set\(|\.convention\(|\s*=)\s*["']([A-Za-z_$][\w$.]{0,200})["']""", re.A)
_PINNED = re.compile(r"JavaLanguageVersion\.of\(\s*(\d{1,3})\s*\)|jvmToolchain\(\s*(\d{1,3})\s*\)")
_LEAST = re.compile(
    r"""(?:source|target)Compatibility\s*=?\s*["']?(?:JavaVersion\.VERSION_)?(?:1[._])?(\d{1,3})"""
    r"""|\brelease(?:\.set\(|\s*=)\s*(\d{1,3})""",
    re.A,
)
_URL = re.compile(r"(https?|file)://[A-Za-z0-9._~:/?#@!$&()*+,;=%-]{1,400}|[A-Za-z0-9._/-]{1,200}")
_LINE, _MOST = 4000, 50
_IGNORE = (*built.IGNORE, "**/build/classes", "**/build/libs", ".gradle", "Dockerfile", ".dockerignore")
# The newest Java that a Gradle runs on, from its compatibility matrix.
_RUNS_ON = (((9, 1), 25), ((8, 10), 23), ((8, 8), 22), ((8, 5), 21), ((7, 6), 19), ((7, 5), 18), ((7, 3), 17))
# Debian's own, which has been kept working with newer Javas.
_DEBIANS, _DEBIANS_JAVA = "4.4", "21"
_BEYOND = re.compile(
    r"""\bid\s*\(?\s*["'][\w.-]+["']\s*\)?\s+version\b|\bkotlin\(|\balias\(|\bregister\(|mainClass\b"""
)


@dataclass(frozen=True, slots=True)
class Gradle:
    """Which Gradle builds, and how it comes: by the wrapper of the tree, or as Debian's package."""

    version: str
    evidence: Evidence
    url: str = ""
    """Where the wrapper takes it from, '' for Debian's."""

    @property
    def newest_java(self) -> int:
        """The newest Java that it runs on; 0 when that is older than all that there are."""
        if not self.url:
            return int(_DEBIANS_JAVA)
        have = numbers(self.version)
        return next((java for least, java in _RUNS_ON if have >= least), 0) if have else 99


def plan(context: Context) -> Contribution:
    """Gradle, Java, the module that runs, and the two stages."""
    view = context.view
    gradle = _gradle(context)
    version = choose(JAVA, list(_demands(context, gradle)), context.remembered)
    own = context.build_command()
    program = None if own else java_program.chosen(context, [p for f in _projects(view) if (p := _program(view, f))])
    if program is None and not own:
        raise PlanFailed(
            "the build of Gradle makes no program: looked for org.springframework.boot, io.quarkus, a main class and "
            "the plugin 'application'",
            hint="add the plugin 'application' with a mainClass, or write a Dockerfile",
            code="no-start-command",
        )
    found = system_packages.find({}, (), asked(context))
    commands, after = (_commands(gradle, program), _after(program)) if program else ((), ())
    steps = (
        *built.packages((*found.build, *(() if gradle.url else ("gradle",)))),
        Run((write(_INIT, _SAME),)) if not own else Run(("mkdir -p /out",)),
        Env({"GRADLE_USER_HOME": _CACHE.target}),
        Workdir("/app"),
        *_fetch(context, gradle),
        *built.build(context, commands, (_CACHE,), _SCOPE, after=after),
    )
    run_steps = built.run(found.run, {"JAVA_OPTS": ""}, java_program.copies(program))
    run = Stage("run", f"java{version.name}", run_steps)
    tool = Decision("build tool", f"gradle {gradle.version}".strip(), (gradle.evidence,))
    decisions = [version.decision, tool, *found.decisions, *built.said(context)]
    if program:
        decisions.append(Decision("module", program.place, (program.evidence,)))
    manifest = next((path for path in _manifests(program) if view.has(path)), "") if program else ""
    return Contribution(
        Blueprint((Stage("build", f"java{version.name}-build", steps), run)),
        "gradle",
        {"java": version.name},
        java_program.start(program) if program else None,
        health=java_program.health(view, manifest, program) if program and context.start is None else None,
        decisions=tuple(decisions),
        diagnostics=(*version.diagnostics, *_notes(gradle, version.name)),
        secrets=built.secrets(context, _SCOPE),
        key_files=_key_files(view) if gradle.url else (),
        ignore=_IGNORE,
    )


def _gradle(context: Context) -> Gradle:
    """The wrapper's, else Debian's. Raises PlanFailed when neither can build the tree."""
    view = context.view
    if view.has("gradlew"):
        if not view.has(WRAPPER) or not view.has(_JAR):
            missing = WRAPPER if not view.has(WRAPPER) else _JAR
            raise PlanFailed(
                f"there is a 'gradlew', but '{missing}' is missing",
                hint="run `gradle wrapper` and commit that file; a rule like '*.jar' in .gitignore hides it",
                code="gradle-wrapper",
            )
        if option := context.option("GRADLE_DISTRIBUTION_URL"):
            return Gradle(_version_in(option[0]), option[1], _checked(option[0], option[1].file))
        for number, line in view.lines(WRAPPER):
            key, _, value = line.partition("=")
            if key.strip() == "distributionUrl" and value.strip():
                url = value.strip().replace("\\:", ":")
                return Gradle(_version_in(url), Evidence(WRAPPER, number, url[:120]), _checked(url, WRAPPER))
        raise PlanFailed(f"'{WRAPPER}' has no distributionUrl", hint="run `gradle wrapper` and commit it")
    for path in (path for folder in _projects(view) for path in (f"{folder}{name}" for name in _BUILDS)):
        for number, line in view.lines(path):
            if path.endswith(".kts") or _BEYOND.search(line[:500]):
                raise PlanFailed(
                    f"there is no 'gradlew', and Debian's Gradle {_DEBIANS} is too old for '{path}' (line {number})",
                    hint="run `gradle wrapper` and commit gradlew and gradle/wrapper",
                    code="gradle-wrapper",
                )
    return Gradle(_DEBIANS, Evidence(view.first(*FILES) or "build.gradle", 0, "no gradlew: Debian's own"))


def _version_in(url: str) -> str:
    match = re.search(r"gradle-(\d+(?:\.\d+){1,3})", url)
    return match[1] if match else ""


def _checked(url: str, where: str) -> str:
    if not _URL.fullmatch(url):
        raise PlanFailed(f"the distributionUrl in '{where}' is no address", hint="write it as `gradle wrapper` does")
    return url


def _notes(gradle: Gradle, java: str) -> Iterator[Diagnostic]:
    if gradle.url.startswith("http"):
        host = gradle.url.split("/")[2].rpartition("@")[2]
        yield Diagnostic(
            "info",
            "gradle-download",
            f"the build downloads gradle {gradle.version or 'of the wrapper'} from {host}, once for the app",
            "where that cannot be reached, set the variable PLAN_GRADLE_DISTRIBUTION_URL to a mirror of the file, or "
            f"put it into gradle/wrapper and name it as the distributionUrl of {WRAPPER}",
        )
    if gradle.newest_java < int(java):
        yield Diagnostic(
            "warning",
            "gradle-java",
            f"gradle {gradle.version} does not run on java {java}",
            "run `./gradlew wrapper --gradle-version 8.14` and commit it, or ask for an older java",
        )


def _demands(context: Context, gradle: Gradle) -> Iterator[Demand]:
    yield from context.version_demands(JAVA, 1)
    view = context.view
    least: list[Demand] = []
    for path in (f"{folder}{name}" for folder in _projects(view) for name in _BUILDS):
        for number, line in view.lines(path):
            place = Evidence(path, number, line.strip()[:60])
            if match := _PINNED.search(line[:500]):
                # A toolchain is that Java and no other.
                value = match[1] or match[2]
                if demand := java_program.exactly(value, place) or _absent(value, place):
                    yield demand
            elif match := _LEAST.search(line[:500]):
                bound = java_program.newer(match[1] or match[2], place)
                least += [bound] if bound else []
    yield from java_program.demands(context)
    yield from least
    newest = gradle.newest_java
    if newest:
        yield Demand(f"<= {newest}", lambda offer: offer.full[0] <= newest, gradle.evidence, soft=True)


def _absent(value: str, place: Evidence) -> Demand:
    def never(_: Offer) -> bool:
        return False

    return Demand(value, never, place)


def _projects(view: AppView) -> tuple[str, ...]:
    """The directories of the projects that the settings include, and the root."""
    found = [""]
    for path in ("settings.gradle", "settings.gradle.kts"):
        inside = False
        for _, line in view.lines(path):
            text = line.strip()
            of_builds = text.startswith("includeBuild")
            inside = (text.startswith("include") and not of_builds) or (inside and text[:1] in "'\"")
            for match in islice(_INCLUDE.finditer(text[:_LINE]), _MOST) if inside else ():
                folder = match[1].strip(":").replace(":", "/")
                if SAFE_PATH.fullmatch(folder) and ".." not in folder and view.first(*_manifests_in(f"{folder}/")):
                    found.append(f"{folder}/")
    return tuple(dict.fromkeys(found))[:_MOST]


def _manifests_in(folder: str) -> tuple[str, ...]:
    return tuple(f"{folder}{name}" for name in _BUILDS)


def _manifests(program: Program) -> tuple[str, ...]:
    return _manifests_in(program.folder)


def _program(view: AppView, folder: str) -> Program | None:
    path = next((path for path in _manifests_in(folder) if view.has(path)), None)
    if path is None:
        return None
    # A plugin that is only declared for the projects below is not applied here.
    lines = [line for _, line in view.lines(path) if not re.search(r"\bapply\s*\(?\s*false", line)]
    text = "\n".join(line for line in lines if not line.lstrip().startswith("//"))
    main = _MAIN.search(text)
    for needle, kind in (("org.springframework.boot", "spring"), ("io.quarkus", "quarkus")):
        applied = re.search(rf"""["']{re.escape(needle)}["']""", text)
        if applied:
            return Program(folder, kind, main[1] if main else "", view.where(path, needle, needle))
    if not re.search(r"""\bapplication\b|["'](?:io\.ktor\.plugin|io\.micronaut\.application)["']""", text):
        return None
    if main:
        named = (main[1], view.where(path, main[1], f"mainClass {main[1]}"[:80]))
    else:
        found = java_program.main_class(view, folder)
        if found is None:
            return None
        named = found
    port = "-Dmicronaut.server.port=$PORT" if "io.micronaut" in text else ""
    return Program(folder, "installed", named[0], named[1], port)


def _pointed(gradle: Gradle) -> tuple[str, ...]:
    """Have the wrapper take its Gradle from where a variable says."""
    if not gradle.url or gradle.evidence.file == WRAPPER:
        return ()
    url = gradle.url.replace("&", "\\&")
    return (f"sed -i {shlex.quote(f's|^distributionUrl=.*|distributionUrl={url}|')} {WRAPPER}",)


def _wrapper(gradle: Gradle) -> str:
    return "sh gradlew" if gradle.url else "gradle"


def _key_files(view: AppView) -> tuple[str, ...]:
    return tuple(path for path in ("gradlew", WRAPPER, _JAR) if view.has(path))


def _fetch(context: Context, gradle: Gradle) -> tuple[Instruction, ...]:
    """Have the wrapper fetch its Gradle, in a step of its own: when that fails, it is clear what failed."""
    own = context.install_command()
    secrets = context.secrets(*_SCOPE)
    fingerprint = context.fingerprint(secrets)
    if own:
        return (
            Copy((".",), "./"),
            Run((own[0],), True, True, (_CACHE,), secrets, fingerprint),
        )
    if not gradle.url:
        return ()
    if not gradle.url.startswith("http"):
        # A distribution of the tree comes with the tree.
        return ()
    keys = _key_files(context.view)
    copies = (Copy(("gradlew",), "./"), Copy(tuple(keys[1:]), "./gradle/wrapper/"))
    run = Run((*_pointed(gradle), "sh gradlew --no-daemon --version"), True, False, (_CACHE,), secrets, fingerprint)
    return (*copies, run)


def _commands(gradle: Gradle, program: Program) -> tuple[str, ...]:
    task = {"spring": "bootJar", "quarkus": "quarkusBuild"}.get(program.kind, "installDist")
    project = ":".join(["", *program.folder.strip("/").split("/"), ""]) if program.folder else ""
    options = f"--no-daemon --console=plain --init-script {_INIT}"
    return (*_pointed(gradle), f"{_wrapper(gradle)} {options} {shlex.quote(project + task)}")


def _after(program: Program) -> tuple[str, ...]:
    """Put what was made where the image takes it from; libraries apart from the jars of the tree itself."""
    folder = f"{program.folder}build"
    match program.kind:
        case "spring":
            return (*java_program.jar(f"{folder}/libs"), *java_program.apart())
        case "quarkus":
            return java_program.quarkus(folder)
        case _:
            mine = "$(find . -path '*/build/libs/*.jar' -printf '%f\\n' | sort -u)"
            move = f'for jar in {mine}; do if [ -e "/out/lib/$jar" ]; then mv "/out/lib/$jar" /out/own/; fi; done'
            return ("mkdir -p /out/lib /out/own", f"cp {shlex.quote(folder)}/install/*/lib/*.jar /out/lib/", move)

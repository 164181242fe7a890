"""How builds with Maven and Gradle fail. Pure."""

from collections.abc import Sequence

from leeward.builders.cause import Cause, cause
from leeward.builders.failure_hints import HERE

_TESTS = "run the tests where you work; the build command can leave them out"

MAVEN: Sequence[Cause] = (
    cause(
        r"Non-resolvable parent POM for \S+: (?:Could not find artifact |The following artifacts "
        r"could not be resolved: )?(?P<name>[\w.-]+:[\w.-]+:\S*?:?[\w.-]+)",
        "the parent '{name}' of pom.xml could not be had",
        "correct <parent> in pom.xml",
    ),
    cause(
        r"Plugin (?P<name>\S+) or one of its dependencies could not be resolved",
        "the Maven plugin '{name}' could not be had",
        "correct it in pom.xml",
    ),
    cause(
        r"'(?P<what>dependencies\.dependency\.version)' for (?P<name>\S+) is missing",
        "the dependency '{name}' has no version",
        "add <version> in pom.xml",
    ),
    cause(r"Non-parseable POM \S+: (?P<what>[^\n@(]+)", "pom.xml is wrong: {what}", "correct pom.xml"),
    cause(r"Malformed POM \S+: (?P<what>[^\n@(]+)", "pom.xml is wrong: {what}", "correct pom.xml"),
    cause(
        r"Child module \S*?(?P<name>[^/\s]+) of \S+ does not exist",
        "the module '{name}' of pom.xml is not in the source",
        "commit it, or remove it from <modules>",
    ),
    cause(
        r"there is no POM in this directory",
        "there is no pom.xml",
        "set 'path' in leeward.yaml to the folder of the project",
    ),
    cause(r"Unknown lifecycle phase \"(?P<name>[^\"]+)\"", "Maven has no phase '{name}'", "correct the build command"),
    cause(
        r"(?:class file has wrong version|UnsupportedClassVersionError[^\n]*class file version) (?P<have>[\d.]+)",
        "something was compiled for a newer Java (class file {have})",
        "set 'java.runtime.version' in system.properties",
    ),
    cause(
        r"package (?P<name>[\w.]+) does not exist",
        "Java: there is no package '{name}'",
        "add the dependency that has it",
    ),
    cause(
        r"No compiler is provided in this environment", "there is a Java to run, and none to compile", "build on a JDK"
    ),
    cause(
        r"There (?:are test failures|were test failures)|Failures: [1-9]|Errors: [1-9]\d*, Skipped",
        "tests fail",
        _TESTS,
    ),
    cause(
        r"Unable to find main class", "there is no class with a main method", "add one, or set <start-class> in pom.xml"
    ),
    cause(
        r"no main manifest attribute, in (?P<name>\S+)",
        "'{name}' does not say which class begins",
        "set the main class in pom.xml, or use the plugin of the framework",
    ),
    cause(
        r"Detected Maven Version: (?P<have>\S+) is not in the allowed range (?P<want>\S+?)\.?$",
        "the project asks for Maven {want}, not {have}",
        "commit the wrapper (mvnw) that you use",
    ),
    cause(
        r"(?:Blocked mirror for repositories|maven-default-http-blocker)",
        "pom.xml names a repository by http, which Maven refuses",
        "write https",
    ),
    cause(
        r"Java heap space|GC overhead limit exceeded",
        "Java ran out of its own heap while building",
        "set MAVEN_OPTS=-Xmx3g for the build",
    ),
    cause(
        r"Could not transfer artifact (?P<name>\S+) from/to \S+ \((?P<place>[^)]+)\): (?P<what>[^\n]{0,120})",
        "the artifact '{name}' could not be had: {what}",
        "see that the build reaches the repository {place}",
    ),
    cause(
        r"status code: 401|401 Unauthorized[^\n]*maven|Not authorized",
        "a Maven repository wants a login",
        "give it in a settings.xml, mounted as a secret",
    ),
    cause(
        r"Could not find artifact (?P<name>[\w.:$-]+)|The following artifacts could not be resolved: "
        r"(?P<other>[\w.:-]+)",
        "the library '{name}{other}' does not exist where Maven looked",
        "correct it in pom.xml, or set a repository that has it",
    ),
    cause(
        r"(?:release version|invalid (?:source|target) release:?|Source option) (?P<want>\d+)"
        r"(?: not supported| is no longer supported)?",
        "this Java does not compile for Java {want}",
        "set the release in the build's file, or the version in .java-version or in 'build: versions:'",
    ),
    cause(
        r"^\[ERROR\] (?:/app/)?(?P<file>[^\s:]+\.(?:java|kt)):\[(?P<line>\d+),\d+\] (?P<what>[^\n]+)",
        "Java: {what} ({file}:{line})",
        HERE,
    ),
)


GRADLE: Sequence[Cause] = (
    cause(
        r"build file '(?:\S*/)?(?P<name>[^'/]+)': (?P<line>\d+): (?P<what>[^\n@]+)",
        "{name} is wrong in line {line}: {what}",
        "correct it",
    ),
    cause(
        r"which is not part of the dependency lock state",
        "the lock files do not fit the build file",
        "run `gradle dependencies --write-locks` and commit them",
    ),
    cause(
        r"^e: (?:file://)?(?:/app/)?(?P<file>[^\s:]+\.kt):(?P<line>\d+):\d+:? (?P<what>[^\n]+)",
        "Kotlin: {what} ({file}:{line})",
        HERE,
    ),
    cause(
        r"Exception in thread \"main\" [^\n]*(?:\n[^\n]*){0,40}?org\.gradle\.wrapper\.",
        "Gradle's wrapper could not download its Gradle",
        "set the variable PLAN_GRADLE_DISTRIBUTION_URL to a mirror of the file, or name a file of the tree as the "
        "distributionUrl of gradle/wrapper/gradle-wrapper.properties",
    ),
    cause(
        r"Unsupported class file major version (?P<name>\d+)",
        "this Gradle does not run on this Java",
        "run `./gradlew wrapper --gradle-version 8.14` and commit it",
    ),
    cause(
        r"Plugin \[id: '(?P<name>[^']+)'[^\]]*\] was not found",
        "Gradle's plugin '{name}' cannot be had",
        "correct its name and version; its portal must be reached, or a mirror be set in settings.gradle",
    ),
    cause(
        r"> Could not (?:find|resolve) (?P<name>[\w.-]+:[\w.:-]+?)\.?$",
        "the library '{name}' cannot be had",
        "correct it in the build's file, or set a repository that has it",
    ),
    cause(
        r"Cannot resolve external dependency (?P<name>\S+) because no repositories are defined",
        "the build file names no repository",
        "add `repositories { mavenCentral() }`",
    ),
    cause(
        r"Task '(?P<name>[^']+)' (?:is ambiguous|not found) in",
        "Gradle has no task '{name}'",
        "correct the build command",
    ),
    cause(
        r"(?:Could not determine java version from|Value '' given for org\.gradle\.java\.home)[^\n]*",
        "this Gradle does not know the build's Java",
        "update the wrapper: `gradle wrapper --gradle-version …`",
    ),
    cause(
        r"Gradle requires JVM (?P<want>\d+) or later[^\n]*?(?:uses JVM|currently configured to use JVM) (?P<have>\d+)",
        "this Gradle needs Java {want}, not {have}",
        "set 'java.runtime.version' in system.properties",
    ),
    cause(
        r"(?:Cannot find a Java installation|No matching toolchains? found|No locally installed "
        r"toolchains match)[^\n]*?(?:languageVersion=(?P<want>\d+))",
        "the build asks for a toolchain of Java {want}, which is not there",
        "set 'java.runtime.version' in system.properties to it",
    ),
    cause(
        r"Could not find or load main class org\.gradle\.wrapper\.GradleWrapperMain",
        "gradle/wrapper/gradle-wrapper.jar is not in the source",
        "commit it; .gitignore often leaves out *.jar",
    ),
    cause(
        r"gradlew: Permission denied|permission denied[^\n]*gradlew",
        "gradlew may not be run",
        "run `git update-index --chmod=+x gradlew` and commit",
    ),
    cause(
        r"Could not compile (?:build|settings) file '(?:\S*/)?(?P<name>[^']+)'[\s\S]{0,600}?line "
        r"(?P<line>\d+): (?P<what>[^\n@]+)",
        "{name} is wrong in line {line}: {what}",
        "correct it",
    ),
    cause(
        r"(?P<name>(?:build|settings)\.gradle\.kts):(?P<line>\d+):\d+: (?P<what>[^\n]+)",
        "{name} is wrong in line {line}: {what}",
        "correct it",
    ),
    cause(
        r"Could not (?:find method|get unknown property|set unknown property) '?(?P<name>[^\s'(]+)'?[^\n]* (?:for|on) ",
        "the build file uses '{name}', which this Gradle does not have",
        "correct the build file, or update the wrapper",
    ),
    cause(r"There were failing tests", "tests fail", _TESTS),
    cause(
        r"Dependency verification failed",
        "a dependency does not have the hash that verification-metadata.xml says",
        "write the file anew: `gradle --write-verification-metadata sha256`",
    ),
    cause(
        r"(?:Locking|lock state|Dependency lock state)[^\n]*(?:out of date|not part of the dependency lock state)",
        "the lock files do not fit the build file",
        "run `gradle dependencies --write-locks` and commit them",
    ),
    cause(
        r"Expiring Daemon because JVM heap space is exhausted|Gradle build daemon disappeared unexpectedly",
        "Gradle ran out of memory while building",
        "set org.gradle.jvmargs=-Xmx3g in gradle.properties, or LEEWARD_BUILD_MEMORY_MIB higher",
    ),
    cause(
        r"Inconsistent JVM-target compatibility detected",
        "Java and Kotlin are compiled for different versions",
        "set kotlin.jvmToolchain and java.toolchain to one version",
    ),
    cause(
        r"Could not (?:GET|HEAD) '(?P<name>[^']+)'\. Received status code (?P<what>401|403)",
        "the repository '{name}' wants a login",
        "give it by variables of the build",
    ),
    cause(
        r"Included build '(?P<name>[^']+)' does not exist|Project with path '(?P<other>[^']+)' could not be found",
        "the project '{name}{other}' is not in the source",
        "correct settings.gradle, or commit the folder",
    ),
    cause(
        r"^(?:e: )?(?:file://)?(?:/app/)?(?P<file>[^\s:]+\.(?:java|kts?)):(?P<line>\d+)(?::\d+)?:? "
        r"(?:error: )?(?P<what>[^\n]+)",
        "Java: {what} ({file}:{line})",
        HERE,
    ),
    cause(
        r"Execution failed for task '(?P<name>[^']+)'\.\s+> (?P<what>[^\n]+)",
        "Gradle's task {name}: {what}",
        "run it where you work",
    ),
)

"""Plan a PHP app."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from leeward.builders import semver, system_packages
from leeward.builders.blueprint import Blueprint, Cache, Copy, Env, Instruction, Run, Stage, Workdir
from leeward.builders.catalogue import PHP, Offer
from leeward.builders.loose import mapping, text
from leeward.builders.providers import built, php_server
from leeward.builders.providers.provider import Context, Contribution, Detection, Start
from leeward.builders.providers.python import asked
from leeward.builders.providers.python_dependencies import SAFE_PATH
from leeward.builders.tree import AppView
from leeward.builders.versions import Demand, choose, pinned
from leeward.errors import PlanFailed
from leeward.model.build import Decision, Diagnostic, Evidence

FILE = "composer.json"
LOCK = "composer.lock"
_SCOPE = ("COMPOSER_",)
_CACHE = Cache("composer", "/var/cache/composer")
_OPTIONS = "--no-dev --no-interaction --no-progress"
_FOLDERS = ("public", "web", "htdocs", "www", "")
_HEALTH = re.compile(r"health:\s*['\"](/[\w/-]{1,60})['\"]")
_IGNORE = (*built.IGNORE, ".phpunit.cache", "storage/logs/*.log", "Dockerfile", ".dockerignore")
# What the base has, and what PHP always has.
_HERE = frozenset(
    {"bcmath", "calendar", "core", "ctype", "curl", "date", "dom", "exif", "fileinfo", "filter", "ftp"}
    | {"gettext", "hash", "iconv", "intl", "json", "libxml", "mbstring", "mysqli", "mysqlnd", "opcache"}
    | {"openssl", "pcntl", "pcre", "pdo", "pdo_mysql", "pdo_pgsql", "pdo_sqlite", "pgsql", "phar", "posix"}
    | {"random", "readline", "reflection", "session", "simplexml", "sockets", "sodium", "spl", "sqlite3"}
    | {"standard", "sysvmsg", "sysvsem", "sysvshm", "tokenizer", "xml", "xmlreader", "xmlwriter", "xsl"}
    | {"zip", "zlib"}
)
_EXTENSIONS = frozenset(
    {"amqp", "apcu", "ast", "bz2", "dba", "ds", "enchant", "excimer", "gd", "gearman", "gmagick", "gmp", "gnupg"}
    | {"http", "igbinary", "imagick", "inotify", "ldap", "luasandbox", "mailparse", "maxminddb", "mcrypt", "memcache"}
    | {"memcached", "mongodb", "msgpack", "oauth", "odbc", "pcov", "psr", "pspell", "raphf", "redis", "rrd", "snmp"}
    | {"soap", "solr", "ssh2", "stomp", "tidy", "uopz", "uploadprogress", "uuid", "xdebug", "xmlrpc", "yac", "yaml"}
    | {"zmq"}
)
# Only in one of the two Debians, or under another name there.
_ONLY = {
    "8.2": {"imap": "php-imap", "interbase": "php-interbase", "pdo_dblib": "php-sybase", "pdo_odbc": "php-odbc"},
    "8.4": {
        "imap": "",
        "inotify": "php-inotify",
        "pdo_dblib": "php-sybase",
        "pdo_odbc": "php-odbc",
        "pq": "php-pq",
        "protobuf": "php-google-protobuf",
        "zstd": "php-zstd",
    },
}
_ABSENT = {"8.2": frozenset({"inotify"})}
# The modules are a layer of their own; what the code's own classes change in them comes with the code.
_OUTPUT = (
    "mkdir -p /out/vendor",
    "find . -mindepth 1 -maxdepth 1 ! -name vendor -exec cp -a {} /out/ ';'",
    "for part in autoload.php composer; do if [ -e vendor/$part ]; then cp -a vendor/$part /out/vendor/; fi; done",
)


@dataclass(frozen=True, slots=True)
class Project:
    """What the manifest says."""

    view: AppView
    manifest: Mapping[str, Any]

    def required(self) -> Iterator[tuple[str, str, Evidence]]:
        """The packages that it needs to run, each with its range and its line."""
        for name, value in mapping(self.manifest, "require").items():
            if isinstance(value, str):
                yield name.lower(), value, self.view.where(FILE, f'"{name}"', f"{name} {value}"[:60])

    @property
    def laravel(self) -> Evidence | None:
        """Where it says that the app is Laravel's."""
        if not self.view.has("artisan"):
            return None
        return next((place for name, _, place in self.required() if name == "laravel/framework"), Evidence("artisan"))


class Php:
    """PHP apps: Composer, Laravel, or plain pages; nginx and php-fpm."""

    name = "php"
    looked_for = (FILE, "artisan", "index.php", "public/index.php")

    def detect(self, view: AppView) -> Detection | None:
        """By `composer.json`, or by a page."""
        if view.has(FILE):
            found = [path for path in (FILE, view.first(LOCK), view.first("artisan")) if path]
            score = (90 if view.has(LOCK) else 80) + (10 if view.has("artisan") else 0)
            return Detection(score, tuple(Evidence(path) for path in found))
        page = view.first("index.php", "public/index.php")
        return Detection(40, (Evidence(page),)) if page else None

    def plan(self, context: Context) -> Contribution:
        """Version, packages, document root, and the stages."""
        view = context.view
        project = Project(view, view.json(FILE))
        version = choose(PHP, list(_demands(context, project)), context.remembered)
        names, notes = _extensions(project, version.name)
        libraries = {name: place for name, _, place in project.required()}
        found = system_packages.find(system_packages.PHP, libraries.items(), [*names, *asked(context)])
        folder, root_at = _root(context)
        laravel = project.laravel
        stages, copies, files = _stages(context, project, version.name, found.build)
        env = {"LOG_CHANNEL": "stderr"} if laravel else {}
        run = Stage(
            "run",
            f"php{version.name}",
            built.image(
                built.packages(found.run),
                (php_server.files(version.name, f"/app/{folder}".rstrip("/")), Env({**built.RUN_ENV, **env})),
                "/app",
                copies,
            ),
        )
        if laravel and "APP_KEY" not in context.env:
            fix = "set it: `php artisan key:generate --show` makes one"
            notes += (Diagnostic("warning", "app-key", "Laravel needs the variable APP_KEY, and it is not set", fix),)
        decisions = [version.decision, *found.decisions, *built.said(context)]
        decisions.append(Decision("document root", folder or ".", (root_at,)))
        if laravel:
            decisions.append(Decision("framework", "laravel", (laravel,)))
        if files and (reason := _whole_tree(view, project)):
            decisions.append(Decision("dependency layer", "renewed by every change of the code", (reason,)))
        page = f"{folder}/index.php".lstrip("/")
        start = Start(php_server.COMMAND, (Evidence(page if view.has(page) else root_at.file, 0, "nginx and php-fpm"),))
        return Contribution(
            Blueprint((*stages, run)),
            "composer" if view.has(FILE) else None,
            {"php": version.name},
            start,
            _migrations(view) if laravel else None,
            built.health(view, ("bootstrap/app.php",), _HEALTH) if context.start is None else None,
            tuple(decisions),
            (*version.diagnostics, *notes, *_unpinned(view, project)),
            built.secrets(context, _SCOPE),
            () if _whole_tree(view, project) else files,
            (*_IGNORE, *(("vendor",) if view.has(FILE) else ())),
            laravel and Evidence(laravel.file, laravel.line, "Laravel writes below storage and bootstrap/cache"),
        )

    def start_help(self) -> str:
        """A page is enough."""
        return "add an index.php or a public/index.php"


def _stages(
    context: Context, project: Project, version: str, packages: tuple[str, ...]
) -> tuple[tuple[Stage, ...], tuple[Copy, ...], tuple[str, ...]]:
    """The stages before the image, what it takes of them, and the key files."""
    view, own = context.view, context.build_command()
    if not view.has(FILE) and not own and not context.install_command():
        return (), (Copy((".",), "/app", owned=True),), ()
    files = tuple(path for path in (FILE, LOCK) if view.has(path))
    whole = _whole_tree(view, project) is not None
    fetch = (f"composer install {_OPTIONS} --prefer-dist --no-scripts --no-autoloader",) if files else ()
    install: tuple[Instruction, ...] = (
        *built.packages(packages),
        Env({"COMPOSER_ALLOW_SUPERUSER": "1", "COMPOSER_CACHE_DIR": _CACHE.target, "COMPOSER_HOME": "/root/.composer"}),
        Workdir("/app"),
        *built.install(context, () if whole else files, fetch, (_CACHE,), _SCOPE),
        Run(("mkdir -p vendor",)),
    )
    build: tuple[Instruction, ...] = (Copy((".",), "./"),)
    if files:
        build += (Run(("composer dump-autoload --optimize --no-dev --no-interaction",), network=True),)
    if own:
        secrets = context.secrets("")
        print_of = context.fingerprint(secrets)
        build += (Run((own[0],), network=True, verbatim=True, secrets=secrets, fingerprint=print_of),)
    copies = (
        Copy(("/app/vendor",), "/app/vendor", stage="install", dependencies=True),
        Copy(("/out",), "/app", stage="build", owned=True),
    )
    stages = (Stage("install", f"php{version}-build", install), Stage("build", "install", (*build, Run(_OUTPUT))))
    return stages, copies, files


def _demands(context: Context, project: Project) -> Iterator[Demand]:
    yield from context.version_demands(PHP, 2)
    if value := text(project.manifest, "config", "platform", "php"):
        place = project.view.where(FILE, '"platform"', f"config.platform.php {value}"[:60])
        if accepts := pinned(value, 2):
            yield Demand(value, accepts, place, pin=True)
    for name, value, place in project.required():
        if name == "php" and (demand := _range(value, place)):
            yield demand
    view = project.view
    for value, place in [*built.first_line(view, ".php-version"), *built.tools(view, "php")]:
        if accepts := pinned(value, 2):
            yield Demand(value, accepts, place, pin=True)


def _range(value: str, place: Evidence) -> Demand | None:
    """Composer's ranges in npm's words: one bar, and `~8.2` that ends before 9."""
    words = re.sub(r"\s*\|{1,2}\s*", " || ", value[:100])
    words = re.sub(r"~\s*(\d+\.\d+)(?![\d.])", r"^\1", words)
    accepts = semver.parse(words)
    if accepts is None:
        return None

    def fits(offer: Offer) -> bool:
        return accepts(offer.full)

    return Demand(value, fits, place)


def _extensions(project: Project, version: str) -> tuple[list[tuple[str, Evidence]], tuple[Diagnostic, ...]]:
    """Debian's packages of the extensions and of what the libraries call, and those that there are not."""
    names, notes = [], []
    absent, only = _ABSENT.get(version, frozenset()), _ONLY.get(version, {})
    for name, _, place in project.required():
        extension = name.removeprefix("ext-").removeprefix("zend-")
        if not name.startswith("ext-") or extension in _HERE:
            continue
        package = only.get(extension, f"php-{extension}" if extension in _EXTENSIONS - absent else "")
        if package:
            names.append((package, place))
        else:
            what = f"Debian's PHP {version} has no package for the extension '{extension[:40]}' ({FILE}:{place.line})"
            fix = "name the package in build.packages, or write a Dockerfile"
            notes.append(Diagnostic("warning", "php-extension", what, fix))
    return names, tuple(notes)


def _root(context: Context) -> tuple[str, Evidence]:
    """The directory whose files are answered."""
    view = context.view
    if option := context.option("PHP_ROOT_DIR"):
        folder = option[0].removeprefix("/app").strip("/").removeprefix("./")
        if folder and (not SAFE_PATH.fullmatch(folder) or view.at(folder) is None or " " in folder):
            raise PlanFailed(f"'{option[0]}' ({option[1].file}) is not a directory of the app", hint="name one that is")
        return folder, option[1]
    for folder in _FOLDERS:
        page = f"{folder}/index.php".lstrip("/")
        if view.has(page):
            return folder, Evidence(page)
    if context.start:
        return "", Evidence(FILE if view.has(FILE) else ".")
    raise PlanFailed(
        "there is no page to answer with: looked for index.php in public, web, htdocs, www and the root",
        hint="add one, set the variable PLAN_PHP_ROOT_DIR, or processes.web.command in leeward.yaml",
        code="no-start-command",
    )


def _migrations(view: AppView) -> Start | None:
    found = next((path for path in view.paths if path.startswith("database/migrations/")), None)
    return Start("php artisan migrate --force", (Evidence(found),)) if found else None


def _whole_tree(view: AppView, project: Project) -> Evidence | None:
    """Why the packages cannot be had from the manifest and the lock alone."""
    listed = project.manifest.get("repositories")
    items = listed.values() if isinstance(listed, Mapping) else listed if isinstance(listed, list) else ()
    if any(text(item, "type") in ("path", "artifact") for item in items):
        return view.where(FILE, '"repositories"', "packages of the tree")
    return None


def _unpinned(view: AppView, project: Project) -> tuple[Diagnostic, ...]:
    loose = [name for name, _, _ in project.required() if "/" in name]
    if not loose or view.has(LOCK):
        return ()
    what = "there is no lock file: a later build may install other versions"
    return (Diagnostic("info", "not-pinned", what, "commit the composer.lock that `composer update` writes"),)

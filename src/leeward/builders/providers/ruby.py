"""Plan a Ruby app."""

from collections.abc import Iterator, Mapping

from leeward.builders import system_packages
from leeward.builders.blueprint import Blueprint, Cache, Copy, Env, Instruction, Run, Stage, Workdir
from leeward.builders.catalogue import RUBY
from leeward.builders.providers import built, ruby_start
from leeward.builders.providers.provider import Context, Contribution, Detection
from leeward.builders.providers.python import asked
from leeward.builders.providers.python_install import key_copies
from leeward.builders.providers.ruby_project import FILE, LOCK, Project
from leeward.builders.system_packages import Needs
from leeward.builders.tree import AppView
from leeward.builders.versions import Demand, choose, numbers, pinned
from leeward.model.build import Decision, Diagnostic, Evidence

_SCOPE = ("BUNDLE_",)
_CACHE = Cache("bundle", "/var/cache/bundle")
_HOME = "/opt/bundle"
_ENV = {
    "BUNDLE_PATH": _HOME,
    # The lock's own Bundler would be fetched at every start.
    "BUNDLE_VERSION": "system",
    "BUNDLE_WITHOUT": "development:test",
}
_INSTALL_ENV = {"BUNDLE_GLOBAL_GEM_CACHE": "true", "BUNDLE_RETRY": "3", "BUNDLE_USER_CACHE": _CACHE.target}
_RUN_ENV = {
    "APP_ENV": "production",
    "RACK_ENV": "production",
    "RAILS_ENV": "production",
    "RAILS_LOG_TO_STDOUT": "1",
    "RAILS_SERVE_STATIC_FILES": "1",
}
_IGNORE = (*built.IGNORE, ".bundle", "vendor/bundle", "log/*.log", "tmp", "Dockerfile", ".dockerignore")


class Ruby:
    """Ruby apps: Bundler; Rails, Sinatra, any Rack app, or a script."""

    name = "ruby"
    looked_for = (FILE, "config.ru", "app.rb")

    def detect(self, view: AppView) -> Detection | None:
        """By `Gemfile`, `config.ru`, or a script with a usual name."""
        rack = view.first("config.ru", "config/application.rb")
        if view.has(FILE):
            found = [path for path in (FILE, view.first(LOCK), rack) if path]
            score = (90 if view.has(LOCK) else 80) + (10 if rack else 0)
            return Detection(score, tuple(Evidence(path) for path in found))
        if view.has("config.ru"):
            return Detection(60, (Evidence("config.ru"),))
        script = view.first(*ruby_start.SCRIPTS)
        return Detection(40, (Evidence(script),)) if script else None

    def plan(self, context: Context) -> Contribution:
        """Version, gems, start, and the stages."""
        view = context.view
        project = Project(view)
        version = choose(RUBY, list(_demands(project, context)), context.remembered)
        packages = system_packages.find(_needs(version.name), project.gems.items(), asked(context))
        start = ruby_start.find(project, dict(asked(context)))
        env = {**_ENV, **({"BUNDLE_DEPLOYMENT": "1"} if view.has(LOCK) else {})} if view.has(FILE) else {}
        loosened = _loosened(project, version.name)
        stages, copies, files = _stages(context, project, version.name, packages.build, env, loosened)
        run = Stage("run", f"ruby{version.name}", built.run(packages.run, {**_RUN_ENV, **env}, copies))
        decisions = [version.decision, *packages.decisions, *built.said(context)]
        if rails := project.rails:
            decisions.append(Decision("framework", "rails", (rails,)))
        if view.has(FILE) and project.whole_tree and not context.install_command():
            decisions.append(Decision("dependency layer", "renewed by every change of the code", (project.whole_tree,)))
        return Contribution(
            Blueprint((*stages, run)),
            "bundler" if view.has(FILE) else None,
            {"ruby": version.name},
            start,
            ruby_start.release(project),
            ruby_start.health(view) if context.start is None else None,
            tuple(decisions),
            (*version.diagnostics, *_notes(context, project, loosened)),
            built.secrets(context, _SCOPE),
            files,
            _IGNORE,
            rails and Evidence(rails.file, rails.line, "Rails writes below tmp"),
        )

    def start_help(self) -> str:
        """What to add so that a start command is found."""
        return "add a config.ru, a Procfile, or processes.web.command in leeward.yaml"


def _needs(version: str) -> Mapping[str, Needs]:
    """The table of packages in the words of that Ruby's Debian: the older one knows no 64-bit time."""
    if version == RUBY.usual:
        return system_packages.RUBY
    return {
        gem: Needs(tuple(name.removesuffix("t64") for name in needs.run), needs.build)
        for gem, needs in system_packages.RUBY.items()
    }


def _stages(
    context: Context,
    project: Project,
    version: str,
    packages: tuple[str, ...],
    env: dict[str, str],
    loosened: Evidence | None,
) -> tuple[tuple[Stage, ...], tuple[Copy, ...], tuple[str, ...]]:
    """The stages before the image, what it takes of them, and the key files."""
    view, own = context.view, context.build_command()
    code = Copy((".",), "/app", owned=True)
    if not view.has(FILE) and not own and not context.install_command():
        return (), (code,), ()
    whole = project.whole_tree is not None or context.install_command() is not None
    files = tuple(path for path in (FILE, LOCK, ".ruby-version", ".tool-versions") if view.has(path))
    vendored = any(path.startswith("vendor/cache/") for path in view.paths)
    loosen = (
        (Run((f"sed -i -E 's/^([[:space:]]*)ruby[ (].*/\\1ruby \"~> {version}.0\"/' {FILE}",)),) if loosened else ()
    )
    secrets = context.secrets(*_SCOPE)
    said = context.install_command()
    keys: tuple[Instruction, ...] = (Copy((".",), "./"),) if whole else key_copies(files)
    if vendored and not whole:
        keys += (Copy(("vendor/cache",), "./vendor/cache/"),)
    bundle = Run(
        (said[0] if said else "bundle install",),
        network=True,
        verbatim=said is not None,
        caches=(_CACHE,),
        secrets=secrets,
        fingerprint=context.fingerprint(secrets),
    )
    install = (
        *built.packages(packages),
        Env({**env, **_INSTALL_ENV}),
        Workdir("/app"),
        *keys,
        *loosen,
        *((bundle,) if said or view.has(FILE) else ()),
        Run((f"mkdir -p {_HOME}", f"rm -rf {_HOME}/ruby/*/cache")),
    )
    base = Stage("install", f"ruby{version}-build", install)
    gems = Copy((_HOME,), _HOME, stage="install", dependencies=True)
    commands = ruby_start.assets(project) if not own else ()
    if not commands and not own and not loosen:
        return (base,), (gems, code), (() if whole else (*files, *(("vendor/cache",) if vendored else ())))
    steps: tuple[Instruction, ...] = (Env(_RUN_ENV), Copy((".",), "./"), *loosen)
    if own or commands:
        every = context.secrets("") if own else ()
        print_of = context.fingerprint(every)
        build = (own[0],) if own else commands
        steps += (Run(build, network=True, verbatim=own is not None, secrets=every, fingerprint=print_of),)
    copies = (gems, Copy(("/app",), "/app", stage="build", owned=True))
    return (base, Stage("build", "install", steps)), copies, () if whole else files


def _demands(project: Project, context: Context) -> Iterator[Demand]:
    view = project.view
    yield from context.version_demands(RUBY, 2)
    asked: list[tuple[str, Evidence]] = [*built.first_line(view, ".ruby-version")]
    asked += [*project.ruby, *built.tools(view, "ruby")]
    for text, evidence in asked:
        text = text.removeprefix("ruby-")
        if demand := _ranged(text, evidence):
            yield demand


def _ranged(text: str, evidence: Evidence) -> Demand | None:
    word = text.strip()
    if word.startswith((">=", ">")):
        return built.at_least(word.lstrip(">= "), evidence)
    if word.startswith("~>"):
        bare = word.removeprefix("~>").strip()
        # `~> 3.2` allows every 3, `~> 3.2.1` every 3.2.
        least, fixed = numbers(bare)[:2], pinned(bare, 1 if bare.count(".") < 2 else 2)
        return Demand(text, lambda offer: bool(fixed and fixed(offer)) and offer.full[:2] >= least, evidence)
    accepts = pinned(word, 2)
    return Demand(text, accepts, evidence, pin=True) if accepts else None


def _loosened(project: Project, version: str) -> Evidence | None:
    """Where the Gemfile pins a patch of Ruby: Bundler would refuse every other, and Debian has the newest only."""
    for text, evidence in project.ruby:
        pin = numbers(text.removeprefix("ruby-"))
        if evidence.file == FILE and (len(pin) > 2 or text == "file") and not text.startswith((">", "~")):
            return evidence
    return None


def _notes(context: Context, project: Project, loosened: Evidence | None) -> Iterator[Diagnostic]:
    view = project.view
    if loosened:
        what = f"'{loosened.what}' ({FILE}:{loosened.line}) names a patch: the image has Debian's newest of that Ruby"
        yield Diagnostic("info", "ruby-patch", what, "ask for two numbers, as in: ruby '~> 3.3.0'")
    if view.has(FILE) and not view.has(LOCK):
        what = "there is no lock file: a later build may install other versions"
        yield Diagnostic("info", "not-pinned", what, "commit the Gemfile.lock that `bundle lock` writes")
    if project.foreign_lock:
        what = f"{LOCK} holds no gems for Linux: Bundler will refuse it"
        yield Diagnostic("warning", "ruby-platform", what, "run `bundle lock --add-platform x86_64-linux`")
    if project.rails and not {"SECRET_KEY_BASE", "RAILS_MASTER_KEY"} & set(context.env):
        what = "Rails needs the variable SECRET_KEY_BASE or RAILS_MASTER_KEY, and neither is set"
        yield Diagnostic("warning", "app-key", what, "set it: `bin/rails secret` makes one")

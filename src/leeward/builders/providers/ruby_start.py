"""Find out how a Ruby app starts."""

import re
from collections.abc import Mapping

from leeward.builders.providers import built
from leeward.builders.providers.provider import Start
from leeward.builders.providers.ruby_project import FILE, Project
from leeward.builders.tree import AppView
from leeward.model.build import Evidence

SCRIPTS = ("app.rb", "main.rb", "server.rb", "web.rb")
_SINATRA = re.compile(r"""^\s*require\s+["']sinatra["']""", re.M)
_UP = re.compile(r"""get\s*\(?\s*["'](/?up)["']\s*(?:=>|,\s*to:)\s*["']rails/health#show""")
_ROUTE = re.compile(r"""^\s*get\s*\(?\s*["'](/(?:healthz?|up))["']""")


def find(project: Project, packages: Mapping[str, Evidence]) -> Start | None:
    """The command; `packages` are Debian's that the user names, which may hold the server."""
    view, gems = project.view, project.gems
    run = "bundle exec " if view.has(FILE) else ""
    puma = gems.get("puma") or packages.get("puma")
    if rails := project.rails:
        command = "puma -p $PORT" if puma else "rails server -b 0.0.0.0 -p $PORT"
        return Start(run + command, (rails, *((puma,) if puma else ())))
    if view.has("config.ru"):
        command = "puma -p $PORT" if puma else "rackup -o 0.0.0.0 -p $PORT"
        return Start(run + command, (Evidence("config.ru"), *((puma,) if puma else ())))
    script = view.first(*SCRIPTS)
    if script is None:
        return None
    if _SINATRA.search(view.read(script)):
        return Start(f"{run}ruby {script} -o 0.0.0.0 -p $PORT", (view.where(script, "sinatra", "require 'sinatra'"),))
    return Start(f"{run}ruby {script}", (Evidence(script),), certain=False)


def release(project: Project) -> Start | None:
    """Rails' migrations run once before the rollout."""
    found = next((path for path in project.view.paths if path.startswith("db/migrate/")), None)
    return Start("bundle exec rails db:migrate", (Evidence(found),)) if found and project.rails else None


def assets(project: Project) -> tuple[str, ...]:
    """What Rails makes of its assets, with a key that is for nothing else."""
    if not project.rails or not {"propshaft", "sprockets-rails", "sprockets"} & set(project.gems):
        return ()
    return ("env SECRET_KEY_BASE_DUMMY=1 bundle exec rails assets:precompile",)


def health(view: AppView) -> tuple[str, Evidence] | None:
    """Rails' own answer, or a route with a usual name."""
    for number, line in view.lines("config/routes.rb"):
        if match := _UP.search(line[:500]):
            return f"/{match[1].lstrip('/')}", Evidence("config/routes.rb", number, "answers GET /up")
    return built.health(view, (path for path in ("config.ru", *SCRIPTS) if view.has(path)), _ROUTE)

"""List every command of `lee`: its name, where its code is, and its sentence in the overview."""

from typing import NamedTuple


class Command(NamedTuple):
    """One command; `target` is imported only when the command is called."""

    name: str
    target: str
    text: str
    shown: bool = True

    @property
    def words(self) -> list[str]:
        """`apps list` as two words."""
        return self.name.split()


GROUPS: dict[str, str] = {
    "apps": "List, show, create and delete apps.",
    "env": "List and change the variables of an app.",
    "domains": "List, add and remove the domains of an app.",
    "tokens": "List, create and revoke API tokens.",
    "regions": "List, add and remove the clusters where apps may run.",
    "volumes": "List, show and delete the volumes of apps.",
    "registries": "List, add and remove the logins at foreign registries.",
    "bases": "List base images, put apps on newer ones, and take that back.",
    "cache": "Empty what the edge keeps of an app.",
}

SECTIONS: dict[str, tuple[Command, ...]] = {
    "This machine": (
        Command("up", "machine:up", "Start the platform on this machine."),
        Command("down", "machine:down", "Stop the platform on this machine."),
        Command("status", "machine:status", "Show how the platform is."),
        Command(
            "doctor", "machine:doctor", "Look for what is wrong on this machine or in a region, and say what to do."
        ),
        Command("daemon", "machine:serve", "Run the control plane in the foreground.", shown=False),
    ),
    "Deploy": (
        Command("deploy", "deploy:deploy", "Deploy a directory, a Git repository or an image."),
        Command("plan", "planning:plan", "Show how a directory would be built; needs no platform."),
        Command("releases", "releases:releases", "List the releases of an app."),
        Command("rollback", "releases:rollback", "Make an older release live again."),
        Command("restart", "releases:restart", "Replace all instances of an app."),
        Command("cancel", "releases:cancel", "Cancel a deploy."),
        Command("hooks", "hooks:hooks", "Make the deploy hook and webhook secret of an app, or renew them."),
    ),
    "Run": (
        Command("apps list", "apps:list_apps", "List the apps."),
        Command("apps show", "apps:show", "Show an app."),
        Command("apps create", "apps:create", "Create an app."),
        Command("apps delete", "apps:delete", "Delete an app with everything that belongs to it but its volumes."),
        Command("ps", "running:ps", "List the instances of an app."),
        Command("scale", "running:scale", "Set how many instances run, and how large they are."),
        Command("exec", "running:execute", "Run a command in an instance of an app."),
        Command("runs", "runs:runs", "List the runs of processes with a schedule, newest first, or end one."),
        Command("run", "runs:run", "Run a process with a schedule now, and show what it prints."),
        Command("env list", "env:list_env", "List the variables of an app; secrets are masked."),
        Command("env set", "env:set_env", "Set variables of an app."),
        Command("env unset", "env:unset_env", "Remove variables of an app."),
        Command("domains list", "domains:list_domains", "List the domains of an app."),
        Command("domains add", "domains:add", "Add a domain to an app."),
        Command("domains remove", "domains:remove", "Remove a domain from an app."),
        Command(
            "volumes list", "volumes:list_volumes", "List the volumes of an app or of all, also of apps that are gone."
        ),
        Command("volumes show", "volumes:show", "Show one volume of an app."),
        Command("volumes delete", "volumes:delete", "Delete a volume that nothing uses, with all that is in it."),
        Command("render", "regions:render", "Show the objects that an app is in its region; secrets are stars."),
        Command("cache purge", "cache:purge", "Empty what the edge keeps of an app."),
    ),
    "Look": (
        Command("logs", "logs:logs", "Show what an app or a build printed."),
        Command("metrics", "metrics:metrics", "Show CPU, memory and requests of an app."),
        Command("events", "events:events", "List what happened."),
    ),
    "Images": (
        Command("sbom", "sbom:sbom", "Show the packages in an app, or the apps that have a package."),
        Command("bases list", "bases:list_bases", "List the base images that apps stand on, and what is newer."),
        Command("bases check", "bases:check", "Look now for newer packages of the base images."),
        Command("bases rebase", "bases:rebase", "Put apps on the newest base image, without building them again."),
        Command("bases rebuild", "bases:rebuild", "Build apps again that were built in an older base."),
        Command("bases undo", "bases:undo", "Take rebases back."),
    ),
    "Regions": (
        Command("projects", "projects:list_projects", "List the projects: what each asks for, and how much it may."),
        Command(
            "regions list", "regions:list_regions", "List the regions: this machine, and the clusters that were added."
        ),
        Command("regions add", "regions:add", "Add a cluster, or give a known one new credentials."),
        Command("regions remove", "regions:remove", "Forget a region where nothing runs."),
    ),
    "Registries": (
        Command("registries list", "registries:list_registries", "List the registries that the platform signs in to."),
        Command("registries add", "registries:add", "Add a login at a registry, or change it."),
        Command("registries remove", "registries:remove", "Forget a login at a registry."),
    ),
    "Access": (
        Command("login", "access:login", "Sign in to a platform."),
        Command("whoami", "access:whoami", "Show who is signed in, and where."),
        Command("tokens list", "access:list_tokens", "List the API tokens."),
        Command("tokens create", "access:create_token", "Create an API token; its text is shown once."),
        Command("tokens revoke", "access:revoke_token", "Revoke an API token."),
        Command("completion", "completion:completion", "Print the completion script of a shell."),
    ),
}

ALL: tuple[Command, ...] = tuple(command for section in SECTIONS.values() for command in section)

USAGE = "Usage: lee COMMAND [ARGUMENTS] [--json]"
SENTENCE = "Push code, get a URL."
EXITS = "Exit codes: 0 done, 1 it failed, 2 the request is wrong, 3 the platform could not be reached."


def overview() -> str:
    """What `lee --help` prints; made from this table alone, so that nothing else is imported."""
    lines = [USAGE, "", SENTENCE]
    for title, commands in SECTIONS.items():
        lines += ["", f"{title}:"]
        entries: dict[str, str] = {}
        for command in commands:
            if command.shown:
                first = command.words[0]
                entries.setdefault(first, GROUPS.get(first, command.text))
        lines += [f"  {name:<11} {text}" for name, text in entries.items()]
    return "\n".join([*lines, "", "'lee COMMAND --help' says more; 'lee --version' is the version.", EXITS, ""])

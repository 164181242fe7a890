"""Plan an app that a shell script starts."""

import re

from leeward.builders import system_packages
from leeward.builders.blueprint import Blueprint, Copy, Instruction, Run, Stage, Workdir
from leeward.builders.providers import built
from leeward.builders.providers.provider import Context, Contribution, Detection, Start
from leeward.builders.providers.python import asked
from leeward.builders.providers.python_dependencies import SAFE_PATH
from leeward.builders.system_packages import Needs
from leeward.builders.tree import AppView
from leeward.errors import PlanFailed
from leeward.model.build import Decision, Evidence

FILE = "start.sh"
_SHELLS = {"bash": (), "sh": (), "dash": (), "zsh": ("zsh",), "ksh": ("ksh",), "fish": ("fish",)}
# Programs that scripts call, and the package of each; what every image has is not listed.
_TOOLS = {
    "bc": "bc",
    "curl": "curl",
    "ffmpeg": "ffmpeg",
    "git": "git",
    "jq": "jq",
    "nc": "netcat-openbsd",
    "openssl": "openssl",
    "perl": "perl",
    "psql": "postgresql-client",
    "python3": "python3",
    "redis-cli": "redis-tools",
    "rsync": "rsync",
    "socat": "socat",
    "sqlite3": "sqlite3",
    "ssh": "openssh-client",
    "unzip": "unzip",
    "wget": "wget",
    "xmllint": "libxml2-utils",
    "zip": "zip",
}
_WORD = re.compile(r"(?<![\w./$-])(" + "|".join(_TOOLS) + r")(?![\w./=-])")
_IGNORE = (*built.IGNORE, "Dockerfile", ".dockerignore")


class Shell:
    """Anything else that a script starts."""

    name = "shell"
    looked_for = (FILE,)

    def detect(self, view: AppView) -> Detection | None:
        """By `start.sh`."""
        return Detection(30, (Evidence(FILE),)) if view.has(FILE) else None

    def plan(self, context: Context) -> Contribution:
        """The script's shell, and the packages of the programs that it calls."""
        view = context.view
        script, place = _script(context)
        shell, first = _shell(view, script)
        called = _called(view, script)
        packages = {tool: Needs((package,), (package,)) for tool, package in _TOOLS.items()}
        mine = [(name, first) for name in _SHELLS.get(shell, ())]
        found = system_packages.find(packages, called.items(), [*mine, *asked(context)])
        own, install = context.build_command(), context.install_command()
        stages: tuple[Stage, ...] = ()
        code = Copy((".",), "/app", owned=True)
        if own or install:
            stages = (Stage("build", "debian12-build", _build(context, found.build)),)
            code = Copy(("/app",), "/app", stage="build", owned=True)
        run = Stage("run", "debian13", built.run(found.run, {}, (code,)))
        return Contribution(
            Blueprint((*stages, run)),
            start=Start(f"{shell} {script}", (first if first.line else place,), certain=False),
            decisions=(*found.decisions, *built.said(context), Decision("script", script, (place,))),
            secrets=built.secrets(context, ()),
            ignore=_IGNORE,
        )

    def start_help(self) -> str:
        """What to add so that a start command is found."""
        return "add a start.sh"


def _script(context: Context) -> tuple[str, Evidence]:
    option = context.option("SHELL_SCRIPT")
    if option is None:
        return FILE, Evidence(FILE)
    path = option[0].removeprefix("./")
    if not SAFE_PATH.fullmatch(path) or " " in path or not context.view.has(path):
        raise PlanFailed(f"'{option[0]}' ({option[1].file}) is not a file of the app", hint="name a script that is")
    return path, option[1]


def _shell(view: AppView, script: str) -> tuple[str, Evidence]:
    """The shell that the first line names."""
    line = next((line for _, line in view.lines(script)), "")
    match = re.match(r"#!\s*(?:/usr/bin/env\s+(?:-S\s+)?|(?:/\w+)*/)(\w+)", line[:200], re.A)
    if match is None or match[1] not in _SHELLS:
        return "sh", Evidence(script)
    return match[1], Evidence(script, 1, line.strip()[:60])


def _called(view: AppView, script: str) -> dict[str, Evidence]:
    """The programs that the script names, and those that other scripts of the tree name."""
    found: dict[str, Evidence] = {}
    others = [path for path in view.paths if path.endswith(".sh") and path != script]
    for path in (script, *others[:20]):
        for number, line in view.lines(path):
            text = line.split(" #")[0][:500]
            for match in _WORD.finditer("" if text.lstrip().startswith("#") else text):
                found.setdefault(match[1], Evidence(path, number, line.strip()[:60]))
    return found


def _build(context: Context, packages: tuple[str, ...]) -> tuple[Instruction, ...]:
    own = context.build_command()
    steps = (*built.packages(packages), Workdir("/app"), *built.install(context, (), (), (), ()))
    if own is None:
        return steps
    secrets = context.secrets("")
    run = Run((own[0],), True, True, (), secrets, context.fingerprint(secrets))
    return (*steps, Copy((".",), "./"), run)

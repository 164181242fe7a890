"""Render the processes of the platform for supervisor and for systemd. Pure."""

import hashlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from leeward.errors import Invalid
from leeward.settings import Settings

# A unix socket's path may have 107 characters; the longest of ours is '<home>/run/supervisor.sock.<pid>'.
MAX_HOME = 76
# supervisor waits one second longer after each failed start and then gives up; this is never.
ENDLESS = 2_000_000_000
MARK = "LEEWARD_PROGRAM"
# What the platform takes over from whoever starts it: how to reach package registries, and nothing else.
INHERITED = re.compile(
    r"PATH|HOME|LANG|TZ|(https?|no|all)_proxy|SSL_CERT_(FILE|DIR)|\w+_CA_(BUNDLE|CERTS|CERTIFICATES|INFO)|GIT_SSL_CAINFO"
    r"|NODE_EXTRA_CA_CERTS|(PIP|UV|NPM_CONFIG)_\w*(URL|REGISTRY|INDEX|CERT)",
    re.IGNORECASE,
)

# Where Debian has it, and where Ubuntu has it since Docker 29.
DOCKERD = ("/usr/sbin/dockerd", "/usr/bin/dockerd")


@dataclass(frozen=True, slots=True)
class Program:
    """One process that must always run. `stamp` names its version: another stamp restarts it at the next `up`."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path = Path("/")
    ready: str = ""
    """What to wait for: 'unix:/path' or 'tcp:host:port'; '' waits for the process only."""
    ready_s: float = 30.0
    priority: int = 500
    """Low starts first and stops last."""
    autorestart: bool = True
    start_s: int = 1
    stop_s: int = 10
    stop_signal: str = "TERM"
    stop_group: bool = True
    """Send the stop signal to the whole process group; false where children must survive."""
    hands_over: bool = False
    """Its children go on serving when it alone is killed, until its successor lets them go: nobody is refused."""
    stamp: str = ""
    log_mib: int = 10


def environment(settings: Settings) -> dict[str, str]:
    """The variables that give another process the same settings: every one that is not at its default."""
    default = Settings()
    return {
        f"LEEWARD_{name.upper()}": str(value)
        for name in Settings.model_fields
        if (value := getattr(settings, name)) != getattr(default, name) and value is not None
    }


def inherited(env: Mapping[str, str]) -> dict[str, str]:
    """The part of a caller's environment that the platform's processes get."""
    return {key: value for key, value in env.items() if INHERITED.fullmatch(key)}


def marked(program: Program, settings: Settings) -> Program:
    """The program with a mark in its environment, by which it is found even when its supervisor is gone."""
    mark = {MARK: f"{settings.home}/{program.name}"}
    stamp = {"LEEWARD_STAMP": program.stamp} if program.stamp else {}
    return replace(program, env={**program.env, **stamp, **mark})


def dockerd(settings: Settings, command: str = DOCKERD[0]) -> Program:
    """The container engine, where none runs: its stop leaves containers alone (live-restore)."""
    return Program(
        name="dockerd",
        argv=(command, f"--config-file={settings.home / 'docker' / 'daemon.json'}"),
        env={
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            # BuildKit clips a step's output at 1 MiB and 200 KiB/s; the builder bounds a log itself, and says so.
            "BUILDKIT_STEP_LOG_MAX_SIZE": "16777216",
            "BUILDKIT_STEP_LOG_MAX_SPEED": "16777216",
        },
        ready=f"unix:{settings.docker_socket}",
        ready_s=60.0,
        priority=100,
        start_s=2,
        stop_s=30,
        stop_group=False,
        log_mib=20,
    )


def dockerd_config(settings: Settings) -> dict[str, object]:
    """Our `daemon.json`: containers outlive the daemon, their logs are bounded, no limit of this machine is raised."""
    return {
        "hosts": [f"unix://{settings.docker_socket}"],
        "pidfile": str(settings.run_dir / "docker.pid"),
        "live-restore": True,
        "log-driver": "json-file",
        "log-opts": {"max-size": "10m", "max-file": "2"},
        # Layers are shared and looked through where the engine's own store has them; Docker 29 has another by default.
        "features": {"buildkit": True, "containerd-snapshotter": False},
        "max-concurrent-uploads": 4,
    }


def supervisor_conf(settings: Settings, programs: Sequence[Program]) -> str:
    """`supervisord.conf` for all programs."""
    home = settings.home
    if len(str(home)) > MAX_HOME:
        raise Invalid(
            f"home '{home}' is longer than {MAX_HOME} characters, so sockets in it cannot be opened",
            hint="choose a shorter LEEWARD_HOME",
        )
    head = _section(
        "supervisord",
        {
            "logfile": _value(home / "logs" / "host" / "supervisord.log"),
            "logfile_maxbytes": "5MB",
            "logfile_backups": "1",
            "pidfile": _value(home / "run" / "supervisord.pid"),
            "childlogdir": _value(home / "logs" / "host"),
            "directory": "/",
            "umask": "022",
            # Low on purpose: supervisor raises the soft limits to these and fails where the hard limit is below.
            "minfds": "1024",
            "minprocs": "64",
            "strip_ansi": "true",
        },
    )
    door = _section(
        "unix_http_server", {"file": _value(home / "run" / "supervisor.sock"), "chmod": "0700", "chown": "root:root"}
    )
    rpc = _section(
        "rpcinterface:supervisor",
        {"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
    )
    client = _section("supervisorctl", {"serverurl": _value(f"unix://{home / 'run' / 'supervisor.sock'}")})
    return "\n".join((head, door, rpc, client, *(_program(settings, program) for program in programs)))


def unit_name(program: Program) -> str:
    """The name of a program's systemd unit."""
    return f"leeward-{program.name}.service"


def systemd_unit(program: Program) -> str:
    """The systemd unit of one program; its output goes to the journal, which is bounded."""
    docker = program.name != "dockerd"
    lines = [
        "[Unit]",
        f"Description=Leeward {program.name}",
        "After=network-online.target" + (" docker.service" if docker else ""),
        "Wants=network-online.target" + (" docker.service" if docker else ""),
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=simple",
        f"ExecStart={' '.join(_quoted(part) for part in program.argv)}",
        f"WorkingDirectory={_percent(str(program.cwd))}",
        *(f"Environment={_quoted(f'{key}={value}', dollar=False)}" for key, value in sorted(program.env.items())),
        f"Restart={'always' if program.autorestart else 'no'}",
        "RestartSec=1",
        f"KillSignal=SIG{program.stop_signal}",
        f"KillMode={'mixed' if program.stop_group else 'process'}",
        f"TimeoutStopSec={program.stop_s}",
        # Containers and builds have limits of their own; this is the platform, and it must not be killed first.
        "OOMScoreAdjust=-500",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
        "",
    ]
    return "\n".join(lines)


def log_file(settings: Settings, name: str) -> Path:
    """Where a program's own output goes."""
    return settings.home / "logs" / "host" / f"{name}.log"


def fingerprint(text: str) -> str:
    """A short name of a text's content."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _program(settings: Settings, program: Program) -> str:
    env = ",".join(f'{key}="{_quotable(key, value)}"' for key, value in sorted(program.env.items()))
    group = str(program.stop_group).lower()
    return _section(
        f"program:{program.name}",
        {
            "command": _value(shlex.join(program.argv)),
            "directory": _value(program.cwd),
            **({"environment": env} if env else {}),
            "autostart": "true",
            "autorestart": str(program.autorestart).lower(),
            "startsecs": str(program.start_s),
            "startretries": str(ENDLESS),
            "stopsignal": program.stop_signal,
            "stopwaitsecs": str(program.stop_s),
            "stopasgroup": group,
            "killasgroup": group,
            "priority": str(program.priority),
            "redirect_stderr": "true",
            "stdout_logfile": _value(log_file(settings, program.name)),
            "stdout_logfile_maxbytes": f"{program.log_mib}MB",
            "stdout_logfile_backups": "2",
        },
    )


def _section(name: str, values: Mapping[str, str]) -> str:
    return "\n".join((f"[{name}]", *(f"{key} = {value}" for key, value in values.items()), ""))


def _value(value: object) -> str:
    """A value that supervisor's parser gives back as it is."""
    text = str(value)
    if "\n" in text or " ;" in text or " #" in text:
        raise Invalid(f"'{text}' cannot be written to a supervisor file", hint="use a path without ' ;' and ' #'")
    return text.replace("%", "%%")


def _quotable(key: str, value: str) -> str:
    if '"' in value or "\n" in value or " ;" in value or " #" in value:
        raise Invalid(f"the variable '{key}' has a value with a quote or a line break in it", hint="change its value")
    return value.replace("%", "%%")


def _percent(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(text: str, *, dollar: bool = True) -> str:
    """One word of a systemd line."""
    text = _percent(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text.replace("$", "$$") if dollar else text}"'

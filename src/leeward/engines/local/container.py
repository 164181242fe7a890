"""Write an instance as a container, and read it back. Pure.

Everything that the control plane must know again after its restart is in the labels.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from leeward.engines.local.mounts import VOLUMES, container_mounts, mounts_of, mounts_text
from leeward.model.app import Health
from leeward.model.runtime import Workload
from leeward.model.volume import Mount
from leeward.plan.command import arguments
from leeward.plan.environment import variables

MIB = 1024 * 1024
GRACE_S = 10
HOME = "leeward.home"
ROLE = "leeward.role"
INSTANCE = "instance"
ONCE = "once"
RUN = "run"
RUN_LABEL = "leeward.run"

# Images from a user's Dockerfile often begin as root, give up files and rights, and then change to their user.
_OWN_ROOT_CAPABILITIES = ("CHOWN", "SETUID", "SETGID", "DAC_OVERRIDE", "FOWNER", "NET_BIND_SERVICE", "KILL")
_PIDS = 512
_OPEN_FILES = 16384


@dataclass(frozen=True, slots=True)
class Container:
    """One container of ours as Docker reports it. `host` is its address in the project's network."""

    id: str
    name: str
    app: str
    process: str
    project: str
    role: str
    release: int
    generation: int
    port: int
    millicpu: int
    memory_mib: int
    health: Health | None
    status: str
    """Docker's word: created, running, restarting, exited, paused, removing, dead."""
    host: str = ""
    pid: int = 0
    exit_code: int = 0
    oom_killed: bool = False
    restarts: int = 0
    created_at: float = 0.0
    started_at: float = 0.0
    finished_at: float = 0.0
    nano_cpus: int = 0
    named: bool = False
    """Whether other apps of the project find it by name."""
    named_host: str = ""
    """Its address in the network of names."""
    run: str = ""
    """Which run of a schedule it is, as text."""
    volumes: tuple[Mount, ...] = ()

    @property
    def running(self) -> bool:
        """Whether its processes run now."""
        return self.status in ("running", "paused")

    @property
    def ended(self) -> bool:
        """Whether it will not run again by itself."""
        return self.status in ("exited", "dead", "removing")

    @property
    def boosted(self) -> bool:
        """Whether it may use more CPU now than its size allows."""
        return self.nano_cpus > self.millicpu * 1_000_000


def home_id(home: str) -> str:
    """Short name of one platform, by the directory of its state: several may share a dockerd."""
    return hashlib.sha256(home.encode()).hexdigest()[:8]


def name_of(want: Workload, suffix: str, role: str = INSTANCE) -> str:
    """The container's name, which is the instance's id."""
    middle = f"g{want.generation}" if role == INSTANCE else role
    return f"lee-{want.app}-{want.process}-{middle}-{suffix}"


def labels_of(want: Workload, home: str, role: str = INSTANCE) -> dict[str, str]:
    """What is known again after a restart of the control plane."""
    return {
        **want.labels,
        HOME: home,
        ROLE: role,
        "leeward.app": want.app,
        "leeward.process": want.process,
        "leeward.project": want.project,
        "leeward.release": str(want.release),
        "leeward.generation": str(want.generation),
        "leeward.port": str(want.port),
        "leeward.millicpu": str(want.millicpu),
        "leeward.memory-mib": str(want.memory_mib),
        "leeward.health": want.health.model_dump_json() if want.health is not None else "",
        **({VOLUMES: mounts_text(want.volumes)} if want.volumes else {}),
    }


def environment(want: Workload) -> list[str]:
    """The variables of the process, as Docker takes them."""
    return [f"{key}={value}" for key, value in variables(want).items()]


def render(
    want: Workload,
    *,
    home: str,
    network: str,
    suffix: str,
    millicpu: int,
    parent: str = "",
    role: str = INSTANCE,
    retries: int = 0,
) -> dict[str, Any]:
    """The body of Docker's `POST /containers/create`; with `retries`, Docker starts what fails so often again."""
    memory = want.memory_mib * MIB
    command = arguments(want.command)
    host: dict[str, Any] = {
        "NetworkMode": network,
        "Memory": memory,
        "MemorySwap": memory,
        "NanoCpus": millicpu * 1_000_000,
        "PidsLimit": _PIDS,
        "Ulimits": [{"Name": "nofile", "Soft": _OPEN_FILES, "Hard": _OPEN_FILES}],
        "Init": True,
        "CapDrop": ["ALL"],
        "CapAdd": [] if want.read_only else list(_OWN_ROOT_CAPABILITIES),
        "SecurityOpt": ["no-new-privileges"],
        "ReadonlyRootfs": want.read_only,
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}},
        # Not `always`: what was stopped on purpose must stay so when dockerd comes back. Not `on-failure`: a web
        # process that ends with 0 is as gone as any other. Docker waits 0.1 s before the first restart and doubles
        # that up to a minute while runs are shorter than ten seconds.
        "RestartPolicy": {"Name": "unless-stopped" if role == INSTANCE else "no"},
        # A retry is Docker's too, so that it needs no control plane; 0 would mean without end.
        **({"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": retries}} if retries else {}),
    }
    if want.read_only:
        # Half of the memory: a full /tmp is an error that a process can handle, memory that is used up is not.
        host["Tmpfs"] = {"/tmp": f"rw,exec,nosuid,nodev,mode=1777,size={max(16, want.memory_mib // 2)}m"}
    if want.volumes:
        host["Mounts"] = container_mounts(want, home)
    if parent:
        host["CgroupParent"] = parent
    return {
        "Image": want.image,
        "Hostname": f"{want.process}-{suffix}",
        "Env": environment(want),
        "Labels": labels_of(want, home, role),
        "StopTimeout": GRACE_S,
        "HostConfig": host,
        **({"Cmd": command} if command is not None else {}),
    }


def parse(shown: Mapping[str, Any], network: str, names: str) -> Container:
    """Read Docker's answer to an inspection; `network` and `names` are the ids or names of the project's networks."""
    labels: Mapping[str, str] = shown["Config"].get("Labels") or {}
    state = shown["State"]
    networks: Mapping[str, Any] = shown.get("NetworkSettings", {}).get("Networks") or {}
    health = labels.get("leeward.health", "")
    return Container(
        id=shown["Id"],
        name=str(shown["Name"]).lstrip("/"),
        app=labels.get("leeward.app", ""),
        process=labels.get("leeward.process", ""),
        project=labels.get("leeward.project", ""),
        role=labels.get(ROLE, INSTANCE),
        release=int(labels.get("leeward.release", 0)),
        generation=int(labels.get("leeward.generation", 0)),
        port=int(labels.get("leeward.port", 0)),
        millicpu=int(labels.get("leeward.millicpu", 0)),
        memory_mib=int(labels.get("leeward.memory-mib", 0)),
        health=Health.model_validate_json(health) if health else None,
        status=state.get("Status", ""),
        host=(networks.get(network) or {}).get("IPAddress") or "",
        pid=int(state.get("Pid") or 0),
        exit_code=int(state.get("ExitCode") or 0),
        oom_killed=bool(state.get("OOMKilled")),
        restarts=int(shown.get("RestartCount") or 0),
        created_at=seconds(shown.get("Created", "")),
        started_at=seconds(state.get("StartedAt", "")),
        finished_at=seconds(state.get("FinishedAt", "")),
        nano_cpus=int(shown["HostConfig"].get("NanoCpus") or 0),
        named=names in networks,
        named_host=(networks.get(names) or {}).get("IPAddress") or "",
        run=labels.get(RUN_LABEL, ""),
        volumes=mounts_of(labels),
    )


def seconds(text: str) -> float:
    """Unix seconds of Docker's time stamps ('2026-01-02T03:04:05.678901234Z'); 0.0 for none."""
    if not text or text.startswith("0001-"):
        return 0.0
    whole, _, rest = text.partition(".")
    digits = rest.rstrip("Z")
    try:
        at = datetime.fromisoformat(f"{whole.rstrip('Z')}+00:00").timestamp()
        return at + (float(f"0.{digits}") if digits.isdigit() else 0.0)
    except ValueError:
        return 0.0

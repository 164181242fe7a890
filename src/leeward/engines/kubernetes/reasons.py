"""Say why an instance does not serve, in the same sentences as on one machine. Pure."""

import re
from dataclasses import dataclass

from leeward.engines.kubernetes.pods import Exit, Pod
from leeward.model.app import Health
from leeward.plan import checks
from leeward.plan.exits import why

Reason = tuple[str, str]
NONE: Reason = ("", "")

_PULL = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"})
_CREATE = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_FOR_GOOD = re.compile(r"not found|manifest unknown|unauthorized|authorization failed|denied|invalid reference", re.I)
_NOT_FOUND = re.compile(r"executable file not found|no such file or directory", re.I)
_NOT_EXECUTABLE = re.compile(r"permission denied|exec format error", re.I)
_QUOTA = re.compile(r"exceeded quota: \S+, requested: (?P<asked>\S+), used: (?P<used>\S+), limited: (?P<most>\S+)")
_SECURITY = re.compile(r"violates PodSecurity \"[^\"]*\": (?P<what>.*)", re.S)
_WEBHOOK = re.compile(r"admission webhook \"(?P<name>[^\"]+)\" denied the request:? ?(?P<why>.*)", re.S)
_AWAY = re.compile(r"failed calling webhook \"(?P<name>[^\"]+)\":(?P<why>.*)", re.S)
_ADDRESS = re.compile(r".*Post \"[^\"]*\": ?", re.S)


@dataclass(frozen=True, slots=True)
class Largest:
    """The most that any one node has for pods."""

    millicpu: int = 0
    memory_mib: int = 0


def pull(pod: Pod) -> Reason:
    """Why its image is not there; nothing when it is."""
    if pod.waiting not in _PULL:
        return NONE
    text = pod.waiting_message
    what = f"its image '{pod.image}' cannot be pulled"
    if pod.waiting == "InvalidImageName":
        return f"'{pod.image}' is no name of an image", "check the image's reference"
    if re.search(r"unauthorized|authorization failed|denied|forbidden", text, re.I):
        return (
            f"{what}: the registry refuses the nodes",
            "give the region the registry's credentials",
        )
    if re.search(r"not found|manifest unknown", text, re.I):
        return f"{what}: the registry does not have it", "deploy again; the registry may have lost it"
    if re.search(r"no such host|connection refused|i/o timeout|no route|dial tcp|deadline exceeded", text, re.I):
        return f"{what}: the nodes do not reach its registry", "give the region a registry address that its nodes reach"
    return what, _short(text) or "the nodes say more: see the events of the pod"


def hopeless(pod: Pod) -> bool:
    """Whether waiting longer will not bring its image."""
    return pod.waiting == "InvalidImageName" or (
        pod.waiting == "ImagePullBackOff" and bool(_FOR_GOOD.search(pod.waiting_message))
    )


def create(pod: Pod) -> Reason:
    """Why its container cannot be made; nothing when it can."""
    if pod.waiting not in _CREATE:
        return NONE
    return _start(pod, pod.waiting_message)


def crash(pod: Pod, ended: Exit) -> Reason:
    """Why its process ended."""
    if ended.reason in ("StartError", "ContainerCannotRun"):
        return _start(pod, ended.message)
    return why(
        pod.app,
        pod.process,
        pod.memory_mib,
        code=ended.code,
        oom=ended.reason == "OOMKilled",
        ran_s=max(0.0, ended.finished_at - ended.started_at),
        lines=ended.message.splitlines(),
    )


def _start(pod: Pod, message: str) -> Reason:
    logs = f"see `lee logs {pod.app}`"
    found = re.search(r'exec: "(?P<word>[^"]*)"', message)
    word = f": '{found['word']}'" if found else ""
    if _NOT_FOUND.search(message):
        return f"its command was not found{word}", f"check the command of '{pod.process}'; {logs}"
    if _NOT_EXECUTABLE.search(message):
        return (
            f"its command could not be executed{word}",
            "check that the file is executable and made for this machine",
        )
    return f"could not be started: {_short(message) or pod.waiting}", logs


def evicted(pod: Pod, disk_mib: int) -> Reason:
    """Why the node ended the whole pod; nothing when it did not."""
    if pod.phase != "Failed" or pod.status_reason not in (
        "Evicted",
        "NodeLost",
        "Terminated",
        "Preempted",
        "NodeShutdown",
    ):
        return NONE
    if re.search(r"ephemeral|local storage|emptyDir", pod.status_message):
        if "memory" in pod.status_message or "emptyDir" in pod.status_message:
            return "filled its /tmp, and was replaced", "write less to /tmp, or choose a larger size"
        return f"wrote more than {disk_mib} MiB to its file system, and was replaced", "keep files in a bucket"
    return f"was taken from its node ({_short(pod.status_message) or pod.status_reason})", "another one takes its place"


def lost(pod: Pod) -> Reason:
    """Its node is gone, for now or for good."""
    return f"its node '{pod.node}' does not answer", "another one takes its place; see the node"


def unscheduled(pod: Pod, largest: Largest | None) -> Reason:
    """Why no node takes it; nothing when one has."""
    text = pod.unscheduled
    if not text:
        return NONE
    if "unbound immediate PersistentVolumeClaims" in text or "PersistentVolumes to bind" in text:
        return "its volume is not there: nothing in the cluster has made it", f"see `lee volumes list {pod.app}`"
    if pod.claims and "pod affinity" in text:
        return (
            "the node that has its volume has no room for the new instance beside the old one",
            "free room on that node, or choose a smaller size",
        )
    if "volume node affinity conflict" in text:
        return "its volume is where none of the nodes is that it may run on", "check the region's nodes and zones"
    size = "choose a smaller size, or give the cluster larger nodes"
    if largest is not None and "Insufficient cpu" in text and pod.reserved_millicpu > largest.millicpu:
        return f"needs {_cpu(pod.reserved_millicpu)} CPU, the largest node has {_cpu(largest.millicpu)}", size
    if largest is not None and "Insufficient memory" in text and pod.memory_mib > largest.memory_mib:
        return f"needs {pod.memory_mib} MiB of memory, the largest node has {largest.memory_mib}", size
    more = "add nodes, or scale something else down"
    if "Insufficient cpu" in text:
        return f"needs {_cpu(pod.reserved_millicpu)} CPU, no node has that much free", more
    if "Insufficient memory" in text:
        return f"needs {pod.memory_mib} MiB of memory, no node has that much free", more
    if "no nodes available" in text:
        return "the cluster has no nodes", "add nodes"
    if re.search(r"taint|node affinity|node selector", text):
        return f"no node takes it: {_short(_nodes(text))}", "check the labels and taints of the region's node pool"
    return f"no node takes it: {_short(_nodes(text))}", "see `lee doctor --region` of its region"


def refused(project: str, message: str) -> Reason:
    """Why the cluster makes no pod at all."""
    if quota := _QUOTA.search(message):
        return (
            f"project '{project}' is over its quota: {_over(quota['asked'], quota['used'], quota['most'])}",
            "scale something down, or ask for a larger quota",
        )
    if security := _SECURITY.search(message):
        return (
            f"pod security refuses it: {_short(security['what'])}",
            "it must fit the profile 'restricted'",
        )
    if webhook := _WEBHOOK.search(message):
        return f"webhook '{webhook['name']}' refuses it: {_short(webhook['why'])}", "ask who runs the cluster"
    if away := _AWAY.search(message):
        return webhook_away(away["name"], away["why"])
    if "maximum cpu usage" in message or "maximum memory usage" in message:
        return f"the project's limits refuse it: {_short(message.rpartition(':')[2])}", "choose a smaller size"
    return f"the cluster refuses it: {_short(message)}", "see `lee doctor --region` of its region"


def unasked(message: str) -> Reason:
    """Which webhook of the cluster does not answer; nothing when it is not that."""
    found = _AWAY.search(message)
    return webhook_away(found["name"], found["why"]) if found else NONE


def webhook_away(name: str, why: str) -> Reason:
    """The cluster lets nothing in that this webhook was not asked about."""
    short = _short(_ADDRESS.sub("", why))
    return (
        f"webhook '{name}' of the cluster does not answer: {short}",
        "ask who runs the cluster: nothing is let in until it answers",
    )


def checked(pod: Pod, message: str, name: str) -> Reason:
    """What a failed health check found, from the node's words; `name` is the host that it asked for."""
    if not re.search(r"probe failed|probe errored", message):
        return NONE
    path = pod.path or "/"
    if found := re.search(r"statuscode: (\d{3})", message):
        return checks.answered(path, int(found[1]), name)
    if re.search(r"connection refused|no route to host", message):
        return checks.nothing_listens(pod.port)
    if re.search(r"deadline exceeded|i/o timeout|Client.Timeout|request canceled", message):
        return checks.late(Health(path=path, timeout=pod.check_s))
    if re.search(r"malformed HTTP|HTTP request to an HTTPS|unsupported protocol", message):
        return checks.not_http(pod.port)
    if re.search(r"EOF|connection reset|broken pipe", message):
        return checks.broken(path, pod.port)
    return NONE


def _cpu(millicpu: int) -> str:
    return f"{millicpu / 1000:g}"


def _over(*lists: str) -> str:
    """'pods=1', 'pods=3', 'pods=3' as 'needs 1 of pods, 3 of 3 are used'."""
    asked, used, most = (
        dict(part.split("=", 1) for part in text.rstrip(",").split(",") if "=" in part) for text in lists
    )
    return " and ".join(
        f"needs {asked[name]} of {name}, {used.get(name, '?')} of {most.get(name, '?')} are used" for name in asked
    )


def _nodes(text: str) -> str:
    """'0/3 nodes are available: 3 node(s) …. preemption: …' as '3 node(s) …'."""
    return text.partition(" preemption:")[0].partition("available: ")[2].rstrip(". ") or text


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else f"{line[:199]}…"

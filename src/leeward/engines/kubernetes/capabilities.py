"""Judge a cluster: what it is, what we may do there, which parts it has and how to get those that it lacks."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from leeward.engines.kubernetes.cluster import Cluster
from leeward.engines.kubernetes.kinds import NODE, SERVICE, STATEFUL_SET
from leeward.engines.kubernetes.kits import NAME as KIT_NAME
from leeward.engines.kubernetes.kits import kit_namespace
from leeward.engines.kubernetes.pods import amount, millicpu
from leeward.engines.kubernetes.rules import Rules
from leeward.errors import LeewardError
from leeward.model.region import BuildsIn, Examined, Profile

# The first with a pause before SIGTERM that needs no program in the image.
OLDEST = (1, 30)
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Part:
    """A part that a cluster may have: known by its API group."""

    name: str
    group: str
    gives: str
    get: str


PARTS: tuple[Part, ...] = (
    Part(
        "gateway-api",
        "gateway.networking.k8s.io",
        "routes in the cluster",
        "install Envoy Gateway; on GKE: `gcloud container clusters update --gateway-api=standard`",
    ),
    Part(
        "cert-manager",
        "cert-manager.io",
        "certificates for the cluster's own gateway",
        "install its Helm chart `jetstack/cert-manager` with `crds.enabled=true`",
    ),
    Part(
        "external-dns",
        "externaldns.k8s.io",
        "DNS records made from routes",
        "install its Helm chart `external-dns/external-dns`, or make the records by hand",
    ),
    Part(
        "cloudnative-pg",
        "postgresql.cnpg.io",
        "PostgreSQL with standbys and backups",
        "install its Helm chart `cnpg/cloudnative-pg`, and give apps its address as a variable",
    ),
    Part(
        "metrics-server",
        "metrics.k8s.io",
        "CPU and memory for autoscaling by the cluster",
        "apply the release manifest of `kubernetes-sigs/metrics-server`; GKE has it",
    ),
    Part("keda", "keda.sh", "scaling by events", "install its Helm chart `kedacore/keda`"),
    Part(
        "keda-http-add-on",
        "http.keda.sh",
        "scale to zero while nobody asks",
        "install its Helm charts `kedacore/keda` and `kedacore/keda-add-ons-http`; without them one instance stays "
        "of an app with `min: 0`",
    ),
    Part(
        "prometheus",
        "monitoring.coreos.com",
        "charts outside of the dashboard",
        "install its Helm chart `prometheus-community/kube-prometheus-stack`, or scrape the platform's /metrics",
    ),
)

_WRITE = ("get", "list", "watch", "create", "patch", "delete")
NEEDED: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("", "namespaces", _WRITE),
    ("", "serviceaccounts", _WRITE),
    ("", "secrets", _WRITE),
    ("", "services", _WRITE),
    ("", "resourcequotas", _WRITE),
    ("", "limitranges", _WRITE),
    # Volumes; an empty project is only taken away when it has none.
    ("", "persistentvolumeclaims", _WRITE),
    ("", "pods", ("get", "list", "watch", "patch")),
    ("", "pods/log", ("get",)),
    # Asked for by GET; since 1.35 the right to create is asked for as well.
    ("", "pods/exec", ("get", "create")),
    ("apps", "deployments", _WRITE),
    ("batch", "jobs", _WRITE),
    ("autoscaling", "horizontalpodautoscalers", _WRITE),
    ("policy", "poddisruptionbudgets", _WRITE),
    ("networking.k8s.io", "networkpolicies", _WRITE),
)
"""API group, resource and verbs without which the engine does not work; `docs` shows them as a role."""
HELPFUL: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("", "nodes", ("list", "watch")),
    ("", "events", ("list", "watch")),
    ("", "nodes/proxy", ("get",)),
    ("discovery.k8s.io", "endpointslices", ("list", "watch")),
    # Whether a volume can be made, and whether it can grow.
    ("storage.k8s.io", "storageclasses", ("list",)),
    ("metrics.k8s.io", "pods", ("list",)),
    ("gateway.networking.k8s.io", "httproutes", _WRITE),
    ("networking.k8s.io", "ingresses", _WRITE),
    # Processes that sleep while nobody asks.
    ("gateway.networking.k8s.io", "referencegrants", _WRITE),
    ("http.keda.sh", "interceptorroutes", _WRITE),
    ("keda.sh", "scaledobjects", _WRITE),
    # Processes with a schedule.
    ("batch", "cronjobs", _WRITE),
    # Builds in the cluster.
    ("", "configmaps", ("get", "create", "patch")),
    ("apps", "statefulsets", ("get", "create", "patch")),
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What was seen of a cluster."""

    server: str
    error: LeewardError | None = None
    version: str = ""
    groups: frozenset[str] = frozenset()
    denied: tuple[str, ...] = ()
    """'patch deployments.apps' for each right that is needed and not given."""
    denied_helpful: tuple[str, ...] = ()
    nodes: tuple[tuple[str, int, int], ...] = ()
    """Name, millicpu and MiB that each has for pods."""
    classes: tuple[str, ...] = field(default=())
    interceptor: bool = False
    """Whether the Service is there that holds requests for what sleeps."""
    builders: tuple[int, int] | None = None
    """Pods of the pool that builds: ready, and wished for; None where there is no pool."""


def judge(facts: Facts, rules: Rules) -> tuple[Examined, ...]:
    """Every finding, in the order in which to repair. Pure."""
    if facts.error is not None:
        return (Examined("cluster", False, facts.error.message, facts.error.hint),)
    found = [Examined("cluster", True, f"answers at '{facts.server}'")]
    new = _version(facts.version) >= OLDEST
    found.append(
        Examined(
            "version",
            new,
            f"Kubernetes {facts.version}" + ("" if new else f", older than {OLDEST[0]}.{OLDEST[1]}"),
            "" if new else "upgrade the cluster",
        )
    )
    found.append(_rights("rights", facts.denied, needed=True))
    if facts.denied_helpful:
        found.append(_rights("more rights", facts.denied_helpful, needed=False))
    found.append(_nodes(facts))
    found += _builds(facts, rules)
    found += [_part(part, facts, rules) for part in PARTS]
    return tuple(found)


def _builds(facts: Facts, rules: Rules) -> tuple[Examined, ...]:
    """Where apps are built, where that is not the platform's own machine."""
    if rules.builds_in is not BuildsIn.CLUSTER:
        text = "apps are built by Google Cloud Build"
        return (Examined("builds", True, text),) if rules.builds_in is BuildsIn.GOOGLE else ()
    if facts.builders is None:
        return (Examined("builds", True, "apps are built in this cluster; the first build makes the pods for it"),)
    ready, wished = facts.builders
    hint = "" if ready else f"see `kubectl describe pods -n {kit_namespace(rules)}`"
    text = f"apps are built in this cluster: {ready} of {wished} pods with BuildKit are ready"
    return (Examined("builds", ready > 0, text, hint, needed=False),)


def _rights(name: str, denied: Sequence[str], *, needed: bool) -> Examined:
    if not denied:
        return Examined(name, True, "the account may do all that is needed", needed=needed)
    return Examined(
        name,
        False,
        f"the account may not: {', '.join(denied)}",
        "bind it to the role in docs/howto/add-a-cluster.md",
        needed,
    )


def _nodes(facts: Facts) -> Examined:
    if not facts.nodes:
        return Examined("nodes", False, "no nodes are seen", "add nodes, or allow listing them", needed=False)
    cpu, memory = max(node[1] for node in facts.nodes), max(node[2] for node in facts.nodes)
    return Examined(
        "nodes", True, f"{len(facts.nodes)} nodes, the largest has {cpu / 1000:g} CPU and {memory} MiB", needed=False
    )


def _part(part: Part, facts: Facts, rules: Rules) -> Examined:
    here = part.group in facts.groups
    if part.name == "keda-http-add-on":
        return _sleep(part, facts, rules)
    asked = part.name == "gateway-api" and bool(rules.gateway)
    asked = asked or (part.name == "metrics-server" and rules.cluster_scales)
    asked = asked or (part.name == "cert-manager" and bool(rules.issuer))
    text = f"found: {part.gives}" if here else f"not found: {part.gives}"
    if here and part.name == "gateway-api":
        text += f" ({', '.join(facts.classes) or 'no class yet'})"
    return Examined(part.name, here, text, "" if here else part.get, needed=asked)


def _sleep(part: Part, facts: Facts, rules: Rules) -> Examined:
    """Whether apps can sleep: by the platform's own edge, else by KEDA with the interceptor of its add-on."""
    if not rules.gateway and not rules.gateway_class:
        return Examined(part.name, True, "not needed: the platform's own edge wakes what sleeps", needed=False)
    here = {"keda.sh", part.group} <= facts.groups and facts.interceptor
    if here and rules.gateway:
        return Examined(part.name, True, f"found: {part.gives}", needed=False)
    if here:
        return Examined(part.name, False, f"not used: {part.gives}", "give the region a `gateway`", needed=False)
    lack = "" if part.group not in facts.groups or facts.interceptor else f", no Service '{rules.interceptor}'"
    return Examined(part.name, False, f"not found: {part.gives}{lack}", part.get, needed=False)


def _version(text: str) -> tuple[int, int]:
    major, _, rest = text.lstrip("v").partition(".")
    minor = rest.split(".")[0].rstrip("+")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (0, 0)


def least_role() -> dict[str, object]:
    """The cluster role with all that the engine uses."""
    rules: list[dict[str, object]] = [
        {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}
        for group, resource, verbs in (*NEEDED, *HELPFUL)
    ]
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "leeward"},
        "rules": rules,
    }


class Doctor:
    """Looks at a cluster."""

    def __init__(self, cluster: Cluster, rules: Rules) -> None:
        self._cluster = cluster
        self._rules = rules

    async def examine(self) -> Sequence[Examined]:
        """Look and judge; a cluster that is wrong is an answer, not a failure."""
        return judge(await self.look(), self._rules)

    async def look(self) -> Facts:
        """Read all facts."""
        server = self._cluster.server
        try:
            version = await self._cluster.ask("GET", "/version", what="version")
            groups = await self._cluster.ask("GET", "/apis", what="API groups")
            denied = await self._denied(NEEDED)
            helpful = await self._denied(HELPFUL)
        except LeewardError as error:
            return Facts(server, error)
        names = frozenset(group["name"] for group in groups.get("groups") or ())
        return Facts(
            server=server,
            version=str(version.get("gitVersion", "")).lstrip("v"),
            groups=names,
            denied=denied,
            denied_helpful=tuple(
                each for each in helpful if "." not in each.partition("/")[0] or each.partition(".")[2] in names
            ),
            nodes=await self._nodes(),
            interceptor=await self._interceptor(),
            classes=await self._classes() if "gateway.networking.k8s.io" in names else (),
            builders=await self._builders() if self._rules.builds_in is BuildsIn.CLUSTER else None,
        )

    async def _builders(self) -> tuple[int, int] | None:
        try:
            pool = await self._cluster.get(STATEFUL_SET, kit_namespace(self._rules), KIT_NAME)
        except LeewardError:
            return None
        if pool is None:
            return None
        return int((pool.get("status") or {}).get("readyReplicas") or 0), int(pool["spec"].get("replicas") or 0)

    async def _denied(self, wanted: Sequence[tuple[str, str, tuple[str, ...]]]) -> tuple[str, ...]:
        limit = asyncio.Semaphore(_AT_ONCE)

        async def ask(group: str, resource: str, verb: str) -> str:
            name, _, sub = resource.partition("/")
            attributes = {"group": group, "resource": name, "subresource": sub, "verb": verb}
            body: Mapping[str, object] = {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": attributes},
            }
            async with limit:
                answer = await self._cluster.ask(
                    "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", what="access review", body=body
                )
            allowed = bool((answer.get("status") or {}).get("allowed"))
            return "" if allowed else f"{verb} {resource}" + (f".{group}" if group else "")

        asked = [ask(group, resource, verb) for group, resource, verbs in wanted for verb in verbs]
        return tuple(each for each in await asyncio.gather(*asked) if each)

    async def _nodes(self) -> tuple[tuple[str, int, int], ...]:
        try:
            shown = await self._cluster.ask("GET", NODE.path(), what="nodes")
        except LeewardError:
            return ()
        rooms = [
            (node["metadata"]["name"], (node.get("status") or {}).get("allocatable") or {}) for node in shown["items"]
        ]
        return tuple(
            (name, millicpu(room.get("cpu", "0")), amount(room.get("memory", "0")) // 1024**2) for name, room in rooms
        )

    async def _interceptor(self) -> bool:
        space, _, name = self._rules.interceptor.partition("/")
        try:
            return await self._cluster.get(SERVICE, space, name) is not None
        except LeewardError:
            return False

    async def _classes(self) -> tuple[str, ...]:
        try:
            shown = await self._cluster.ask("GET", "/apis/gateway.networking.k8s.io/v1/gatewayclasses", what="classes")
        except LeewardError:
            return ()
        return tuple(sorted(item["metadata"]["name"] for item in shown["items"]))


def profile_of(server_version: str) -> Profile:
    """GKE says so in its version; whether it is Autopilot, only its owner can say."""
    return Profile.GKE_STANDARD if "-gke." in server_version else Profile.PLAIN

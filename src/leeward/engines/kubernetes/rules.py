"""What an operator decides about a cluster. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from leeward.model.quota import ProjectQuota, Quotas
from leeward.model.region import BuildsIn, Profile
from leeward.model.secret import Secret


@dataclass(frozen=True, slots=True)
class Pool:
    """Nodes for one kind of work: those with all of `labels`; their taints `taints` are tolerated."""

    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Quota:
    """The most that one project may ask of the cluster."""

    instances: int = 200
    cores: int = 200
    memory_gib: int = 400


@dataclass(frozen=True, slots=True)
class Rules:
    """All that rendering needs to know beside the workload."""

    home: str
    """Short name of one platform: several may share a cluster."""
    region: str
    domain: str = "lee.localhost"
    profile: Profile = Profile.PLAIN
    own_registry: str = ""
    """`host:port` of the platform's registry, as it stands in releases."""
    registry: str = ""
    """`host:port` by which the nodes reach it; '' when they call it as the platform does."""
    pull_secret: Secret | None = None
    """The text of a Docker `config.json` with which nodes may pull."""
    edge_sources: tuple[str, ...] = ()
    """Address ranges from which requests reach instances: those of the platform's edge, or of a load balancer."""
    egress: tuple[str, ...] = ()
    """Private address ranges that instances may call beside the world: a managed database, for example."""
    apps: Pool = Pool()
    builds_in: BuildsIn = BuildsIn.LOCAL
    builds: Pool = Pool()
    builds_image: str = ""
    """The image of rootless BuildKit here; '' for the platform's."""
    builds_pods: int = 0
    """How many builds at once; 0: as many as on one machine."""
    builds_volume_gib: int = 0
    """Keeps the cache of a build pod beyond its life; 0: no volume."""
    storage_class: str = ""
    """The kind of disk that volumes are made of; '' for the cluster's default."""
    shared_volumes: bool = False
    """Whether disks of that class may be on several nodes at once."""
    data: Pool = Pool()
    runtime_class: str = ""
    """`gvisor` puts a kernel of its own below each instance, where the nodes have it."""
    cpu_request_percent: int = 100
    """How much of a size's CPU is reserved; below 100, nodes are overcommitted."""
    disk_mib: int = 1024
    quota: Quota = Quota()
    projects: Quotas = field(default_factory=dict)
    """What the platform lets each project ask for, wherever its apps run."""
    gateway: str = ""
    """`namespace/name` of the Gateway that takes requests in; '' when the platform's own edge does."""
    gateway_class: str = ""
    """The Ingress class, where the cluster has no Gateway API."""
    interceptor: str = "keda/keda-add-ons-http-interceptor-proxy"
    """`namespace/name` of the Service of KEDA's HTTP add-on that holds requests for what sleeps, where it is there."""
    issuer: str = ""
    """The ClusterIssuer of cert-manager that certifies an Ingress; '' for the class's own certificate."""
    cluster_scales: bool = False
    """Whether the cluster's own autoscaler decides how many instances run, not the platform."""

    @property
    def gateway_namespace(self) -> str:
        """The namespace from which a gateway's requests come; '' without one."""
        return self.gateway.partition("/")[0]


def pulled(image: str, rules: Rules) -> str:
    """The image's reference as the nodes call it."""
    if rules.registry and rules.own_registry and image.startswith(f"{rules.own_registry}/"):
        return f"{rules.registry}/{image.removeprefix(f'{rules.own_registry}/')}"
    return image


# During a rollout both releases stand side by side.
_SIDES = 2


@dataclass(frozen=True, slots=True)
class Bounds:
    """A quota in the cluster's own words."""

    pods: str
    cpu: str
    memory: str


def bounded(quota: Quota, project: ProjectQuota) -> Bounds:
    """What the API server lets a project have: the operator's bound, or what the platform lets it ask for, twice."""
    pods, cores, memory = quota.instances, quota.cores * 1000, quota.memory_gib * 1024
    pods = pods if project.instances is None else min(pods, _SIDES * project.instances)
    cores = cores if project.millicpu is None else min(cores, _SIDES * project.millicpu)
    memory = memory if project.memory_mib is None else min(memory, _SIDES * project.memory_mib)
    return Bounds(
        str(pods),
        f"{cores}m" if cores % 1000 else str(cores // 1000),
        f"{memory}Mi" if memory % 1024 else f"{memory // 1024}Gi",
    )

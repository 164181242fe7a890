"""What the Kubernetes engine reads from a cluster, and what it says of it."""

import textwrap
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.kubernetes_stage import RULES, WEB, WORKER, conditions, container, shown_pod

from leeward.engines.kubernetes import observe, reasons
from leeward.engines.kubernetes.capabilities import Facts, judge, least_role, profile_of
from leeward.engines.kubernetes.cluster import exit_code
from leeward.engines.kubernetes.failures import Gone, failure, not_ours, unreachable
from leeward.engines.kubernetes.gke import REGIONS, autopilot_resources, logs_link
from leeward.engines.kubernetes.names import DRAINING, group_name, service_name, stamped, stem
from leeward.engines.kubernetes.objects import group, known, ours
from leeward.engines.kubernetes.options import OPTIONS, WORDS, rules_of
from leeward.engines.kubernetes.pods import amount, millicpu, read
from leeward.engines.kubernetes.project import project_objects
from leeward.engines.kubernetes.reasons import Largest
from leeward.engines.kubernetes.render import deployment, environment, probes
from leeward.engines.kubernetes.rules import pulled
from leeward.engines.kubernetes.scaling import chosen
from leeward.engines.kubernetes.signin import credentials
from leeward.engines.kubernetes.usage import rates, summary
from leeward.errors import Conflict, Forbidden, Invalid, NotFound, RolloutFailed, Unavailable
from leeward.model.app import Health, Instances
from leeward.model.region import BuildsIn, EngineKind, Profile, Region
from leeward.model.runtime import Instance, InstanceState
from leeward.plan.stamps import stamp, unix_seconds

NOW = 1000.0
STARTED = {"running": {"startedAt": "1970-01-01T00:15:02Z"}}
CRASHED, STARTING, READY = InstanceState.CRASHED, InstanceState.STARTING, InstanceState.READY


def seen(check: str = "", largest: Largest | None = None, want: Any = WEB, **status: Any) -> Instance:
    return observe.instance(
        read(shown_pod(want, **status)),
        NOW,
        check=check,
        largest=largest,
        host="shop.apps.example.com",
        disk_mib=RULES.disk_mib,
    )


def ended(code: int, reason: str = "Error", message: str = "", ran_s: int = 1) -> Mapping[str, Any]:
    return {
        "terminated": {
            "exitCode": code,
            "reason": reason,
            "message": message,
            "startedAt": "1970-01-01T00:15:02Z",
            "finishedAt": f"1970-01-01T00:15:{2 + ran_s:02d}Z",
        }
    }


# --- names ------------------------------------------------------------------------------------------------


def test_names_of_two_processes_are_never_the_same() -> None:
    pairs = [("a-b", "c"), ("a", "b-c"), ("a-b-c", "web"), ("a", "b"), ("shop-x", "web"), ("shop", "x")]

    assert len({stem(*pair) for pair in pairs}) == len(pairs)
    assert len({service_name(*pair) for pair in pairs}) == len(pairs)


def test_the_longest_names_fit_below_pods() -> None:
    name = group_name("a" * 40, "b" * 40, 1795507200000)

    assert len(name) + 11 + 6 <= 63
    assert len(service_name("a" * 40, "b" * 40)) <= 63


def test_an_image_of_ours_is_pulled_from_where_nodes_reach_it() -> None:
    rules = replace(RULES, own_registry="127.0.0.1:5000", registry="10.0.0.5:5000")

    assert pulled("127.0.0.1:5000/shop@sha256:1", rules) == "10.0.0.5:5000/shop@sha256:1"
    assert pulled("ghcr.io/them/it@sha256:1", rules) == "ghcr.io/them/it@sha256:1"


def test_a_stamp_is_the_same_for_the_same_object_and_another_for_another() -> None:
    first, again = (stamped(deployment(WEB, RULES, 2)) for _ in range(2))
    other = stamped(deployment(WEB, RULES, 3))

    assert first == again
    assert first["metadata"]["annotations"] != other["metadata"]["annotations"]


# --- rendering --------------------------------------------------------------------------------------------


def test_a_live_check_may_fail_as_long_as_on_one_machine() -> None:
    health = Health(interval=10, failures=3, rollout_interval=2, deadline=60)

    found = probes(health, 8080, "shop.example.com")

    assert found["readinessProbe"]["failureThreshold"] * found["readinessProbe"]["periodSeconds"] == 30
    assert found["startupProbe"]["failureThreshold"] * found["startupProbe"]["periodSeconds"] == 60
    assert found["readinessProbe"]["successThreshold"] == 3


def test_variables_travel_as_a_secret_and_secret_ones_are_shown_as_stars() -> None:
    sent, shown = environment(WEB, RULES), environment(WEB, RULES, hidden=True)

    assert sent["data"]["PORT"] == "ODA4MA=="
    assert shown["stringData"]["DATABASE_URL"] == "********"
    assert shown["stringData"]["GREETING"] == "hello"


def test_the_clusters_choice_stands_where_the_cluster_scales() -> None:
    want = replace(WEB, bounds=Instances(min=1, max=5), instances=1)
    scales = replace(RULES, cluster_scales=True)

    assert chosen(want, 4, scales).instances == 4
    assert chosen(want, 9, scales).instances == 5
    assert chosen(want, None, scales).instances == 1
    assert chosen(want, 4, RULES).instances == 1


# --- pods -------------------------------------------------------------------------------------------------


def test_a_ready_pod_is_a_ready_instance() -> None:
    found = seen()

    assert (found.state, found.reason, found.peer) == (READY, "", "10.244.0.7:8080")
    assert (found.release, found.generation, found.started_at) == (7, 1795507200000, 902.0)


def test_a_pod_that_goes_is_stopping_and_a_marked_one_drains() -> None:
    going = shown_pod()
    going["metadata"]["deletionTimestamp"] = "1970-01-01T00:16:00Z"
    marked = shown_pod()
    marked["metadata"]["annotations"] = {DRAINING: "routed"}
    timed = shown_pod()
    timed["metadata"]["annotations"] = {DRAINING: "990.500"}

    assert observe.instance(read(going), NOW).state is InstanceState.STOPPING
    assert observe.instance(read(marked), NOW).state is InstanceState.DRAINING
    assert (read(marked).since, read(timed).since) == (None, 990.5)


def test_a_worker_is_ready_when_it_has_run_for_two_whole_seconds() -> None:
    pod = read(shown_pod(WORKER, "w"))

    assert observe.instance(pod, 904.5).state is STARTING
    assert observe.instance(pod, 905.0).state is READY
    assert observe.next_look_s({"w": pod}, 904.0) == pytest.approx(1.0)
    assert observe.next_look_s({"w": pod}, 906.0) is None


def test_one_that_was_ready_is_unhealthy_and_one_that_never_was_starts() -> None:
    was = seen(conditions=conditions(False, "1970-01-01T00:16:00Z"))
    never = seen(conditions=conditions(False, "1970-01-01T00:15:01Z"))

    assert (was.state, never.state) == (InstanceState.UNHEALTHY, STARTING)


@pytest.mark.parametrize(
    ("state", "last", "reason"),
    [
        (ended(3, message="boom\n"), None, "exits at once with code 3: 'boom'"),
        ({"waiting": {"reason": "CrashLoopBackOff"}}, ended(3, message="boom"), "exits at once with code 3: 'boom'"),
        (ended(1, ran_s=20), None, "exited with code 1"),
        (ended(0, "Completed"), None, "exits at once with code 0"),
        (ended(137, "OOMKilled"), None, "was killed for using more than 1024 MiB of memory"),
        (ended(139), None, "was ended by SIGSEGV (code 139)"),
        (
            {"waiting": {"reason": "CrashLoopBackOff"}},
            ended(128, "StartError", 'exec: "serv": executable file not found in $PATH: unknown'),
            "its command was not found: 'serv'",
        ),
        (STARTED, ended(2, message="no database"), "exits at once with code 2: 'no database'"),
    ],
)
def test_an_end_reads_as_on_one_machine(state: Any, last: Any, reason: str) -> None:
    found = seen(containerStatuses=container(state, last, 1), conditions=conditions(False, "1970-01-01T00:15:01Z"))

    assert (found.state, found.reason) == (CRASHED, reason)
    assert found.hint


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (
            'Startup probe failed: Get "http://10.244.0.7:8080/health": dial tcp 10.244.0.7:8080: connect: '
            "connection refused",
            "nothing listens on port 8080",
        ),
        ("Readiness probe failed: HTTP probe failed with statuscode: 404", "answered GET /health with 404"),
        (
            'Readiness probe failed: Get "http://10.244.0.7:8080/health": context deadline exceeded '
            "(Client.Timeout exceeded while awaiting headers)",
            "did not answer GET /health within 5 s",
        ),
        (
            'Startup probe failed: Get "http://10.244.0.7:8080/health": EOF',
            "broke the connection while it was asked for GET /health",
        ),
        (
            'Startup probe failed: Get "http://x/": net/http: HTTP/1.x transport connection broken: malformed HTTP '
            'response "SSH-2.0"',
            "did not answer in HTTP on port 8080",
        ),
    ],
)
def test_a_failed_check_reads_as_on_one_machine(message: str, reason: str) -> None:
    found = seen(message, conditions=conditions(False, "1970-01-01T00:15:01Z"))

    assert (found.state, found.reason) == (STARTING, reason)
    assert found.hint


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {
        "phase": "Pending",
        "containerStatuses": container({"waiting": {"reason": reason, "message": message}}),
        "conditions": conditions(False),
    }


def test_an_image_that_is_not_there_ends_the_waiting() -> None:
    found = seen(**waiting("ImagePullBackOff", 'Back-off pulling image "x": not found'))

    assert found.state is CRASHED
    assert found.restarts >= 2
    assert found.reason == f"its image '{WEB.image}' cannot be pulled: the registry does not have it"


def test_a_registry_that_is_away_is_waited_for() -> None:
    found = seen(**waiting("ErrImagePull", "dial tcp 127.0.0.1:5000: connect: connection refused"))

    assert found.state is STARTING
    assert found.reason.endswith("the nodes do not reach its registry")


def test_a_pod_that_is_made_says_nothing() -> None:
    assert seen(**waiting("ContainerCreating")).reason == ""


def unscheduled(message: str) -> dict[str, Any]:
    reason = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"phase": "Pending", "conditions": [reason], "containerStatuses": []}


def on_no_node(want: Any, message: str, largest: Largest | None) -> str:
    shown = shown_pod(want, **unscheduled(message))
    shown["spec"]["nodeName"] = ""
    return observe.instance(read(shown), NOW, largest=largest).reason


CPU = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims."


@pytest.mark.parametrize(
    ("message", "largest", "reason"),
    [
        (CPU, Largest(2000, 4000), "needs 4 CPU, the largest node has 2"),
        (CPU, Largest(8000, 9000), "needs 4 CPU, no node has that much free"),
        (CPU, None, "needs 4 CPU, no node has that much free"),
        (
            "0/1 nodes are available: 1 Insufficient memory.",
            Largest(8000, 4000),
            "needs 8192 MiB of memory, the largest node has 4000",
        ),
        ("no nodes available to schedule pods", None, "the cluster has no nodes"),
        (
            "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. preemption: no.",
            None,
            "no node takes it: 2 node(s) didn't match Pod's node affinity/selector",
        ),
    ],
)
def test_a_pod_without_a_node_says_what_it_needs(message: str, largest: Largest | None, reason: str) -> None:
    assert on_no_node(replace(WEB, millicpu=4000, memory_mib=8192), message, largest) == reason


def test_an_eviction_for_its_disk_says_so() -> None:
    message = "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi."
    found = seen(phase="Failed", reason="Evicted", message=message)

    assert (found.state, found.reason) == (CRASHED, "wrote more than 1024 MiB to its file system, and was replaced")


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (
            'pods "x" is forbidden: exceeded quota: leeward, requested: pods=1, used: pods=3, limited: pods=3',
            "project 'store' is over its quota: needs 1 of pods, 3 of 3 are used",
        ),
        (
            'pods "x" is forbidden: violates PodSecurity "restricted:latest": privileged (container "web")',
            'pod security refuses it: privileged (container "web")',
        ),
        (
            'admission webhook "policy.example.com" denied the request: no images from there',
            "webhook 'policy.example.com' refuses it: no images from there",
        ),
    ],
)
def test_what_the_cluster_refuses_is_named(message: str, reason: str) -> None:
    assert reasons.refused("store", message)[0] == reason


# --- objects ----------------------------------------------------------------------------------------------


def owned(fields: Mapping[str, Any], at: str = "2026-01-01T00:00:00Z", **other: Any) -> list[dict[str, Any]]:
    mine = {"manager": "leeward", "operation": "Apply", "time": at, "fieldsV1": fields}
    return [mine, *([other] if other else [])]


def test_a_field_that_somebody_took_is_seen_in_what_we_own() -> None:
    before = known({"metadata": {"name": "x", "managedFields": owned({"f:spec": {"f:replicas": {}}})}})
    after = known({"metadata": {"name": "x", "managedFields": owned({"f:spec": {}})}})

    assert before.owned != after.owned


def test_somebody_who_wrote_later_is_seen_but_not_the_clusters_own_status() -> None:
    later = {"manager": "kubectl-edit", "operation": "Update", "time": "2026-01-02T00:00:00Z"}
    status = {**later, "manager": "kube-controller-manager", "subresource": "status"}

    assert known({"metadata": {"name": "x", "managedFields": owned({}, **later)}}).touched
    assert not known({"metadata": {"name": "x", "managedFields": owned({}, **status)}}).touched
    assert known({"metadata": {"name": "x"}}).touched


def test_a_deployment_says_why_it_makes_no_pods_and_that_it_is_late() -> None:
    shown = deployment(WEB, RULES, 2) | {
        "status": {
            "conditions": [
                {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"},
                {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"},
            ]
        }
    }
    found = group(shown)

    assert (found.replicas, found.refused, found.late) == (2, "exceeded quota", True)
    assert (found.known.app, found.known.generation) == ("shop", WEB.generation)
    assert ours(shown, RULES.home) and not ours(shown, "other")


# --- failures ---------------------------------------------------------------------------------------------


def test_a_missing_right_is_named_by_verb_and_resource() -> None:
    message = (
        'deployments.apps "shop" is forbidden: User "lee" cannot patch resource "deployments" in API group "apps" '
        'in the namespace "leeward-store"'
    )
    found = failure(403, {"message": message}, "eu", "Deployment 'shop'")

    assert isinstance(found, Forbidden)
    assert found.message == "the account of region 'eu' may not patch 'deployments.apps'"


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (401, "Unauthorized", Unavailable),
        (403, "unable to create new content in namespace x because it is being terminated", Unavailable),
        (404, "", NotFound),
        (409, "the object has been modified", Conflict),
        (410, "too old resource version", Gone),
        (504, "Too large resource version: 9, current: 5", Gone),
        (422, "spec.x: Invalid value", RolloutFailed),
        (400, 'admission webhook "w" denied the request: no', RolloutFailed),
        (500, "etcd", Unavailable),
        (503, "", Unavailable),
    ],
)
def test_each_refusal_of_the_server_is_a_failure_of_ours(status: int, message: str, kind: type[Exception]) -> None:
    assert type(failure(status, {"message": message}, "eu", "Deployment 'shop'")) is kind


def test_a_webhook_that_rejects_is_named() -> None:
    found = failure(
        400, {"message": 'admission webhook "w.example.com" denied the request: no'}, "eu", "Deployment 'a'"
    )

    assert found.message == "Deployment 'a': webhook 'w.example.com' refuses it: no"


def test_a_strangers_object_is_refused_by_name() -> None:
    found = not_ours("Service", "shop", "leeward-store")

    assert isinstance(found, Conflict)
    assert found.message == "Service 'shop' in namespace 'leeward-store' exists and is not Leeward's"


def test_a_cluster_that_does_not_answer_is_named_with_its_address() -> None:
    assert "'https://10.0.0.1:6443'" in unreachable("eu", "https://10.0.0.1:6443", "ConnectError").message


KUBECONFIG = """
clusters: [{name: c, cluster: {server: "https://10.0.0.1:6443"}}]
contexts: [{name: one, context: {cluster: c, user: u}}]
users: [{name: u, user: {token: t}}]
current-context: one
"""


def test_a_kubeconfig_is_read_with_its_context() -> None:
    assert credentials(KUBECONFIG, "").cluster.server == "https://10.0.0.1:6443"


@pytest.mark.parametrize(
    ("text", "context", "match"),
    [
        ("nonsense", "", "cannot be read"),
        ("{}", "", "cannot be read"),
        ("a: [", "", "cannot be read"),
        (KUBECONFIG, "two", "no context 'two', but one"),
        (KUBECONFIG.replace("user: u}", "user: nobody}"), "", "cannot be read"),
    ],
)
def test_a_kubeconfig_that_is_wrong_is_refused(text: str, context: str, match: str) -> None:
    with pytest.raises(Invalid, match=match):
        credentials(text, context)


def with_user(user: str) -> str:
    return KUBECONFIG.replace("{token: t}", user)


@pytest.mark.parametrize(
    ("user", "match"),
    [
        ("{tokenFile: /etc/shadow}", "names a file .'tokenFile'."),
        ("{client-certificate: /root/a.pem}", "names a file .'client-certificate'."),
        ("{exec: {apiVersion: client.authentication.k8s.io/v1, command: /bin/sh}}", "runs the command '/bin/sh'"),
        (
            "{exec: {apiVersion: client.authentication.k8s.io/v1, command: aws, env: [{name: LD_PRELOAD, value: x}]}}",
            "sets the variable 'LD_PRELOAD'",
        ),
    ],
)
def test_a_kubeconfig_reaches_no_files_and_runs_no_commands_of_the_platforms_machine(user: str, match: str) -> None:
    with pytest.raises(Invalid, match=match):
        credentials(with_user(user), "")


def test_the_sign_in_helper_of_a_cloud_may_be_run() -> None:
    user = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: gke-gcloud-auth-plugin}}"

    found = credentials(with_user(user), "").user

    assert found is not None and found.exec is not None
    assert found.exec.apiVersion == "client.authentication.k8s.io/v1beta1"


def test_without_a_kubeconfig_the_account_of_the_pod_is_meant() -> None:
    with pytest.raises(Invalid, match=r"kubernetes\.io/serviceaccount/token"):
        credentials("", "")


def test_the_exit_code_of_a_command_is_in_its_last_message() -> None:
    failed = {
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": "4"}]},
    }

    assert exit_code({"status": "Success"}, "eu") == 0
    assert exit_code(failed, "eu") == 4
    assert exit_code({"status": "Failure", "message": 'exec: "x": executable file not found'}, "eu") == 127


# --- figures ----------------------------------------------------------------------------------------------


def test_quantities_are_read_in_every_unit() -> None:
    assert [millicpu(text) for text in ("250m", "2", "1500000n", "300u", "0.5")] == [250, 2000, 2, 0, 500]
    assert [amount(text) for text in ("512Mi", "1G", "1024", "2Ki")] == [536870912, 1000000000, 1024, 2048]


def test_figures_of_nodes_and_of_the_cluster_are_read_alike() -> None:
    node = {
        "pods": [
            {
                "podRef": {"name": "a"},
                "containers": [{"cpu": {"usageCoreNanoSeconds": 5e9}, "memory": {"workingSetBytes": 7}}],
            }
        ]
    }
    metrics = {"items": [{"metadata": {"name": "a"}, "containers": [{"usage": {"cpu": "250m", "memory": "7"}}]}]}

    assert (summary(node)["a"].cpu_s, summary(node)["a"].memory_bytes) == (5.0, 7)
    assert rates(metrics) == {"a": (0.25, 7)}


def test_time_stamps_keep_their_nanoseconds() -> None:
    assert unix_seconds("1970-01-01T00:00:01.250000000Z") == 1.25
    assert stamp(1.9) == "1970-01-01T00:00:01Z"


# --- the cluster ------------------------------------------------------------------------------------------


def test_a_cluster_is_judged_by_version_rights_and_parts() -> None:
    facts = Facts(
        "https://c",
        version="1.29.1",
        groups=frozenset({"gateway.networking.k8s.io"}),
        denied=("patch deployments.apps",),
        nodes=(("n", 2000, 4000),),
        classes=("eg",),
    )
    found = {each.name: each for each in judge(facts, RULES)}

    assert not found["version"].ok
    assert found["rights"].text == "the account may not: patch deployments.apps"
    assert found["gateway-api"].ok and "eg" in found["gateway-api"].text
    assert not found["keda"].ok and not found["keda"].needed and "helm" in found["keda"].hint.lower()
    assert "the largest has 2 CPU" in found["nodes"].text


def test_a_cluster_that_does_not_answer_is_one_finding() -> None:
    (found,) = judge(Facts("https://c", unreachable("eu", "https://c", "ConnectError")), RULES)

    assert not found.ok and found.hint


def test_a_part_that_the_region_uses_is_needed() -> None:
    found = {each.name: each for each in judge(Facts("s", version="1.36.3"), replace(RULES, gateway="g/g"))}

    assert found["gateway-api"].needed and not found["gateway-api"].ok


def test_autopilot_gets_what_it_would_make_of_a_size() -> None:
    nano = autopilot_resources(100, 256, 1024)
    fat = autopilot_resources(100, 8192, 1024)

    assert nano["requests"] == nano["limits"] == {"cpu": "100m", "memory": "256Mi", "ephemeral-storage": "1024Mi"}
    assert fat["requests"]["cpu"] == "1250m"


def test_googles_load_balancers_are_let_in_where_they_are_the_way_in() -> None:
    def sources(**changes: Any) -> str:
        return str(project_objects("store", replace(RULES, **changes))[-1])

    assert "35.191.0.0/16" in sources(profile=Profile.GKE_STANDARD, gateway="g/g", edge_sources=("10.0.0.4/32",))
    assert "35.191.0.0/16" not in sources(profile=Profile.GKE_STANDARD, edge_sources=("10.0.0.4/32",))


def test_googles_regions_are_a_table_of_25() -> None:
    assert len(REGIONS) == 25


def test_a_link_to_cloud_logging_names_app_and_cluster() -> None:
    link = logs_link("proj", "main", "leeward-store", "shop")

    assert link.startswith("https://console.cloud.google.com/logs/query;query=")
    assert "leeward-store" in link and link.endswith("?project=proj")


def test_gke_is_known_by_its_version() -> None:
    assert profile_of("1.33.5-gke.1200") is Profile.GKE_STANDARD
    assert profile_of("1.36.3+k3s1") is Profile.PLAIN


# --- the page of it ---------------------------------------------------------------------------------------

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "add-a-cluster.md"


def test_an_option_may_be_written_with_hyphens() -> None:
    region = Region("eu", EngineKind.KUBERNETES, options={"edge-sources": "10.0.0.4/32"})

    assert rules_of(region, "home", "example.com", "").edge_sources == ("10.0.0.4/32",)


def test_the_page_names_every_option_with_its_words() -> None:
    text = PAGE.read_text()

    assert set(WORDS) == set(OPTIONS)
    assert [name for name, words in WORDS.items() if f"| `{name}` | {words} |" not in text] == []


def test_the_role_of_the_page_is_what_the_engine_uses() -> None:
    block = PAGE.read_text().split("    apiVersion: rbac", 1)[1].split("\nLeeward may", 1)[0]

    assert yaml.safe_load(textwrap.dedent("    apiVersion: rbac" + block)) == least_role()


def test_a_doctor_says_where_apps_are_built() -> None:
    def said(builders: tuple[int, int] | None, where: BuildsIn = BuildsIn.CLUSTER) -> tuple[bool, str] | None:
        judged = judge(Facts("s", version="1.36.3", builders=builders), replace(RULES, builds_in=where))
        return next(((one.ok, one.text) for one in judged if one.name == "builds"), None)

    assert said(None, BuildsIn.LOCAL) is None
    assert said(None) == (True, "apps are built in this cluster; the first build makes the pods for it")
    assert said((1, 2)) == (True, "apps are built in this cluster: 1 of 2 pods with BuildKit are ready")
    assert said((0, 2)) == (False, "apps are built in this cluster: 0 of 2 pods with BuildKit are ready")
    assert said(None, BuildsIn.GOOGLE) == (True, "apps are built by Google Cloud Build")

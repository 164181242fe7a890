"""The control plane on a real cluster, installed by its chart: it leads, fails over, is upgraded, and says why not."""

import itertools
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from leeward.daemon.archive import packed
from tests.cluster import helm
from tests.cluster.cluster import Cluster
from tests.cluster.command import Missing, run
from tests.cluster.control import DOMAIN, SPACE, Control, values
from tests.cluster.load import kubectl, load
from tests.cluster.parts import hyper
from tests.cluster.webhook import NAME, webhook

pytestmark = pytest.mark.timeout(900)
APPS = "leeward-default"


@pytest.fixture(scope="module")
def control(cluster: Cluster) -> Iterator[Control]:
    """One installation for all tests, with an app that is live."""
    made = Control(cluster)
    try:
        helm.program()
        made.remove()
        made.install()
    except Missing as lack:
        if os.environ.get("LEEWARD_CLUSTER") == "must":
            raise
        pytest.skip(str(lack))
    try:
        made.settled()
        assert made.ended(made.deploy("shop"))["status"] == "live"
        yield made
    finally:
        made.remove(waits=False)


def test_the_chart_is_well_formed_and_the_cluster_takes_all_of_it(cluster: Cluster, control: Control) -> None:
    linted = helm.helm(cluster, "lint", "--strict", str(helm.CHART), *values(cluster)[2:6])
    text = helm.helm(cluster, "template", "other", str(helm.CHART), *values(cluster)[:6], "--set", "storage.size=1Gi")
    config = f"--kubeconfig={cluster.layout.kubeconfig}"
    taken = run(hyper("kubectl"), config, "apply", "--dry-run=server", "-f", "-", text=text)

    assert "0 chart(s) failed" in linted
    assert "statefulset.apps/other-leeward created (server dry run)" in taken.stdout
    assert "violate" not in taken.stderr, taken.stderr


def test_two_replicas_run_one_leads_and_only_that_one_is_asked(control: Control) -> None:
    every, leaders = control.replicas(), control.leaders()

    chosen = ("-l", "kubernetes.io/service-name=leeward", "-o", "json")
    slices = json.loads(control.kubectl("get", "endpointslices", "-n", SPACE, *chosen))["items"]
    asked = [one["targetRef"]["name"] for part in slices for one in part["endpoints"]]

    assert set(every) == {"leeward-0", "leeward-1"}
    assert asked == leaders and len(leaders) == 1
    wished = ["leads", "waits: another replica leads"]
    control.cluster.until(lambda: sorted(control.says()) == wished, str(wished), 30)


def test_people_sign_in_and_an_app_of_an_image_answers(control: Control) -> None:
    with control.client() as ask:
        signed = ask("POST", "/v1/sessions", {"name": "admin", "password": control.password()})
        regions = ask("GET", "/v1/regions").json()["items"]
    with control.client(f"shop.{DOMAIN}") as ask:
        answer = ask("GET", "/")

    assert signed.is_success, signed.text
    assert [(one["name"], one["engine"], one["apps"]) for one in regions] == [("local", "kubernetes", ["shop"])]
    assert (answer.status_code, "shop-web" in answer.text) == (200, True)


def test_what_would_have_to_be_built_is_refused_with_what_to_do(control: Control, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("print('hello')\n")
    (tmp_path / "requirements.txt").write_text("")

    with control.client() as ask:
        upload = ask("POST", "/v1/uploads?app=built", content=packed(tmp_path)).json()["upload"]
        made = ask("POST", "/v1/apps/built/deploys", {"upload": upload})
        ended = control.ended(made.json()["id"])

    assert (ended["status"], ended["error"]["code"]) == ("failed", "no-builds")
    assert "must be built, and a control plane in a cluster builds nothing" in ended["error"]["message"]


def test_another_replica_leads_within_ten_seconds_and_apps_serve_on(cluster: Cluster, control: Control) -> None:
    control.settled()
    leader = control.leaders()[0]
    with load(cluster, APPS, "http://shop:8080/") as told:
        control.kubectl("delete", "pod", "-n", SPACE, leader, "--force", "--grace-period=0")
        seconds = control.seconds_until_it_writes()

    print(f"a change was taken {seconds:.1f} s after the leader's end")
    assert seconds < 10
    assert told.failed == 0, told.result
    assert control.leaders() != [leader]
    control.settled()


def test_a_leader_that_is_killed_in_the_middle_of_a_deploy_costs_nothing(cluster: Cluster, control: Control) -> None:
    control.settled()
    with load(cluster, APPS, "http://shop:8080/") as told:
        deploy = control.deploy("shop", instances=3)
        control.until(deploy, lambda one: one["phase"] == "rollout")
        control.kill(control.leaders()[0])
        seconds = control.seconds_until_it_writes()
        ended = control.ended(deploy)

    print(f"a change was taken {seconds:.1f} s after the leader's end; the deploy ended as {ended['status']}")
    assert seconds < 10
    assert ended["status"] == "live" or ended["error"]["message"], ended
    assert told.failed == 0, told.result
    control.settled()


def test_an_upgrade_takes_one_replica_after_the_other(cluster: Cluster, control: Control) -> None:
    control.settled()
    before = {name: one["metadata"]["uid"] for name, one in control.replicas().items()}
    times: list[float] = []
    done = threading.Event()

    def probe() -> None:
        while not done.is_set():
            if control.writes():
                times.append(time.monotonic())
            done.wait(0.1)

    def replaced() -> dict[str, str]:
        now = {name: one["metadata"]["uid"] for name, one in control.replicas().items()}
        return {name: uid for name, uid in now.items() if uid != before.get(name)}

    watching = threading.Thread(target=probe)
    with load(cluster, APPS, "http://shop:8080/") as told:
        watching.start()
        try:
            control.helm("upgrade", "--set", "settings.logs_mib=200")
            control.cluster.until(lambda: before.keys() == replaced().keys(), "both replicas are new", 180)
            control.settled()
            control.seconds_until_it_writes()
        finally:
            done.set()
            watching.join()
    after = {name: one["metadata"]["uid"] for name, one in control.replicas().items()}
    gap = max(later - sooner for sooner, later in itertools.pairwise(times))

    print(f"the longest time without a change was {gap:.1f} s")
    assert set(before.values()).isdisjoint(after.values())
    assert gap < 20
    assert told.failed == 0, told.result


def test_a_database_that_goes_away_is_named_and_waited_for_in_the_same_container(control: Control) -> None:
    control.settled()
    restarts = control.restarts()
    control.kubectl("exec", "-n", SPACE, "postgres", "--", "touch", "/data/away")
    control.kubectl(
        "exec",
        "-n",
        SPACE,
        "postgres",
        "--",
        "/usr/lib/postgresql/bin/pg_ctl",
        "stop",
        "-D",
        "/data/pg",
        "-m",
        "immediate",
        "-W",
    )
    named = "waits: the database 'postgresql://leeward@postgres/leeward' did not answer"
    control.cluster.until(lambda: all(one.startswith(named) for one in control.says()), named, 60)
    control.cluster.until(
        lambda: kubectl(control.cluster, "exec", "-n", SPACE, "postgres", "--", "rm", "/data/away").returncode == 0,
        "the database's container",
        60,
    )

    seconds = control.seconds_until_it_writes()

    print(f"a change was taken {seconds:.1f} s after the database was let go")
    assert control.restarts() == restarts
    control.settled()


def test_a_webhook_that_refuses_is_named_with_its_words_and_nothing_is_left(
    cluster: Cluster, control: Control, tmp_path: Path
) -> None:
    with webhook(cluster, tmp_path, "deployments", "images must be signed by the platform team") as asked:
        fresh = control.ended(control.deploy("fresh"))
        live = control.ended(control.deploy("shop", instances=1))
        with control.client(f"shop.{DOMAIN}") as ask:
            serves = ask("GET", "/").status_code

    sentence = f"webhook '{NAME}' refuses it: images must be signed by the platform team"
    assert [one["status"] for one in (fresh, live)] == ["failed", "failed"]
    assert sentence in fresh["error"]["message"]
    assert sentence in live["error"]["message"]
    assert serves == 200
    assert asked
    left(control, "fresh")


def test_a_webhook_that_nobody_answers_is_named(cluster: Cluster, control: Control, tmp_path: Path) -> None:
    with webhook(cluster, tmp_path, "deployments", "", answers=False):
        ended = control.ended(control.deploy("later"), 120)

    assert ended["status"] == "failed"
    assert f"webhook '{NAME}'" in ended["error"]["message"]
    assert "does not answer" in ended["error"]["message"]
    left(control, "later")


def left(control: Control, app: str) -> None:
    """Nothing of a deploy that failed stays in the cluster."""
    words = ("get", "all,secret,pdb,hpa", "-n", APPS, "-l", f"leeward.dev/app={app}", "-o", "name")
    control.cluster.until(lambda: not control.kubectl(*words).split(), f"the end of all that was made for '{app}'", 30)


def test_an_installation_that_is_removed_leaves_its_apps_and_its_keys(control: Control) -> None:
    helm.helm(control.cluster, "uninstall", "leeward", "-n", SPACE, "--wait")

    pods = control.kubectl("get", "pods", "-n", APPS, "-l", "leeward.dev/app=shop", "-o", "name").split()
    kept = control.kubectl("get", "secret", "-n", SPACE, "leeward-keys", "-o", "name").strip()
    assert pods and kept == "secret/leeward-keys"

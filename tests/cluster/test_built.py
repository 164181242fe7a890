"""A control plane that its chart installed builds in its cluster: the whole way of a deploy, and its troubles."""

import base64
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from leeward.engines.local.container import home_id
from tests.cluster import helm, kit
from tests.cluster.cluster import Cluster
from tests.cluster.command import Missing
from tests.cluster.control import DOMAIN, Control
from tests.contracts.galley import tiny_in_registry

pytestmark = pytest.mark.timeout(900)
MEMORY_MIB = 256
SECRET = "f00-bar-b4z"
# Of this installation only: its home is named by the chart.
POOL = f"leeward.dev/builds={home_id('/var/lib/leeward/control.leeward')}"
GREETS = 'CMD ["sh", "-c", "echo greetings from $HOSTNAME; exec httpd -f -p $PORT -h /www"]'


class Kitchen(Control):
    """An installation whose region builds in its cluster."""

    def __init__(self, cluster: Cluster) -> None:
        registry = cluster.layout.registry
        options = {"builds": "cluster", "builds_image": kit.IMAGE, "builds_pods": "1", "cpu_request_percent": "1"}
        settings = {"registry": registry, "build_memory_mib": MEMORY_MIB, "build_cache_mib": 1024}
        said = [f"options.{name}={value}" for name, value in options.items()]
        said += [f"settings.{name}={value}" for name, value in settings.items()]
        super().__init__(cluster, "--set", ",".join(said))
        self.base = tiny_in_registry(registry)

    def tree(self, *steps: str) -> dict[str, bytes]:
        """An app that greets and serves; before that its image goes through these steps."""
        lines = (f"FROM {self.base}", "COPY index.html /www/index.html", *(f"RUN {step}" for step in steps), GREETS, "")
        return {"Dockerfile": "\n".join(lines).encode(), "index.html": b"baked here\n"}

    def upload(self, app: str, *steps: str) -> str:
        with self.client(seconds=60) as ask:
            answer = ask("POST", f"/v1/uploads?app={app}", content=packed(self.tree(*steps)))
        assert answer.status_code == 201, answer.text
        return str(answer.json()["upload"])

    def build(self, app: str, *steps: str, upload: str = "") -> str:
        """Begin a deploy of an upload; its id."""
        body = {"upload": upload or self.upload(app, *steps), "spec": spec(app)}
        with self.client(seconds=30) as ask:
            answer = ask("POST", f"/v1/apps/{app}/deploys", body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def log(self, deploy: str) -> list[str]:
        """What its build printed so far; nothing where nobody answers."""
        return self.lines(f"/v1/deploys/{deploy}/log")

    def lines(self, path: str) -> list[str]:
        try:
            with self.client(seconds=10) as ask:
                answer = ask("GET", path)
        except httpx.HTTPError:
            return []
        return [line["text"].strip() for line in answer.json()["items"]] if answer.status_code == 200 else []

    def begun(self, deploy: str, mark: str) -> None:
        """The step that prints this has begun; the log tells while the build goes on."""
        self.cluster.until(lambda: mark in self.log(deploy), f"'{mark}' in the log of a build", 60)

    def push(self, app: str, tree: Path) -> str:
        """Push a folder, as people do; what git says."""
        with self.client():
            pass
        (tree / "root.pem").write_bytes(base64.b64decode(self._secret["root.pem"]))
        token = base64.b64decode(self._secret["admin.token"]).decode()
        place = f"console.{DOMAIN}:{self._port}:{self.cluster.layout.first.ip}"
        found = ("-c", f"http.curloptResolve={place}")
        who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
        url = f"https://admin:{token}@console.{DOMAIN}:{self._port}/git/{app}.git"
        for words in (
            ("init", "-q", "-b", "main"),
            ("add", "Dockerfile", "index.html", "leeward.yaml"),
            ("commit", "-qm", "begin"),
        ):
            subprocess.run(("git", *who, *words), cwd=tree, check=True)
        env = {**os.environ, "NO_PROXY": "*", "no_proxy": "*", "GIT_SSL_CAINFO": f"{tree}/root.pem"}
        words = ("git", *found, "push", url, "main")
        done = subprocess.run(words, cwd=tree, capture_output=True, text=True, timeout=60, env=env)
        return done.stdout + done.stderr

    def steps_run(self, word: str) -> bool:
        """A step runs on this machine: its processes are seen here, whoever's namespace they are in."""
        return any(word.encode() in one.split(b"\0") for one in commands())


def spec(app: str) -> dict[str, Any]:
    return {"name": app, "processes": {"web": {"size": "nano"}}}


def packed(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def commands() -> Iterator[bytes]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes()
        except OSError:
            continue


@pytest.fixture(scope="module")
def kitchen(cluster: Cluster) -> Iterator[Kitchen]:
    """One installation for all tests."""
    if os.environ.get("LEEWARD_CLUSTER") != "must":
        pytest.skip("a control plane that builds in its cluster takes two minutes here: `make cluster-test`")
    made = Kitchen(cluster)
    try:
        helm.program()
        kit.on_nodes(cluster)
        made.remove()
        made.install()
    except Missing as lack:
        if os.environ.get("LEEWARD_CLUSTER") == "must":
            raise
        pytest.skip(str(lack))
    try:
        made.settled()
        yield made
    finally:
        made.kubectl("delete", "namespace", "-l", POOL, "--wait=false")
        made.remove(waits=False)


def test_an_upload_is_built_with_a_secret_that_is_nowhere_else_and_answers(kitchen: Kitchen) -> None:
    with kitchen.client() as ask:
        assert ask("POST", "/v1/apps", {"name": "shop"}).status_code == 201
        assert ask("PATCH", "/v1/apps/shop/env", {"secrets": {"TOKEN": SECRET}}).is_success
    step = "--mount=type=secret,id=TOKEN wc -c < /run/secrets/TOKEN && cat /run/secrets/TOKEN"

    deploy = kitchen.build("shop", step)
    ended = kitchen.ended(deploy)

    assert ended["status"] == "live", ended["error"]
    said = kitchen.log(deploy)
    assert f"{len(SECRET)}" in " ".join(said) and SECRET not in "\n".join(said)
    with kitchen.client(f"shop.{DOMAIN}") as ask:
        assert ask("GET", "/").text == "baked here\n"


def test_a_push_is_built_and_its_story_is_told_to_git(kitchen: Kitchen, tmp_path: Path) -> None:
    for name, content in kitchen.tree("echo pushed").items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "leeward.yaml").write_text(json.dumps(spec("pushed")))
    # More than a proxy holds before it has seen an answer.
    (tmp_path / "index.html").write_bytes(os.urandom(4_000_000))

    told = kitchen.push("pushed", tmp_path)

    assert f"live at https://pushed.{DOMAIN}" in told, told


def test_a_build_that_is_cancelled_ends_with_its_steps(kitchen: Kitchen) -> None:
    deploy = kitchen.build("shop", "echo begun; sleep 4711")
    kitchen.begun(deploy, "begun")
    kitchen.cluster.until(lambda: kitchen.steps_run("4711"), "the step", 20)

    with kitchen.client() as ask:
        assert ask("POST", f"/v1/deploys/{deploy}/cancel").status_code == 202

    assert kitchen.ended(deploy)["status"] == "cancelled"
    kitchen.cluster.until(lambda: not kitchen.steps_run("4711"), "the end of the step", 20)


def test_a_build_over_its_memory_is_told_the_bound(kitchen: Kitchen) -> None:
    ended = kitchen.ended(kitchen.build("shop", "head -c 900m /dev/zero | tail"))

    assert (ended["status"], ended["error"]["code"]) == ("failed", "build-memory")
    assert f"the build used more than {MEMORY_MIB} MiB of memory" in ended["error"]["message"]


def test_a_node_that_is_drained_costs_a_build_its_time_only(kitchen: Kitchen) -> None:
    deploy = kitchen.build("shop", "echo begun; sleep 10")
    kitchen.begun(deploy, "begun")
    chosen = ("get", "pods", "-A", "-l", POOL, "-o", "jsonpath={.items[0].spec.nodeName}")
    node = kitchen.kubectl(*chosen)
    try:
        # With its ten seconds of grace BuildKit would end this build in order.
        words = ("--delete-emptydir-data", "--ignore-daemonsets", "--grace-period=1")
        kitchen.kubectl("drain", node, f"--pod-selector={POOL}", *words)
        ended = kitchen.ended(deploy)
        other = kitchen.kubectl(*chosen)
    finally:
        kitchen.kubectl("uncordon", node)

    assert ended["status"] == "live", ended["error"]
    assert other != node
    kitchen.cluster.until(lambda: kitchen.log(deploy).count("begun") == 2, "both tries in the log", 20)


def test_the_next_leader_has_logs_releases_and_uploads_and_builds_on(kitchen: Kitchen) -> None:
    kitchen.settled()
    first = kitchen.build("shop", "echo first of its kind")
    assert kitchen.ended(first)["status"] == "live"
    kitchen.cluster.until(lambda: greetings(kitchen), "the app's greeting", 30)
    upload = kitchen.upload("shop", "echo was uploaded before")
    going = kitchen.build("blog", "echo begun; sleep 5")
    kitchen.begun(going, "begun")

    leader = kitchen.leaders()[0]
    kitchen.kubectl("delete", "pod", "-n", "control", leader, "--force", "--grace-period=0")
    seconds = kitchen.seconds_until_it_writes()

    assert kitchen.leaders() != [leader]
    kitchen.cluster.until(lambda: "first of its kind" in kitchen.log(first), "the log of an earlier build", 30)
    kitchen.cluster.until(lambda: greetings(kitchen), "the app's lines, from the nodes", 30)
    with kitchen.client() as ask:
        releases = ask("GET", "/v1/apps/shop/releases").json()["items"]
    assert first in [one["deploy"] for one in releases]
    queued = kitchen.ended(kitchen.build("shop", upload=upload))
    assert queued["status"] == "live", queued["error"]
    assert kitchen.ended(going)["status"] == "live"
    print(f"a change was taken {seconds:.1f} s after the leader's end")
    kitchen.settled()


def greetings(kitchen: Kitchen) -> bool:
    return any(line.startswith("greetings from ") for line in kitchen.lines("/v1/apps/shop/logs"))

"""Start a cluster, look after it, and take it away without a trace."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.cluster import addons, certificates, control_groups, files, images, network, program
from tests.cluster.api import Api
from tests.cluster.command import Missing, run
from tests.cluster.layout import Layout, Node
from tests.cluster.needs import missing
from tests.cluster.parts import Part, parts

_RUNTIME = Path("/run/containerd")
# The registries of an ordinary platform, and of the end-to-end tests' one.
DEFAULT_FORWARDS = (5010, 15020)
"""Where the platform's own registry listens on this machine, unless a setting says otherwise."""


class Cluster:
    """One cluster. All of it ends with its supervisor, which is the first process of its namespaces."""

    def __init__(self, layout: Layout, forwards: tuple[int, ...] = DEFAULT_FORWARDS) -> None:
        self.layout = layout
        self.forwards = forwards
        self.timings: dict[str, float] = {}
        self._began = time.monotonic()

    @property
    def api(self) -> Api:
        return Api(self.layout.kubeconfig)

    # --- coming and going ---------------------------------------------------------------------------------

    def up(self, *, control_only: bool = False) -> None:
        """Start what does not run yet; returns once pods can be run."""
        if lack := missing():
            raise Missing(lack)
        program.build()
        self._began = time.monotonic()
        if not self.alive():
            self._clear()
        network.up(self.layout)
        control_groups.up(self.layout)
        files.write(self.layout, self.forwards)
        certificates.make(self.layout)
        self.want(list(parts(self.layout, control_only=control_only, forwards=self.forwards)))
        if not self.alive():
            self._supervise()
        with contextlib.closing(self.api) as api:
            self.until(api.ready, "the API server", 60)
            self._told("api")
            addons.account(api)
            if control_only:
                return
            self._nodes(api)
            addons.apply(self.layout, api)
            self.until(lambda: addons.ready(api), "names and metrics", 60)
            self._told("addons")

    def _nodes(self, api: Api) -> None:
        for node in self.layout.nodes:
            self.until(lambda node=node: self._runtime(node), f"containerd of {node.name}", 30)  # type: ignore[misc]
        images.load_own(self.layout, self.enter())
        self._told("images")
        self.until(lambda: self.ready_nodes(api) == len(self.layout.nodes), "the nodes", 60)
        self._told("nodes")

    def _told(self, what: str) -> None:
        self.timings[what] = round(time.monotonic() - self._began, 1)

    def _runtime(self, node: Node) -> bool:
        return run("ctr", f"--address={node.socket}", "version", check=False).returncode == 0

    def ready_nodes(self, api: Api) -> int:
        nodes = api.get("/api/v1/nodes")["items"]
        return sum(
            condition["status"] == "True"
            for node in nodes
            for condition in node["status"].get("conditions", ())
            if condition["type"] == "Ready"
        )

    def down(self) -> list[str]:
        """End and remove all of it; what could not be removed."""
        pid = self._supervisor()
        if pid:
            # The first process of a process namespace takes all others with it.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(RuntimeError):
                self.until(lambda: not _is_running(pid), "the end of the supervisor", 20)
        return self._clear()

    def _clear(self) -> list[str]:
        network.down(self.layout)
        left = control_groups.down(self.layout)
        for folder in (self.layout.run, self.layout.home):
            shutil.rmtree(folder, ignore_errors=True)
            if folder.exists():
                left.append(str(folder))
        if (self.layout.run.parent / "leeward-cluster-made-runtime").exists():
            with contextlib.suppress(OSError):
                _RUNTIME.rmdir()
            (self.layout.run.parent / "leeward-cluster-made-runtime").unlink()
        return left

    # --- the supervisor -----------------------------------------------------------------------------------

    def _supervise(self) -> None:
        if not _RUNTIME.exists():
            _RUNTIME.mkdir()
            (self.layout.run.parent / "leeward-cluster-made-runtime").touch()
        script = Path(__file__).parent / "supervisor.py"
        argv = ("unshare", "--pid", "--mount", "--propagation", "private", "--fork", "--kill-child=SIGKILL")
        with open(self.layout.logs / "supervisor.log", "ab") as log:
            outer = subprocess.Popen(
                (*argv, sys.executable, str(script), str(self.layout.home), str(self.layout.run)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.until(lambda: bool(_child(outer.pid)) or outer.poll() is not None, "the supervisor", 10)
        self.layout.supervisor.write_text(str(_child(outer.pid)))

    def _supervisor(self) -> int:
        """Its process id as this machine counts; 0 when it does not run."""
        with contextlib.suppress(OSError, ValueError):
            pid = int(self.layout.supervisor.read_text())
            if pid and _is_running(pid) and "supervisor.py" in Path(f"/proc/{pid}/cmdline").read_text():
                return pid
        return 0

    def alive(self) -> bool:
        return self._supervisor() != 0

    def enter(self, net: str = "", *, pids: bool = False) -> tuple[str, ...]:
        """What to put before a command that should run inside."""
        pid = self._supervisor()
        return (
            "nsenter",
            f"--mount=/proc/{pid}/ns/mnt",
            *((f"--pid=/proc/{pid}/ns/pid",) if pids else ()),
            *((f"--net={net}",) if net else ()),
            "--",
        )

    def want(self, wanted: list[Part]) -> None:
        """Say what should run."""
        self.layout.run.mkdir(parents=True, exist_ok=True)
        file = self.layout.run / "parts.json"
        file.with_suffix(".new").write_text(json.dumps([part.value() for part in wanted]))
        file.with_suffix(".new").replace(file)
        if pid := self._supervisor():
            os.kill(pid, signal.SIGHUP)

    def wanted(self) -> list[Part]:
        return [
            Part(**{**part, "argv": tuple(part["argv"])})
            for part in json.loads((self.layout.run / "parts.json").read_text())
        ]

    # --- what tests do to it ------------------------------------------------------------------------------

    def pids(self) -> dict[str, int]:
        """Part to process id, as the parts count."""
        return dict(json.loads((self.layout.run / "pids.json").read_text()))

    def kill(self, name: str) -> None:
        """End a part at once, as a power failure does; the supervisor starts it again."""
        run(*self.enter(pids=True), "kill", "-9", str(self.pids()[name]))

    @contextlib.contextmanager
    def without(self, name: str) -> Iterator[None]:
        """A part is gone meanwhile."""
        before = self.wanted()
        self.want([part for part in before if part.name != name])
        self.until(lambda: name not in self.pids(), f"the end of '{name}'", 10)
        try:
            yield
        finally:
            self.want(before)
            self.until(lambda: name in self.pids(), f"'{name}'", 10)

    def until(self, good: Callable[[], bool], what: str, seconds: float) -> None:
        """Look until it is so."""
        deadline = time.monotonic() + seconds
        while not good():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{what} did not come within {seconds:.0f} s; the logs are in '{self.layout.logs}'")
            time.sleep(0.1)


def _is_running(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def _child(pid: int) -> int:
    with contextlib.suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if children:
            return int(children[0])
    return 0

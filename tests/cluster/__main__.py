"""Start, look at and stop the cluster: `python -m tests.cluster up|down|status|kubectl|kill`."""

import os
import sys
from collections.abc import Sequence

from tests.cluster.cluster import DEFAULT_FORWARDS, Cluster
from tests.cluster.command import Missing
from tests.cluster.layout import layout
from tests.cluster.parts import hyper

USAGE = """\
python -m tests.cluster up [--control-only]   start it; prints the path of its kubeconfig
python -m tests.cluster down                  end and remove all of it
python -m tests.cluster status                what runs
python -m tests.cluster kill PART             end a part at once; it comes back
python -m tests.cluster kubectl WORDS...      kubectl with its kubeconfig
"""


def main(words: Sequence[str]) -> int:
    cluster = Cluster(layout(), forwards())
    try:
        match list(words):
            case ["up", *flags] if set(flags) <= {"--control-only"}:
                cluster.up(control_only="--control-only" in flags)
                print(f"up: {cluster.timings} (seconds)", file=sys.stderr)
                print(cluster.layout.kubeconfig)
            case ["down"]:
                for one in cluster.down():
                    print(f"could not remove '{one}'", file=sys.stderr)
                    return 1
            case ["status"]:
                if not cluster.alive():
                    print("no cluster runs")
                    return 1
                for name, pid in sorted(cluster.pids().items()):
                    print(f"{pid:>7} {name}")
            case ["kill", name]:
                cluster.kill(name)
            case ["kubectl", *rest]:
                os.execv(hyper("kubectl"), ("kubectl", f"--kubeconfig={cluster.layout.kubeconfig}", *rest))
            case _:
                print(USAGE, end="", file=sys.stderr)
                return 2
    except (Missing, RuntimeError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def forwards() -> tuple[int, ...]:
    """Ports of this machine's loopback that the nodes reach as their own: where a platform's registry listens."""
    text = os.environ.get("LEEWARD_CLUSTER_FORWARDS")
    return DEFAULT_FORWARDS if text is None else tuple(int(port) for port in text.split(",") if port)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

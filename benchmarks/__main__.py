"""Run the benchmarks: all of them, or those that are named.

    python -m benchmarks [deploy] [start] [control] [edge] [store] [planner] [scan] [builds] [many] [cluster]

Figures go to stdout, one JSON object a line, each with at least name, value, unit, peer, peer_value and ratio. How far
it is, and whatever else a benchmark says, goes to stderr. A benchmark that fails or takes too long does not stop the
others; the exit code is then 1.
"""

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TextIO

from benchmarks import end_in_order, say

KEYS = ("name", "value", "unit", "peer", "peer_value", "ratio")
# After being asked to end, a benchmark takes away what it made.
GRACE_S = 120.0


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A module of this folder, and the longest time that it may take."""

    name: str
    longest_s: float
    arguments: tuple[str, ...] = ()


BENCHMARKS = (
    Benchmark("deploy", 900),
    Benchmark("start", 300),
    Benchmark("control", 600),
    Benchmark("edge", 300),
    Benchmark("store", 300),
    Benchmark("planner", 300),
    Benchmark("scan", 300),
    Benchmark("builds", 900),
    Benchmark("many", 600),
    Benchmark("cluster", 900, ("--nodes", "1000", "--apps", "10000", "--changes", "200")),
)


def is_figure(line: str) -> bool:
    """Whether a line is a figure and not talk."""
    with contextlib.suppress(ValueError):
        value = json.loads(line)
        return isinstance(value, dict) and all(key in value for key in KEYS)
    return False


def sort_out(lines: Iterable[str], figures: TextIO, talk: TextIO) -> int:
    """Figures here, everything else there; how many figures there were."""
    count = 0
    for line in lines:
        count += is_figure(line)
        print(line.rstrip("\n"), file=figures if is_figure(line) else talk, flush=True)
    return count


def run(benchmark: Benchmark) -> bool:
    """Whether it ended well, in time, and measured anything."""
    began = time.monotonic()
    say(f"--- {benchmark.name}")
    argv = (sys.executable, "-m", f"benchmarks.{benchmark.name}", *benchmark.arguments)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        late = threading.Timer(benchmark.longest_s, process.send_signal, (signal.SIGINT,))
        dead = threading.Timer(benchmark.longest_s + GRACE_S, process.kill)
        late.start()
        dead.start()
        try:
            assert process.stdout is not None
            count = sort_out(process.stdout, sys.stdout, sys.stderr)
            code = process.wait()
        except KeyboardInterrupt:
            # It has a session of its own, so that it takes its things away in peace.
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
        finally:
            late.cancel()
            dead.cancel()
    took = f"{time.monotonic() - began:.0f} s"
    if code or not count:
        say(f"--- {benchmark.name} failed after {took}: exit code {code}, {count} figures")
    else:
        say(f"--- {benchmark.name}: {count} figures in {took}")
    return code == 0 and count > 0


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for, one after another."""
    known = {benchmark.name: benchmark for benchmark in BENCHMARKS}
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(known)}; none: all of them")
    names = list(dict.fromkeys(parser.parse_args(arguments).names)) or list(known)
    if wrong := [name for name in names if name not in known]:
        parser.error(f"there is no benchmark '{wrong[0]}', but {', '.join(known)}")
    end_in_order()
    try:
        failed = [name for name in names if not run(known[name])]
    except KeyboardInterrupt:
        return 130
    if failed:
        say(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

"""How long a deploy takes, against what people script themselves with docker, pip and nginx.

    python -m benchmarks.deploy [--rounds 5]

Ours and the peer take turns. Ours is measured from the command's start until the edge answers with the new release,
the peer until its proxy's reload returned. Ours has its health checked three times in a row, is pushed to a registry,
and starts beside the old release under its size's limits; the peer looks once, and nothing limits it.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from benchmarks import end_in_order, figure, say
from benchmarks.docker import remove_cache
from benchmarks.example import example
from benchmarks.pipeline import Pipeline
from benchmarks.stage import Stage, platform
from leeward.settings import load

# Small packages without dependencies: one more of them each time a dependency changes.
PACKAGES = ("itsdangerous==2.2.0", "markupsafe==3.0.2", "tabulate==0.9.0", "toolz==1.0.0", "wrapt==1.17.2")
POLL_S = 0.02
LONGEST_S = 600.0
GOALS = {"first": 60.0, "code": 3.0}
RATIO_GOALS = {"code": 0.6}
Steps = dict[str, float]


@dataclass
class Turns:
    """What was measured of one kind of deploy: seconds until live, and of each step."""

    ours: list[float] = field(default_factory=list)
    peers: list[float] = field(default_factory=list)
    steps: list[Steps] = field(default_factory=list)
    peer_steps: list[Steps] = field(default_factory=list)


class Duel:
    """One source tree, and both ways to bring it to live."""

    def __init__(self, stage: Stage, peer: Pipeline, app: str, tree: Path) -> None:
        self.stage, self.peer, self.app, self.tree = stage, peer, app, tree
        self.turns: dict[str, Turns] = {}

    async def both(self, kind: str, first: bool = True) -> None:
        """Deploy the tree both ways, ours first or last."""
        turns = self.turns.setdefault(kind, Turns())
        for ours in (True, False) if first else (False, True):
            if ours:
                taken, steps = await self._ours(kind)
                turns.ours.append(taken)
                turns.steps.append(steps)
            else:
                taken, steps = await self._theirs()
                turns.peers.append(taken)
                turns.peer_steps.append(steps)
            say(f"  {kind}: {'ours' if ours else 'peer'} {taken:.2f} s {steps}")

    async def _ours(self, kind: str) -> tuple[float, Steps]:
        """Seconds until the edge answers with the new release, and of each step.

        Without a change the instances go on as they are: then it is until the command has ended.
        """
        before = await self._seen()
        began = time.perf_counter()
        work = asyncio.create_task(self.stage.lee("deploy", self.tree, "--app", self.app))
        try:
            while await self._seen() in (before, "") and not work.done():
                if time.perf_counter() - began > LONGEST_S:
                    raise SystemExit("the edge never answered with the new release")
                await asyncio.sleep(POLL_S)
            taken = time.perf_counter() - began
            done: Mapping[str, Any] = await work
            if kind != "unchanged" and await self._seen() != done["release"]:
                raise SystemExit(f"'{done['release']}' is live, and the edge answers with '{await self._seen()}'")
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        # Before the first release there is nothing that could answer.
        if done["release"] != "v1" and done["receipt"] and done["receipt"]["failed"]:
            raise SystemExit(f"requests failed during the deploy: {done['receipt']}")
        return taken, {**done["timings_s"], "command": round(time.perf_counter() - began, 3)}

    async def _theirs(self) -> tuple[float, Steps]:
        """Seconds until the reload returned, which is a little before the new release answers."""
        began = time.perf_counter()
        steps = await self.peer.deploy()
        taken = time.perf_counter() - began
        async with asyncio.timeout(10), httpx.AsyncClient(timeout=2) as client:
            # A connection of its own each time: a reloaded nginx keeps the old ones on the old configuration.
            fresh = {"Connection": "close"}
            while (seen := _release(await client.get(self.peer.url, headers=fresh))) != self.peer.release:
                say(f"  the peer's proxy still answers with '{seen}'")
                await asyncio.sleep(POLL_S)
        await self.peer.tidy()
        return taken, steps

    async def _seen(self) -> str:
        """Which release answers at our edge."""
        with suppress(httpx.HTTPError):
            return _release(await self.stage.ask(self.app))
        return ""


def _release(answer: httpx.Response) -> str:
    return str(answer.json()["release"]) if answer.is_success else ""


def change_code(tree: Path, turn: int) -> None:
    """Another line of code."""
    with (tree / "main.py").open("a") as file:
        file.write(f"\nTURN = {turn}\n")


def change_dependencies(tree: Path, package: str) -> None:
    """One more dependency."""
    with (tree / "requirements.txt").open("a") as file:
        file.write(f"{package}\n")


def report(kind: str, turns: Turns, peer: str) -> None:
    """One line: medians, the steps of both sides, and whether the goals were met."""
    ours, theirs = median(turns.ours), median(turns.peers)
    about: dict[str, Any] = {
        "rounds": len(turns.ours),
        "steps_s": middles(turns.steps),
        "peer_steps_s": middles(turns.peer_steps),
    }
    if kind in GOALS:
        about["goal"], about["met"] = GOALS[kind], ours < GOALS[kind]
    if kind in RATIO_GOALS:
        about["ratio_goal"], about["ratio_met"] = RATIO_GOALS[kind], ours / theirs <= RATIO_GOALS[kind]
    figure(f"deploy_{kind}", ours, "s", peer=peer, peer_value=theirs, best=round(min(turns.ours), 3), **about)


def middles(steps: list[Steps]) -> Steps:
    """The median of each step."""
    return {name: round(median(each.get(name, 0.0) for each in steps), 3) for name in steps[0]}


async def duel(stage: Stage, tree: Path, mark: str, rounds: int) -> None:
    """All kinds of deploys, in turns."""
    async with Pipeline(tree, mark, load().build_pip_index) as peer:
        fight = Duel(stage, peer, f"bench-{mark}", tree)
        await fight.both("first")
        for turn in range(rounds):
            ours_first = turn % 2 == 0
            change_code(tree, turn)
            await fight.both("code", ours_first)
            if turn < 3:
                await fight.both("unchanged", ours_first)
        for turn, package in enumerate(PACKAGES[: min(rounds, 3)]):
            change_dependencies(tree, package)
            await fight.both("dependency", turn % 2 == 0)
        for kind, turns in fight.turns.items():
            report(kind, turns, peer.name)


async def again(stage: Stage, tree: Path, mark: str, rounds: int) -> None:
    """Another line of code, against a Dockerfile that installs again then."""
    async with Pipeline(tree, f"{mark}r", load().build_pip_index, reinstalls=True) as peer:
        await peer.deploy()
        fight = Duel(stage, peer, f"bench-{mark}", tree)
        for turn in range(min(rounds, 3)):
            change_code(tree, 100 + turn)
            await fight.both("code_against_reinstall", turn % 2 == 0)
        for kind, turns in fight.turns.items():
            report(kind, turns, peer.name)


async def main(rounds: int) -> None:
    """A platform, a tree that nobody has built yet, the duel; everything is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="leeward-bench-") as folder:
        made = example(Path(folder))
        try:
            async with platform() as stage:
                await duel(stage, made.tree, made.mark, rounds)
                await again(stage, made.tree, made.mark, rounds)
        finally:
            await asyncio.shield(remove_cache(made.marks))


if __name__ == "__main__":
    end_in_order()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, choices=range(1, 21), metavar="1-20")
    asyncio.run(main(parser.parse_args().rounds))

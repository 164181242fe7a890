"""Put 50 apps on a patched base image: seconds and bytes, beside building each of them again on it.

    python -m benchmarks.rebase [--apps 50]

The apps are small Flask apps that differ in their code. The rollouts are not in it: they are those of every deploy.
"""

import argparse
import asyncio
import re
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

from tests.integration.test_images import NoCache, Quay, Yard

from benchmarks import end_in_order, figure, say
from leeward.builders.recipes import RECIPES
from leeward.model.image import Base
from leeward.settings import Settings

# Building is slow: of so many apps the peer's time is measured.
PEERS = 5


async def main(count: int) -> None:
    """Build, patch, rebase."""
    with tempfile.TemporaryDirectory(prefix="leeward-bench-rebase-") as folder:
        yard = Yard(Path(folder))
        await yard.depot.start()
        quay = Quay(yard, "python3.13")
        RECIPES[quay.recipe.flavour] = quay.recipe  # type: ignore[index]
        try:
            await quay.take()
            apps = [await _app(quay, number) for number in range(count)]
            say(f"{count} apps are built")
            base = await quay.patched("openssl-provider-legacy")
            say("the base is patched")
            await _rebase(yard, apps, base, await _peer(quay))
        finally:
            quay.clean()
            await yard.depot.clean()
            yard.clean()


async def _app(quay: Quay, number: int) -> str:
    _, reference = await quay.app("flask", f"app{number}", f"ENV NUMBER={number}\n")
    return reference


async def _peer(quay: Quay) -> float:
    """Seconds to build an app again on the patched base: its layers above have to be made anew, as they lie on it."""
    yard, times = quay.yard, []
    for number in range(PEERS):
        builder = NoCache(Settings(home=yard.folder / "peer"))
        tree = yard.folder / f"peer{number}"
        shutil.copytree(Path(__file__).parents[1] / "tests" / "golden" / "trees" / "flask", tree)
        plan = yard.plan(tree, builder)
        text = re.sub(f"FROM {re.escape(quay.like.image)}\n", f"FROM {quay.recipe.image}\n", plan.dockerfile)
        began = time.perf_counter()
        image = await yard.build("flask", builder, replace(plan, dockerfile=text))
        await yard.registry.push(image, f"peer{number}", "v2")
        times.append(time.perf_counter() - began)
    return median(times)


async def _rebase(yard: Yard, apps: list[str], base: Base, peer_s: float) -> None:
    times, sent, made = [], [], []
    for number, reference in enumerate(apps):
        before, began = yard.blobs(), time.perf_counter()
        made.append(await yard.registry.rebase(reference, f"app{number}", "v2", base.image, base.mark))
        times.append(time.perf_counter() - began)
        sent.append(sum(yard.new(before).values()))
    assert len(set(made)) == len(apps)
    each = median(times)
    figure(
        "rebase: one app",
        each,
        "s",
        peer="build it again without a cache, and push",
        peer_value=peer_s,
        worst_s=round(max(times), 2),
        apps=len(apps),
    )
    figure("rebase: all apps", sum(times), "s", peer="the same", peer_value=peer_s * len(apps), apps=len(apps))
    figure("rebase: bytes to the registry", sum(sent), "bytes", apps=len(apps), first=sent[0], median=median(sent))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--apps", type=int, default=50)
    end_in_order()
    asyncio.run(main(parser.parse_args().apps))

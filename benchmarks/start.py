"""From start to the first good answer at the smallest size, with the CPU boost and without it, on the real backend.

python -m benchmarks.start [--rounds 5]
"""

import argparse
import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median

from benchmarks import boost, end_in_order, figure, say
from benchmarks.docker import docker, remove_cache
from benchmarks.example import example
from leeward.builders.buildkit import BuildkitBuilder
from leeward.engines.local.container import HOME, home_id
from leeward.model.parse import manifest
from leeward.ports import BuildJob
from leeward.settings import load

SIZE = "nano"


@contextlib.asynccontextmanager
async def built(folder: Path) -> AsyncIterator[argparse.Namespace]:
    """The example's image, and how it is started; gone afterwards."""
    made = example(folder)
    settings = load().model_copy(update={"home": folder / "home"})
    builder = BuildkitBuilder(settings)
    spec = manifest((made.tree / "leeward.yaml").read_text())
    plan = builder.plan(made.tree, spec.model_copy(update={"name": f"bench-{made.mark}"}), spec.env, {})
    name = f"leeward-bench/start:{made.mark}"
    try:
        say("building the example")
        image = await builder.build(BuildJob("bench", made.mark, made.tree, plan, dict(spec.env)), lambda text: None)
        await docker("tag", image.id, name)
        yield argparse.Namespace(
            image=name,
            command=plan.processes["web"],
            path="/health",
            port=8080,
            size=SIZE,
            runs=1,
            writable=not plan.read_only,
        )
    finally:
        await asyncio.shield(cleared(folder / "home"))
        await docker("rmi", "--force", name, may_fail=True)
        await asyncio.shield(remove_cache(made.marks))


async def cleared(home: Path) -> None:
    """Remove what a measurement that failed has left."""
    ours = f"label={HOME}={home_id(str(home.resolve()))}"
    for what, remove in ((("ps", "--all"), ("rm", "--force", "--volumes")), (("network", "ls"), ("network", "rm"))):
        if names := (await docker(*what, "--quiet", "--filter", ours)).split():
            await docker(*remove, *names, may_fail=True)


async def main(rounds: int) -> None:
    """Both ways in turns."""
    with tempfile.TemporaryDirectory(prefix="leeward-bench-") as folder:
        async with built(Path(folder)) as options:
            found: dict[bool, list[float]] = {True: [], False: []}
            for turn in range(rounds):
                for boosted in (True, False) if turn % 2 else (False, True):
                    with contextlib.redirect_stdout(sys.stderr):
                        found[boosted] += await boost.measure(Path(folder) / "home", options, boosted)
    figure(
        f"start_{SIZE}_boosted",
        median(found[True]),
        "s",
        peer="without the boost",
        peer_value=median(found[False]),
        rounds=rounds,
        spread_s=[round(min(found[True]), 3), round(max(found[True]), 3)],
        peer_spread_s=[round(min(found[False]), 3), round(max(found[False]), 3)],
    )


if __name__ == "__main__":
    end_in_order()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, choices=range(1, 21), metavar="1-20")
    asyncio.run(main(parser.parse_args().rounds))

"""The program behind `bin/detect` and `bin/build` of each of our buildpacks."""

import os
import sys
from pathlib import Path

# Started as a file and isolated (`python3 -I`): nothing of the app is ever imported.
sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from leeward.builders.cnb import go, node, procfile, python, static
from leeward.builders.cnb.phase import Failed, Phase, say

BUILDPACKS = {"go": go, "node": node, "procfile": procfile, "python": python, "static": static}
PASSED, NOT_MINE, FAILED = 0, 100, 1


def main(argv: list[str]) -> int:
    """`<buildpack> detect|build`: the exit code that the lifecycle reads."""
    name, phase = argv
    layers = Path(os.environ.get("CNB_LAYERS_DIR", "."))
    given = Phase(Path.cwd(), layers, Path(os.environ.get("CNB_PLATFORM_DIR", "/platform")), os.environ)
    try:
        if phase == "detect":
            return PASSED if BUILDPACKS[name].detect(given) else NOT_MINE
        BUILDPACKS[name].build(given)
    except Failed as error:
        say(f"error: {error}")
        return FAILED
    return PASSED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What the exit codes of the lifecycle mean. Pure."""

from collections.abc import Sequence

from leeward.builders.command import ENGINE_GONE
from leeward.builders.failures import explain
from leeward.errors import BuildFailed, LeewardError, PlanFailed, Unavailable

_LOG = "read the log above: `lee logs APP --build vN`"


def failure(phase: str, code: int, output: Sequence[str], looked_for: str, builder: str) -> LeewardError:
    """The sentence for a phase that ended with a code other than 0."""
    last = _last(output)
    if ENGINE_GONE.search("\n".join(output[-3:])):
        return Unavailable("dockerd went away while it built", hint="the build is tried again; see `lee doctor`")
    match code:
        case 11 | 12:
            return BuildFailed(
                f"the builder image '{builder}' speaks another version of the buildpacks API: {last}",
                hint="take a newer builder image, or leave build.builder out to use Leeward's own",
                code="buildpacks-api",
            )
        case 20:
            return PlanFailed(
                f"no buildpack knows this app: looked for {looked_for}",
                hint="add one of these files, set path: to the app's directory, or use strategy 'auto'",
                code="no-buildpack",
            )
        case 21 | 22:
            return BuildFailed(f"a buildpack failed while it looked at the app: {last}", hint=_LOG)
        case 51:
            message, hint = explain("", output, "")
            plain = message.startswith("the build ")
            return BuildFailed(f"a buildpack failed: {last}" if plain else message, hint=_LOG if plain else hint)
        # The docker client's own: nothing ran.
        case 125:
            return Unavailable("dockerd could not run a phase of the build: " + last, hint="run `lee doctor`")
        case 137 | 143:
            return BuildFailed(f"the phase '{phase}' was ended from outside", hint="deploy again", code="build-failed")
    kind = _KINDS.get(code // 10, "")
    said = f"{kind}: {last}" if kind else f"the phase '{phase}' ended with exit code {code}: {last}"
    return BuildFailed(said, hint=_LOG)


_KINDS = {
    2: "the app could not be looked at",
    3: "the previous image or the run image could not be read",
    4: "layers of the previous build could not be brought back",
    5: "the build could not be carried out",
    6: "the image could not be written",
}


def _last(output: Sequence[str]) -> str:
    """The last line that tells of an error, without the lifecycle's own prefix."""
    lines = [line.strip() for line in output if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error", "fatal", "err:"))]
    # The lifecycle's own last word only repeats that something failed.
    telling = [line for line in errors if "failed to build: exit status" not in line] or errors
    line = (telling or lines or ["no output"])[-1]
    return line.removeprefix("ERROR: ").removeprefix("error: ")[:300]

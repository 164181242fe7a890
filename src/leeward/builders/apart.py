"""Lets a command mount what it likes: its mounts and processes are its own, and end with it."""

from collections.abc import Sequence

from leeward.builders.process import output
from leeward.ports import Say

# With processes of its own too: whatever it left behind would keep the mounts. It also ends with us, however we end.
_APART = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private", "--pid", "--fork")
APART = (*_APART, "--kill-child", "--")


async def apart(argv: Sequence[str], say: Say) -> Sequence[str]:
    """The command, set apart where this machine lets us; where it does not, one line says so."""
    try:
        code, text = await output((*APART, "true"))
    except FileNotFoundError as error:
        code, text = 1, str(error)
    if code == 0:
        return (*APART, *argv)
    reason = text.strip().rpartition("\n")[2] or f"exit code {code}"
    say(f"mounts cannot be set apart here ({reason}): if this is killed, look for mounts below TMPDIR with `findmnt`")
    return argv

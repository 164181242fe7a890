"""Keep instances from reaching the host itself."""

import asyncio
import shutil

from leeward.engines.local.network import (
    JUMP,
    RULES,
    firewall_holds,
    firewall_script,
    metadata_missing,
)
from leeward.errors import Unavailable


async def hold() -> bool:
    """Make the rules right if they are not; True when something had to be done. Raises Unavailable.

    IPv6 is off in the projects' networks; its rules are a second lock where the machine has it.
    """
    changed = await _hold("iptables")
    for rule in metadata_missing(await _run(("iptables", "-w", "5", "-t", "mangle", "-S", "PREROUTING"))):
        await _run(("iptables", "-w", "5", "-t", "mangle", "-I", *rule))
        changed = True
    if shutil.which("ip6tables") is not None and shutil.which("ip6tables-restore") is not None:
        try:
            changed = await _hold("ip6tables") or changed
        except Unavailable:
            return changed
    return changed


async def _hold(command: str) -> bool:
    saved = await _run((command, "-w", "5", "-S"))
    if firewall_holds(saved):
        return False
    await _run((f"{command}-restore", "-w", "5", "--noflush"), firewall_script(_jumps(saved)))
    return True


def _jumps(saved: str) -> int:
    wanted = "-A " + " ".join(JUMP)
    return sum(line.strip() == wanted for line in saved.splitlines())


async def _run(argv: tuple[str, ...], text: str = "") -> str:
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise Unavailable(
            f"'{argv[0]}' could not be run", hint="install iptables; without it nothing starts"
        ) from error
    out, err = await process.communicate(text.encode())
    if process.returncode != 0:
        message = err.decode(errors="replace").strip().splitlines()
        raise Unavailable(
            f"'{argv[0]}' failed: {message[-1] if message else process.returncode}",
            hint=f"nothing starts without its {len(RULES)} rules; run as root",
        )
    return out.decode(errors="replace")

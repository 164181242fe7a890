"""Find and remove what the platform has left in the container engine and the packet filter."""

import hashlib
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from leeward.errors import Unavailable
from leeward.host.command import Outcome, run
from leeward.settings import Settings

# Arguments of one command line: far below the kernel's limit.
BATCH = 200
CHAIN = "LEEWARD"


class Leftovers:
    """Containers, networks, volumes and images with the platform's label."""

    def __init__(self, settings: Settings, labels: Sequence[str]) -> None:
        self._client = (str(settings.docker_command), "-H", f"unix://{settings.docker_socket}")
        self._labels = tuple(labels)
        self._registry = settings.registry
        self._machine_wide = settings.home == Settings().home

    async def containers(self) -> tuple[str, ...]:
        """Ids of all containers of ours, running or not."""
        return await self._labelled("ps", "-aq", "--no-trunc")

    async def stop(self, grace_s: int = 10) -> int:
        """End all containers, SIGTERM first, and remove them; how many there were."""
        found = await self.containers()
        for part in _batches(found):
            await self._docker("stop", "-t", str(grace_s), *part, timeout_s=grace_s * 3 + 60)
            await self._docker("rm", "-f", "-v", *part, timeout_s=120)
        return len(found)

    async def remove(self) -> None:
        """Remove networks, volumes and images too."""
        await self.stop()
        for part in _batches(await self._labelled("network", "ls", "-q")):
            await self._docker("network", "rm", *part)
        for part in _batches(await self._labelled("volume", "ls", "-q")):
            await self._docker("volume", "rm", "-f", *part)
        for part in _batches(await self._images()):
            await self._docker("rmi", "-f", *part, timeout_s=600)

    async def others(self) -> bool:
        """Whether another home has networks on this machine: the packet filter's chain is for all of them."""
        return bool(await self._list("network", "ls", "-q", "--filter", "label=leeward.home"))

    async def _images(self) -> tuple[str, ...]:
        found = dict.fromkeys(await self._labelled("images", "-q", "--no-trunc"))
        filters = (
            # Other homes build on the same base images.
            *(("reference=leeward-base/*",) if self._machine_wide else ()),
            f"reference={self._registry}/*",
            f"reference={self._registry}/*/*",
        )
        for wanted in filters:
            found.update(dict.fromkeys(await self._list("images", "-q", "--no-trunc", "--filter", wanted)))
        return tuple(found)

    async def _labelled(self, *words: str) -> tuple[str, ...]:
        """What has any of our labels: Docker itself would take several filters as all of them."""
        found: dict[str, None] = {}
        for label in self._labels:
            found.update(dict.fromkeys(await self._list(*words, "--filter", f"label={label}")))
        return tuple(found)

    async def _list(self, *words: str) -> tuple[str, ...]:
        outcome = await self._docker(*words)
        if outcome.code:
            raise Unavailable(f"the container engine did not answer: {outcome.last}", hint="run: lee doctor")
        return tuple(outcome.out.split())

    async def _docker(self, *words: str, timeout_s: float = 60) -> Outcome:
        return await run((*self._client, *words), timeout_s=timeout_s)


def labels_of(settings: Settings) -> tuple[str, str]:
    """What the engine writes on containers and networks, and the builder on images, to tell homes apart."""
    short = hashlib.sha256(str(settings.home.resolve()).encode()).hexdigest()[:8]
    return f"leeward.home={short}", f"leeward.home={settings.home}"


async def remove_rules() -> None:
    """Take our chains and the jumps to them out of the packet filter."""
    for command in ("iptables", "ip6tables"):
        for table in ("filter", "nat", "mangle"):
            if not Path(f"/usr/sbin/{command}").exists():
                continue
            listed = await run((command, "-w", "5", "-t", table, "-S"))
            for words in rule_removals(listed.out):
                await run((command, "-w", "5", "-t", table, *words))


def rule_removals(listing: str) -> tuple[tuple[str, ...], ...]:
    """The arguments that undo every line of ours in `iptables -S`: jumps first, then contents, then chains. Pure."""
    lines = [shlex.split(line) for line in listing.splitlines() if CHAIN in line]
    jumps = [("-D", *words[1:]) for words in lines if words[0] == "-A" and not words[1].startswith(CHAIN)]
    chains = [words[1] for words in lines if words[0] == "-N"]
    return (*jumps, *(("-F", chain) for chain in chains), *(("-X", chain) for chain in chains))


def _batches(items: Sequence[str]) -> Iterator[Sequence[str]]:
    return (items[start : start + BATCH] for start in range(0, len(items), BATCH))

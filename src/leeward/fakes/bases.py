"""Base images in memory, for tests."""

from collections.abc import Sequence

from leeward.errors import BuildFailed, NotFound
from leeward.model.image import Base, BaseMark, Upgrade
from leeward.ports import Say


class FakeBaseImages:
    """One flavour's contents are `a`, then `b` and so on, each time that the mirror has something newer."""

    def __init__(self) -> None:
        self.now: dict[str, str] = {}
        """Flavour to the content that new builds get."""
        self.made: set[tuple[str, str]] = set()
        self.mirror: dict[str, tuple[Upgrade, ...]] = {}
        """Flavour to what the mirror has newer."""
        self.away = False
        """Whether the mirror does not answer."""
        self.abi = "amd64 libc6"
        self.looks = 0

    def add(self, flavour: str) -> Base:
        """Have a flavour."""
        self.now[flavour] = "a"
        self.made.add((flavour, "a"))
        return self._base(flavour)

    async def present(self, flavour: str) -> Base:
        """As it is."""
        if flavour not in self.now:
            raise NotFound(f"there is no base image '{flavour}'", code="no-base")
        return self._base(flavour)

    async def newer(self, flavour: str) -> Sequence[Upgrade]:
        """From `mirror`."""
        await self.present(flavour)
        self.looks += 1
        if self.away:
            raise BuildFailed("newer packages could not be looked for: no answer")
        return self.mirror.get(flavour, ())

    async def fresh(self, flavour: str, say: Say) -> Base:
        """The next letter where the mirror has something newer."""
        if await self.newer(flavour):
            self.now[flavour] = chr(ord(max(content for name, content in self.made if name == flavour)) + 1)
            self.made.add((flavour, self.now[flavour]))
            self.mirror[flavour] = ()
            say(f"made {flavour} {self.now[flavour]}")
        return self._base(flavour)

    async def point(self, flavour: str, content: str) -> bool:
        """Only to what was made."""
        if (flavour, content) not in self.made:
            return False
        self.now[flavour] = content
        return True

    def _base(self, flavour: str) -> Base:
        content = self.now[flavour]
        return Base(BaseMark(flavour, "tag", content, self.abi), f"leeward-base/{flavour}:tag-{content}")

"""Hold how many instances are wished for where the platform chooses, and which apps may sleep."""

from collections.abc import Mapping

from leeward.model.app import Instances
from leeward.model.release import Release
from leeward.model.runtime import Observed
from leeward.model.wish import App
from leeward.plan.release import WEB
from leeward.plan.sleep import counts_seen, may_sleep


class Counts:
    """The autoscaler's wishes. All of it can be found again from what runs and what the edge routes."""

    def __init__(self) -> None:
        self._wished: dict[str, Mapping[str, int]] = {}
        self.sleepers: dict[str, tuple[Instances, str]] = {}
        """Apps of which nothing need run while nobody asks: the bounds of their web process, and their region."""
        self.served_at: dict[str, float] = {}
        """Since when the edge has somewhere to send an app's requests; Unix seconds."""

    def get(self, app: str) -> Mapping[str, int]:
        """Process to instances, for those that the platform has chosen a number for."""
        return self._wished.get(app, {})

    def put(self, app: str, process: str, instances: int) -> None:
        """Wish for so many."""
        self._wished[app] = {**self.get(app), process: instances}

    def asleep(self, app: str) -> bool:
        """Whether nothing of an app's web process should run, because nobody asks."""
        return app in self.sleepers and self.get(app).get(WEB) == 0

    def begin(self, app: App, live: Release, seen: Observed, peers: frozenset[str]) -> None:
        """Go on with what an earlier control plane chose; what the edge routes to does not sleep."""
        found = counts_seen(live, seen, app.generation)
        if found.get(WEB) == 0 and peers:
            del found[WEB]
        self._wished[app.name] = {**found, **self.get(app.name)}

    def note(self, app: str, live: Release | None, *, reached: bool = True) -> None:
        """Know whether an app may sleep, and whether its requests reach the platform, which could wake it."""
        bounds = may_sleep(live)
        if live is None or bounds is None:
            self.sleepers.pop(app, None)
        else:
            self.sleepers[app] = (bounds, live.spec.region)
        if (bounds is None or not reached) and self.get(app).get(WEB) == 0:
            # It does not sleep any more, and when it may again, it is awake; or it is not for us to let it sleep.
            self._wished[app] = {process: count for process, count in self.get(app).items() if process != WEB}

    def served(self, app: str, before: tuple[str, ...], peers: tuple[str, ...], now: float) -> None:
        """Know when requests found somewhere to go."""
        if peers and not before:
            self.served_at[app] = now
        elif not peers:
            self.served_at.pop(app, None)

    def forget(self, app: str) -> None:
        """The app is gone."""
        for known in (self._wished, self.sleepers, self.served_at):
            known.pop(app, None)


def awake(counts: Mapping[str, int]) -> Mapping[str, int]:
    """The same counts for a release that must prove itself: with an instance of each process."""
    return {process: max(1, count) for process, count in counts.items()}

"""What was last seen of every app, so that a list asks no engine."""

from collections.abc import Mapping, Sequence

from leeward.model.runtime import Observed


class Seen:
    """A snapshot that the loops fill; reading it costs nothing."""

    def __init__(self) -> None:
        self._apps: dict[str, Observed] = {}
        self._warnings: dict[str, str] = {}

    def put(self, app: str, observed: Observed) -> None:
        """Keep the newest look at an app; an app that is gone is forgotten with an empty one."""
        if observed.instances:
            self._apps[app] = observed
        else:
            self._apps.pop(app, None)

    def get(self, app: str) -> Observed:
        """What was last seen; nothing when nobody looked yet."""
        return self._apps.get(app) or Observed(app)

    def all(self) -> Mapping[str, Observed]:
        """Every app of which something runs."""
        return dict(self._apps)

    def warn(self, topic: str, text: str) -> None:
        """Keep one sentence about what is wrong with the platform; '' when nothing is."""
        self._warnings[topic] = text

    def warnings(self) -> Sequence[str]:
        """What is wrong now."""
        return tuple(text for _, text in sorted(self._warnings.items()) if text)

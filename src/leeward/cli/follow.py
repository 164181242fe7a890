"""Stay with a deploy until it ends, whatever happens to the connection."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from leeward.cli import output
from leeward.cli.client import Event, Platform, path
from leeward.cli.progress import Progress, progress
from leeward.errors import Unavailable

FINAL = ("live", "failed", "cancelled", "superseded")
# A control plane is back after seconds, a machine after a minute or two.
PATIENCE_S = 180.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0
_REMEMBERED = 5000

T = TypeVar("T")


def finish(platform: Platform, deploy: Mapping[str, Any], *, detach: bool, as_json: bool) -> int:
    """Wait for the end of a deploy that was asked for and print the answer; its exit code."""
    if detach:
        if as_json:
            return output.as_json({"app": deploy["app"], "deploy": deploy["id"], "status": deploy["status"]})
        output.answer(str(deploy["id"]))
        output.say(f"'{deploy['app']}' is being deployed; `lee releases {deploy['app']}` shows what is live")
        return 0
    return printed(waited(platform, deploy), as_json)


def waited(platform: Platform, deploy: Mapping[str, Any]) -> Mapping[str, Any]:
    """The deploy once it is final. Ctrl-C ends the waiting, not the deploy."""
    try:
        with progress() as view:
            return Follower(platform, view, deploy).run()
    except KeyboardInterrupt:
        app, id = deploy["app"], deploy["id"]
        output.say(f"The deploy of '{app}' goes on without this command. `lee apps show {app}` shows how it is,")
        output.say(f"`lee logs {app} --build {id}` what it prints, and `lee cancel {id}` ends it.")
        raise


def printed(deploy: Mapping[str, Any], as_json: bool) -> int:
    """Print how a deploy ended; exit code 0 for live, else 1."""
    value = outcome(deploy)
    live = deploy["status"] == "live"
    if as_json:
        output.as_json(value)
    elif live:
        output.answer(f"{value['app']} {value['release']} is live: {value['url']}")
        spent = [f"{name} {output.seconds(value_s)}" for name, value_s in value["timings_s"].items()]
        output.answer(" · ".join(spent))
        if value["receipt"]:
            output.answer(receipt_line(value["receipt"]))
    else:
        output.say(f"Error: {value['step']}: {value['error']['message']}")
        if value["error"]["hint"]:
            output.say(f"  hint: {value['error']['hint']}")
    return 0 if live else 1


def outcome(deploy: Mapping[str, Any]) -> dict[str, Any]:
    """The one object of `--json`."""
    if deploy["status"] == "live":
        return {
            "app": deploy["app"],
            "release": output.version(deploy.get("release")),
            "commit": deploy.get("commit") or "",
            "image": deploy.get("image") or "",
            "url": deploy.get("url") or "",
            "status": "live",
            "timings_s": dict(deploy.get("timings_s") or {}),
            "receipt": deploy.get("receipt"),
        }
    error = deploy.get("error") or {}
    fallback = f"the deploy was {deploy['status']}"
    return {
        "app": deploy["app"],
        "status": deploy["status"],
        "step": deploy.get("step") or error.get("step") or deploy.get("phase") or "",
        "error": {
            "code": error.get("code") or deploy["status"],
            "message": error.get("message") or fallback,
            "hint": error.get("hint") or "",
        },
    }


def receipt_line(receipt: Mapping[str, Any]) -> str:
    """The receipt in one line."""
    return (
        f"receipt: {receipt.get('requests', 0):,} requests, {receipt.get('failed', 0):,} failed, "
        f"p50 {receipt.get('p50_ms', 0)} ms, p99 {receipt.get('p99_ms', 0)} ms, "
        f"{receipt.get('sockets_kept', 0):,} sockets kept, {receipt.get('sockets_dropped', 0):,} dropped"
    )


def patiently(platform: Platform, ask: Callable[[], T]) -> T:
    """Ask again while the platform restarts; at once an error when it never answered. `ask` may be repeated."""
    pause, until = _FIRST_PAUSE_S, time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask()
        except Unavailable:
            if not platform.reached or time.monotonic() > until:
                raise
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_S)


class Follower:
    """Reads the stream of a deploy; when it drops, looks by itself and connects again."""

    def __init__(self, platform: Platform, view: Progress, deploy: Mapping[str, Any]) -> None:
        self._platform = platform
        self._view = view
        self._deploy = deploy
        self._where = path("deploys", deploy["id"])
        self._last = ""
        # A new stream may begin with lines that the old one sent already.
        self._lines: deque[tuple[Any, str]] = deque(maxlen=_REMEMBERED)
        self._known: set[tuple[Any, str]] = set()

    def run(self) -> Mapping[str, Any]:
        """The deploy once it is final. Raises Unavailable after minutes of silence."""
        pause, lost_at = _FIRST_PAUSE_S, 0.0
        while not self._done():
            try:
                if self._stream() or self._look():
                    pause = _FIRST_PAUSE_S
                lost_at = 0.0
            except Unavailable as error:
                lost_at = self._lost(lost_at, error)
            if not self._done():
                time.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)
        return self._deploy

    def _stream(self) -> bool:
        """Read one stream until it ends or drops; whether it said anything."""
        heard = False
        try:
            with self._platform.stream(f"{self._where}/events", last=self._last) as events:
                for event in events:
                    heard = True
                    self._take(event)
                    if self._done():
                        break
        except Unavailable:
            # Looking comes next, and says whether the platform is gone or only its stream.
            return heard
        return heard

    def _take(self, event: Event) -> None:
        self._last = event.id or self._last
        if event.kind == "deploy" and isinstance(event.data, Mapping):
            self._put(event.data)
        elif event.kind == "log" and isinstance(event.data, Mapping):
            line = (event.data.get("at"), str(event.data.get("text", "")))
            if line in self._known:
                return
            if len(self._lines) == _REMEMBERED:
                self._known.discard(self._lines[0])
            self._lines.append(line)
            self._known.add(line)
            self._view.line(line[1])

    def _look(self) -> bool:
        before = self._deploy
        self._put(self._platform.get(self._where))
        return self._deploy != before

    def _put(self, deploy: Mapping[str, Any]) -> None:
        self._deploy = deploy
        self._view.deploy(deploy)

    def _done(self) -> bool:
        return self._deploy.get("status") in FINAL

    def _lost(self, lost_at: float, error: Unavailable) -> float:
        """Since when the platform is silent. Raises Unavailable when it is too long."""
        now = time.monotonic()
        if not lost_at:
            self._view.note("The platform does not answer. The deploy goes on; this command waits for the platform.")
            return now
        if now - lost_at > PATIENCE_S:
            raise Unavailable(error.message, hint=f"look again with `lee apps show {self._deploy['app']}`") from error
        return lost_at

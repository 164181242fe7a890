"""How times, amounts and states are said. Pure."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from markupsafe import Markup, escape

from leeward.errors import Invalid, LeewardError

MINUTE, HOUR, DAY = 60, 3600, 86400
_TERMINAL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f]")


class Badge(NamedTuple):
    """A state as word, icon and tone: never colour alone."""

    word: str
    tone: str
    icon: str


BADGES: Mapping[str, Mapping[str, Badge]] = {
    "app": {
        "new": Badge("New", "idle", "dashed"),
        "deploying": Badge("Deploying", "busy", "spinner"),
        "live": Badge("Live", "ok", "check"),
        "failed": Badge("Failed", "bad", "cross"),
        "crashed": Badge("Crashed", "bad", "alert"),
        "stopped": Badge("Stopped", "idle", "pause"),
        "asleep": Badge("Asleep", "idle", "clock"),
        "deleting": Badge("Deleting", "warn", "spinner"),
    },
    "deploy": {
        "queued": Badge("Queued", "idle", "clock"),
        "running": Badge("Running", "busy", "spinner"),
        "live": Badge("Live", "ok", "check"),
        "failed": Badge("Failed", "bad", "cross"),
        "cancelled": Badge("Cancelled", "idle", "slash"),
        "superseded": Badge("Superseded", "idle", "skip"),
        "replaced": Badge("Replaced", "idle", "check"),
    },
    "instance": {
        "starting": Badge("Starting", "busy", "spinner"),
        "ready": Badge("Ready", "ok", "check"),
        "unhealthy": Badge("Unhealthy", "warn", "alert"),
        "draining": Badge("Draining", "idle", "clock"),
        "crashed": Badge("Crashed", "bad", "cross"),
        "stopping": Badge("Stopping", "idle", "clock"),
    },
    "run": {
        "starting": Badge("Starting", "busy", "spinner"),
        "running": Badge("Running", "busy", "spinner"),
        "succeeded": Badge("Succeeded", "ok", "check"),
        "failed": Badge("Failed", "bad", "cross"),
        "cancelled": Badge("Cancelled", "idle", "slash"),
    },
    "part": {"yes": Badge("Working", "ok", "check"), "no": Badge("Not answering", "bad", "cross")},
    "token": {
        "active": Badge("Active", "ok", "check"),
        "expired": Badge("Expired", "idle", "clock"),
        "revoked": Badge("Revoked", "idle", "slash"),
    },
}

KINDS: Mapping[str, str] = {
    "code": "Deploy",
    "env": "Variables",
    "scale": "Scale",
    "restart": "Restart",
    "rollback": "Roll back",
}


def badge(kind: str, state: str) -> Badge:
    """The badge of a state; one that we do not know is said as it is."""
    return BADGES[kind].get(state, Badge(state.capitalize(), "idle", "dashed"))


def ago(then: datetime, now: datetime) -> str:
    """`2 min ago`, or `in 3 days`; coarse, so that a live page is not sent again each second."""
    seconds = int((now - then).total_seconds())
    if -10 < seconds < 10:
        return "just now"
    text = _span(abs(seconds))
    return f"{text} ago" if seconds > 0 else f"in {text}"


def _span(seconds: int) -> str:
    if seconds < MINUTE:
        return f"{seconds // 10 * 10} s"
    if seconds < HOUR:
        return f"{seconds // MINUTE} min"
    if seconds < DAY:
        return f"{seconds // HOUR} h"
    days = seconds // DAY
    return "1 day" if days == 1 else f"{days} days"


def exact(then: datetime) -> str:
    """A time in full, as a title."""
    return then.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def duration(seconds: float | None) -> str:
    """`0.3 s`, `12.4 s`, `3 min 05 s`."""
    if seconds is None:
        return ""
    if seconds < 0.05:
        return "<0.1 s"
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), MINUTE)
    return f"{minutes} min {rest:02d} s" if minutes < MINUTE else f"{minutes // 60} h {minutes % 60:02d} min"


def amount(number: float) -> str:
    """`48,213`, `2.1`."""
    if number == int(number):
        return f"{int(number):,}"
    return f"{number:,.1f}" if abs(number) >= 0.1 else f"{number:.2g}"


def size(count: float) -> str:
    """`512 MiB`, `3.2 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def money(usd: float) -> str:
    """`$20`, `$2.50`."""
    return f"${usd:,.0f}" if usd == int(usd) else f"${usd:,.2f}"


def count(number: int, word: str) -> str:
    """`1 instance`, `3 instances`."""
    if number == 1:
        return f"1 {word}"
    return f"{number:,} {word}es" if word.endswith("s") else f"{number:,} {word}s"


def sentence(text: str) -> str:
    """Our errors begin small and have no full stop; a page shows sentences."""
    text = text.strip()
    if not text:
        return ""
    first = text if text[0] in "'`" else text[0].upper() + text[1:]
    return first if first[-1] in ".!?…:" else f"{first}."


def said(text: str) -> Markup:
    """A sentence of ours as HTML: what stands between backticks is code."""
    parts = re.split(r"`([^`]+)`", sentence(text))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if at % 2 else escape(part) for at, part in enumerate(parts)
    )


def host(url: str) -> str:
    """An address without its scheme."""
    return url.removeprefix("https://")


def clock(at: float) -> str:
    """The time of day of a log line, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def share(part: float, whole: float) -> int:
    """Percent, 0 to 100."""
    return max(0, min(100, round(100 * part / whole))) if whole > 0 else 0


def plain(text: str) -> str:
    """A log line without the terminal's colours and controls."""
    return _TERMINAL.sub("", text)


class Trouble(NamedTuple):
    """A failure as a page shows it: one sentence, what to do next, and the fields that are wrong."""

    text: str
    hint: str
    fields: tuple[tuple[str, str], ...] = ()


def trouble(error: LeewardError) -> Trouble:
    """What went wrong; each wrong field by its own name."""
    if isinstance(error, Invalid):
        named = tuple(
            (problem.path, " ".join(filter(None, (sentence(problem.message), sentence(problem.hint)))))
            for problem in error.problems
            if problem.path
        )
        if named:
            text = "One field is wrong." if len(named) == 1 else f"{len(named)} fields are wrong."
            return Trouble(text, "", named)
    return Trouble(sentence(error.message), sentence(error.hint))

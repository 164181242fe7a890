"""When a process with a schedule runs: five fields of cron, read and counted as clusters do it. Pure.

A time is due when the clock on the wall of its time zone shows it. So what falls into the hour that is skipped in
spring does not run that day, and what falls into the hour that comes twice in autumn runs twice.
"""

import difflib
import re
import zoneinfo
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache

_ALIASES: Mapping[str, str] = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# As far as clusters look: a leap day is never farther away in this century.
_DAYS_AHEAD = 5 * 366
_BEGINNING = datetime.min.replace(tzinfo=UTC)
_PART = re.compile(r"(?P<low>\*|\?|\w+)(-(?P<high>\w+))?(/(?P<step>\w+))?")


@dataclass(frozen=True, slots=True)
class _Field:
    """One of the five."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 6, _DAYS),
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The times of a schedule on the wall clock of its zone."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """0 is Sunday."""
    both_days: bool
    """Whether a day must match both fields for days; with neither of them open, one is enough."""
    zone: tzinfo

    def after(self, moment: datetime) -> datetime | None:
        """The first time later than `moment`, in UTC; None when there is none in five years."""
        return next(self._later(moment.astimezone(UTC)), None)

    def latest(self, since: datetime, until: datetime) -> datetime | None:
        """The last time later than `since` and not later than `until`, in UTC."""
        first, last = since.astimezone(self.zone).date(), until.astimezone(self.zone).date()
        for offset in range(min((last - first).days, _DAYS_AHEAD) + 2):
            times = [at for at in self._on(last + timedelta(days=1 - offset)) if since < at <= until]
            if times:
                return max(times)
        times = [at for at in self._on(first - timedelta(days=1)) if since < at <= until]
        return max(times, default=None)

    def count(self, since: datetime, until: datetime, most: int = 1000) -> int:
        """How many times lie between, `since` excluded; counts no further than `most`."""
        found = 0
        for at in self._later(since.astimezone(UTC)):
            if at > until or found >= most:
                break
            found += 1
        return found

    def matches(self, moment: datetime) -> bool:
        """Whether the wall clock shows one of the times then."""
        local = moment.astimezone(self.zone)
        return local.minute in self.minutes and local.hour in self.hours and self._day(local.date())

    def _later(self, moment: datetime) -> Iterator[datetime]:
        day = moment.astimezone(self.zone).date()
        # One day earlier: where a clock is set back over midnight, the same date comes twice.
        for offset in range(-1, _DAYS_AHEAD):
            yield from self._on(day + timedelta(days=offset), moment)

    def _day(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        by_month, by_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return (by_month and by_week) if self.both_days else (by_month or by_week)

    def _on(self, day: date, since: datetime = _BEGINNING) -> Iterator[datetime]:
        """The times of one date that are later than `since`, in their order."""
        if not self._day(day):
            return
        begins = [datetime.combine(each, time(), self.zone).utcoffset() for each in (day, day + timedelta(days=1))]
        if begins[0] == begins[1] and begins[0] is not None:
            midnight = datetime.combine(day, time(), UTC) - begins[0]
            passed = (since - midnight) // timedelta(hours=1)
            for hour in sorted(hour for hour in self.hours if hour >= passed):
                for minute in sorted(self.minutes):
                    if (at := midnight + timedelta(hours=hour, minutes=minute)) > since:
                        yield at
            return
        yield from (at for at in self._on_changing(day) if at > since)

    def _on_changing(self, day: date) -> list[datetime]:
        """The times of a date on which the clock is set."""
        found: set[datetime] = set()
        for hour in self.hours:
            for minute in self.minutes:
                for fold in (0, 1):
                    local = datetime.combine(day, time(hour, minute, fold=fold), self.zone)
                    at = local.astimezone(UTC)
                    shown = at.astimezone(self.zone)
                    # A time that is skipped comes back as another one.
                    if (shown.date(), shown.hour, shown.minute) == (day, hour, minute):
                        found.add(at)
        return sorted(found)


def zone(name: str) -> tzinfo:
    """A time zone by its name in the tz database. Raises ValueError with the reason."""
    if name == "UTC":
        return UTC
    problem = f"'{name}' is not a time zone: write it like 'Europe/Berlin', or 'UTC'"
    if not re.fullmatch(r"[A-Za-z0-9_+\-]+(/[A-Za-z0-9_+\-]+)*", name) or name.lower() in ("local", "localtime"):
        raise ValueError(problem)
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        known = zoneinfo.available_timezones()
        if not known:
            raise ValueError("this machine has no time zones: install the package 'tzdata', or use 'UTC'") from error
        close = difflib.get_close_matches(name, sorted(known), n=1)
        raise ValueError(f"{problem}; did you mean '{close[0]}'?" if close else problem) from error


@lru_cache(maxsize=4096)
def schedule(text: str, timezone: str = "UTC") -> Schedule:
    """Read a schedule. Raises ValueError with the value and the reason."""
    fields = _fields(text)
    minutes, hours, days, months, weekdays = (
        _values(text, part, field) for part, field in zip(fields, _FIELDS, strict=True)
    )
    open_days = any(_open(part) for part in (fields[2], fields[4]))
    made = Schedule(minutes, hours, days, months, weekdays, both_days=open_days, zone=zone(timezone))
    if not _ever(made):
        raise ValueError(f"schedule '{text}' never comes: no such month has that day")
    return made


def _ever(made: Schedule) -> bool:
    """Whether any date is ever meant."""
    longest = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
    return not made.both_days or any(min(made.days) <= longest.get(month, 31) for month in made.months)


def _fields(text: str) -> list[str]:
    if text.startswith(("TZ=", "CRON_TZ=")):
        raise ValueError(f"schedule '{text}' names a time zone: write that in 'timezone'")
    if text.startswith("@every"):
        raise ValueError(
            f"schedule '{text}' counts from its own beginning, which is not the same on every engine: "
            "name times of the clock, as '*/15 * * * *'"
        )
    if text.startswith("@"):
        if text not in _ALIASES:
            raise ValueError(f"schedule '{text}' is not one of {', '.join(_ALIASES)}")
        text = _ALIASES[text]
    fields = text.split()
    if len(fields) == 6:
        raise ValueError(f"schedule '{text}' has 6 fields instead of 5: seconds cannot be given")
    if len(fields) != 5:
        names = ", ".join(field.name for field in _FIELDS)
        raise ValueError(f"schedule '{text}' has {len(fields)} fields instead of 5: {names}")
    return fields


def _open(part: str) -> bool:
    """Whether any value is as good as another. A star with a step says something, as clusters see it."""
    return any(each.partition("/")[0] in ("*", "?") and each.partition("/")[2] in ("", "1") for each in part.split(","))


def _values(text: str, part: str, field: _Field) -> frozenset[int]:
    found: set[int] = set()
    for each in part.split(","):
        match = _PART.fullmatch(each)
        if match is None:
            raise ValueError(_wrong(text, each, field, "write a number, a range as '1-5', a step as '*/5', or '*'"))
        low, high = field.low, field.high
        if match["low"] not in ("*", "?"):
            low = _number(text, match["low"], field)
            high = field.high if match["step"] else low
            if match["high"]:
                high = _number(text, match["high"], field)
        elif match["high"]:
            raise ValueError(_wrong(text, each, field, "a range begins with a number"))
        if low > high:
            raise ValueError(_wrong(text, each, field, f"{low} comes after {high}"))
        step = match["step"] or "1"
        if not step.isascii() or not step.isdigit() or not 1 <= int(step) <= field.high:
            raise ValueError(_wrong(text, each, field, f"a step is a number from 1 to {field.high}"))
        found.update(range(low, high + 1, int(step)))
    return frozenset(found)


def _number(text: str, word: str, field: _Field) -> int:
    if word.lower() in field.names:
        return field.names.index(word.lower()) + field.low
    if not word.isascii() or not word.isdigit():
        names = f" or {field.names[0]} to {field.names[-1]}" if field.names else ""
        raise ValueError(_wrong(text, word, field, f"it is a number from {field.low} to {field.high}{names}"))
    if not field.low <= int(word) <= field.high:
        sunday = ", and Sunday is 0" if field.names is _DAYS else ""
        raise ValueError(_wrong(text, word, field, f"it goes from {field.low} to {field.high}{sunday}"))
    return int(word)


def _wrong(text: str, part: str, field: _Field, why: str) -> str:
    return f"schedule '{text}' has the {field.name} '{part}': {why}"

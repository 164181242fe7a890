"""A schedule means what a cluster's own clock takes it for."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from leeward.errors import Invalid
from leeward.model import parse
from leeward.model.app import AppSpec, ProcessSpec
from leeward.model.schedule import schedule, zone

NEW_YORK = ZoneInfo("America/New_York")


def local(text: str, zone: ZoneInfo = NEW_YORK, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).astimezone(UTC)


@pytest.mark.parametrize(
    ("text", "from_", "then"),
    [
        ("*/5 * * * *", "2026-11-24T12:02:00", "2026-11-24T12:05:00"),
        ("0 * * * *", "2026-11-24T12:00:00", "2026-11-24T13:00:00"),
        ("@hourly", "2026-11-24T23:30:00", "2026-11-25T00:00:00"),
        ("@daily", "2026-12-31T00:00:00", "2027-01-01T00:00:00"),
        ("@weekly", "2026-11-24T00:00:00", "2026-11-29T00:00:00"),
        ("@monthly", "2026-11-24T00:00:00", "2026-12-01T00:00:00"),
        ("@yearly", "2026-11-24T00:00:00", "2027-01-01T00:00:00"),
        ("30 2 * * mon-fri", "2026-11-27T03:00:00", "2026-11-30T02:30:00"),
        ("0 0 29 feb *", "2026-11-24T00:00:00", "2028-02-29T00:00:00"),
        ("5/20 8-9 ? * *", "2026-11-24T09:50:00", "2026-11-25T08:05:00"),
        ("0,30 6 1,15 * *", "2026-11-24T00:00:00", "2026-12-01T06:00:00"),
        # One of the two fields for days is enough when both say something; a star with a step says something.
        ("0 0 13 * fri", "2026-11-24T00:00:00", "2026-11-27T00:00:00"),
        ("0 0 */2 * mon", "2026-11-29T00:00:00", "2026-11-30T00:00:00"),
        ("0 0 * * mon", "2026-11-24T00:00:00", "2026-11-30T00:00:00"),
    ],
)
def test_the_next_time_is_the_first_that_the_fields_name(text: str, from_: str, then: str) -> None:
    after = schedule(text).after(datetime.fromisoformat(from_).replace(tzinfo=UTC))

    assert after == datetime.fromisoformat(then).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("* * * *", "has 4 fields instead of 5"),
        ("0 0 0 * * *", "seconds cannot be given"),
        ("60 * * * *", "has the minute '60': it goes from 0 to 59"),
        ("* 24 * * *", "has the hour '24'"),
        ("0 0 0 * *", "has the day of the month '0'"),
        ("0 0 * * 7", "Sunday is 0"),
        ("0 0 * 13 *", "has the month '13'"),
        ("0 0 L * *", "has the day of the month 'L'"),
        ("0 0 * * fri#2", "has the day of the week 'fri#2'"),
        ("*/0 * * * *", "a step is a number from 1 to 59"),
        ("9-5 * * * *", "9 comes after 5"),
        ("*-5 * * * *", "a range begins with a number"),
        ("1,,2 * * * *", "has the minute ''"),
        ("-1 * * * *", "has the minute '-1'"),
        ("1/2/3 * * * *", "has the minute '1/2/3'"),
        ("² * * * *", "has the minute '²'"),
        ("0 0 30 2 *", "never comes"),
        ("0 0 31 4,6,9,11 *", "never comes"),
        ("@reboot", "is not one of @yearly"),
        ("@every 1h", "counts from its own beginning"),
        ("TZ=UTC 0 0 * * *", "write that in 'timezone'"),
        ("CRON_TZ=UTC 0 0 * * *", "write that in 'timezone'"),
        ("", "has 0 fields"),
    ],
)
def test_what_is_no_schedule_is_refused_with_its_value_and_the_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match="schedule") as caught:
        schedule(text)

    assert why in str(caught.value)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "name", ["Mars/Olympus", "local", "localtime", "../../etc/passwd", "/etc/localtime", "", "a b"]
)
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a time zone"):
        zone(name)


def test_a_time_zone_that_is_nearly_right_is_guessed() -> None:
    with pytest.raises(ValueError, match="did you mean 'Europe/Berlin'"):
        zone("Europe/Berln")


def test_a_night_that_skips_an_hour_has_no_run_in_it() -> None:
    nightly = schedule("30 2 * * *", "America/New_York")

    assert nightly.after(local("2012-03-10T12:00:00")) == local("2012-03-12T02:30:00")


def test_a_night_that_has_an_hour_twice_has_both_its_runs() -> None:
    nightly = schedule("0 1 * * *", "America/New_York")

    first = nightly.after(local("2012-11-04T00:00:00"))

    assert first == local("2012-11-04T01:00:00")
    assert nightly.after(local("2012-11-04T01:00:00")) == local("2012-11-04T01:00:00", fold=1)


ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Havana")
TEXTS = (
    *("* * * * *", "*/7 * * * *", "30 * * * *", "0 0 * * *", "30 2 * * *", "15 1 * * sun", "0 3 1 * *"),
    *("*/20 0-3 */2 * mon", "59 23 * * *", "0 0-2 * 3,10,11 *"),
)
# Nights in which clocks change, and days around them.
MOMENTS = st.sampled_from(
    [
        datetime(2026, 3, 28, 22, tzinfo=UTC),
        datetime(2026, 10, 24, 22, tzinfo=UTC),
        datetime(2026, 3, 8, 4, tzinfo=UTC),
        datetime(2026, 11, 1, 3, tzinfo=UTC),
        datetime(2026, 4, 4, 13, tzinfo=UTC),
        datetime(2026, 10, 3, 13, tzinfo=UTC),
        datetime(2026, 7, 1, tzinfo=UTC),
    ]
)


@settings(deadline=None)
@given(text=st.sampled_from(TEXTS), name=st.sampled_from(ZONES), base=MOMENTS, seconds=st.integers(0, 5 * 3600))
def test_the_next_time_is_the_first_minute_that_matches(text: str, name: str, base: datetime, seconds: int) -> None:
    times, moment = schedule(text, name), base + timedelta(seconds=seconds)
    minute = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)

    after = times.after(moment)

    assert after is not None
    assert times.matches(after)
    assert after > moment
    skipped = min(int((after - minute).total_seconds()) // 60, 600)
    assert not any(times.matches(minute + timedelta(minutes=n)) for n in range(skipped))


@settings(deadline=None)
@given(text=st.sampled_from(TEXTS), name=st.sampled_from(ZONES), base=MOMENTS, minutes=st.integers(1, 900))
def test_the_latest_time_is_the_last_of_all_those_between(text: str, name: str, base: datetime, minutes: int) -> None:
    times, until = schedule(text, name), base + timedelta(minutes=minutes)
    between = [at for n in range(1, minutes + 1) if times.matches(at := base + timedelta(minutes=n))]

    assert times.latest(base, until) == (between[-1] if between else None)
    assert times.count(base, until) == len(between)


def test_a_process_with_a_schedule_takes_no_requests() -> None:
    for field, value in (("health", {"path": "/up"}), ("port", 9000), ("instances", 2)):
        with pytest.raises(ValidationError, match="not for a process with a 'schedule'"):
            ProcessSpec.model_validate({"schedule": "@daily", field: value})


def test_what_belongs_to_a_schedule_needs_one() -> None:
    for field, value in (("timezone", "Europe/Berlin"), ("timeout_s", 5), ("overlap", "allow"), ("retries", 1)):
        with pytest.raises(ValidationError, match="only for a process with a 'schedule'"):
            ProcessSpec.model_validate({field: value})


def test_web_has_no_schedule() -> None:
    with pytest.raises(ValidationError, match="'web' takes requests"):
        AppSpec.model_validate({"processes": {"web": {"schedule": "@daily"}}})


def test_a_bad_schedule_in_a_manifest_is_named_by_its_path() -> None:
    with pytest.raises(Invalid) as caught:
        parse.manifest("processes: {nightly: {command: work, schedule: '0 25 * * *'}}", None)

    (problem,) = caught.value.problems
    assert problem.path == "processes/nightly/schedule"
    assert "has the hour '25': it goes from 0 to 23" in problem.message


def test_a_spec_with_a_schedule_is_the_same_after_it_was_stored() -> None:
    spec = AppSpec.model_validate({"processes": {"web": {}, "nightly": {"schedule": " 0  3 * * * ", "retries": 2}}})

    assert AppSpec.model_validate_json(spec.model_dump_json()) == spec
    assert spec.processes["nightly"].schedule == "0 3 * * *"

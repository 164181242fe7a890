"""What begins by the clock, and what never does."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leeward.model.app import AppSpec, Overlap
from leeward.model.release import Release
from leeward.model.run import Mark, Run, RunState, SeenRun, Timed, Trigger, run_id
from leeward.model.runtime import Instance, InstanceState, Observed, Workload
from leeward.model.schedule import schedule
from leeward.model.wish import App
from leeward.plan.timed import (
    KEPT,
    LATE_S,
    Begin,
    Count,
    End,
    Finish,
    Forget,
    Known,
    Note,
    Step,
    due,
    no_longer,
    steps,
    suspended,
    timed,
)
from leeward.plan.workload import same_instances, workloads

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
WORK = Workload("shop", "nightly", "default", 7, 7000, "image", "work", (), 1, 100, 128, 8080, None)
FIVE = Timed(WORK, "*/5 * * * *")


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def known(*runs: Run, since: datetime = NOON, want: Timed = FIVE) -> Known:
    mark = Mark("shop", "nightly", f"{want.schedule} {want.timezone}", since)
    return Known({run.id: run for run in runs}, {"nightly": mark})


def run(at: datetime, state: RunState = RunState.RUNNING, **changes: object) -> Run:
    made = Run(run_id("nightly", at), "shop", "nightly", 7, Trigger.SCHEDULE, at, state, started_at=at, attempts=1)
    return replace(made, **changes)  # type: ignore[arg-type]


def seen(at: datetime, state: RunState = RunState.RUNNING, **changes: object) -> SeenRun:
    made = SeenRun(run_id("nightly", at), "shop", "nightly", 7, Trigger.SCHEDULE, at, state, started_at=at)
    return replace(made, **changes)  # type: ignore[arg-type]


def look(
    known_: Known, seen_: Sequence[SeenRun], now: datetime, want: Timed | None = FIVE, keeps_time: bool = False
) -> tuple[Step, ...]:
    return steps((want,) if want else (), known_, seen_, now, keeps_time=keeps_time)


def begun(found: Sequence[Step]) -> list[str]:
    return [step.run.id for step in found if isinstance(step, Begin)]


# --- what is due ------------------------------------------------------------------------------------------


def test_nothing_is_due_before_its_time() -> None:
    assert look(known(), (), NOON + minutes(4.9)) == ()


def test_a_run_begins_at_its_time_and_is_named_by_it() -> None:
    (step,) = look(known(), (), NOON + minutes(5))

    assert isinstance(step, Begin)
    assert (step.run.id, step.run.scheduled_at) == (run_id("nightly", NOON + minutes(5)), NOON + minutes(5))
    assert (step.run.trigger, step.run.state) == (Trigger.SCHEDULE, RunState.STARTING)


def test_a_schedule_that_nobody_knew_counts_from_now_on() -> None:
    (step,) = look(Known({}, {}), (), NOON + minutes(5))

    assert step == Count(Mark("shop", "nightly", "*/5 * * * * UTC", NOON + minutes(5)))


def test_another_schedule_begins_to_count_anew() -> None:
    (step,) = look(known(), (), NOON + minutes(5), replace(FIVE, timezone="Europe/Berlin"))

    assert isinstance(step, Count)


def test_a_run_that_is_known_does_not_begin_again() -> None:
    ended = run(NOON + minutes(5), RunState.SUCCEEDED, ended_at=NOON + minutes(6))

    assert look(known(ended), (), NOON + minutes(6)) == ()


def test_of_many_missed_runs_one_begins_and_the_others_are_told() -> None:
    found = look(known(), (), NOON + minutes(60))

    assert begun(found) == [run_id("nightly", NOON + minutes(60))]
    assert [step.missed for step in found if isinstance(step, Count)] == [10]


def test_a_run_that_is_too_late_is_missed_for_good() -> None:
    daily = replace(FIVE, schedule="0 12 * * *")
    late = NOON + timedelta(seconds=LATE_S + 1)

    (step,) = look(known(since=NOON - minutes(600), want=daily), (), late, daily)

    assert isinstance(step, Count)
    assert (step.missed, step.mark.since) == (1, late - timedelta(seconds=LATE_S))


def test_a_suspended_schedule_begins_nothing_and_makes_nothing_good_afterwards() -> None:
    still = replace(FIVE, suspended=True)
    (asleep,) = look(known(), (), NOON + minutes(3), still)
    assert isinstance(asleep, Count)
    marks = {"nightly": asleep.mark}

    assert look(Known({}, marks), (), NOON + minutes(30), still) == ()
    (awake,) = look(Known({}, marks), (), NOON + minutes(31))
    assert awake == Count(Mark("shop", "nightly", "*/5 * * * * UTC", NOON + minutes(31)))


def test_after_a_clock_was_set_back_what_is_due_begins_unless_it_did_before() -> None:
    wrong = NOON + minutes(600)
    ahead = run(wrong, RunState.SUCCEEDED, ended_at=wrong)

    found = look(known(ahead), (), NOON + minutes(5))

    assert begun(found) == [run_id("nightly", NOON + minutes(5))]
    before = run(NOON + minutes(5), RunState.SUCCEEDED, ended_at=NOON + minutes(6))
    assert look(known(ahead, before), (), NOON + minutes(5)) == ()


# --- overlap ----------------------------------------------------------------------------------------------


def test_forbid_waits_for_the_run_that_goes_on() -> None:
    first = NOON + minutes(5)

    assert look(known(run(first)), (seen(first),), NOON + minutes(10)) == ()


def test_forbid_begins_late_as_soon_as_the_earlier_one_has_ended() -> None:
    first = run(NOON + minutes(5), RunState.SUCCEEDED, ended_at=NOON + minutes(11))

    assert begun(look(known(first), (), NOON + minutes(12))) == [run_id("nightly", NOON + minutes(10))]


def test_allow_begins_beside_the_run_that_goes_on() -> None:
    first = NOON + minutes(5)

    found = look(known(run(first)), (seen(first),), NOON + minutes(10), replace(FIVE, overlap=Overlap.ALLOW))

    assert begun(found) == [run_id("nightly", NOON + minutes(10))]
    assert not any(isinstance(step, End) for step in found)


def test_replace_ends_the_run_that_goes_on() -> None:
    first = NOON + minutes(5)

    end, begin = look(known(run(first)), (seen(first),), NOON + minutes(10), replace(FIVE, overlap=Overlap.REPLACE))

    assert isinstance(end, End)
    assert (end.run.scheduled_at, end.run.cancel) == (first, "was replaced by the next run")
    assert begun([begin]) == [run_id("nightly", NOON + minutes(10))]


def test_a_run_by_hand_is_not_in_the_way_of_the_clock() -> None:
    hand = run(NOON + minutes(2), trigger=Trigger.MANUAL, id="nightly-m1")
    shown = seen(NOON + minutes(2), trigger=Trigger.MANUAL, id="nightly-m1")

    assert begun(look(known(hand), (shown,), NOON + minutes(5))) == [run_id("nightly", NOON + minutes(5))]


# --- what is remembered and what is seen ------------------------------------------------------------------


def test_a_run_that_is_remembered_and_not_seen_was_not_begun() -> None:
    at = NOON + minutes(5)

    assert begun(look(known(run(at, RunState.STARTING)), (), at + minutes(1))) == [run_id("nightly", at)]


def test_a_run_that_could_not_begin_for_long_has_failed() -> None:
    at = NOON + minutes(5)

    found = look(known(run(at, RunState.STARTING), since=at + minutes(12)), (), at + minutes(12))

    assert [step.run.reason for step in found if isinstance(step, Finish)] == ["could not begin in time"]


def test_a_run_that_ran_and_is_gone_has_failed_and_begins_no_second_time() -> None:
    at = NOON + minutes(5)

    (step,) = look(known(run(at)), (), at + minutes(1))

    assert isinstance(step, Finish)
    assert (step.run.state, step.run.reason) == (RunState.FAILED, "was taken away before it ended")


def test_what_is_seen_of_a_run_is_noted_once() -> None:
    at = NOON + minutes(5)
    (step,) = look(known(run(at, RunState.STARTING, attempts=0)), (seen(at, instance="box"),), at)
    assert isinstance(step, Note)
    assert (step.run.state, step.run.instance, step.run.attempts) == (RunState.RUNNING, "box", 1)

    assert look(known(step.run), (seen(at, instance="box"),), at) == ()


def test_the_end_of_a_run_is_remembered_and_then_it_is_taken_away() -> None:
    at = NOON + minutes(5)
    shown = seen(at, RunState.FAILED, exit_code=3, reason="exited with code 3", ended_at=at + minutes(1))

    (finish,) = look(known(run(at)), (shown,), at + minutes(1))
    assert isinstance(finish, Finish)
    assert (finish.run.state, finish.run.exit_code, finish.run.reason) == (RunState.FAILED, 3, "exited with code 3")

    assert look(known(finish.run), (shown,), at + minutes(2)) == (Forget(finish.run),)


def test_a_run_that_somebody_ended_is_cancelled_however_it_ended() -> None:
    at = NOON + minutes(5)
    asked = run(at, cancel="was cancelled by ann")

    assert look(known(asked), (seen(at),), at) == (End(asked),)
    for state in (RunState.FAILED, RunState.SUCCEEDED):
        (step,) = look(known(asked), (seen(at, state, reason="was ended", ended_at=at),), at)
        assert isinstance(step, Finish)
        assert (step.run.state, step.run.reason) == (RunState.CANCELLED, "was cancelled by ann")
    (gone,) = look(known(asked), (), at)
    assert isinstance(gone, Finish)
    assert gone.run.state is RunState.CANCELLED


def test_a_run_whose_process_is_no_more_is_ended() -> None:
    at = NOON + minutes(5)

    (step,) = look(known(run(at)), (seen(at),), at, want=None)
    assert isinstance(step, End)
    assert step.run.cancel == "its process is no more"
    (gone,) = look(known(run(at)), (), at, want=None)
    assert isinstance(gone, Finish)
    assert gone.run.state is RunState.CANCELLED


def test_a_run_that_nobody_remembers_is_taken_over() -> None:
    at = NOON + minutes(5)

    (step,) = look(known(), (seen(at),), NOON + minutes(1), keeps_time=True)

    assert isinstance(step, Note)
    assert (step.run.id, step.run.state) == (run_id("nightly", at), RunState.RUNNING)


def test_a_run_that_was_forgotten_for_its_age_stays_forgotten() -> None:
    runs = [run(NOON + minutes(n), RunState.SUCCEEDED, ended_at=NOON + minutes(n)) for n in range(1, KEPT + 1)]
    old = seen(NOON, RunState.SUCCEEDED, ended_at=NOON)

    assert look(known(*runs), (old,), NOON + minutes(KEPT), keeps_time=True) == ()


def test_an_engine_with_a_clock_of_its_own_is_told_nothing_that_is_due() -> None:
    assert look(known(), (), NOON + minutes(5), keeps_time=True) == ()


def test_what_the_clusters_clock_began_is_not_begun_by_us_when_it_is_gone() -> None:
    at = NOON + minutes(5)

    (step,) = look(known(run(at, RunState.STARTING)), (), at, keeps_time=True)

    assert isinstance(step, Finish)
    assert step.run.state is RunState.FAILED


# --- properties -------------------------------------------------------------------------------------------

ZONES = ("UTC", "Europe/Berlin", "America/New_York")
TEXTS = ("* * * * *", "*/5 * * * *", "30 2 * * *", "0 * * * *", "15 1 * * *")


@settings(deadline=None, max_examples=40)
@given(
    text=st.sampled_from(TEXTS),
    zone=st.sampled_from(ZONES),
    start=st.sampled_from([datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 10, 24, 23, tzinfo=UTC), NOON]),
    # The clock goes on, stands still, jumps far ahead, or is set back.
    jumps=st.lists(st.one_of(st.integers(0, 90), st.integers(-7200, 40000)), min_size=1, max_size=40),
    takes=st.integers(0, 2000),
)
def test_no_time_of_a_schedule_begins_twice_and_none_begins_early_or_much_too_late(
    text: str, zone: str, start: datetime, jumps: list[int], takes: int
) -> None:
    want = Timed(WORK, text, zone)
    times = schedule(text, zone)
    known_, now, began = known(since=start, want=want), start, []
    runs: dict[str, Run] = {}
    for jump in jumps:
        now += timedelta(seconds=jump)
        shown = []
        for each in runs.values():
            over = now >= each.scheduled_at + timedelta(seconds=takes)
            state = RunState.SUCCEEDED if over else RunState.RUNNING
            ended = now if over else None
            shown.append(replace(seen(each.scheduled_at, state), id=each.id, ended_at=ended))
        found = steps((want,), Known(runs, known_.marks), shown, now, keeps_time=False)
        fresh = [step.run for step in found if isinstance(step, Begin)]
        assert len(fresh) <= 1
        for each in fresh:
            began.append(each.id)
            assert times.matches(each.scheduled_at)
            assert now - timedelta(seconds=LATE_S) < each.scheduled_at <= now
            assert all(old.state.final for old in runs.values())
        for step in found:
            if isinstance(step, Begin | Note | Finish):
                runs[step.run.id] = step.run
            elif isinstance(step, Count):
                known_ = Known(runs, {"nightly": step.mark})
    assert len(began) == len(set(began))


@settings(deadline=None, max_examples=40)
@given(
    text=st.sampled_from(TEXTS),
    zone=st.sampled_from(ZONES),
    away=st.integers(0, 200_000),
    start=st.sampled_from([datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 10, 24, 23, tzinfo=UTC), NOON]),
)
def test_every_time_is_made_good_or_told_as_missed(text: str, zone: str, away: int, start: datetime) -> None:
    times, now = schedule(text, zone), start + timedelta(seconds=away)

    found = due(times, start, now)

    recent = times.count(max(start, now - timedelta(seconds=LATE_S)), now)
    assert (found.at is not None) == (recent > 0)
    assert found.missed + recent == times.count(start, now, 10_000) or found.missed == 1000


# --- what a release holds ---------------------------------------------------------------------------------


def release(**processes: object) -> Release:
    spec = AppSpec.model_validate({"processes": processes})
    return Release("shop", 7, "image", spec, (), {"nightly": "from the Procfile"})


def test_a_process_with_a_schedule_is_no_workload_of_the_rollout() -> None:
    made = release(web={}, nightly={"schedule": "@daily"})

    assert [want.process for want in workloads(App("shop"), made, 7000, frozenset())] == ["web"]


def test_a_timed_process_is_the_releases_own_in_image_command_and_size() -> None:
    made = release(web={}, nightly={"schedule": "@daily", "size": "nano", "timezone": "Europe/Berlin", "retries": 2})

    (want,) = timed(App("shop", generation=7), made)

    assert (want.want.image, want.want.command, want.want.memory_mib) == ("image", "from the Procfile", 256)
    assert (want.schedule, want.timezone, want.retries, want.suspended) == ("@daily", "Europe/Berlin", 2, False)
    assert want.want.health is None


@pytest.mark.parametrize(
    ("processes", "manifest", "idle"),
    [
        ({"web": {"instances": 0}, "nightly": {"schedule": "@daily"}}, {"web": {}}, True),
        ({"web": {"instances": 0}, "nightly": {"schedule": "@daily"}}, {}, True),
        # Nobody stopped it: it is an app of schedules alone.
        ({"web": {"instances": 0}, "nightly": {"schedule": "@daily"}}, {"web": {"instances": 0}}, False),
        ({"web": {"instances": 0}, "worker": {}, "nightly": {"schedule": "@daily"}}, {"web": {}}, False),
        ({"nightly": {"schedule": "@daily"}}, {}, False),
        ({"web": {}, "nightly": {"schedule": "@daily"}}, {}, False),
    ],
)
def test_a_stopped_app_runs_nothing_by_the_clock(
    processes: dict[str, object], manifest: dict[str, object], idle: bool
) -> None:
    made = release(**processes)
    app = App("shop", spec=AppSpec.model_validate({"processes": manifest}))

    assert suspended(made.spec.processes, app.spec.processes) is idle
    assert [want.suspended for want in timed(app, made)] == [idle]


def test_another_schedule_replaces_no_instance() -> None:
    assert same_instances(release(web={}), release(web={}, nightly={"schedule": "@daily"}))
    assert not same_instances(release(web={}), release(web={}, nightly={}))


def test_a_worker_that_got_a_schedule_runs_always_no_more() -> None:
    made = release(web={}, nightly={"schedule": "@daily"})
    old = Instance("i1", "shop", "nightly", 6, 6000, InstanceState.READY)

    assert no_longer(App("shop", generation=7), made, Observed("shop")) == ()
    (want,) = no_longer(App("shop", generation=7), made, Observed("shop", (old,)))
    assert (want.process, want.instances, want.generation) == ("nightly", 0, 7)

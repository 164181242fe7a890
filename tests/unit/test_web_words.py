"""How the dashboard says times, amounts, states and failures."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leeward.errors import Conflict, Invalid, Problem
from leeward.model.release import Deploy, DeployKind, DeployStatus, Phase, Receipt, SourceKind, SourceRef, Step
from leeward.services.views import AppStatus, AppView, DeployView, ReleaseView, deploy_view
from leeward.settings import Settings
from leeward.web import charts, words
from leeward.web.timeline import proof, rollback, state, timeline

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (3, "just now"),
        (-3, "just now"),
        (25, "20 s ago"),
        (61, "1 min ago"),
        (3599, "59 min ago"),
        (7200, "2 h ago"),
        (86400, "1 day ago"),
        (10 * 86400, "10 days ago"),
        (-3 * 86400, "in 3 days"),
    ],
)
def test_times_are_said_relative_to_now(seconds: int, text: str) -> None:
    assert words.ago(NOW - timedelta(seconds=seconds), NOW) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.004, "<0.1 s"), (0.31, "0.3 s"), (12.44, "12.4 s"), (185, "3 min 05 s"), (3720, "1 h 02 min")],
)
def test_durations_have_the_precision_that_matters(seconds: float | None, text: str) -> None:
    assert words.duration(seconds) == text


def test_amounts_are_grouped_and_sizes_have_a_unit() -> None:
    assert words.amount(48213) == "48,213"
    assert words.amount(2.13) == "2.1"
    assert words.size(210 * 1024 * 1024) == "210 MiB"
    assert words.size(3.25 * 1024**3) == "3.2 GiB"
    assert words.count(1, "instance") == "1 instance"
    assert words.count(3, "process") == "3 processes"
    assert words.money(2.5) == "$2.50"


@given(st.text(max_size=80))
def test_a_sentence_is_never_lost_and_ends(text: str) -> None:
    said = words.sentence(text)

    assert said == "" or said[-1] in ".!?…:"
    assert text.strip()[1:] in said


def test_what_stands_between_backticks_is_code_and_nothing_else_is_markup() -> None:
    assert words.said("use `lee ps <app>` & wait") == "Use <code>lee ps &lt;app&gt;</code> &amp; wait."


def test_a_log_line_is_shown_without_the_terminals_colours() -> None:
    assert words.plain("\x1b[1;33mWARN\x1b[0m slow\r") == "WARN slow"


def test_every_wrong_field_is_named() -> None:
    error = Invalid([Problem("url", "is empty", "write it like 'x'"), Problem("name", "is too long")])

    assert words.trouble(error).fields == (("url", "Is empty. Write it like 'x'."), ("name", "Is too long."))
    assert words.trouble(Conflict("app 'a' runs", hint="wait")) == ("App 'a' runs.", "Wait.", ())


# --- deploys ----------------------------------------------------------------------------------------------


def deploy(*steps: tuple[Phase, float | None], **more: object) -> DeployView:
    at, made = NOW - timedelta(seconds=60), []
    for phase, seconds in steps:
        ended = at + timedelta(seconds=seconds) if seconds is not None else None
        made.append(Step(phase, at, ended))
        at = ended or at
    plain = Deploy("d1", "shop", DeployKind.CODE, SourceRef(SourceKind.GIT), steps=tuple(made), created_at=NOW)
    return deploy_view(replace(plain, **more), Settings())  # type: ignore[arg-type]


def test_a_running_deploy_shows_what_is_done_what_runs_and_what_waits() -> None:
    lines = timeline(deploy((Phase.FETCH, 1.0), (Phase.BUILD, None), status=DeployStatus.RUNNING), NOW)

    assert [line.state for line in lines] == ["done", "skipped", "running", "waiting", "waiting"]
    assert lines[2].time == "59 s"


def test_jobs_are_a_sixth_line_where_there_are_any() -> None:
    steps = ((Phase.FETCH, 1.0), (Phase.ROLLOUT, 1.0))

    lines = timeline(deploy(*steps, (Phase.JOBS, 2.0), status=DeployStatus.LIVE), NOW)

    assert [line.name for line in timeline(deploy(*steps, status=DeployStatus.LIVE), NOW)][-1] == "Roll out"
    assert (lines[-1].name, lines[-1].state) == ("Jobs", "done")


def test_a_failed_deploy_shows_where_it_failed_and_what_was_not_reached() -> None:
    error = {"step": "build", "code": "build-failed", "message": "no", "hint": ""}
    lines = timeline(deploy((Phase.FETCH, 1.0), (Phase.BUILD, 2.0), status=DeployStatus.FAILED, error=error), NOW)

    assert [line.state for line in lines] == ["done", "unreached", "failed", "unreached", "unreached"]


def test_a_deploy_without_code_begins_with_its_roll_out() -> None:
    queued = timeline(deploy(kind=DeployKind.RESTART), NOW)
    live = timeline(deploy((Phase.ROLLOUT, 4.1), kind=DeployKind.RESTART, status=DeployStatus.LIVE), NOW)

    assert [line.state for line in queued] == ["skipped"] * 4 + ["waiting"]
    assert [line.state for line in live] == ["skipped"] * 4 + ["done"]


def test_the_receipt_is_said_as_proof_and_is_clean_only_when_nothing_was_lost() -> None:
    good = proof(deploy(receipt=Receipt(48213, 0, 2.1, 9.0, 112, 0)))
    lost = proof(deploy(receipt=Receipt(10, 0, 2.1, 9.0, 1, 1)))

    assert good is not None and lost is not None
    assert (good.clean, good.headline) == (True, "48,213 requests, 0 failed")
    assert dict(good.facts) == {"p50": "2.1 ms", "p99": "9 ms", "Sockets kept": "112", "Sockets dropped": "0"}
    assert not lost.clean
    assert proof(deploy()) is None


def test_a_deploy_that_was_live_is_replaced() -> None:
    assert state(deploy(status=DeployStatus.LIVE, release=2), "v2") == "live"
    assert state(deploy(status=DeployStatus.LIVE, release=1), "v2") == "replaced"
    assert state(deploy(status=DeployStatus.FAILED), "v2") == "failed"


def test_rolling_back_says_what_it_restores() -> None:
    release = ReleaseView("v3", 3, False, "", "9f3c1d07ab", "", ("A", "B"), ("web", "worker"), "d", NOW)

    said = rollback(release, app())

    assert "commit 9f3c1d0" in said and "web, worker" in said and "2 variables" in said and "v5" in said


# --- charts -----------------------------------------------------------------------------------------------


def app() -> AppView:
    return AppView(
        "shop", "default", AppStatus.LIVE, "", "", "v5", "", None, "", "", (), None, (), None, None, False, NOW
    )  # type: ignore[arg-type]


def test_a_chart_has_one_value_or_none_for_each_line_at_each_time() -> None:
    series = {"edge/all/p50_ms": [(1.0, 2.0), (2.0, 3.0)], "edge/all/p99_ms": [(2.0, 9.0)], "web/i/cpu_cores": [(1, 1)]}

    drawn = charts.chart("latency", series, app())

    assert drawn["names"] == ["p50", "p99"]
    assert drawn["values"] == [[2.0, 3.0], [None, 9.0]]
    assert drawn["now"] == "p50 3 ms · p99 9 ms"


def test_a_chart_without_samples_is_empty_and_says_nothing() -> None:
    drawn = charts.chart("cpu", {}, app())

    assert (drawn["times"], drawn["values"], drawn["now"]) == ([], [], "")


def test_only_what_runs_now_counts_and_not_every_ended_instance_is_drawn() -> None:
    running = {f"web/a-{n:06x}/memory_bytes": [(10.0 * t, 2.0**20) for t in range(100)] for n in range(3)}
    ended = {f"web/b-{n + 256:06x}/memory_bytes": [(n, 2.0**20), (n + 10.0, 2.0**20)] for n in range(20)}

    drawn = charts.chart("memory", {**ended, **running}, app())

    assert drawn["now"] == "3 MiB in all"
    assert len(drawn["names"]) == 8
    assert {"web 000000", "web 000001", "web 000002"} <= set(drawn["names"])


def test_an_instance_is_told_from_its_siblings_by_the_end_of_its_name() -> None:
    assert charts.short("lee-shop-web-g1795502272873-022999") == "022999"
    assert charts.short("lee-shop-web-g5-1") == "1"
    assert charts.short("lee-shop-web", "web") == ""

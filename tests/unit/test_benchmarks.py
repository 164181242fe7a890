"""The benchmarks: what they print, and what they clean up. Nothing is measured here."""

import io
import json
from pathlib import Path

import benchmarks
import pytest
from benchmarks import __main__ as runner
from benchmarks.deploy import Turns, report
from benchmarks.docker import descendants
from benchmarks.example import example
from benchmarks.stage import settings_of

from leeward.model.parse import manifest

FOLDER = Path(benchmarks.__file__).parent


def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    (line,) = capsys.readouterr().out.splitlines()
    value = json.loads(line)
    assert isinstance(value, dict)
    return value


def test_a_figure_is_one_line_with_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    benchmarks.figure("start", 1.23456, "s")

    value = printed(capsys)
    assert value.pop("load") is not None
    assert tuple(value) == runner.KEYS
    assert value == {"name": "start", "value": 1.2346, "unit": "s", "peer": None, "peer_value": None, "ratio": None}


def test_a_figure_with_a_peer_has_the_ratio_of_both(capsys: pytest.CaptureFixture[str]) -> None:
    benchmarks.figure("rate", 3.0, "requests/s", peer="nginx", peer_value=4.0, rounds=3)

    value = printed(capsys)
    assert (value["ratio"], value["peer"], value["rounds"]) == (0.75, "nginx", 3)


def test_a_figure_beside_a_peer_of_nothing_has_no_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    benchmarks.figure("rate", 3.0, "requests/s", peer="nginx", peer_value=0.0)

    assert printed(capsys)["ratio"] is None


def test_what_is_said_is_no_figure(capsys: pytest.CaptureFixture[str]) -> None:
    benchmarks.say("half done")

    assert capsys.readouterr() == ("", "half done\n")


@pytest.mark.parametrize(
    ("values", "share", "found"),
    [([5.0], 0.95, 5.0), (list(range(1, 101)), 0.95, 96), ([3.0, 1.0, 2.0], 0.5, 2.0), ([1.0, 2.0], 1.0, 2.0)],
)
def test_a_quantile_is_a_value_that_was_measured(values: list[float], share: float, found: float) -> None:
    assert benchmarks.quantile(values, share) == found


def test_only_figures_reach_stdout() -> None:
    figure = json.dumps(dict.fromkeys(runner.KEYS, 1))
    out, talk = io.StringIO(), io.StringIO()

    count = runner.sort_out([f"{figure}\n", "warming up\n", '{"name": "half"}\n', "7\n"], out, talk)

    assert count == 1
    assert out.getvalue() == f"{figure}\n"
    assert talk.getvalue() == 'warming up\n{"name": "half"}\n7\n'


def test_every_benchmark_that_is_listed_is_there_and_bounded() -> None:
    for benchmark in runner.BENCHMARKS:
        assert (FOLDER / f"{benchmark.name}.py").is_file()
        assert 0 < benchmark.longest_s <= 900


def test_a_benchmark_that_is_unknown_is_refused_with_those_that_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        runner.main(["dploy"])

    assert end.value.code == 2
    assert "there is no benchmark 'dploy', but deploy, start, control" in capsys.readouterr().err


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "pass"])
def test_a_benchmark_that_fails_or_says_nothing_has_not_ended_well(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str
) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").touch()
    (tmp_path / "benchmarks" / "broken.py").write_text(code)
    monkeypatch.chdir(tmp_path)

    assert not runner.run(runner.Benchmark("broken", 20))


def test_a_benchmark_that_takes_too_long_is_asked_to_end_and_cleans_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").touch()
    (tmp_path / "benchmarks" / "slow.py").write_text(
        "import pathlib, time\ntry:\n    time.sleep(60)\nfinally:\n    pathlib.Path('cleaned').touch()\n"
    )
    monkeypatch.chdir(tmp_path)

    assert not runner.run(runner.Benchmark("slow", 1.5))
    assert (tmp_path / "cleaned").exists()


def test_a_goal_that_is_missed_is_printed_as_missed(capsys: pytest.CaptureFixture[str]) -> None:
    turns = Turns([4.0, 5.0, 9.0], [2.0, 2.0, 2.0], [{"build": 1.0}] * 3, [{"build": 0.5}] * 3)

    report("code", turns, "the peer")

    value = printed(capsys)
    assert (value["value"], value["peer_value"], value["ratio"]) == (5.0, 2.0, 2.5)
    assert (value["goal"], value["met"], value["ratio_goal"], value["ratio_met"]) == (3.0, False, 0.6, False)
    assert (value["steps_s"], value["peer_steps_s"], value["rounds"]) == ({"build": 1.0}, {"build": 0.5}, 3)


def test_only_the_build_cache_of_our_own_steps_is_removed() -> None:
    parts = [
        {"ID": "ours", "Parent": "base", "Description": "mount / from exec : variables abc && uv pip install"},
        {"ID": "child", "Parent": "ours", "Description": "copy"},
        {"ID": "grandchild", "Parent": "child", "Description": "copy"},
        {"ID": "base", "Parent": "", "Description": "pulled"},
        {"ID": "theirs", "Parent": "base", "Description": "mount / from exec : variables xyz && uv pip install"},
    ]

    assert descendants(parts, [": variables abc"]) == {"ours", "child", "grandchild"}
    assert descendants(parts, []) == set()


def test_two_copies_of_the_example_share_no_cache(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()

    one, two = example(tmp_path / "one"), example(tmp_path / "two")

    assert len(one.marks) == 2
    assert not set(one.marks) & set(two.marks)
    assert (one.tree / "requirements.txt").read_text() != (two.tree / "requirements.txt").read_text()


def test_the_example_is_checked_three_times_a_quarter_of_a_second_apart(tmp_path: Path) -> None:
    health = manifest((example(tmp_path).tree / "leeward.yaml").read_text()).processes["web"].health

    assert (health.path, health.rollout_interval, health.successes) == ("/health", 0.25, 3)


def test_a_platform_for_measurements_is_reached_on_loopback_only() -> None:
    settings = settings_of()

    assert settings.bind == "127.0.0.1"
    assert settings.registry.startswith("127.0.0.1:")
    assert not settings.trust_ca
    assert settings.home != type(settings)().home

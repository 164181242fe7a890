"""Instances come with load and go without it; an app that nobody asks sleeps, and the next request wakes it."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.platform import Platform, change, copied, until

PLAIN = "    size: nano\n"


@pytest.fixture
def scaled(platform: Platform, tmp_path: Path) -> Path:
    """The app that does what it is asked, between no instance and two."""
    platform.gone("sleeper")
    tree = copied("probe", tmp_path)
    change(tree, "name: probe", "name: sleeper", "leeward.yaml")
    change(
        tree, PLAIN, f"{PLAIN}    instances: {{min: 0, max: 2, cpu_percent: 40, sleep_after_s: 10}}\n", "leeward.yaml"
    )
    platform.ok("deploy", tree)
    return tree


def told(platform: Platform, kind: str) -> list[str]:
    events = platform.api("GET", "/v1/events?app=sleeper&limit=50").json["items"]
    return [event["text"] for event in events if event["kind"] == kind]


def alone(platform: Platform) -> bool:
    """Whether one instance is left, as an asker sees it who keeps the app awake."""
    return platform.get("sleeper", "/about")[0] == 200 and len(platform.instances("sleeper")) == 1


def asleep(platform: Platform) -> bool:
    return platform.ok("apps", "show", "sleeper")["status"] == "asleep" and not platform.instances("sleeper")


def test_an_app_grows_under_load_shrinks_sleeps_and_wakes_for_the_requests_that_wait(
    platform: Platform, scaled: Path
) -> None:
    platform.get("sleeper", "/burn?seconds=16")
    until(lambda: len(platform.instances("sleeper", "ready")) == 2, 60, "no second instance came")
    until(lambda: alone(platform), 150, "the second instance stays")
    grown = told(platform, "process.scaled")
    assert grown[-1].startswith("web of 'sleeper' scaled from 1 to 2 at ")
    assert grown[0].startswith("web of 'sleeper' scaled from 2 to 1 at ")

    until(lambda: asleep(platform), 90, "it does not fall asleep")
    shown = platform.lee("ps", "sleeper")
    assert "'sleeper' is asleep" in shown.out + shown.err
    before = time.monotonic()
    with ThreadPoolExecutor(8) as crowd:
        answers = list(crowd.map(lambda _: platform.get("sleeper", "/about"), range(8)))
    took = time.monotonic() - before

    assert [status for status, _ in answers] == [200] * 8
    # On a quiet machine it is about a second; what is held is answered in any case.
    assert took < 20
    until(lambda: told(platform, "app.awake"), 20, "nothing is told of the waking")
    assert told(platform, "app.asleep")[0] == "'sleeper' fell asleep: nobody asked for 10 s"
    assert platform.instances("sleeper", "ready")
    print(f"awake after {took:.2f} s; {told(platform, 'app.awake')}")
    platform.gone("sleeper")

"""Runs through the doors: the API, and `lee` over it."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import uvicorn
from tests.unit.api_stage import Door, door, problem
from tests.unit.services_stage import NOW

from leeward.cli.main import main
from leeward.model.app import AppSpec
from leeward.model.run import Run, RunState
from leeward.model.runtime import LogLine

SPEC = AppSpec.model_validate(
    {"processes": {"web": {}, "nightly": {"command": "work", "schedule": "30 2 * * *", "timezone": "Europe/Berlin"}}}
)


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Door]:
    async with door(tmp_path) as made:
        await made.deployer.post("/v1/apps", json={"name": "shop"})
        await made.stage.live("shop", SPEC)
        yield made


async def ended(at: Door, state: RunState, reason: str = "") -> Run:
    """Do what the loop does with the newest run."""
    (run,) = (await at.stage.stores.runs.list("shop", limit=1)).items
    line = LogLine(NOW.timestamp(), "box", "stdout", "tidied up", "nightly")
    await at.stage.stores.logs.append("shop", [line])
    done = replace(
        run,
        state=state,
        instance="box",
        started_at=NOW,
        ended_at=NOW + timedelta(seconds=2),
        exit_code=int(bool(reason)),
        reason=reason,
        tail=("tidied up",),
    )
    await at.stage.stores.runs.put(done, 10)
    return done


async def test_a_run_is_asked_for_shown_listed_and_cancelled(at: Door) -> None:
    asked = await at.deployer.post("/v1/apps/shop/processes/nightly/runs")
    assert asked.status_code == 202
    made = asked.json()
    assert (made["process"], made["state"], made["trigger"], made["actor"]) == ("nightly", "starting", "manual", "ada")

    assert (await at.reader.get(f"/v1/apps/shop/runs/{made['id']}")).json() == made
    listed = (await at.reader.get("/v1/apps/shop/runs?process=nightly")).json()
    assert [run["id"] for run in listed["items"]] == [made["id"]]
    again = await at.deployer.post("/v1/apps/shop/processes/nightly/runs")
    assert problem(again, 409, "run-goes-on")["detail"].startswith(f"run '{made['id']}'")
    assert (await at.deployer.post(f"/v1/apps/shop/runs/{made['id']}/cancel")).status_code == 202
    assert (await at.stage.stores.runs.get("shop", made["id"])).cancel == "was cancelled by ada"
    problem(await at.reader.post("/v1/apps/shop/processes/nightly/runs"), 403, "scope-too-small")
    problem(await at.reader.get("/v1/apps/shop/runs/nightly-1"), 404, "run-not-found")
    problem(await at.deployer.post("/v1/apps/shop/processes/web/runs"), 422, "no-schedule")


@pytest.fixture
async def served(at: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    server = uvicorn.Server(uvicorn.Config(at.app, port=0, log_level="error", lifespan="off", ws="none"))
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LEEWARD_URL", f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
    monkeypatch.setenv("LEEWARD_TOKEN", at.tokens["admin"])
    yield at
    server.should_exit = True
    await running


async def soon_ended(at: Door, state: RunState, reason: str = "") -> None:
    while not await at.stage.stores.runs.going_on():  # noqa: ASYNC110 - asked through a door of its own
        await asyncio.sleep(0.02)
    await ended(at, state, reason)


async def test_lee_run_shows_what_is_printed_and_how_it_ended(served: Door, capsys: pytest.CaptureFixture[str]) -> None:
    ending = asyncio.create_task(soon_ended(served, RunState.SUCCEEDED))
    assert await asyncio.to_thread(main, ["run", "shop", "nightly"]) == 0
    await ending
    said = capsys.readouterr()
    assert said.out == "tidied up\n"
    assert "has succeeded (2.00 s)" in said.err

    served.stage.clock.go(60)
    ending = asyncio.create_task(soon_ended(served, RunState.FAILED, "exited with code 1: 'boom'"))
    assert await asyncio.to_thread(main, ["run", "shop", "nightly"]) == 1
    await ending
    assert "exited with code 1: 'boom'" in capsys.readouterr().err


async def test_lee_runs_lists_them_and_ends_one(served: Door, capsys: pytest.CaptureFixture[str]) -> None:
    assert await asyncio.to_thread(main, ["run", "shop", "nightly", "--detach"]) == 0
    id = capsys.readouterr().out.strip()

    assert await asyncio.to_thread(main, ["runs", "shop", "--cancel", id]) == 0
    assert capsys.readouterr().out == f"run '{id}' is being ended\n"
    await ended(served, RunState.CANCELLED, "was cancelled by ada")
    assert await asyncio.to_thread(main, ["runs", "shop"]) == 0
    table = capsys.readouterr().out
    assert id in table
    assert "was cancelled by ada" in table
    assert await asyncio.to_thread(main, ["runs", "shop", "--process", "nightly", "--json"]) == 0
    assert [run["id"] for run in json.loads(capsys.readouterr().out)] == [id]


async def test_an_app_is_shown_with_when_it_runs_next(served: Door, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["apps", "show", "shop"], ["ps", "shop"]):
        assert await asyncio.to_thread(main, command) == 0
        shown = capsys.readouterr().out
        assert "30 2 * * * Europe/Berlin" in shown
        assert "NEXT RUN" in shown
        assert "never" in shown

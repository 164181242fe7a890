"""What `git push` shows while the push is deployed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.services_stage import COMMIT, DEPLOYER, Stage, TwinGits, stage

from leeward.model.release import DeployStatus

REPORT = b"0013\x01000eunpack ok\n"


class BandedGits(TwinGits):
    """Answers as git does when the client asked for bands."""

    async def _body(self, app: str, path: str, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in super()._body(app, path, body):
            yield REPORT + chunk


@pytest.fixture
async def st(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path) as made:
        made.gits.__class__ = BandedGits
        yield made


async def nothing() -> AsyncIterator[bytes]:
    yield b"pack"


async def push(st: Stage, **branches: str) -> str:
    st.gits.pushes = branches
    answer = await st.services.sources.git(DEPLOYER, "shop", "POST", "/git-receive-pack", "", {}, nothing())
    return b"".join([chunk async for chunk in answer.body]).decode()


async def queued(st: Stage) -> None:
    for _ in range(200):
        if await st.stores.deploys.active():
            return
        await asyncio.sleep(0.01)


async def ended(st: Stage, status: DeployStatus, error: dict[str, str] | None = None) -> None:
    """Do what the loops do, once the deploy is queued."""
    await queued(st)
    deploy = (await st.stores.deploys.list("shop")).items[0]
    await st.end(deploy, status, error=error)
    st.stores.notices.publish(f"deploy/{deploy.id}")


async def test_a_push_waits_until_it_is_live_and_shows_deploy_and_url(st: Stage) -> None:
    shown, _ = await asyncio.gather(push(st, main=COMMIT), ended(st, DeployStatus.LIVE))

    deploy = (await st.stores.deploys.list("shop")).items[0]
    assert f"\x02deploy {deploy.id} of 'shop' for https://shop.lee.test\n" in shown
    assert "\x02live at https://shop.lee.test after" in shown
    assert shown.endswith("0000")


async def test_a_push_that_fails_shows_the_step_the_reason_and_the_next_step(st: Stage) -> None:
    error = {"step": "build", "message": "pip found no 'flaks'", "hint": "did you mean 'flask'?"}

    shown, _ = await asyncio.gather(push(st, main=COMMIT), ended(st, DeployStatus.FAILED, error))

    assert "failed at build: pip found no 'flaks'\n" in shown
    assert "hint: did you mean 'flask'?\n" in shown


async def test_a_push_to_another_branch_says_that_nothing_is_deployed(st: Stage) -> None:
    shown = await push(st, dev=COMMIT)

    assert "no deploy of 'shop'" in shown
    assert shown.endswith("0000")


async def test_a_client_that_goes_away_while_it_waits_does_not_end_the_deploy(st: Stage) -> None:
    waiting = asyncio.create_task(push(st, main=COMMIT))
    await queued(st)

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert len(await st.stores.deploys.active()) == 1

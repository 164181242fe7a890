"""Access: the first admin, passwords, sessions, tokens, and who may ask from where."""

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from tests.unit.services_stage import ADMIN, DEPLOYER, NOW, Clock, Stage, stage

from leeward.errors import Forbidden, Invalid, NotFound, TooMany, Unauthorized
from leeward.model.access import Caller, Scope, User
from leeward.services.access import refuse_cross_site
from leeward.services.attempts import Attempts


@pytest.fixture
async def st(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path) as made:
        yield made


async def signed_in(st: Stage) -> str:
    files = await st.services.access.first_run()
    session = await st.services.access.sign_in("admin", files.password_file.read_text().strip(), "192.0.2.1")
    return session.text


async def test_the_first_run_makes_an_admin_and_files_that_only_the_owner_reads(st: Stage) -> None:
    files = await st.services.access.first_run(st.settings)

    assert [file.stat().st_mode & 0o777 for file in (files.password_file, files.token_file)] == [0o600, 0o600]
    caller = await st.services.access.authenticate(files.token_file.read_text().strip())
    assert (caller.name, caller.scope) == ("admin", Scope.ADMIN)
    assert [path.name for path in st.settings.home.iterdir() if path.name.startswith(".")] == []


async def test_the_first_run_may_be_called_again(st: Stage) -> None:
    files = await st.services.access.first_run()
    before = (files.password_file.read_text(), files.token_file.read_text())

    await st.services.access.first_run()

    assert (files.password_file.read_text(), files.token_file.read_text()) == before
    assert len(await st.services.access.tokens(ADMIN)) == 1


async def test_a_lost_or_revoked_token_file_is_made_again_and_a_changed_password_stays(st: Stage) -> None:
    files = await st.services.access.first_run()
    old = files.token_file.read_text().strip()
    await st.services.access.revoke_token(ADMIN, (await st.services.access.tokens(ADMIN))[0].id)
    files.password_file.unlink()

    await st.services.access.first_run()

    assert files.token_file.read_text().strip() != old and not files.password_file.exists()
    await st.services.access.authenticate(files.token_file.read_text().strip())


async def test_a_token_that_was_made_before_the_database_is_taken_in_but_never_once_it_was_revoked(st: Stage) -> None:
    given = f"lee_{'a' * 43}"
    st.settings.token_file.write_text(given)

    await st.services.access.first_run()

    assert (await st.services.access.authenticate(given)).scope == Scope.ADMIN
    await st.services.access.revoke_token(ADMIN, (await st.services.access.tokens(ADMIN))[0].id)
    st.settings.token_file.write_text(given)
    await st.services.access.first_run()
    with pytest.raises(Unauthorized):
        await st.services.access.authenticate(given)


async def test_a_right_password_gives_a_session_for_twelve_hours(st: Stage) -> None:
    session = await signed_in(st)

    assert await st.services.access.authenticate(None, session) == Caller("admin", Scope.ADMIN)
    st.clock.go(12 * 3600 - 1)
    await st.services.access.authenticate(None, session)
    st.clock.go(2)
    with pytest.raises(Unauthorized):
        await st.services.access.authenticate(None, session)


async def test_a_session_ends_when_its_owner_signs_out(st: Stage) -> None:
    session = await signed_in(st)

    await st.services.access.sign_out(session)
    await st.services.access.sign_out(session)
    await st.services.access.sign_out(None)

    with pytest.raises(Unauthorized):
        await st.services.access.authenticate(None, session)


async def test_a_wrong_name_and_a_wrong_password_are_the_same_answer(st: Stage) -> None:
    await st.services.access.first_run()
    said = set()
    for name, password in (("admin", "wrong"), ("nobody", "wrong"), ("admin", "x" * 2000), ("n" * 300, "wrong")):
        with pytest.raises(Unauthorized) as caught:
            await st.services.access.sign_in(name, password, "192.0.2.1")
        said.add((caught.value.message, caught.value.code))

    assert said == {("the name or the password is wrong", "wrong-password")}
    assert "wrong" not in [event.text for event in (await st.services.events.list()).items]


async def test_five_wrong_tries_are_free_then_even_the_right_password_waits(st: Stage) -> None:
    files = await st.services.access.first_run()
    password = files.password_file.read_text().strip()
    for number in range(5):
        with pytest.raises(Unauthorized):
            await st.services.access.sign_in("admin", "wrong", f"192.0.2.{number}")

    with pytest.raises(TooMany) as caught:
        await st.services.access.sign_in("admin", password, "192.0.2.99")

    assert 0 < caught.value.retry_after_s <= 30
    st.clock.go(31)
    await st.services.access.sign_in("admin", password, "192.0.2.99")


async def test_an_address_that_tries_many_names_waits_too(st: Stage) -> None:
    for number in range(5):
        with pytest.raises(Unauthorized):
            await st.services.access.sign_in(f"user{number}", "wrong", "192.0.2.1")

    with pytest.raises(TooMany):
        await st.services.access.sign_in("user9", "wrong", "192.0.2.1")
    with pytest.raises(Unauthorized):
        await st.services.access.sign_in("user9", "wrong", "192.0.2.2")


async def test_many_guesses_at_once_are_many_guesses(st: Stage) -> None:
    await st.services.access.first_run()

    tries = [st.services.access.sign_in("admin", f"guess {n}", "192.0.2.1") for n in range(20)]
    answers = await asyncio.gather(*tries, return_exceptions=True)

    assert [type(answer) for answer in answers].count(Unauthorized) == 5
    assert [type(answer) for answer in answers].count(TooMany) == 15


class Gate(PasswordHasher):
    """A password check that lasts until the event loop lets it end, and counts."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=64, parallelism=1)
        self.open = threading.Event()
        self.checks = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        self.checks += 1
        if not self.open.wait(5):
            raise VerificationError("the event loop stood still")
        return super().verify(hash, password)


async def test_a_password_is_checked_off_the_event_loop(st: Stage) -> None:
    gate = Gate()
    access = replace(st.services, hasher=gate).access
    await st.stores.access.put_user(User("ada", gate.hash("right"), Scope.ADMIN, NOW))

    asyncio.get_running_loop().call_later(0.01, gate.open.set)

    assert (await access.sign_in("ada", "right", "")).user == "ada"


async def test_a_name_that_is_not_there_costs_a_check_too(st: Stage) -> None:
    gate = Gate()
    gate.open.set()

    with pytest.raises(Unauthorized):
        await replace(st.services, hasher=gate).access.sign_in("nobody", "wrong", "")

    assert gate.checks == 1


def test_each_wrong_try_doubles_the_wait_up_to_a_quarter_of_an_hour() -> None:
    attempts, clock, waits = Attempts(), Clock(), []
    for _ in range(5):
        attempts.enter(("name/a",), clock.now())
    for _ in range(7):
        with pytest.raises(TooMany) as caught:
            attempts.enter(("name/a",), clock.now())
        waits.append(caught.value.retry_after_s)
        clock.go(waits[-1])
        attempts.enter(("name/a",), clock.now())

    assert waits == [30, 60, 120, 240, 480, 900, 900]
    clock.go(3601)
    attempts.enter(("name/a",), clock.now())
    attempts.enter(("name/a",), clock.now())


def test_guesses_do_not_fill_the_memory() -> None:
    attempts = Attempts()

    for number in range(12_000):
        attempts.enter((f"name/{number}",), NOW)

    assert len(attempts._tries) == 10_000


async def test_a_token_is_shown_once_and_only_its_digest_is_kept(st: Stage) -> None:
    made = await st.services.access.add_token(ADMIN, "ci", "deploy")

    assert made.text.startswith("lee_") and len(made.text) >= 4 + 43
    assert await st.services.access.authenticate(made.text) == Caller("ada", Scope.DEPLOY, "ci")
    assert made.text not in repr(await st.services.access.tokens(ADMIN))
    assert made.text not in repr(await st.services.events.list())
    assert made.text.encode() not in (st.settings.home / "leeward.db").read_bytes()


async def test_a_wrong_an_expired_and_a_revoked_token_are_refused(st: Stage) -> None:
    short = await st.services.access.add_token(ADMIN, "short", "read", 60)
    ended = await st.services.access.add_token(ADMIN, "ended", "read")
    await st.services.access.authenticate(short.text)
    await st.services.access.revoke_token(ADMIN, ended.token.id)
    st.clock.go(61)

    for text in ("", "lee_wrong", "Bearer", ended.text, short.text, short.text[:-1], "lee_\udcff", ended.token.digest):
        with pytest.raises(Unauthorized):
            await st.services.access.authenticate(text)


async def test_revoking_twice_is_once_and_an_unknown_token_is_not_found(st: Stage) -> None:
    made = await st.services.access.add_token(ADMIN, "ci")

    first = await st.services.access.revoke_token(ADMIN, made.token.id)
    st.clock.go(10)

    assert (await st.services.access.revoke_token(ADMIN, made.token.id)).revoked_at == first.revoked_at
    with pytest.raises(NotFound):
        await st.services.access.revoke_token(ADMIN, "nope")


async def test_tokens_are_the_admins_business(st: Stage) -> None:
    for ask in (
        st.services.access.tokens(DEPLOYER),
        st.services.access.add_token(DEPLOYER, "mine", "admin"),
        st.services.access.revoke_token(DEPLOYER, "x"),
    ):
        with pytest.raises(Forbidden, match="needs 'admin'"):
            await ask


async def test_every_wrong_part_of_a_token_is_named(st: Stage) -> None:
    with pytest.raises(Invalid) as caught:
        await st.services.access.add_token(ADMIN, " ", "root", -1)

    assert [problem.path for problem in caught.value.problems] == ["name", "scope", "expires_in_s"]


@pytest.mark.parametrize(
    ("method", "site", "origin", "refused"),
    [
        ("GET", "cross-site", "https://evil.example", False),
        ("HEAD", None, None, False),
        ("POST", "same-origin", "https://console.lee.test", False),
        ("POST", "none", None, False),
        ("POST", None, "https://console.lee.test", False),
        ("POST", "cross-site", "https://console.lee.test", True),
        ("POST", "same-site", "https://shop.lee.test", True),
        ("POST", None, "https://shop.lee.test", True),
        ("POST", None, "null", True),
        ("POST", None, None, True),
        ("DELETE", "cross-site", None, True),
    ],
)
def test_a_change_with_a_cookie_comes_from_the_dashboard(
    method: str, site: str | None, origin: str | None, refused: bool
) -> None:
    try:
        refuse_cross_site(method, site, origin, "console.lee.test")
        raised = False
    except Forbidden:
        raised = True

    assert raised is refused

"""Why a process ended, in one sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leeward.plan.exits import why

ACCESS = '10.2.0.1 - - [24/Nov/2026:10:00:00 +0000] "GET /health HTTP/1.1" 200 17'


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        (
            'Traceback (most recent call last):\n  File "/app/main.py", line 3, in <module>\n    import nope\n'
            "ModuleNotFoundError: No module named 'nope'",
            "ModuleNotFoundError: No module named 'nope'",
        ),
        (
            "sqlalchemy.exc.OperationalError: no database\nERROR:    Application startup failed. Exiting.",
            "sqlalchemy.exc.OperationalError: no database",
        ),
        (
            "/app/server.js:4\n  throw new Error('boom')\n  ^\n\nError: boom\n"
            "    at Object.<anonymous> (/app/server.js:4:9)\n"
            "    at Module._compile (node:internal/modules/cjs/loader:1554:14)\n\nNode.js v24.4.1",
            "Error: boom",
        ),
        (
            "panic: no database\n\ngoroutine 1 [running]:\nmain.main()\n\t/app/main.go:9 +0x1d\nexit status 2",
            "panic: no database",
        ),
        (
            'Exception in thread "main" java.lang.IllegalStateException: no url\n\tat hello.Main.main(Main.java:7)\n'
            "Caused by: java.net.ConnectException: refused\n\t... 1 more",
            "Caused by: java.net.ConnectException: refused",
        ),
        (
            "thread 'main' panicked at src/main.rs:3:5:\nno database\nnote: run with `RUST_BACKTRACE=1` to see more",
            "no database",
        ),
        (
            "app.rb:3:in `<main>': no database (RuntimeError)\n\tfrom app.rb:9:in `run'",
            "app.rb:3:in `<main>': no database (RuntimeError)",
        ),
        (
            "PHP Fatal error:  Uncaught Exception: no database\n  thrown in /app/index.php on line 3",
            "PHP Fatal error:  Uncaught Exception: no database",
        ),
        (f"2026-11-24 FATAL no database\n{ACCESS}", "2026-11-24 FATAL no database"),
        (f"out of things to do\n{ACCESS}\n{ACCESS}", "out of things to do"),
    ],
)
def test_the_line_is_told_that_names_what_ended_it(printed: str, told: str) -> None:
    reason, hint = why("shop", "web", 256, code=1, oom=False, ran_s=60, lines=printed.splitlines())

    assert reason == f"exited with code 1: '{told}'"
    assert hint.endswith("see `lee logs shop`")


def test_a_request_is_never_told_as_the_reason() -> None:
    reason, hint = why("shop", "web", 256, code=1, oom=False, ran_s=60, lines=[ACCESS, ACCESS])

    assert reason == "exited with code 1"
    assert "GET /health" in hint


@given(lines=st.lists(st.text(max_size=400), max_size=8), code=st.integers(0, 255), oom=st.booleans())
def test_whatever_was_printed_it_is_one_sentence(lines: list[str], code: int, oom: bool) -> None:
    reason, hint = why("shop", "web", 256, code=code, oom=oom, ran_s=1, lines=lines)

    assert reason and hint
    assert len(reason) < 260

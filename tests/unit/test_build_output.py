"""What a build prints: read, masked, cut and explained."""

import base64
import json
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leeward.builders.failures import explain
from leeward.builders.masking import Masker
from leeward.builders.progress import Progress
from leeward.builders.sink import Sink

SECRET = 'pa"ss/w0rd+x=ü'
PLAIN = """#1 [internal] load build definition from Dockerfile
#1 sha256:aa
#1 DONE 0.0s
#5 [1/3] FROM docker.io/leeward-base/python3.11:aa
#5 sha256:bb
#5 DONE 0.0s
#4 [2/3] RUN --mount=type=secret,id=leeward_ca --mount=type=cache,id=x,target=/c with-ca uv sync
#4 sha256:cc
#4 0.162 Resolved 14 packages
#4 0.171
#4 DONE 8.3s
#6 [3/3] COPY . /app
#6 sha256:dd
#6 CACHED
#7 exporting to image
#7 sha256:ee
#7 exporting layers done
#7 DONE 0.1s"""
FAILED = """#4 [2/2] RUN make
#4 sha256:cc
#4 0.1 gcc: error: no input
#4 ERROR: executor failed running [/bin/sh -c make]: exit code: 2
------
 > [2/2] RUN make:
------
executor failed running [/bin/sh -c make]: exit code: 2"""


def shown(text: str) -> tuple[Progress, list[str]]:
    progress = Progress()
    return progress, [line for raw in text.splitlines() for line in progress.feed(raw)]


def test_a_user_sees_steps_their_output_and_their_time() -> None:
    progress, lines = shown(PLAIN)

    assert lines == [
        "[2/3] RUN with-ca uv sync",
        "    Resolved 14 packages",
        "    ",
        "  done in 8.3 s",
        "[3/3] COPY . /app",
        "  cached",
        "image written in 0.1 s",
    ]
    assert progress.ran
    assert progress.step == ""


def test_a_build_whose_steps_all_come_from_the_cache_ran_nothing() -> None:
    progress, _ = shown("#6 [2/2] COPY . /app\n#6 sha256:dd\n#6 CACHED\n#7 exporting to image\n#7 DONE 0.0s")

    assert not progress.ran


def test_a_failure_knows_its_step_and_the_last_lines() -> None:
    progress, _ = shown(FAILED)

    assert progress.step == "[2/2] RUN make"
    assert progress.output[0] == "gcc: error: no input"
    assert "exit code: 2" in progress.error
    assert explain(progress.step, progress.output, progress.error)[0] == (
        "'make' ended with exit code 2: gcc: error: no input"
    )


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET, safe=""),
        json.dumps(SECRET)[1:-1],
        SECRET.encode().hex(),
        base64.b64encode(SECRET.encode()).decode().rstrip("="),
        base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("="),
    ],
)
def test_a_secret_is_hidden_in_every_form(form: str) -> None:
    masked = Masker([SECRET]).text(f"before {form} after")

    assert form not in masked
    assert masked.startswith("before ********")


@given(before=st.binary(max_size=40), after=st.binary(max_size=40), secret=st.text("abcXYZ019+/", min_size=12))
def test_a_secret_inside_base64_is_hidden_wherever_it_stands(before: bytes, after: bytes, secret: str) -> None:
    text = base64.b64encode(before + secret.encode() + after)

    masked = Masker([secret]).mask(text)

    assert b"********" in masked


def test_each_line_of_a_key_file_is_a_secret() -> None:
    key = "-----BEGIN KEY-----\nMIIBVgIBADANBgkq\nhkiG9w0BAQEFAAS\n-----END KEY-----\n"

    masked = Masker([key]).text(f"cat:\n{key}")

    assert "MIIBVgIBADANBgkq" not in masked
    assert "hkiG9w0BAQEFAAS" not in masked


def test_short_and_common_values_are_no_secrets() -> None:
    assert Masker(["1", "true", "production"]).text("1 true production") == "1 true production"


def test_masking_is_faster_than_any_build_prints() -> None:
    masker = Masker([f"a-long-secret-value-{number}" for number in range(5)])
    line = b"#4 0.162 Collecting something-or-other==1.2.3 from the index, which is a long line\n" * 800

    began = time.perf_counter()
    for _ in range(50):
        masker.mask(line)
    seconds = time.perf_counter() - began

    assert len(line) * 50 / seconds > 20e6


def test_after_the_bound_only_the_steps_are_shown() -> None:
    said: list[str] = []
    sink = Sink(Progress(), said.append, most=100)
    for number in range(50):
        sink.line("#4 [2/2] RUN yes" if number == 0 else f"#4 0.{number} yyyyyyyyyy")
    sink.line("#4 DONE 1.0s")

    assert said[0] == "[2/2] RUN yes"
    assert "(the build printed more than 8 MiB: the rest is left out)" in said
    assert said[-1] == "  done in 1.0 s"
    assert len(said) < 15


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            "× No solution found when resolving dependencies:\n╰─▶ Because there is no version of fastapi==9.9 and you "
            "require fastapi==9.9, we can conclude that your requirements are unsatisfiable.",
            "the requirement 'fastapi==9.9' cannot be met: there is no such version",
        ),
        (
            "error: No solution found when resolving dependencies\n  cause: Because you require starlette==1.10.0 and "
            "starlette==1.9.0, we can conclude that your requirements are unsatisfiable.",
            "the requirements contradict each other: 'starlette==1.10.0' and 'starlette==1.9.0'",
        ),
        (
            "Because nonexistent-x was not found in the package registry and you require nonexistent-x, so",
            "no package 'nonexistent-x' exists in the Python index",
        ),
        (
            "ERROR: Could not find a version that satisfies the requirement foo==9 (from versions: 1.0)\n"
            "ERROR: No matching distribution found for foo==9",
            "the requirement 'foo==9' cannot be met: no such package or version",
        ),
        (
            "Because the current Python version (3.11.2) does not satisfy Python>=3.12 and x==1 depends on it",
            "python 3.11.2 does not satisfy 'Python>=3.12'",
        ),
        (
            "error: The lockfile at `uv.lock` needs to be updated, but `--locked` was",
            "the lock file 'uv.lock' is out of date",
        ),
        ("Error: pg_config executable not found.", "psycopg2 is built from source and finds no PostgreSQL headers"),
        ("foo.c:1:10: fatal error: ffi.h: No such file or directory", "the C header 'ffi.h' is missing"),
        (
            "npm ERR! code ERESOLVE\nnpm ERR! ERESOLVE could not resolve\nnpm ERR!\nnpm ERR! While resolving: a@1.0.0",
            "npm cannot resolve the dependencies of 'a@1.0.0'",
        ),
        (
            "npm error code EUSAGE\nnpm error\nnpm error `npm ci` can only install packages when your package.json and "
            "package-lock.json are in sync.",
            "package-lock.json does not fit package.json",
        ),
        (
            "npm error 404  'left-padd@*' is not in this registry.",
            "no package 'left-padd@*' exists in the npm registry",
        ),
        ('npm error Missing script: "build"', "package.json has no script 'build'"),
        ("FATAL ERROR: JavaScript heap out of memory", "Node ran out of its own heap while building"),
        (" ERR_PNPM_OUTDATED_LOCKFILE  Cannot install", "pnpm-lock.yaml does not fit package.json"),
        ("src/a.ts(1,2): error TS2322: Type 'a' is not 'b'.", "TypeScript: Type 'a' is not 'b'. (TS2322)"),
        ("E: Unable to locate package libfoo", "no Debian package 'libfoo' exists"),
        ("ssl.SSLError: CERTIFICATE_VERIFY_FAILED", "a certificate is not trusted within the build"),
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("/bin/sh: 1: pnpm: not found", "the command 'pnpm' is not in the image"),
        ("ModuleNotFoundError: No module named 'django'", "the Python module 'django' is not installed"),
        (
            'failed to compute cache key: "/missing.txt" not found: not found',
            "the Dockerfile copies '/missing.txt', which is not in the source",
        ),
        (
            "dockerfile parse error line 3: unknown instruction: RUNN",
            "the Dockerfile is wrong in line 3: unknown instruction: RUNN",
        ),
    ],
)
def test_common_failures_are_one_sentence_with_a_hint(output: str, message: str) -> None:
    said, hint = explain("[2/3] RUN x", output.splitlines(), "exit code: 1")

    assert said == message
    assert hint


def test_a_step_is_told_without_the_gaps_that_its_mounts_left() -> None:
    line = "#4 [2/3] RUN     --mount=type=cache,id=x,target=/c     with-ca uv venv  && with-ca uv sync"

    assert list(Progress().feed(line)) == ["[2/3] RUN with-ca uv venv && with-ca uv sync"]

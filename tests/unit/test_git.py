"""Addresses of repositories, and what git's complaints mean."""

import base64
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leeward.errors import FetchFailed
from leeward.sources import giturl
from leeward.sources.gitcommand import Git
from leeward.sources.sweep import Kept, victims
from leeward.sources.tree import leads_out


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://github.com/team/app.git", "https://github.com/team/app.git"),
        ("https://host:8443/a b".replace(" ", "%20"), "https://host:8443/a%20b"),
        ("git@github.com:team/app.git", "ssh://git@github.com/team/app.git"),
        ("ssh://git@host:2222/app", "ssh://git@host:2222/app"),
    ],
)
def test_public_addresses_are_taken(url: str, address: str) -> None:
    assert giturl.parse(url, local=False).address == address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "--upload-pack=touch /tmp/x",
        "-oProxyCommand=x",
        "ext::sh -c 'touch /tmp/x'",
        "ext::sh",
        "fd::17/x",
        "https://-oProxyCommand=x/y",
        "ssh://-oProxyCommand=x/y",
        "ssh://-x@host/y",
        "ftp://host/x",
        "https://host/x y",
        "https://host/x\n",
        "https:///x",
        "https://host:99999/x",
        "https://host/x?service=y",
        "app",
        "../app",
        "-x:y",
        "a::b:c",
    ],
)
@pytest.mark.parametrize("local", [True, False])
def test_addresses_that_could_do_harm_are_refused(url: str, local: bool) -> None:
    with pytest.raises(FetchFailed) as caught:
        giturl.parse(url, local=local)

    assert caught.value.hint


@pytest.mark.parametrize("url", ["/srv/app", "file:///srv/app", "http://host/x", "git://host/x"])
def test_paths_and_plain_protocols_need_the_operators_word(url: str) -> None:
    assert giturl.parse(url, local=True).address
    with pytest.raises(FetchFailed):
        giturl.parse(url, local=False)


def test_a_password_travels_beside_the_address_and_is_never_shown() -> None:
    url = giturl.parse("https://me:s3cret%40@host/app.git", local=False)

    assert url.address == "https://host/app.git"
    assert base64.b64decode(url.header.removeprefix("Authorization: Basic ")) == b"me:s3cret@"
    for wrong in ("ftp://me:s3cret@host/x", "https://me:s3cret@host/x?y", "https://me:s3cret@ho st"):
        with pytest.raises(FetchFailed) as caught:
            giturl.parse(wrong, local=False)
        assert "s3cret" not in str(caught.value.as_dict())


@given(st.text(max_size=30))
def test_no_text_is_taken_as_an_option_or_a_helper(text: str) -> None:
    try:
        address = giturl.parse(text, local=True).address
    except FetchFailed:
        return
    assert address.split("://")[0] in ("https", "http", "ssh", "git", "file")


@pytest.mark.parametrize("name", ["main", "feature/x", "v1.0", "a" * 40, "release-2", "refs/heads/main"])
def test_branches_tags_and_commits_are_taken(name: str) -> None:
    assert giturl.ref(name) == name.removeprefix("refs/heads/")


@pytest.mark.parametrize(
    "name", ["--upload-pack=x", "-x", "a..b", "a b", "a:b", "x^", "x~1", "@{u}x@{", "a\n", "+x:y*", "x/"]
)
def test_what_is_no_name_of_a_branch_is_refused(name: str) -> None:
    with pytest.raises(FetchFailed, match="not a branch"):
        giturl.ref(name)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "::1", "fe80::1%eth0", "fd00::1", "0.0.0.0",
     "::ffff:127.0.0.1", "2002:7f00:1::", "100.64.0.1", "224.0.0.1"],
)  # fmt: skip
def test_addresses_of_this_machine_and_of_private_networks_are_not_public(address: str) -> None:
    assert not giturl.public(address)
    assert giturl.public("140.82.112.3")
    assert giturl.public("2606:4700::1111")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("fatal: could not read Username for 'https://h': terminal prompts disabled", "needs a password"),
        ("fatal: Authentication failed for 'https://h/x'", "needs a password"),
        ("git@h: Permission denied (publickey).", "needs a password"),
        ("fatal: repository 'https://h/x/' not found", "does not exist"),
        ("fatal: '/srv/x' does not appear to be a git repository", "does not exist"),
        ("fatal: unable to access 'https://h/': Could not resolve host: h", "is not known"),
        ("fatal: unable to access 'https://h/': Failed to connect to h port 443", "does not answer"),
        ("fatal: unable to access 'https://h/': SSL certificate problem: self-signed", "is not trusted"),
        ("fatal: couldn't find remote ref nowhere", "has no branch 'nowhere'"),
        ("fatal: remote error: upload-pack: not our ref aaaa", "has no commit 'nowhere'"),
        ("error: index-pack died of signal 25", "larger than 512 MiB"),
        ("fatal: fsck error in packed object", "damaged or not allowed"),
        ("fatal: write error: No space left on device", "the disk is full"),
    ],
)
def test_what_git_says_becomes_one_sentence_with_a_next_step(said: str, message: str) -> None:
    error = giturl.failure(said, url="https://tok:s3cret@h/x", ref="nowhere", limit_mib=512)

    assert message in error.message
    assert error.hint
    assert "s3cret" not in str(error.as_dict())


def test_what_nobody_foresaw_is_quoted_without_the_password() -> None:
    error = giturl.failure("fatal: odd at https://u:p@h/x\n", url="https://h/x", ref="", limit_mib=1)

    assert error.message == "'https://h/x' could not be fetched: odd at https://***@h/x"


def test_submodules_are_found_beside_their_repository() -> None:
    assert giturl.relative("https://h/team/app.git", "../lib.git") == "https://h/team/lib.git"
    assert giturl.relative("https://h/team/app", "https://other/x") == "https://other/x"


def test_git_reads_no_configuration_but_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_SSH_COMMAND", "touch /tmp/x")
    monkeypatch.setenv("GIT_DIR", "/somewhere")

    env = Git(tmp_path, local=False).env({"http.extraHeader": "secret"})

    assert env["GIT_CONFIG_NOSYSTEM"] == "1"
    assert env["GIT_TERMINAL_PROMPT"] == "0"
    assert not {"GIT_SSH_COMMAND", "GIT_DIR"} & set(env)
    text = Path(env["GIT_CONFIG_GLOBAL"]).read_text()
    assert "hooksPath = /dev/null" in text
    assert '[protocol "file"]' not in text
    assert '[protocol "file"]' in Path(Git(tmp_path, local=True).env()["GIT_CONFIG_GLOBAL"]).read_text()


@pytest.mark.parametrize(
    ("name", "target", "out"),
    [
        ("a", "b", False),
        ("d/a", "../b", False),
        ("d/e/a", "../../b", False),
        ("a", "../b", True),
        ("d/a", "../../b", True),
        ("a", "/etc/passwd", True),
        ("d/a", "x/../../../b", True),
        ("a", ".", False),
    ],
)
def test_links_that_leave_the_tree_are_seen(name: str, target: str, out: bool) -> None:
    assert leads_out(PurePosixPath(name), target) is out


@given(
    sizes=st.lists(st.integers(1, 100), max_size=12),
    budget=st.integers(0, 600),
    busy=st.sets(st.integers(0, 11), max_size=4),
)
def test_the_sweep_takes_the_oldest_until_it_fits_and_never_what_is_used(
    sizes: list[int], budget: int, busy: set[int]
) -> None:
    kept = [Kept(Path(str(i)), size, float(i), str(i)) for i, size in enumerate(sizes)]
    names = frozenset(str(i) for i in busy)

    gone = victims(kept, budget, names, now=1e6)

    left = [one for one in kept if one not in gone]
    assert not names & {one.name for one in gone}
    assert sum(one.size for one in left) <= budget or {one.name for one in left} <= names
    assert all(one.used_at <= min((o.used_at for o in left if o.name not in names), default=1e9) for one in gone)

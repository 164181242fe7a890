"""What `lee deploy` packs, and what it leaves out."""

import hashlib
import io
import os
import socket
import tarfile
import tempfile
import time
from pathlib import Path

import pytest

from leeward.cli.ignore import Rules
from leeward.cli.pack import entries, packed
from leeward.errors import Invalid


def put(root: Path, name: str, text: str = "") -> None:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def sent(root: Path, *kept: str) -> set[str]:
    """The files that are packed, without directories."""
    return {entry.path for entry in entries(root, kept) if entry.size >= 0}


def archive(root: Path) -> bytes:
    return b"".join(packed(entries(root)))


def test_the_same_tree_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for root, names in ((one, ("b.py", "a/z.py", "a.py")), (two, ("a.py", "a/z.py", "b.py"))):
        for name in names:
            put(root, name, f"# {name}\n" * 1000)
        (root / "run.sh").write_text("#!/bin/sh\n")
        (root / "run.sh").chmod(0o755)
    for file in two.rglob("*"):
        os.utime(file, (1, 1))
    (two / "a.py").chmod(0o600)

    assert hashlib.sha256(archive(one)).digest() == hashlib.sha256(archive(two)).digest()


def test_the_archive_holds_names_modes_links_and_bytes_and_nothing_of_the_owner(tmp_path: Path) -> None:
    put(tmp_path, "src/großes Ding.py", "x = 1\n")
    put(tmp_path, "run.sh", "#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o750)
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("src/großes Ding.py")

    with tarfile.open(fileobj=io.BytesIO(archive(tmp_path)), mode="r:gz") as found:
        members = {member.name: member for member in found.getmembers()}
        text = found.extractfile("src/großes Ding.py")
        assert text is not None and text.read() == b"x = 1\n"

    assert list(members) == ["empty", "link", "run.sh", "src", "src/großes Ding.py"]
    assert members["run.sh"].mode == 0o755
    assert members["src/großes Ding.py"].mode == 0o644
    assert members["link"].linkname == "src/großes Ding.py"
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members.values()} == {(0, 0, 0, "", "")}


def test_long_names_and_large_files_survive(tmp_path: Path) -> None:
    name = "/".join(["d" * 60] * 4) + "/" + "f" * 120
    put(tmp_path, name, "é" * 700_000)

    with tarfile.open(fileobj=io.BytesIO(archive(tmp_path)), mode="r:gz") as found:
        text = found.extractfile(name)
        assert text is not None and text.read().decode() == "é" * 700_000


def test_gitignore_counts_at_every_level_and_the_nearest_wins(tmp_path: Path) -> None:
    put(tmp_path, ".gitignore", "*.log\n/build/\nsecret.*\n")
    put(tmp_path, "web/.gitignore", "!keep.log\n/local.txt\n")
    for name in ("a.log", "build/x", "web/keep.log", "web/b.log", "web/local.txt", "web/in/local.txt", "web/build/y"):
        put(tmp_path, name)
    put(tmp_path, "secret.env")

    assert sent(tmp_path) == {".gitignore", "web/.gitignore", "web/keep.log", "web/in/local.txt", "web/build/y"}


def test_a_subdirectory_of_a_checkout_obeys_the_gitignore_above_it(tmp_path: Path) -> None:
    put(tmp_path, ".git/HEAD")
    put(tmp_path, ".gitignore", ".env\n/backend/data/\n")
    for name in ("backend/.env", "backend/data/x", "backend/main.py", "backend/deep/data/y"):
        put(tmp_path, name)

    assert sent(tmp_path / "backend") == {"main.py", "deep/data/y"}


def test_git_itself_is_never_sent_whatever_the_rules_say(tmp_path: Path) -> None:
    put(tmp_path, ".leewardignore", "!.git\n!.git/**\n")
    put(tmp_path, ".git/config")
    put(tmp_path, "vendor/lib/.git", "gitdir: elsewhere\n")
    put(tmp_path, "vendor/lib/lib.py")

    assert sent(tmp_path, ".git/config") == {".leewardignore", "vendor/lib/lib.py"}


def test_dockerignore_is_anchored_at_the_top_and_its_last_match_wins(tmp_path: Path) -> None:
    put(tmp_path, ".dockerignore", "*.md\n!README.md\n**/*.tmp\ndocs\n!docs/api\n")
    for name in ("a.md", "README.md", "in/b.md", "in/c.tmp", "docs/x.txt", "docs/api/y.txt"):
        put(tmp_path, name)

    assert sent(tmp_path) == {".dockerignore", "README.md", "in/b.md", "docs/api/y.txt"}


def test_dockerignore_lets_nothing_in_that_gitignore_leaves_out(tmp_path: Path) -> None:
    put(tmp_path, ".dockerignore", "*\n!src\n")
    put(tmp_path, ".gitignore", ".env\n")
    for name in ("src/.env", "src/main.py", "other.py"):
        put(tmp_path, name)

    assert sent(tmp_path) == {"src/main.py"}


def test_leewardignore_decides_over_all_others(tmp_path: Path) -> None:
    put(tmp_path, ".gitignore", "dist/\n")
    put(tmp_path, ".leewardignore", "!dist/\n!node_modules/\n/tests/\n")
    for name in ("dist/app.js", "node_modules/x.js", "tests/t.py", ".venv/lib.py", "a/__pycache__/x.pyc"):
        put(tmp_path, name)

    assert sent(tmp_path) == {".gitignore", ".leewardignore", "dist/app.js", "node_modules/x.js"}


def test_what_the_build_needs_is_sent_although_it_is_ignored(tmp_path: Path) -> None:
    put(tmp_path, ".dockerignore", "Dockerfile\nleeward.yaml\ndeploy\n")
    for name in ("Dockerfile", "leeward.yaml", "deploy/Dockerfile", "deploy/notes.txt"):
        put(tmp_path, name)

    assert sent(tmp_path, "leeward.yaml", "Dockerfile", "deploy/Dockerfile") == {
        ".dockerignore",
        "Dockerfile",
        "leeward.yaml",
        "deploy/Dockerfile",
    }


def test_links_out_of_the_tree_are_refused_all_at_once_and_by_name(tmp_path: Path) -> None:
    root = tmp_path / "app"
    put(root, "in.txt")
    put(tmp_path, "outside/secret.txt")
    (root / "abs").symlink_to("/etc/passwd")
    (root / "up").symlink_to("../outside")
    (root / "fine").symlink_to("in.txt")
    (root / "hidden").symlink_to("/etc/shadow")
    put(root, ".gitignore", "hidden\n")

    with pytest.raises(Invalid) as caught:
        entries(root)

    assert [problem.path for problem in caught.value.problems] == ["abs", "up"]
    assert "'/etc/passwd'" in caught.value.message


def test_a_link_that_leaves_through_another_link_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "app"
    put(root, "a/b/x")
    put(tmp_path, "secret")
    (root / "a/b/top").symlink_to("../..")
    (root / "out").symlink_to("a/b/top/../secret")

    with pytest.raises(Invalid, match="out"):
        entries(root)


def test_a_link_to_a_directory_is_not_walked(tmp_path: Path) -> None:
    put(tmp_path, "real/x.py")
    (tmp_path / "loop").symlink_to(".")
    (tmp_path / "alias").symlink_to("real")

    assert sent(tmp_path) == {"real/x.py", "loop", "alias"}


def test_pipes_and_sockets_are_left_out(tmp_path: Path) -> None:
    put(tmp_path, "main.py")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "sock"))

        assert sent(tmp_path) == {"main.py"}


def test_a_file_that_shrinks_while_it_is_packed_is_named(tmp_path: Path) -> None:
    put(tmp_path, "growing.db", "x" * 1000)
    found = entries(tmp_path)
    put(tmp_path, "growing.db", "x")

    with pytest.raises(Invalid, match=r"'growing\.db' changed"):
        list(packed(found))


def test_ten_thousand_files_are_packed_quickly() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        root = Path(name)
        put(root, ".gitignore", "\n".join(f"*.ignored{i}" for i in range(30)))
        for i in range(100):
            directory = root / f"d{i}"
            directory.mkdir()
            for j in range(100):
                (directory / f"f{j}.py").touch()
        started = time.process_time()

        size = sum(len(piece) for piece in packed(entries(root)))

        assert size > 10_000
        assert time.process_time() - started < 3.0


def test_rules_without_files_leave_out_only_what_never_belongs_in_an_image(tmp_path: Path) -> None:
    rules = Rules.of(tmp_path)

    assert rules.leave_out("node_modules", True)
    assert rules.leave_out("a/b/__pycache__", True)
    assert not rules.leave_out("node_modules.py", False)
    assert not rules.leave_out(".env.example", False)

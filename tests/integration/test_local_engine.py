"""The local engine against a real Docker: limits, isolation, reasons, names, restarts."""

import asyncio
import contextlib
import secrets
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.contracts.tiny import Machine, docker, machine, needs_docker

from leeward.engines.local import firewall
from leeward.errors import Conflict, RolloutFailed, Unavailable
from leeward.model.app import Health
from leeward.model.runtime import Instance, InstanceState, Observed, Workload
from leeward.settings import Settings

READY = InstanceState.READY
QUICK = Health(rollout_interval=0.1, interval=0.2, timeout=1, successes=2, failures=2, drain=0.5)
OWN_PAGE = "mkdir -p /tmp/www; echo ok > /tmp/www/index.html; exec httpd -f -p $PORT -h /tmp/www"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One platform for all tests, so that its networks are made once."""
    needs_docker()
    path = tmp_path_factory.mktemp("home")
    yield path
    Machine(path).clean()


@pytest.fixture
async def here(home: Path) -> AsyncIterator[Machine]:
    async with machine(home, keep_networks=True) as made:
        yield made


def wanted(here: Machine, command: str | None = Machine.web, **changes: object) -> Workload:
    base = Workload(
        app=here.app(),
        process="web",
        project="trial",
        release=1,
        generation=1000,
        image=here.image,
        command=command,
        env=(),
        instances=1,
        millicpu=500,
        memory_mib=64,
        port=8080,
        health=QUICK,
        routed=frozenset(),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def worker(here: Machine, command: str, **changes: object) -> Workload:
    return wanted(here, command, process="worker", health=None, routed=None, **changes)


async def until(here: Machine, app: str, good: Callable[[Observed], bool], seconds: float = 20) -> Observed:
    """Wait for a change that is good."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        seen = await here.engine.observe(app)
        if good(seen):
            return seen
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {await here.engine.observe(app)}")


async def ready(here: Machine, want: Workload) -> Instance:
    await here.engine.apply(want)
    seen = await until(here, want.app, lambda seen: any(i.state is READY for i in seen.instances))
    return next(i for i in seen.instances if i.state is READY)


async def reason(here: Machine, want: Workload, part: str) -> Instance:
    await here.engine.apply(want)
    seen = await until(here, want.app, lambda seen: any(part in i.reason for i in seen.instances))
    return seen.instances[0]


async def says(here: Machine, instance: Instance, *command: str) -> tuple[int, str]:
    code, output = await here.engine.exec(instance.id, command)
    return code, output.decode()


async def gets(here: Machine, instance: Instance, url: str) -> bool:
    """Whether an instance gets an answer from there within two seconds."""
    host, port = url.removeprefix("http://").strip("/").split(":")
    # Not `wget -T`, which crashes in Debian's static busybox.
    get = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {host} {port}"
    _, answer = await says(here, instance, "sh", "-c", get)
    return answer.startswith("HTTP/")


# --- limits ---------------------------------------------------------------------------------------------------


async def test_too_much_memory_is_named_as_the_reason(here: Machine) -> None:
    eater = wanted(here, """awk 'BEGIN{s="0123456789"; while(1) s=s s}'""", millicpu=1000)

    instance = await reason(here, eater, "memory")

    assert instance.state is InstanceState.CRASHED
    assert instance.reason == "was killed for using more than 64 MiB of memory"
    assert "larger size" in instance.hint


async def test_cpu_is_held_to_the_size(here: Machine) -> None:
    spinning = worker(here, "while true; do :; done", millicpu=200)
    instance = await ready(here, spinning)
    await until(here, spinning.app, lambda seen: not seen.instances[0].boosted)

    (before,) = [u for u in await here.engine.usage() if u.instance == instance.id]
    began = time.monotonic()
    await asyncio.sleep(1.5)
    (after,) = [u for u in await here.engine.usage() if u.instance == instance.id]
    share = (after.cpu_s - before.cpu_s) / (time.monotonic() - began)

    assert 0.1 < share < 0.3
    assert after.throttled_s > before.throttled_s
    assert after.limit_millicpu == 200
    assert 0 < after.memory_bytes < after.limit_memory_bytes


async def test_a_start_is_boosted_until_it_is_ready(here: Machine) -> None:
    want = wanted(here, "sleep 1; exec httpd -f -p $PORT -h /www", millicpu=100)
    await here.engine.apply(want)
    (starting,) = (await here.engine.observe(want.app)).instances
    before = here.inspect(starting.id)["HostConfig"]

    seen = await until(here, want.app, lambda seen: not seen.instances[0].boosted)
    after = here.inspect(starting.id)["HostConfig"]

    assert (starting.state, starting.boosted) == (InstanceState.STARTING, True)
    assert (before["NanoCpus"], after["NanoCpus"]) == (1_000_000_000, 100_000_000)  # type: ignore[index]
    assert seen.instances[0].state is READY
    assert seen.instances[0].restarts == 0


async def test_boosts_are_bounded_in_number_and_time(home: Path) -> None:
    async with machine(home, keep_networks=True, boost_instances=1, boost_s=1.5) as here:
        want = wanted(here, here.silent, millicpu=100, instances=3)

        await here.engine.apply(want)
        at_first = [i.boosted for i in (await here.engine.observe(want.app)).instances]
        seen = await until(here, want.app, lambda seen: not any(i.boosted for i in seen.instances), seconds=5)

        assert sorted(at_first) == [False, False, True]
        assert {i.state for i in seen.instances} == {InstanceState.STARTING}


# --- rights ---------------------------------------------------------------------------------------------------


async def test_the_root_is_read_only_and_tmp_can_be_written_and_run_from(here: Machine) -> None:
    instance = await ready(here, wanted(here))

    root, message = await says(here, instance, "touch", "/file")
    tmp, _ = await says(here, instance, "sh", "-c", "cat /bin/busybox > /tmp/busybox; chmod +x /tmp/busybox")
    ran, home = await says(here, instance, "/tmp/busybox", "sh", "-c", "cd; pwd")
    full, _ = await says(here, instance, "dd", "if=/dev/zero", "of=/tmp/big", "bs=1M", "count=40")

    assert root != 0
    assert "Read-only" in message
    assert (tmp, ran, home) == (0, 0, "/tmp\n")
    assert full != 0


async def test_a_process_has_no_capability_and_gets_none(here: Machine) -> None:
    instance = await ready(here, wanted(here))

    _, status = await says(here, instance, "grep", "-E", "CapEff|CapBnd|NoNewPrivs|Seccomp:", "/proc/self/status")

    assert status.split() == [
        "CapBnd:" if word == "CapBnd:" else word
        for word in ("CapEff:", "0" * 16, "CapBnd:", "0" * 16, "NoNewPrivs:", "1", "Seccomp:", "2")
    ]


async def test_an_image_of_the_users_own_may_write_its_root_and_change_owners(here: Machine) -> None:
    instance = await ready(here, wanted(here, read_only=False))

    code, output = await says(
        here, instance, "sh", "-c", "touch /file && busybox chown nobody /file && stat -c %U /file"
    )

    assert (code, output) == (0, "nobody\n")


# --- isolation ------------------------------------------------------------------------------------------------


async def test_projects_do_not_reach_each_other_but_apps_of_one_project_do(here: Machine) -> None:
    one = await ready(here, wanted(here, project="trial"))
    same = await ready(here, wanted(here, project="trial"))
    other = await ready(here, wanted(here, project="trial-2"))

    assert await gets(here, one, f"http://{same.peer}/")
    assert not await gets(here, one, f"http://{other.peer}/")
    assert not await gets(here, other, f"http://{one.peer}/")


async def test_an_instance_does_not_reach_containers_of_others(here: Machine) -> None:
    stranger = f"stranger-{secrets.token_hex(3)}"
    await asyncio.to_thread(docker, "run", "-d", "--name", stranger, here.image)
    try:
        address = docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", stranger)
        instance = await ready(here, wanted(here))

        assert not await gets(here, instance, f"http://{address}:8080/")
        await here.engine.remove(instance.app)
        assert docker("inspect", "-f", "{{.State.Running}}", stranger) == "true"
    finally:
        await asyncio.to_thread(docker, "rm", "-f", stranger)


async def test_an_instance_does_not_reach_the_host(here: Machine) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nhost\n")
        await writer.drain()
        writer.close()

    instance = await ready(here, wanted(here))
    server = await asyncio.start_server(answer, "0.0.0.0", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        gateway = ".".join((*instance.host.split(".")[:3], "1"))
        addresses = (gateway, "172.17.0.1", _address_of_this_machine())
        reached = [address for address in addresses if await gets(here, instance, f"http://{address}:{port}/")]
        _, writer = await asyncio.open_connection(gateway, port)
        writer.close()
    _, six = await says(here, instance, "ip", "-6", "addr")

    assert reached == []
    assert "inet6" not in six


async def test_the_firewall_is_put_back_in_front_and_whole(here: Machine) -> None:
    await firewall.hold()
    await asyncio.to_thread(_iptables, "-D", "INPUT", "-i", "lwd+", "-j", "LEEWARD-INPUT")
    await asyncio.to_thread(_iptables, "-F", "LEEWARD-INPUT")

    await firewall.hold()
    again = await firewall.hold()
    rules = await asyncio.to_thread(_iptables, "-S")

    assert again is False
    assert rules.count("-A INPUT -i lwd+ -j LEEWARD-INPUT") == 1
    assert rules.count("-A LEEWARD-INPUT") == 2


def _iptables(*arguments: str) -> str:
    return subprocess.run(["iptables", "-w", *arguments], check=True, capture_output=True, text=True).stdout


async def test_an_instance_reaches_the_world(here: Machine) -> None:
    instance = await ready(here, wanted(here))
    with _outside() as address:
        assert await gets(here, instance, f"http://{address}:8080/")


def _address_of_this_machine() -> str:
    found = subprocess.run(["ip", "-4", "-o", "addr", "show", "scope", "global"], capture_output=True, text=True).stdout
    names = {line.split()[1]: line.split()[3].split("/")[0] for line in found.splitlines()}
    return next((a for name, a in names.items() if not name.startswith(("lwd", "docker", "br-", "veth"))), "172.17.0.1")


@contextlib.contextmanager
def _outside() -> Iterator[str]:
    """A web server in a network namespace of its own, behind a cable."""
    name = f"lw{secrets.token_hex(3)}"
    setup = (
        f"netns add {name}",
        f"link add {name}a type veth peer name {name}b netns {name}",
        f"addr add 198.51.100.1/30 dev {name}a",
        f"link set {name}a up",
        f"-n {name} addr add 198.51.100.2/30 dev {name}b",
        f"-n {name} link set {name}b up",
        f"-n {name} route add default via 198.51.100.1",
    )
    server = None
    try:
        for command in setup:
            done = subprocess.run(["ip", *command.split()], capture_output=True, text=True)
            if done.returncode != 0:
                pytest.skip(f"needs network namespaces: {done.stderr.strip()}")
        server = subprocess.Popen(
            ["ip", "netns", "exec", name, "/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/usr/share/doc/bash"]
        )
        # The kernel refuses until it listens.
        yield "198.51.100.2"
    finally:
        if server is not None:
            server.kill()
            server.wait()
        subprocess.run(["ip", "link", "del", f"{name}a"], capture_output=True)
        subprocess.run(["ip", "netns", "del", name], capture_output=True)


# --- names ----------------------------------------------------------------------------------------------------


async def test_apps_of_a_project_find_each_other_by_name_once_ready(here: Machine) -> None:
    asking = await ready(here, wanted(here))
    target = wanted(here, OWN_PAGE)
    instance = await ready(here, target)
    await _named(here, asking, target.app, True)

    await says(here, instance, "rm", "/tmp/www/index.html")
    await until(here, target.app, lambda seen: seen.instances[0].state is InstanceState.UNHEALTHY)
    await _named(here, asking, target.app, False)


async def test_a_name_does_not_lead_to_another_project(here: Machine) -> None:
    asking = await ready(here, wanted(here, project="trial-2"))
    target = await ready(here, wanted(here))
    same = await ready(here, wanted(here))

    await _named(here, same, target.app, True)
    assert not await gets(here, asking, f"http://{target.app}:8080/")


async def _named(here: Machine, asking: Instance, name: str, found: bool) -> None:
    for _ in range(40):
        if await gets(here, asking, f"http://{name}:8080/") is found:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"'{name}' is {'not ' if found else ''}found")


# --- reasons --------------------------------------------------------------------------------------------------


async def test_listening_on_loopback_only_is_named_with_the_remedy(here: Machine) -> None:
    instance = await reason(here, wanted(here, "httpd -f -p 127.0.0.1:8000 -h /www"), "127.0.0.1")

    assert instance.reason == "listens on 127.0.0.1:8000 only, where nothing outside can reach it"
    assert instance.hint == "listen on 0.0.0.0, port 8080"


async def test_listening_on_another_port_is_named(here: Machine) -> None:
    instance = await reason(here, wanted(here, "httpd -f -p 3000 -h /www"), "3000")

    assert instance.reason == "listens on port 3000, but PORT is 8080"


async def test_a_wrong_status_is_named(here: Machine) -> None:
    health = QUICK.model_copy(update={"path": "/nothing"})

    instance = await reason(here, wanted(here, health=health), "404")

    assert instance.reason == "answered GET /nothing with 404"
    assert "health.path" in instance.hint


async def test_an_answer_that_does_not_come_is_named(here: Machine) -> None:
    health = QUICK.model_copy(update={"timeout": 0.3})

    instance = await reason(here, wanted(here, "nc -ll -p 8080 -e sleep 9", health=health), "within")

    assert instance.reason == "did not answer GET / within 0.3 s"


async def test_a_command_that_is_not_there_is_named(here: Machine) -> None:
    instance = await reason(here, wanted(here, "gunicorn main:app"), "not found")

    assert instance.state is InstanceState.CRASHED
    assert "gunicorn" in instance.reason


async def test_an_image_that_is_not_there_is_a_failed_rollout(here: Machine) -> None:
    want = wanted(here, image="127.0.0.1:1/none@sha256:" + "0" * 64)

    with pytest.raises(RolloutFailed, match="is not on this machine"):
        await here.engine.apply(want)

    assert (await here.engine.observe(want.app)).instances == ()


async def test_a_process_that_ignores_sigterm_is_killed_after_its_grace_and_told_so(here: Machine) -> None:
    want = worker(here, "trap '' TERM; while true; do sleep 1; done")
    instance = await ready(here, want)
    began = time.monotonic()

    await here.engine.remove(want.app)
    asked = time.monotonic() - began
    await until(here, want.app, lambda seen: not seen.instances)

    assert asked < 1
    assert 9.5 < time.monotonic() - began < 15
    assert any("did not end within 10 s of SIGTERM" in text for text in here.lines.of(instance.id))


async def test_a_process_that_handles_sigterm_ends_at_once(here: Machine) -> None:
    want = worker(here, "trap 'echo bye; exit 0' TERM; while true; do sleep 0.1; done")
    instance = await ready(here, want)
    began = time.monotonic()

    await here.engine.remove(want.app)
    await until(here, want.app, lambda seen: not seen.instances)

    assert time.monotonic() - began < 5
    assert here.lines.of(instance.id) == ["bye"]


# --- healing --------------------------------------------------------------------------------------------------


async def test_a_killed_process_comes_back_and_says_why(here: Machine) -> None:
    want = wanted(here)
    before = await ready(here, want)

    await says(here, before, "sh", "-c", "kill -9 $(busybox pidof httpd)")
    crashed = await until(here, want.app, lambda seen: bool(seen.instances[0].reason))
    healed = await until(here, want.app, lambda seen: seen.instances[0].state is READY)

    assert crashed.instances[0].state is InstanceState.CRASHED
    assert "SIGKILL" in crashed.instances[0].reason
    assert (healed.instances[0].id, healed.instances[0].restarts, healed.instances[0].reason) == (before.id, 1, "")


async def test_an_instance_that_stays_unhealthy_is_started_anew(here: Machine) -> None:
    want = wanted(here, OWN_PAGE)
    before = await ready(here, want)

    await says(here, before, "rm", "/tmp/www/index.html")
    ill = await until(here, want.app, lambda seen: seen.instances[0].state is InstanceState.UNHEALTHY)
    healed = await until(here, want.app, lambda seen: seen.instances[0].state is READY)

    assert ill.instances[0].reason == "answered GET / with 404"
    assert healed.instances[0].id == before.id
    assert healed.instances[0].started_at > before.started_at


async def test_a_crash_loop_waits_longer_each_time(here: Machine) -> None:
    want = wanted(here, here.crashing)
    await here.engine.apply(want)

    await asyncio.sleep(5)
    (instance,) = (await here.engine.observe(want.app)).instances

    assert 3 <= instance.restarts <= 8


# --- restarts of the control plane ----------------------------------------------------------------------------


async def test_a_new_control_plane_finds_everything_and_disturbs_nothing(here: Machine) -> None:
    want = wanted(here, release=4, generation=4002, instances=2)
    await here.engine.apply(want)
    # The boost of a start ends just after it: what is compared must have settled.
    settled = [(READY, False), (READY, False)]
    before = await until(here, want.app, lambda seen: [(i.state, i.boosted) for i in seen.instances] == settled)
    await _all_named(here, want.app)

    await here.restart()
    after = await here.engine.observe(want.app)
    await here.engine.apply(want)
    later = await here.engine.observe(want.app)

    assert sorted(after.instances, key=lambda i: i.id) == sorted(before.instances, key=lambda i: i.id)
    assert {i.id for i in later.instances} == {i.id for i in before.instances}


async def test_a_new_control_plane_drains_what_served_before_it_came(here: Machine) -> None:
    want = wanted(here)
    instance = await ready(here, want)
    await _all_named(here, want.app)
    await here.restart()
    none = replace(want, instances=0)

    await here.engine.apply(none)
    (draining,) = (await here.engine.observe(want.app)).instances
    await asyncio.sleep(0.6)
    await here.engine.apply(none)
    await until(here, want.app, lambda seen: not seen.instances)

    assert (draining.id, draining.state) == (instance.id, InstanceState.DRAINING)


async def test_what_is_left_half_made_is_taken_away(here: Machine) -> None:
    want = wanted(here)
    instance = await ready(here, want)
    await here.stop()
    await asyncio.to_thread(docker, "stop", "-t", "0", instance.id)

    await here.restart()
    await here.engine.apply(want)
    seen = await until(here, want.app, lambda seen: [i.state for i in seen.instances] == [READY])

    assert seen.instances[0].id != instance.id


async def _all_named(here: Machine, app: str) -> None:
    for _ in range(60):
        found = [c for c in here.engine._sight.of(app) if not c.named]
        if not found:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"not all have their names: {found}")


async def test_a_docker_that_goes_away_and_comes_back_costs_nothing_but_time(home: Path, tmp_path: Path) -> None:
    door = _Door(tmp_path / "docker.sock")
    await door.open()
    async with machine(home, keep_networks=True, docker_socket=door.path) as here:
        want = wanted(here)
        instance = await ready(here, want)
        await door.close()
        await asyncio.sleep(0.5)

        during = await here.engine.observe(want.app)
        with pytest.raises(Unavailable):
            await here.engine.apply(replace(want, instances=2))
        await asyncio.to_thread(docker, "kill", instance.id)
        await door.open()
        await until(here, want.app, lambda seen: bool(seen.instances) and seen.instances[0].state is not READY)
        await here.engine.apply(want)
        healed = await until(here, want.app, lambda seen: [i.state for i in seen.instances] == [READY])
        await door.close()

        assert [i.state for i in during.instances] == [READY]
        assert healed.instances[0].id != instance.id


class _Door:
    """A socket in front of Docker's, which a test can shut: all connections break."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._writers):
            writer.close()
        self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, before = await asyncio.open_unix_connection(str(Settings().docker_socket))
        self._writers |= {writer, before}
        await asyncio.gather(self._pipe(reader, before), self._pipe(behind, writer))
        self._writers -= {writer, before}

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while part := await reader.read(65536):
                writer.write(part)
                await writer.drain()
        writer.close()


# --- several platforms ----------------------------------------------------------------------------------------


async def test_platforms_on_one_docker_do_not_see_each_other(here: Machine, tmp_path: Path) -> None:
    mine = wanted(here, project="shared")
    await ready(here, mine)
    async with machine(tmp_path / "second") as there:
        theirs = replace(mine, generation=9000)
        await ready(there, theirs)

        await there.engine.remove(mine.app)
        await until(there, mine.app, lambda seen: not seen.instances)
        for _ in range(100):
            if not there.networks():
                break
            await asyncio.sleep(0.05)

        assert there.networks() == []
        assert [i.generation for i in (await here.engine.observe(mine.app)).instances] == [1000]
        assert mine.app not in await there.engine.apps()


# --- logs -----------------------------------------------------------------------------------------------------


async def test_lines_arrive_once_in_order_and_in_batches(here: Machine) -> None:
    want = worker(here, "for i in $(seq 1 2000); do echo line $i; done; echo oops >&2; exec sleep 1000", millicpu=1000)
    instance = await ready(here, want)
    await _lines(here, instance.id, 2001)

    lines = [line for line in here.lines.lines if line.source == instance.id]
    out = [line.text for line in lines if line.stream == "stdout"]

    assert out == [f"line {number}" for number in range(1, 2001)]
    assert [line.text for line in lines if line.stream == "stderr"] == ["oops"]
    assert {line.process for line in lines} == {"worker"}
    assert len(here.lines.batches) < 200


async def test_after_a_restart_lines_go_on_where_they_ended(here: Machine) -> None:
    want = worker(here, "i=0; while true; do i=$((i+1)); echo $i; sleep 0.02; done")
    instance = await ready(here, want)
    await _lines(here, instance.id, 20)

    await here.restart()
    count = len(here.lines.of(instance.id))
    await _lines(here, instance.id, count + 20)
    lines = here.lines.of(instance.id)

    assert lines == [str(number) for number in range(1, len(lines) + 1)]


async def test_a_very_long_line_is_one_line(here: Machine) -> None:
    want = worker(here, "head -c 40000 /dev/zero | busybox tr '\\\\0' x; echo; exec sleep 1000")
    instance = await ready(here, want)
    await _lines(here, instance.id, 1)

    assert [len(text) for text in here.lines.of(instance.id)] == [40000]


async def _lines(here: Machine, source: str, count: int) -> None:
    for _ in range(300):
        if len(here.lines.of(source)) >= count:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{len(here.lines.of(source))} lines of {count}")


# --- single commands ------------------------------------------------------------------------------------------


async def test_a_command_that_takes_too_long_is_ended(here: Machine) -> None:
    instance = await ready(here, wanted(here))

    code, output = await here.engine._runs.exec(instance.id, ("sh", "-c", "echo begun; exec sleep 77"), 0.5)
    await asyncio.sleep(0.2)
    _, processes = await says(here, instance, "busybox", "ps")

    assert code == 124
    assert output.startswith(b"begun\n")
    assert "sleep 77" not in processes


async def test_a_commands_output_is_bounded(here: Machine) -> None:
    instance = await ready(here, wanted(here, millicpu=1000))

    code, output = await here.engine.exec(instance.id, ("sh", "-c", "head -c 3000000 /dev/zero; exit 2"))

    assert (code, len(output)) == (2, 1024 * 1024)


async def test_a_command_in_an_instance_that_does_not_run_is_a_conflict(here: Machine) -> None:
    want = wanted(here, here.crashing)
    await here.engine.apply(want)
    seen = await until(here, want.app, lambda seen: bool(seen.instances) and seen.instances[0].restarts >= 5)

    with pytest.raises(Conflict, match="does not run now"):
        await here.engine.exec(seen.instances[0].id, ("true",))


async def test_a_single_run_that_takes_too_long_is_ended_and_taken_away(here: Machine) -> None:
    lines: list[str] = []

    code = await here.engine.run_once(wanted(here), "echo begun; sleep 60", lines.append, 1.5)

    assert code == 124
    assert lines == ["begun", "stopped after 1.5 s"]
    assert not [name for name in docker("ps", "-a", "--format", "{{.Names}}").split() if "-once-" in name]


async def test_an_instance_that_fills_the_disk_is_replaced_and_told_so(home: Path) -> None:
    async with machine(home, keep_networks=True, instance_disk_mib=20) as here:
        fills = worker(here, "dd if=/dev/zero of=/full bs=1M count=40; exec sleep 100", read_only=False)
        modest = worker(here, "dd if=/dev/zero of=/some bs=1M count=5; exec sleep 100", read_only=False)
        for want in (fills, modest):
            await here.engine.apply(want)
            await until(here, want.app, lambda seen: [i.state for i in seen.instances] == [READY])

        await here.engine.bound_disks()
        await until(here, fills.app, lambda seen: not seen.instances)

        assert len((await here.engine.observe(modest.app)).instances) == 1
        assert "wrote 40 MiB" in " ".join(line.text for line in here.lines.lines if line.process == "worker")

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clients import NAME, advance, clients_of, reference, right
from mounting import DGENFS, END_SECONDS, PLANES, RETUNED, Mount, ended, is_mounted, mounted
from processes import eventually, run

from dgenfs.machine.topology import detect
from dgenfs.mount.pins import SECONDS
from life.faults import BAD_OFFSET, EXCEPTIONS, with_fault

MIB = 1 << 20


def control_file(mount: Mount, name: str) -> Any:
    return json.loads(run("cat", mount.path / name).out)


@pytest.fixture(scope="module", params=PLANES)
def lasting(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mount]:
    """A mount that goes from test to test, and is to be the same after each."""
    folder = tmp_path_factory.mktemp("lasting")
    with mounted(folder, NAME, f"--data-plane={request.param}", "--cache=64M", limit=300) as mount:
        yield mount


def read_at(path: Path, offset: int, length: int) -> bytes | None:
    """Read in another process, which may hang; None for EIO."""
    command = ("dd", f"if={path}", f"skip={offset}", f"bs={length}", "iflag=skip_bytes", "count=1")
    done = run(*command, "status=none", seconds=10, code=None)
    if done.code:
        assert "Input/output error" in done.err
        return None
    return done.out


@pytest.mark.parametrize("plane", PLANES)
def test_an_exception_in_a_handler_is_an_error_of_one_request(tmp_path: Path, plane: str) -> None:
    command = with_fault("handlers")
    logged = ["ERROR .* LOOKUP", "ERROR .* GETXATTR", "Traceback", "built-in fault"]
    logged += ["MemoryError", "AssertionError"]
    if plane == "pyfuse3":
        logged.append("ERROR.* READ")
    with mounted(
        tmp_path, NAME, f"--data-plane={plane}", command=command, expected_log=logged
    ) as mount:
        for extension in EXCEPTIONS:
            for _ in range(2):
                done = run("stat", mount.path / f"1K.{extension}", seconds=10, code=1)
                assert "Input/output error" in done.err, extension
        getxattr = "import os, sys; os.getxattr(sys.argv[1], 'user.any')"
        done = run(sys.executable, "-c", getxattr, mount.path / NAME, seconds=10, code=1)
        assert "Input/output error" in done.err
        if plane == "pyfuse3":
            assert read_at(mount.path / NAME, BAD_OFFSET, 5) is None
        # Counted, each of ours but not what the system refused.
        ours = 2 * (len(EXCEPTIONS) - 1) + 1 + (plane == "pyfuse3")
        assert mount.stats()["faults"] == ours
        right(mount.path / NAME)


@pytest.mark.parametrize("plane", PLANES)
def test_an_exception_in_forget_ends_nothing(tmp_path: Path, plane: str) -> None:
    command = with_fault("forget")
    expected = ["ERROR .* FORGET", "Traceback", "built-in fault"]
    with mounted(
        tmp_path, NAME, f"--data-plane={plane}", command=command, expected_log=expected
    ) as mount:
        for seed in range(20):
            run("stat", mount.path / f"1K_s{seed}", seconds=10)
        # Forgets every name that nobody has open, in this file system only.
        run("mount", "-i", "-o", "remount", mount.path)
        eventually(lambda: "FORGET" in mount.log)
        right(mount.path / NAME)


@pytest.mark.parametrize("how", ["raises", "returns"])
def test_a_worker_that_fails_is_replaced(tmp_path: Path, how: str) -> None:
    expected = ["ERROR .* dgenfs-0-.: ended .*, replaced"]
    if how == "raises":
        expected += ["ERROR .* failed", "Traceback", "built-in fault"]
    with mounted(
        *(tmp_path, NAME, "--workers-per-node=2"),
        command=with_fault("worker", how),
        expected_log=expected,
    ) as mount:
        wanted = reference()[BAD_OFFSET : BAD_OFFSET + 1000]
        failures = 0
        while failures < 2:  # each worker once
            data = read_at(mount.path / NAME, BAD_OFFSET, 1000)
            assert data in (None, wanted)
            failures += data is None
        for _ in range(10):
            assert read_at(mount.path / NAME, BAD_OFFSET, 1000) == wanted
        right(mount.path / NAME)
        assert mount.log.count("replaced") == 2
        names = [name for name in mount.thread_names() if "dgenfs-0-" in name]
        assert len([name for name in names if "crc" not in name]) == 2


def test_stopped_and_continued(lasting: Mount, tmp_path: Path) -> None:
    with clients_of(tmp_path) as clients:
        readers = clients.start(lasting.path / NAME, 4)
        for _ in range(3):
            lasting.process.send_signal(signal.SIGSTOP)
            time.sleep(0.1)
            before = [reader.reads for reader in readers]
            time.sleep(0.3)
            after = [reader.reads for reader in readers]
            lasting.process.send_signal(signal.SIGCONT)
            assert after == before
            advance(readers)


def test_clients_killed_while_they_read(lasting: Mount) -> None:
    threads = len(lasting.tasks())
    for _ in range(10):
        cats = [
            subprocess.Popen(["cat", str(lasting.path / NAME)], stdout=subprocess.DEVNULL)
            for _ in range(30)
        ]
        time.sleep(0.05)
        for cat in cats:
            cat.kill()
        for cat in cats:
            assert cat.wait(END_SECONDS) == -signal.SIGKILL
    right(lasting.path / NAME)
    eventually(lambda: control_file(lasting, ".stats")["open_handles"] <= 1)  # the file's own
    assert control_file(lasting, ".stats")["read_errors"] == 0
    assert len(lasting.tasks()) <= threads + 1


def test_reads_interrupted_by_signals(lasting: Mount, tmp_path: Path) -> None:
    with clients_of(tmp_path) as clients:
        readers = clients.start(lasting.path / NAME, 4, signals_every_us=300)
        eventually(lambda: all(reader.reads > 200 for reader in readers), 30)
        advance(readers)
    right(lasting.path / NAME)


def test_signals_that_end_nothing(lasting: Mount) -> None:
    for number in (signal.SIGUSR2, signal.SIGPIPE, signal.SIGCHLD, signal.SIGWINCH):
        for task in lasting.tasks():
            os.kill(task, number)
    right(lasting.path / NAME)


def test_two_mounts(tmp_path: Path) -> None:
    with mounted(tmp_path / "a", NAME) as one, mounted(tmp_path / "b", NAME) as two:
        right(one.path / NAME)
        right(two.path / NAME)
        one.process.terminate()
        ended(one)
        right(two.path / NAME)
        assert is_mounted(two.path)


def test_idle_takes_no_cpu(lasting: Mount) -> None:
    right(lasting.path / NAME)

    def is_idle() -> bool:
        before = lasting.cpu_seconds()
        time.sleep(3)
        return lasting.cpu_seconds() - before < 0.015

    eventually(is_idle, 12)  # whoever else looks at all mounts of a machine, may do so at any time


def test_memory_of_a_busy_mount(lasting: Mount, tmp_path: Path) -> None:
    with clients_of(tmp_path) as clients:
        clients.fio(lasting)
        readers = clients.start(lasting.path / NAME, 8)
        time.sleep(2)
        advance(readers)
        assert lasting.peak_rss() <= (64 + 300) * MIB


def affinities(tasks: Iterable[int]) -> list[set[int]]:
    return [os.sched_getaffinity(task) for task in tasks]


@pytest.mark.parametrize("plane", PLANES)
def test_one_cpu(tmp_path: Path, plane: str) -> None:
    cpu = min(os.sched_getaffinity(0))
    command = ("taskset", "-c", str(cpu), DGENFS)
    with (
        clients_of(tmp_path) as clients,
        mounted(tmp_path, NAME, f"--data-plane={plane}", command=command) as mount,
    ):
        tasks = mount.tasks()
        assert affinities(tasks) == [{cpu}] * len(tasks)
        readers = clients.start(mount.path / NAME, 4)
        right(mount.path / NAME)
        (node,) = control_file(mount, ".topology")["nodes"]
        assert node["cpus"] == [cpu]
        advance(readers)
        clients.end()


def test_two_nodes(tmp_path: Path) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    with (
        clients_of(tmp_path) as clients,
        mounted(tmp_path, NAME, "--cache=64M", command=with_fault("nodes")) as mount,
    ):
        readers = clients.start(mount.path / NAME, 6)
        right(mount.path / NAME)

        def busy(node: Any) -> bool:
            return node["cache"]["hits"] > 0 and all(w["requests"] > 0 for w in node["workers"])

        eventually(lambda: all(map(busy, control_file(mount, ".topology")["nodes"])))
        advance(readers)
        nodes = control_file(mount, ".topology")["nodes"]
        assert [node["cpus"] for node in nodes] == [[cpus[0]], [cpus[-1]]]
        for node in nodes:
            tasks = [worker["tid"] for worker in node["workers"]]
            assert affinities(tasks) == [set(node["cpus"])] * len(tasks)
            assert len(tasks) > 0
        assert os.sched_getaffinity(mount.pid) == set(cpus)
        clients.end()
        mount.process.terminate()
        ended(mount)


def test_workers_are_pinned_again(tmp_path: Path) -> None:
    """Whatever took their pins away: the last CPU of their node that was offline, a cpuset."""
    cpus = sorted(os.sched_getaffinity(0))

    def workers() -> list[tuple[int, list[int], set[int]]]:
        """Node, CPUs as .topology says, and as the kernel does."""
        return [
            (node["node"], worker["cpus"], os.sched_getaffinity(worker["tid"]))
            for node in mount.topology()["nodes"]
            for worker in node["workers"]
        ]

    pinned = [(0, [cpus[0]], {cpus[0]})] * 2 + [(1, [cpus[-1]], {cpus[-1]})] * 2
    options = ("--workers-per-node=2",)
    with mounted(tmp_path, NAME, *options, command=with_fault("nodes")) as mount:
        eventually(lambda: workers() == pinned)
        for node in mount.topology()["nodes"]:
            for worker in node["workers"]:
                os.sched_setaffinity(worker["tid"], cpus)
        eventually(lambda: workers() == pinned)
        right(mount.path / NAME)


def test_what_is_not_pinned_is_left_alone(tmp_path: Path) -> None:
    """With one node a user may move threads; .topology says where they run."""
    cpus = detect().nodes[0].cpus
    command = ("taskset", "-c", ",".join(map(str, cpus)), DGENFS)
    with mounted(tmp_path, NAME, "--workers-per-node=1", command=command) as mount:
        (node,) = mount.topology()["nodes"]
        (worker,) = node["workers"]
        assert worker["cpus"] == node["cpus"] == list(cpus)
        os.sched_setaffinity(worker["tid"], cpus[:1])
        time.sleep(SECONDS + 1)
        (node,) = mount.topology()["nodes"]
        assert node["workers"][0]["cpus"] == [cpus[0]]
        assert os.sched_getaffinity(worker["tid"]) == {cpus[0]}


def test_names_are_forgotten_without_the_rights_of_root(tmp_path: Path) -> None:
    def look_up(first: int, last: int) -> None:
        for size in range(first, last):
            os.stat(f"{mount.path}/{size}_c2")  # noqa: PTH116  Path costs more than the lookup

    with (
        mounted(tmp_path, NAME, command=with_fault("unprivileged")) as mount,
        (mount.path / "7_c2").open("rb") as file,
    ):
        look_up(0, 15_000)
        before = mount.rss()
        look_up(15_000, 40_000)
        assert mount.rss() - before < 4 * MIB
        assert control_file(mount, ".stats")["requests"]["FORGET"] >= 15_000
        assert os.fstat(file.fileno()).st_size == 7
        assert len(file.read()) == 7


def test_threads_that_cannot_be_started(tmp_path: Path) -> None:
    options = ("--workers-per-node=2", "--cache=8M", *RETUNED)
    expected = ["WARNING .*only 5 of 8 threads started: can't start new thread: nothing was"]
    with mounted(
        tmp_path, NAME, *options, command=with_fault("threads", 5), expected_log=expected
    ) as mount:
        topology = mount.path / ".topology"
        for settings in ('{"workers_per_node": 6}', '{"workers_per_node": 6, "cache_bytes": 0}'):
            with pytest.raises(OSError, match="Invalid argument"):
                topology.write_text(settings)
            found = control_file(mount, ".topology")
            assert (found["workers_per_node"], found["cache_bytes"]) == (2, 8 * MIB)
            assert len(found["nodes"][0]["workers"]) == 2
            right(mount.path / NAME)
        topology.write_text('{"workers_per_node": 5}')
        assert len(control_file(mount, ".topology")["nodes"][0]["workers"]) == 5
        right(mount.path / NAME)

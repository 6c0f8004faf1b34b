"""A machine that changes while a daemon runs: its processors and its clocks."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from clients import NAME, advance, clients_of, right
from mounting import DGENFS, RETUNED, Mount, mounted
from processes import eventually, run

LAST_CPU = max(os.sched_getaffinity(0))
ONLINE = Path(f"/sys/devices/system/cpu/cpu{LAST_CPU}/online")


def tune(mount: Mount, workers: int) -> None:
    (mount.path / ".topology").write_text(json.dumps({"workers_per_node": workers}))


def confine(mount: Mount, cpus: set[int]) -> None:
    for task in mount.tasks():
        os.sched_setaffinity(task, cpus)


def test_fewer_cpus_for_the_daemon(tmp_path: Path) -> None:
    cpus = os.sched_getaffinity(0)
    with mounted(tmp_path, NAME, "--cache=8M", *RETUNED) as mount, clients_of(tmp_path) as clients:
        readers = clients.start(mount.path / NAME, 4)
        for allowed in ({min(cpus)}, {max(cpus)}, cpus):
            confine(mount, allowed)
            advance(readers)
            tune(mount, 5)
            advance(readers)
        clients.end()
        right(mount.path / NAME)


@contextmanager
def offline() -> Iterator[None]:
    """Take the last CPU away; it comes back even if the tests are killed."""
    if not ONLINE.exists() or len(os.sched_getaffinity(0)) == 1:
        pytest.skip("no CPU can be taken away here")
    script = f'trap "" INT TERM HUP; echo 0 >{ONLINE}; read -t 10 _; echo 1 >{ONLINE}'
    keeper = subprocess.Popen(
        ["bash", "-c", script],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        # It says 1 all the same where the machine does not let it go.
        try:
            eventually(lambda: ONLINE.read_text() == "0\n", 5)
        except AssertionError:
            pytest.skip("this machine does not take a CPU away")
        yield
    finally:
        keeper.communicate(b"\n")
        assert ONLINE.read_text() == "1\n"


@pytest.mark.alone
def test_a_cpu_taken_away(tmp_path: Path) -> None:
    with mounted(tmp_path, NAME, *RETUNED) as mount, clients_of(tmp_path) as clients:
        readers = clients.start(mount.path / NAME, 4)
        with offline():
            advance(readers)
            tune(mount, 3)
            advance(readers)
        tune(mount, 2)
        advance(readers)
        clients.end()
        right(mount.path / NAME)


def test_another_monotonic_clock(tmp_path: Path) -> None:
    """Ten years on the clock, as after a migration, are not ten years of uptime."""
    # In a child: who makes a time namespace is not in it, and may start no thread (Linux 6.1).
    command = ("unshare", "--time", f"--monotonic={10 * 365 * 86_400}", "--fork", "--kill-child")
    if run(*command, "true", code=None).code:
        pytest.skip("no time namespace can be made here")
    with mounted(tmp_path, NAME, command=(*command, DGENFS)) as mount:
        right(mount.path / NAME)
        found = mount.stats()
        assert 0 <= found["uptime_seconds"] < 60
        assert 0 < found["read_seconds"] < 60


def test_a_clock_that_jumps(tmp_path: Path) -> None:
    """The time of day is for the log alone."""
    jumping = (
        "import itertools, sys, time\n"
        "jumps = itertools.cycle((0, 10**9, 4 * 10**9, 1))\n"
        "time.time = lambda: float(next(jumps))\n"
        "time.time_ns = lambda: next(jumps) * 10**9\n"
        "from dgenfs.cli.main import main\n"
        "main()\n"
    )
    with (
        mounted(tmp_path, NAME, *RETUNED, command=(sys.executable, "-c", jumping)) as mount,
        clients_of(tmp_path) as clients,
    ):
        readers = clients.start(mount.path / NAME, 2)
        before = mount.stats()
        tune(mount, 3)
        advance(readers)
        after = mount.stats()
        assert 0 < after["uptime_seconds"] - before["uptime_seconds"] < 60
        assert 0 < after["read_seconds"] - before["read_seconds"] < 60
        clients.end()

"""Fills follow the CPUs that the process may use, whenever those change."""

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest

from dgenfs import DataGenerator
from dgenfs.machine import pinned

SIZE = 32 << 20
ALL = os.sched_getaffinity(0)

pytestmark = pytest.mark.skipif(len(ALL) < 2, reason="one CPU can't be changed for another")


@pytest.fixture
def main_thread() -> Iterator[None]:
    """What a test changes of the process's CPUs is changed back."""
    try:
        yield
    finally:
        os.sched_setaffinity(0, ALL)


def busy_since(before: dict[str, int]) -> set[str]:
    """Names of the pinned threads that ran for more than to fall asleep, 1 ms."""
    return {name for name, time in cpu_time().items() if time > before.get(name, 0) + 10**6}


def cpu_time() -> dict[str, int]:
    """Processor time of each pinned thread, ns."""
    found = {}
    for thread in threading.enumerate():
        if thread.name.startswith("dgenfs-cpu"):
            text = Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text()
            found[thread.name] = int(text.split()[0])
    return found


def wait_for_all() -> None:
    """Wait until the workers have done what they were asked for, and sleep."""
    for worker in pinned.plan().workers.values():
        done = threading.Event()
        worker.call(done.set)
        assert done.wait(60)


def fill() -> None:
    buffer = np.zeros(SIZE, np.uint8)
    generator = DataGenerator("32M_d2")
    for _ in range(5):
        generator.read_into(buffer, 0)


@pytest.mark.usefixtures("main_thread")
def test_fills_follow_the_affinity() -> None:
    generator = DataGenerator("32M_d2")  # made before, and never told
    buffer, right = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
    DataGenerator("32M_d2", threads=1).read_into(right, 0)
    for cpus in (ALL, {min(ALL)}, {max(ALL)}, ALL):
        os.sched_setaffinity(0, cpus)
        assert set(pinned.plan().workers) == cpus
        wait_for_all()
        before = cpu_time()
        for _ in range(5):
            buffer[:] = 0
            generator.read_into(buffer, 0)
            assert np.array_equal(buffer, right)
        assert busy_since(before) <= {f"dgenfs-cpu{cpu}" for cpu in cpus}
        if len(cpus) == 1:
            assert not busy_since(before)  # the caller is alone on its CPU


@pytest.mark.usefixtures("main_thread")
def test_threads_are_pinned_again() -> None:
    """taskset -a sets each thread's CPUs, and so loses the pins."""
    fill()
    wait_for_all()
    for cpus in ({min(ALL)}, ALL):
        for thread in threading.enumerate():
            assert thread.native_id
            os.sched_setaffinity(thread.native_id, cpus)
        fill()
    wait_for_all()
    for cpu, worker in pinned.plan().workers.items():
        found: SimpleQueue[set[int]] = SimpleQueue()
        worker.call(lambda found=found: found.put(os.sched_getaffinity(0)))  # type: ignore[misc]
        assert found.get(timeout=60) == {cpu}


def test_a_thread_that_is_pinned_does_not_limit_the_others() -> None:
    cpus: list[set[int]] = []

    def look() -> None:
        os.sched_setaffinity(0, {min(ALL)})
        cpus.append(set(pinned.plan().workers))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert cpus == [ALL]


LIMITED = """
import hashlib, os, resource
from dgenfs import DataGenerator
small = bytearray(1 << 20)
generator = DataGenerator("64M_d2")
generator.read_into(small, 0)
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
if os.geteuid() == 0:
    os.setuid(65534)  # whom the limit holds
buffer = bytearray(64 << 20)
generator.read_into(buffer, 0)
print(hashlib.sha256(buffer).hexdigest())
"""


def test_where_no_thread_can_be_started() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED], capture_output=True, text=True, check=False
    )
    right = np.zeros(64 << 20, np.uint8)
    DataGenerator("64M_d2", threads=1).read_into(right, 0)
    assert (done.stdout.strip(), done.stderr) == (hashlib.sha256(right.data).hexdigest(), "")

"""Reads and opens while up to 100,000 files are open."""

import os
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mounting import Mount

from endurance.clients import in_a_tree
from endurance.watch import FILE, PROBE, SIZE

COUNTS = (0, 1000, 10_000, 100_000)
PROCESSES = 8  # few enough handles in each for the usual hard limit of 20,000 and more
CALLS = 2000


@dataclass(frozen=True, slots=True)
class Figures:
    """With so many files open.

    Attributes:
        handles: files that are open.
        opening: seconds of opening one of them, mean, while each of PROCESSES opens its own.
        read: seconds of a read of 4 KiB, median.
        open_and_close: seconds, median.
        memory: bytes that the daemon has resident.
    """

    handles: int
    opening: float
    read: float
    open_and_close: float
    memory: int


def figures(mount: Mount) -> list[Figures]:
    """Measure with each of COUNTS."""
    return [_with_handles(mount, count) for count in COUNTS]


def _with_handles(mount: Mount, count: int) -> Figures:
    with _holding(mount.path, count) as opening:
        path = mount.path / FILE
        file = os.open(path, os.O_RDONLY)
        try:
            return Figures(
                mount.stats()["open_handles"] - 1,  # without this one
                opening,
                _median(lambda: os.pread(file, PROBE, random.randrange(SIZE - PROBE))),
                _median(lambda: os.close(os.open(path, os.O_RDONLY))),
                mount.rss(),
            )
        finally:
            os.close(file)


def _median(call: Callable[[], object]) -> float:
    seconds = []
    for _ in range(CALLS):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


@contextmanager
def _holding(mountpoint: Path, count: int) -> Iterator[float]:
    """Let other processes have ``count`` files of trees open; yield the seconds that one took."""
    command = [sys.executable, "-m", "endurance.handles", str(mountpoint), str(count // PROCESSES)]
    holders = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(PROCESSES)
    ]
    try:
        seconds = 0.0
        for holder in holders:
            assert holder.stdout
            line = holder.stdout.readline()
            if not line:
                raise RuntimeError(f"{command} ended with {holder.wait()}")
            seconds += float(line)
        yield seconds / max(1, count)
    finally:
        for holder in holders:
            holder.kill()
            holder.communicate()


def hold(mountpoint: str, count: int) -> None:
    """Open ``count`` files, print the seconds, and wait for the end of standard input."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    source = random.Random()
    paths = [f"{mountpoint}/{in_a_tree(source)}" for _ in range(count)]
    start = time.monotonic()
    for path in paths:
        os.open(path, os.O_RDONLY)
    print(time.monotonic() - start, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    hold(sys.argv[1], int(sys.argv[2]))

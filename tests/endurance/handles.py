"""Reads and opens while up to 100,000 files are open."""

import os
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from holders import held_open
from mounting import Mount

from endurance.clients import in_a_tree
from endurance.watch import FILE, PROBE, SIZE

COUNTS = (0, 1000, 10_000, 100_000)
CALLS = 2000


@dataclass(frozen=True, slots=True)
class Figures:
    """With so many files open.

    Attributes:
        handles: files that are open.
        opening: seconds of opening one of them, mean, while several processes open theirs.
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
    source = random.Random()
    paths = [f"{mount.path}/{in_a_tree(source)}" for _ in range(count)]
    with held_open(paths) as opening:
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

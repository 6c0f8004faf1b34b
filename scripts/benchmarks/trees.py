"""Directories of many files: opened and read one after the other, listed, and copied."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import copies, mounts
from benchmarks.clients import random_reads
from benchmarks.rounds import Case, repeated
from benchmarks.suite import Suite, Target, Timings
from dgenfs import Spec

FILE = "1T_d1_c1"
TREE = "100000000x4K_d1_c1_f1000"
FILES = 100_000  # of it that are listed, and as many that are not; more than are opened
LARGE = "1000000x100K_d2_c1.5"  # one directory of a million files
READ = "4 KiB read"
LISTED = "4 KiB file opened, read and closed, after a listing"
UNLISTED = "4 KiB file opened, read and closed, unlisted"
# 4 KiB reads that each may take at most; the kernel has to ask for a file it does not know.
READS = {LISTED: 4, UNLISTED: 5}
LIST = "directory of 1,000,000 files listed"
LISTED_SECONDS = 15  # at most
GROWTH = 50_000_000  # bytes, of the daemon while it lists, at most
TURN = 0.2  # seconds


@contextmanager
def trees() -> Iterator[Suite]:
    """Directories of many files, against reads of a file that is open and against local copies."""
    with (
        mounts.dgenfs(FILE, TREE, LARGE) as mount,
        random_reads(mount.path / FILE, 1 << 40) as read,
        copies.copies(mount.path) as copied,
    ):
        folder = mount.path
        before = mount.rss()
        for directory in range(FILES // 1000):
            # As cp -r and tar do; the kernel knows the names then.
            list((folder / TREE / Spec.parse(TREE).directory_name(directory)).iterdir())
        cases = [
            Case(READ, repeated(read, TURN)),
            Case(LISTED, repeated(_files(folder / TREE, 0), TURN)),
            Case(UNLISTED, repeated(_files(folder / TREE, FILES), TURN)),
            Case(LIST, _listing(folder / LARGE)),
            *copied,
        ]

        def targets(timings: Timings) -> Iterator[Target]:
            for case, most in READS.items():
                reads = timings[case].median / timings[READ].median
                yield Target(f"{case}: {most} x a 4 KiB read / time", most / reads, 1)
            yield Target(f"{LIST}: {LISTED_SECONDS} s / time", 15 / timings[LIST].median, 1)
            grown = max(1, mount.rss() - before)
            yield Target("all of it: 50 MB / what the daemon grew", GROWTH / grown, 1)
            yield from copies.targets(timings)

        yield Suite("trees", 7, cases, targets)


def _files(tree: Path, first: int) -> Callable[[], object]:
    """Return what reads one file after the other, each once, from number ``first`` on."""
    spec = Spec.parse(TREE)
    paths = iter([f"{tree}/{spec.path(number)}" for number in range(first, first + FILES)])
    buffers = [bytearray(4096)]

    def read_next() -> None:
        descriptor = os.open(next(paths), os.O_RDONLY)
        if os.preadv(descriptor, buffers, 0) != len(buffers[0]):
            raise AssertionError("a short read")
        os.close(descriptor)

    return read_next


def _listing(folder: Path) -> Callable[[], float]:
    def turn() -> float:
        start = time.perf_counter()
        subprocess.run(["ls", "-f", folder], stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - start

    return turn

"""Clients of a mount, for what fio cannot do."""

import os
import random
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

BLOCK = 4096  # bytes
HELD = 10_000  # files that one process has open; the usual hard limit is 20,000 and more


@contextmanager
def random_reads(file: Path, size: int) -> Iterator[Callable[[], object]]:
    """Open ``file`` and yield a read of 4 KiB at random.

    Args:
        file: what to read.
        size: its bytes, of which whole blocks are read.
    """
    descriptor = os.open(file, os.O_RDONLY)
    source = random.Random(1)
    offsets = [source.randrange(size // BLOCK) * BLOCK for _ in range(1 << 16)]
    buffers = [bytearray(BLOCK)]

    def read() -> None:
        if os.preadv(descriptor, buffers, offsets[source.getrandbits(16)]) != BLOCK:
            raise AssertionError(f"{file}: a short read")

    try:
        yield read
    finally:
        os.close(descriptor)


def open_and_close(file: Path) -> Callable[[], object]:
    """Return a call that opens ``file`` and closes it."""
    return lambda: os.close(os.open(file, os.O_RDONLY))


@contextmanager
def held_open(file: Path, count: int) -> Iterator[None]:
    """Let other processes have ``file`` open ``count`` times."""
    holders = []
    try:
        for start in range(0, count, HELD):
            number = min(HELD, count - start)
            command = [sys.executable, "-m", "benchmarks.clients", str(file), str(number)]
            holders.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        for holder in holders:
            assert holder.stdout
            if not holder.stdout.readline():
                raise RuntimeError(f"{file} could not be opened {HELD} times: {holder.wait()}")
        yield
    finally:
        for holder in holders:
            holder.kill()
            holder.communicate()


def _hold(file: str, count: int) -> None:
    """Open ``file`` so many times, say so, and wait for the end of standard input."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for _ in range(count):
        os.open(file, os.O_RDONLY)
    print("open", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _hold(sys.argv[1], int(sys.argv[2]))

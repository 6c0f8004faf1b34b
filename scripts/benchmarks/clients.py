"""Clients of a mount, for what fio cannot do."""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

BLOCK = 4096  # bytes


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

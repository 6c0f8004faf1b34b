"""Memory-backed storage, for what must not wait for a disk."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = Path("/dev/shm")
SPARE = 1 << 30  # bytes


@contextmanager
def folder(size: int) -> Iterator[Path]:
    """Yield a new folder in memory, and remove it.

    Args:
        size: bytes that will be written there.

    Raises:
        OSError: there is no room for them.
    """
    free = shutil.disk_usage(MEMORY).free
    if free < size + SPARE:
        raise OSError(
            f"{MEMORY}: {free >> 30} GiB free, {size + SPARE >> 30} GiB needed:"
            " enlarge it (mount -o remount,size=...), or leave this suite out"
        )
    with tempfile.TemporaryDirectory(dir=MEMORY) as path:
        yield Path(path)

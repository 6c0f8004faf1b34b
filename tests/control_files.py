"""Control files of a mount, read and written by one request each."""

import os
from pathlib import Path

from mounting import Mount
from reading import opened


def read_once(path: Path) -> bytes:
    """By one READ request."""
    with opened(path) as fd:
        return os.pread(fd, 1 << 20, 0)


def write(path: Path, data: bytes, times: int = 1) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        for _ in range(times):
            assert os.write(fd, data) == len(data)
    finally:
        os.close(fd)


def settings_of(mount: Mount) -> tuple[int, int]:
    found = mount.topology()
    return found["workers_per_node"], found["cache_bytes"]

"""Mounts to measure: ours, and the peer's."""

import itertools
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mounting import Mount, ended_afterwards, mounted
from processes import eventually

SEEDS = itertools.count(1)
MOCK = Path(sys.executable).with_name("mock-large-files-fuse")
LIMIT = 12 * 3600  # seconds of a suite, with as many rounds as anybody may want


@contextmanager
def dgenfs(*arguments: str, environment: Mapping[str, str] = {}) -> Iterator[Mount]:
    """Mount dgenfs with names and options; what it logs is what it logs by default."""
    with (
        tempfile.TemporaryDirectory(prefix="dgenfs-bench-") as folder,
        mounted(
            Path(folder),
            *arguments,
            environment={"DGENFS_LOG": "warning", **environment},
            limit=LIMIT,
        ) as mount,
    ):
        yield mount


def unknown(mount: Path, tree: str) -> Iterator[Path]:
    """Yield such a tree that the kernel does not know yet, each time."""
    for seed in SEEDS:
        yield mount / f"{tree}_s{seed}"


@contextmanager
def mock_large_files(size: int) -> Iterator[Path]:
    """Mount mock-large-files-fuse; yield its file, which has ``size`` bytes, and unmount it."""
    with tempfile.TemporaryDirectory(prefix="dgenfs-bench-") as folder:
        file = Path(folder) / "data"
        command = [str(MOCK), "-f", folder, "--filename=data", f"--size={size}"]
        # On standard error its libfuse warns of a setting of its own.
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
        with ended_afterwards(process, Path(folder), LIMIT):
            eventually(file.exists)
            yield file

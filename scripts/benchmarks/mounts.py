"""Mounts to measure: ours, and the peer's."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

BIN = Path(sys.executable).parent
SECONDS = 10.0  # until a mount must answer


@contextmanager
def dgenfs(*options: str) -> Iterator[Path]:
    """Mount dgenfs with options and names; yield the mountpoint, and unmount it."""
    with tempfile.TemporaryDirectory(prefix="dgenfs-bench-") as folder:
        subprocess.run([str(BIN / "dgenfs"), "mount", folder, *options], check=True)
        try:
            yield Path(folder)
        finally:
            _unmount(Path(folder))


@dataclass(frozen=True, slots=True)
class Daemon:
    """The process that serves a mount.

    Attributes:
        pid: its id.
    """

    pid: int

    def resident_bytes(self) -> int:
        """Return how much memory it has."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize()


def daemon(mountpoint: Path) -> Daemon:
    """Return the daemon of a mount made by ``dgenfs``."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile
            if os.fsencode(mountpoint) in (folder / "cmdline").read_bytes().split(b"\0"):
                return Daemon(int(folder.name))
    raise LookupError(f"{mountpoint}: nobody serves it")


@contextmanager
def mock_large_files(size: int) -> Iterator[Path]:
    """Mount mock-large-files-fuse; yield its file, which has ``size`` bytes, and unmount it."""
    with tempfile.TemporaryDirectory(prefix="dgenfs-bench-") as folder:
        file = Path(folder) / "data"
        command = [str(BIN / "mock-large-files-fuse"), folder, "--filename=data", f"--size={size}"]
        subprocess.run(command, check=True)
        try:
            deadline = time.monotonic() + SECONDS
            while not file.exists():
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{file}: not there after {SECONDS} s")
                time.sleep(0.01)
            yield file
        finally:
            _unmount(Path(folder))


def _unmount(mountpoint: Path) -> None:
    # A client's last request may still be on its way.
    for _ in range(50):
        if subprocess.run(["umount", mountpoint], stderr=subprocess.DEVNULL).returncode == 0:
            return
        time.sleep(0.1)
    subprocess.run(["umount", "-l", mountpoint], check=True)

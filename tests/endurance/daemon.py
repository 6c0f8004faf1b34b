"""A mount to endure, and what the system says of its daemon."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mounting import DGENFS, Mount, clean_up, eventually, status_bytes, watched

_FAULT = re.compile(r" (WARNING|ERROR|CRITICAL) |Traceback")
_TICKS = os.sysconf("SC_CLK_TCK")  # a second


@contextmanager
def serving(folder: Path, *arguments: str, seconds: float) -> Iterator[Mount]:
    """Mount in a folder of its own; unmount at the end, by all means and whatever happened.

    Args:
        folder: where the mountpoint and the log are made.
        arguments: of ``dgenfs mount``.
        seconds: after which the daemon is killed, so that nothing hangs for ever.
    """
    path = folder / "mnt"
    path.mkdir()
    log_path = folder / "log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [DGENFS, "mount", "-f", str(path), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "DGENFS_LOG": "warning"},
        )
    mount = Mount(path, process, log_path)
    with watched(process.pid, path, int(seconds)):
        try:
            eventually(lambda: mount.is_mounted or process.poll() is not None, 60)
            if process.poll() is not None:
                raise RuntimeError(f"dgenfs mount ended with {process.returncode}: {mount.log}")
            os.statvfs(path)  # waits for the session
            yield mount
        except BaseException:
            process.kill()  # first of all, so that no client waits any more
            raise
        finally:
            clean_up(process, path)


def descriptors(mount: Mount) -> int:
    """Return how many the daemon has open."""
    return len(list(Path(f"/proc/{mount.pid}/fd").iterdir()))


def peak_memory(mount: Mount) -> int:
    """Return the most bytes that the daemon has had resident."""
    return status_bytes(mount.pid, "VmHWM")


def cpu_seconds(mount: Mount) -> float:
    """Return the processor time that the daemon has used."""
    fields = Path(f"/proc/{mount.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def faults(mount: Mount) -> list[str]:
    """Return the lines of the log that tell of a fault."""
    return [line for line in mount.log.splitlines() if _FAULT.search(line)]

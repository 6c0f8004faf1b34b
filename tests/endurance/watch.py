"""What is seen of a daemon once a second."""

import os
import random
import threading
import time
from dataclasses import dataclass
from types import TracebackType

import psutil
from mounting import Mount

PERIOD = 1.0  # seconds
PROBE = 4096  # bytes
FILE = "1T_d2_c1.5.bin"
SIZE = 1 << 40  # bytes


@dataclass(frozen=True, slots=True)
class Sample:
    """A daemon at one moment.

    Attributes:
        memory: bytes resident.
        threads: how many.
        descriptors: how many.
        cpu: seconds of processor time since the last sample, a second.
        latency: seconds of one read of PROBE bytes.
    """

    memory: int
    threads: int
    descriptors: int
    cpu: float
    latency: float


class Watch:
    """A thread that takes a sample every PERIOD, within a block.

    Attributes:
        samples: taken so far.
    """

    def __init__(self, mount: Mount) -> None:
        """Watch ``mount``."""
        self.samples: list[Sample] = []
        self._mount = mount
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "Watch":
        """Start."""
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """End; a read under way is waited for, unless the daemon is to be killed."""
        self._over.set()
        if error is None:
            self._thread.join()

    def _sample(self) -> None:
        file = os.open(self._mount.path / FILE, os.O_RDONLY)
        try:
            cpu, at = self._mount.cpu_seconds(), time.monotonic()
            while not self._over.wait(PERIOD):
                now_cpu, now = self._mount.cpu_seconds(), time.monotonic()
                self.samples.append(
                    Sample(
                        self._mount.rss(),
                        self._mount.daemon.num_threads(),
                        self._mount.daemon.num_fds(),
                        (now_cpu - cpu) / (now - at),
                        _latency(file),
                    )
                )
                cpu, at = now_cpu, now
        except (OSError, psutil.Error):
            # The daemon is gone; its clients tell.
            return
        finally:
            os.close(file)


def _latency(file: int) -> float:
    start = time.perf_counter()
    os.pread(file, PROBE, random.randrange(SIZE - PROBE))
    return time.perf_counter() - start

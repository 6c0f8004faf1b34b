"""Reads in Python, through the same cache and kernels: the reference of the compiled loop."""

import ctypes
import time

import numpy as np
import trio
from numpy.typing import NDArray

from dgenfs.content.view import View
from dgenfs.kernels import reads
from dgenfs.kernels.counters import count_latency
from dgenfs.kernels.digests import SOON, until
from dgenfs.kernels.files import fill_file
from dgenfs.kernels.fuse import MAX_READ
from dgenfs.kernels.row import SIZE
from dgenfs.kernels.scratch import SLICES, new_scratch
from dgenfs.mount.workers import WAITING, Workers


class Reader:
    """Reads data files on the caller's thread, one at a time, from the first node's cache."""

    def __init__(self, workers: Workers, counters: NDArray[np.uint64]) -> None:
        """Read through a cache of ``workers`` and count latencies in ``counters``."""
        self._workers = workers
        self._counters = counters
        self._scratch = new_scratch()
        # As few threads as in the compiled data plane, and none of those that others wait for.
        self._computing = trio.CapacityLimiter(WAITING)

    async def read(self, row: NDArray[np.uint64], file: int, offset: int, size: int) -> bytes:
        """Return bytes [offset, offset + size) of a file, fewer at its end.

        What must wait for a long CRC is read on another thread.

        Args:
            row: uint64[ROW_WORDS].
            file: number of the file.
            offset: bytes.
            size: bytes, at most MAX_READ.
        """
        started = time.monotonic_ns()
        length = min(size, int(row[SIZE]) - offset, MAX_READ)
        data: bytes | None = b""
        if length > 0:
            data = self._read(row, file, offset, length)
        if data is None:
            data = await self._read_later(row, file, offset, length)
        count_latency(self._counters, np.uint64(time.monotonic_ns() - started))
        return data

    def read_view(self, view: View, offset: int, size: int) -> bytes:
        """Return bytes [offset, offset + size) of a file that has no row, fewer at its end.

        Raises:
            OSError: they cannot be read.
        """
        started = time.monotonic_ns()
        data = view.read(offset, size)
        count_latency(self._counters, np.uint64(time.monotonic_ns() - started))
        return data

    async def _read_later(
        self, row: NDArray[np.uint64], file: int, offset: int, length: int
    ) -> bytes:
        out = np.empty(length, np.uint8)
        ended = np.zeros(1, np.uint64)

        def compute() -> None:
            fill_file(out, np.uint64(file), np.uint64(offset), row, until(ended))

        try:
            await trio.to_thread.run_sync(compute, abandon_on_cancel=True, limiter=self._computing)
        finally:
            ended[0] = 1
        return out.tobytes()

    def _read(self, row: NDArray[np.uint64], file: int, offset: int, length: int) -> bytes | None:
        cache = self._workers.nodes[0].cache
        numbers = (np.uint64(file), np.uint64(offset), np.uint64(length))
        slices = reads.prepare(row, *numbers, cache, self._scratch, SOON)
        if slices == reads.WAITS:
            return None
        try:
            first = SLICES + 2  # behind the header's
            places = self._scratch.words[first : first + 2 * slices].reshape(slices, 2).tolist()
            return b"".join(ctypes.string_at(address, count) for address, count in places)
        finally:
            reads.finish(cache, self._scratch, slices)

"""Reads in Python, through the same cache and kernels: the reference of the compiled loop."""

import ctypes
import time

import numpy as np
from numpy.typing import NDArray

from dgenfs.kernels import reads, requests
from dgenfs.mount.workers import Scratch, Workers


class Reader:
    """Reads data files on the caller's thread, one at a time, from the first node's cache."""

    def __init__(self, workers: Workers, counters: NDArray[np.uint64]) -> None:
        """Read through a cache of ``workers`` and count latencies in ``counters``."""
        self._workers = workers
        self._counters = counters
        self._scratch = Scratch()

    def read(self, content: NDArray[np.uint64], file: int, offset: int, size: int) -> bytes:
        """Return bytes [offset, offset + size) of a file, fewer at its end.

        Args:
            content: uint64[CONTENT_COLUMNS].
            file: number of the file.
            offset: bytes.
            size: bytes, at most MAX_READ.
        """
        started = time.monotonic_ns()
        length = min(size, int(content[reads.SIZE]) - offset, reads.MAX_READ)
        data = self._read(content, file, offset, length) if length > 0 else b""
        requests.count_latency(self._counters, np.uint64(time.monotonic_ns() - started))
        return data

    def _read(self, content: NDArray[np.uint64], file: int, offset: int, length: int) -> bytes:
        cache = self._workers.nodes[0].cache
        words = self._scratch.words
        slices = reads.prepare(
            content,
            np.uint64(file),
            np.uint64(offset),
            np.uint64(length),
            cache,
            self._scratch.bytes,
            words,
        )
        first = reads.SLICES // 8 + 2
        rows = words[first : first + 2 * slices].reshape(slices, 2).tolist()
        data = b"".join(ctypes.string_at(address, count) for address, count in rows)
        reads.finish(cache, words, slices)
        return data

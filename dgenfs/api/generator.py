"""The generator: content into the caller's buffers, in large pieces on all CPUs."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgenfs.api.buffers import writable_bytes
from dgenfs.content.layout import MAX_SIZE
from dgenfs.content.view import ContentRange
from dgenfs.kernels.fill import SLICE, fill_slices
from dgenfs.machine import pinned
from dgenfs.machine.system_calls import current_cpu
from dgenfs.names.grammar import MAX_COMPRESS_MILLI, MAX_DEDUP_MILLI, MAX_SEED
from dgenfs.names.spec import Spec

# Bytes of a buffer for each thread, at the least. Waking one takes 50 µs on a virtual machine: two
# threads were 1.15 times as fast as one at 8 MiB and 1.5 times at 16 MiB.
SHARE = 8 << 20


class DataGenerator:
    """A stream of test data, written into the caller's buffers.

    ``read_into`` and ``set_seed`` may be called by any number of threads at once: each fill is of
    the seed that was set when it was called. The position, and with it ``fill_chunk``, ``seek`` and
    ``reset``, belongs to one thread at a time. The GIL is released while a buffer is filled.
    Buffers of 16 MiB and more are split over threads that are pinned to the CPUs, each NUMA node's
    filling a part of its own.

    Attributes:
        spec: what is generated.
        size: bytes of the whole stream.
    """

    def __init__(
        self, spec_or_name: Spec | str, *, file: int | None = None, threads: int | None = None
    ) -> None:
        """Start at the stream's first byte.

        Args:
            spec_or_name: a file's or a tree's.
            file: number of a tree's file; None for all files one after the other.
            threads: most threads to fill one buffer with, None for one a CPU.

        Raises:
            SpecError: the name is not valid, or asks for a checksum.
            IndexError: the tree has no such file.
            ValueError: ``threads`` is below 1.
        """
        self.spec = Spec.parse(spec_or_name) if isinstance(spec_or_name, str) else spec_or_name
        self._view = self.spec.view(file)
        if threads is not None and threads < 1:
            raise ValueError(f"threads={threads}: at least 1, or None for one a CPU")
        self._file = file
        self._threads = threads or len(pinned.usable().cpus)
        self.size = self._view.size
        self._position = 0

    @property
    def position(self) -> int:
        """Bytes before the next byte that ``fill_chunk`` writes."""
        return self._position

    def seek(self, offset: int) -> None:
        """Go on at ``offset`` bytes.

        Raises:
            ValueError: ``offset`` is negative or past the end.
        """
        if not 0 <= offset <= self.size:
            raise ValueError(f"offset {offset} of {self.spec}: must be 0 to {self.size}")
        self._position = offset

    def reset(self) -> None:
        """Go on at the first byte."""
        self._position = 0

    def is_complete(self) -> bool:
        """Return whether ``fill_chunk`` has written the last byte."""
        return self._position == self.size

    def set_seed(self, seed: int) -> None:
        """Go on at the same position in the content of another seed.

        Fills that are under way in other threads keep to theirs.

        Args:
            seed: 0 to 2^64 - 1.

        Raises:
            ValueError: ``seed`` is outside that range.
        """
        self.spec = self.spec.with_seed(seed)
        self._view = self.spec.view(self._file)

    def fill_chunk(self, buffer: Any) -> int:
        """Fill ``buffer`` with the bytes that follow and advance.

        Args:
            buffer: see ``read_into``.

        Returns:
            Bytes written: the buffer's length, less at the end, 0 behind it.

        Raises:
            TypeError, ValueError: as ``read_into`` does.
        """
        start = self._position
        written = self.read_into(buffer, start)
        self._position = start + written
        return written

    def read_into(self, buffer: Any, offset: int) -> int:
        """Fill ``buffer`` with the bytes from ``offset`` on; the position stays.

        Args:
            buffer: any writable C-contiguous buffer or CPU tensor, filled in place.
            offset: bytes, 0 or more.

        Returns:
            Bytes written: the buffer's length, less at the end, 0 behind it.

        Raises:
            TypeError: ``buffer`` is no buffer of numbers.
            ValueError: ``buffer`` is read-only or not contiguous, or ``offset`` is negative.
        """
        view = self._view
        out = writable_bytes(buffer)
        if offset < 0:
            raise ValueError(f"offset {offset}: must not be negative")
        out = out[: max(0, view.size - offset)]
        if view.plain is not None:
            self._fill(view.plain, out, offset)
        else:
            for at, segment, start, length in view.pieces(offset, out.size):
                part = out[at - offset : at - offset + length]
                if isinstance(segment, ContentRange):
                    self._fill(segment, part, start)
                else:
                    segment.read_into(part, start)
        return out.size

    def _fill(self, content: ContentRange, out: NDArray[np.uint8], offset: int) -> None:
        threads = min(self._threads, out.size // SHARE)
        if threads > 1:
            _fill_on_all_cpus(content, out, offset, threads)
        elif out.size:
            content.read_into(out, offset)


def _fill_on_all_cpus(
    content: ContentRange, out: NDArray[np.uint8], offset: int, threads: int
) -> None:
    here = current_cpu()
    workers = pinned.workers()
    others = [worker for cpu, worker in workers.items() if cpu != here][: threads - 1]
    nodes = sorted({worker.node for worker in others} | {pinned.node_of(here)})
    # Each node has a part of its own, so that a buffer filled again and again stays in reach.
    part = -(-out.size // (len(nodes) * SLICE)) * SLICE
    parts = [
        (
            out[start : start + part],
            np.zeros(1, np.int64),
            np.uint64(content.start + offset + start),
        )
        for start in range(0, out.size, part)
    ]

    def work(node: int) -> None:
        # Whoever is free takes the next slice, as waking a thread takes as long as some slices.
        own = nodes.index(node)
        for slices in (*parts[own:], *parts[:own]):
            fill_slices(*slices, content.layout.row)

    pending = [worker.pool.submit(work, worker.node) for worker in others]
    try:
        work(pinned.node_of(here))
    finally:
        for future in pending:
            if not future.cancel():
                future.result()


def generate_data(
    size: int, dedup: float = 1, compress: float = 1, seed: int = 0
) -> NDArray[np.uint8]:
    """Generate a file's whole content in memory.

    Args:
        size: bytes, 0 or more.
        dedup: dedup ratio, 1 to 1000, rounded to thousandths.
        compress: compression ratio, 1 to 20, rounded to thousandths.
        seed: 0 to 2^64 - 1.

    Returns:
        uint8 array of ``size`` bytes, the content of ``{size}_d{dedup}_c{compress}_s{seed}``.

    Raises:
        ValueError: an argument is outside its range.
    """
    for what, value, most in (
        ("size", size, MAX_SIZE),
        ("dedup", dedup, MAX_DEDUP_MILLI // 1000),
        ("compress", compress, MAX_COMPRESS_MILLI // 1000),
        ("seed", seed, MAX_SEED),
    ):
        least = 1 if what in ("dedup", "compress") else 0
        if not least <= value <= most:
            raise ValueError(f"{what}={value}: must be {least} to {most}")
    out = np.empty(size, np.uint8)
    DataGenerator(f"{size}_d{dedup:.3f}_c{compress:.3f}_s{seed}").fill_chunk(out)
    return out

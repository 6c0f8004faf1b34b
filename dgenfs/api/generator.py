"""The generator: content into the caller's buffers, in large pieces on all CPUs."""

import ctypes
import functools
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dgenfs.api.buffers import writable_bytes
from dgenfs.content.layout import MAX_SIZE, Layout
from dgenfs.kernels.fill import SLICE, fill_files, fill_slices
from dgenfs.machine import topology
from dgenfs.names.spec import MAX_COMPRESS_MILLI, MAX_DEDUP_MILLI, MAX_SEED, Spec

# Bytes of a buffer for each thread, at the least. Waking one takes 50 µs on a virtual machine: two
# threads were 1.15 times as fast as one at 8 MiB and 1.5 times at 16 MiB.
SHARE = 8 << 20

log = logging.getLogger(__name__)

_getcpu = ctypes.PyDLL(None).sched_getcpu  # the GIL is kept: it takes no time


class Stream:
    """The bytes of one file, or of all files of a tree one after the other; immutable.

    Attributes:
        layout: the numbers of the content.
        size: bytes.
    """

    def __init__(self, layout: Layout, file: int | None = None) -> None:
        """Select file number ``file`` of ``layout``, all files in order for None."""
        self.layout = layout
        self.size = layout.total_size if file is None else layout.size
        # One file is filled as the first of files that are larger than any offset.
        self._base = 0 if file is None else layout.file_offset(file)
        whole = file is not None or layout.files == 1
        self._content = (
            np.uint64(layout.key),
            np.uint64(layout.period),
            np.uint64(layout.compress_milli),
            np.uint64((1 << 64) - 1 if whole else layout.size),
            np.uint64(layout.stride),
        )

    def fill(self, out: NDArray[np.uint8], offset: int) -> None:
        """Fill ``out`` (uint8[::1]) with the stream's bytes from ``offset`` on."""
        fill_files(out, np.uint64(self._base + offset), *self._content)

    def fill_slices(self, out: NDArray[np.uint8], offset: int, taken: NDArray[np.int64]) -> None:
        """Fill those slices of ``out`` that no other thread takes; see the kernel."""
        fill_slices(out, taken, np.uint64(self._base + offset), *self._content)


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
            SpecError: the name is none, or a checksum's.
            IndexError: the tree has no such file.
            ValueError: ``threads`` is below 1.
        """
        self.spec = Spec.parse(spec_or_name) if isinstance(spec_or_name, str) else spec_or_name
        self.spec.require_content()
        if file is not None:
            self.spec.path(file)
        if threads is not None and threads < 1:
            raise ValueError(f"threads={threads}: at least 1, or None for one a CPU")
        self._file = file
        self._threads = threads or len(_topology().cpus)
        self._stream = Stream(self.spec.layout, file)
        self.size = self._stream.size
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
        self._stream = Stream(self.spec.layout, self._file)

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
        stream = self._stream
        out = writable_bytes(buffer)
        if offset < 0:
            raise ValueError(f"offset {offset}: must not be negative")
        out = out[: max(0, stream.size - offset)]
        if out.size:
            self._fill(stream, out, offset)
        return out.size

    def _fill(self, stream: Stream, out: NDArray[np.uint8], offset: int) -> None:
        threads = min(self._threads, out.size // SHARE)
        if threads <= 1:
            stream.fill(out, offset)
            return
        here = _getcpu()
        workers = _workers()
        others = [worker for cpu, worker in workers.items() if cpu != here][: threads - 1]
        nodes = sorted({worker.node for worker in others} | {_node_of(here)})
        # Each node has a part of its own, so that a buffer filled again and again stays in reach.
        part = -(-out.size // (len(nodes) * SLICE)) * SLICE
        parts = [
            (out[start : start + part], offset + start, np.zeros(1, np.int64))
            for start in range(0, out.size, part)
        ]

        def work(node: int) -> None:
            # Whoever is free takes the next slice, as waking a thread takes as long as some slices.
            own = nodes.index(node)
            for slices in (*parts[own:], *parts[:own]):
                stream.fill_slices(*slices)

        pending = [worker.pool.submit(work, worker.node) for worker in others]
        try:
            work(_node_of(here))
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


@functools.cache
def _topology() -> topology.Topology:
    return topology.detect()


class _Worker(NamedTuple):
    """A thread of one CPU.

    Attributes:
        node: the NUMA node's index.
        pool: of the one thread.
    """

    node: int
    pool: ThreadPoolExecutor


@functools.cache
def _workers() -> dict[int, _Worker]:
    """Return a worker for each CPU, the nodes taking turns; all generators share them.

    Each is pinned to its CPU: a thread that is free to run anywhere was woken on the CPU of its
    busy caller in 7 of 8 fills, and two were no faster than one.
    """
    turns = sorted(
        (place, node.index, cpu)
        for node in _topology().nodes
        for place, cpu in enumerate(node.cpus)
    )
    return {
        cpu: _Worker(node, ThreadPoolExecutor(1, f"dgenfs-cpu{cpu}", _pin, (cpu,)))
        for _, node, cpu in turns
    }


def _pin(cpu: int) -> None:
    try:
        topology.pin_thread([cpu])
    except OSError as error:
        log.warning("CPU %d: its thread runs on any: %s", cpu, error)


def _node_of(cpu: int) -> int:
    worker = _workers().get(cpu)
    return _topology().nodes[0].index if worker is None else worker.node


# A forked child, such as a data loader's worker, has the pools but none of their threads.
os.register_at_fork(after_in_child=_workers.cache_clear)

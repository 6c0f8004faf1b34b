"""The interface of dgen-py 0.3.0, with content of names: ratios are exact at the dedup unit.

``import dgenfs.compat.dgen_py as dgen_py`` is all that changes in code that is written for it. What
is generated is the content of ``{size}_d{dedup_ratio}_c{compress_ratio}_s{seed}``, so what was
stored from a seed that is known can be verified by that name. Where dgen-py does otherwise:

* Ratios count to thousandths; dgen-py cuts them to whole numbers and takes what is below 1 for 1.
  What no name can have, below 1, above 1000 or a compression above 20, is a ValueError.
* Any split of a stream into chunks gives the same bytes.
* ``BytesView`` is Python's ``bytes``: as read-only, and more can be done with it.
* Numbers that are out of range are a ValueError, not an OverflowError or the end of the process.

``max_threads`` holds, with 0 for all CPUs. ``numa_mode``, ``numa_node``, ``method`` and
``block_size`` are checked and have no effect: each NUMA node always fills a part of its own of a
large buffer. ``chunk_size`` is what ``Generator.chunk_size`` says.
"""

import ctypes
import time
from typing import Any, SupportsIndex

import psutil

from dgenfs.api.buffers import filled_bytes, writable_bytes
from dgenfs.api.generator import DataGenerator, spec_of
from dgenfs.compat.arguments import seed_of, threads_of
from dgenfs.compat.uniform import generate_uniform, generate_uniform_vectors, normalize_rows
from dgenfs.content.layout import MAX_SIZE, MIN_UNIT
from dgenfs.machine import topology
from dgenfs.names.integers import whole_number
from dgenfs.names.spec import Spec

__version__ = "0.3.0"  # the interface's
__all__ = [
    "BufferPool",
    "BytesView",
    "Generator",
    "bench_rolling_pool",
    "create_bytearrays",
    "fill_buffer",
    "generate_buffer",
    "generate_data",
    "generate_into_buffer",
    "generate_uniform",
    "generate_uniform_vectors",
    "get_numa_info",
    "get_system_info",
    "normalize_rows",
]

CHUNK = 32 << 20  # bytes; what dgen-py recommends for a buffer
BLOCK = 1 << 20  # bytes of a pool's block, and of its longest slice from it
ENOUGH_UNITS = 64  # of a block, for each unit of the dedup ratio, as names have them

BytesView = bytes


class Generator:
    """A stream of ``size`` bytes, written into the caller's buffers or returned in chunks.

    It is for one thread at a time. The GIL is released while bytes are generated.
    """

    def __init__(
        self,
        size: SupportsIndex,
        dedup_ratio: float = 1.0,
        compress_ratio: float = 1.0,
        numa_mode: str = "auto",
        max_threads: SupportsIndex | None = None,
        numa_node: SupportsIndex | None = None,
        chunk_size: SupportsIndex | None = None,
        block_size: SupportsIndex | None = None,
        seed: SupportsIndex | None = None,
        method: str = "parallel",
    ) -> None:
        """Start at the stream's first byte.

        Args:
            size: bytes, 0 to 2^63 - 1.
            dedup_ratio: 1 to 1000, of the whole stream.
            compress_ratio: 1 to 20.
            numa_mode: "auto", "force" or "disabled"; no effect.
            max_threads: most threads to fill one buffer with; None or 0 for one a CPU.
            numa_node: 0 or more; no effect.
            chunk_size: what the property says, 0 or more; None for 32 MiB.
            block_size: 0 or more; no effect.
            seed: 0 to 2^64 - 1; None for a random one.
            method: any; no effect.

        Raises:
            TypeError: an argument is of no type that it can be of.
            ValueError: an argument is outside its range.
        """
        threads = threads_of(numa_mode, max_threads, numa_node, method)
        spec = spec_of(size, dedup_ratio, compress_ratio, seed_of(seed))
        self._content = DataGenerator(spec, threads=threads)
        self._chunk_size = (
            CHUNK if chunk_size is None else whole_number("chunk_size", chunk_size, 0)
        )
        if block_size is not None:
            whole_number("block_size", block_size, 0)
        self._before = 0  # bytes of the stream before the content's first

    @property
    def chunk_size(self) -> int:
        """Bytes of a buffer to fill, as it was given, 32 MiB else."""
        return self._chunk_size

    def fill_chunk(self, buffer: Any) -> int:
        """Fill ``buffer`` with the bytes that follow and advance.

        Args:
            buffer: any writable C-contiguous buffer or CPU tensor.

        Returns:
            Bytes written: the buffer's length, less at the end, 0 behind it.

        Raises:
            TypeError: ``buffer`` is no buffer of numbers.
            ValueError: ``buffer`` is read-only or not contiguous.
        """
        return self._content.fill_chunk(writable_bytes(buffer)[: self._left])

    def get_chunk(self, chunk_size: SupportsIndex) -> BytesView | None:
        """Return the next ``chunk_size`` bytes, fewer at the end, and advance; None for none.

        Raises:
            TypeError: ``chunk_size`` is no whole number.
            ValueError: ``chunk_size`` is negative.
        """
        size = min(whole_number("chunk_size", chunk_size, 0), self._left)
        return filled_bytes(size, self._content.fill_chunk) if size else None

    def reset(self) -> None:
        """Go on at the first byte, with the seed that was set last."""
        self._content.reset()
        self._before = 0

    def set_seed(self, seed: SupportsIndex | None) -> None:
        """Go on with another seed's content, from its first byte on; the position stays.

        So a seed that is set again gives the same bytes again.

        Args:
            seed: 0 to 2^64 - 1; None for a random one.

        Raises:
            TypeError: ``seed`` is no whole number.
            ValueError: ``seed`` is outside its range.
        """
        self._content.set_seed(seed_of(seed))
        self._before = self.position()
        self._content.reset()

    def position(self) -> int:
        """Return the bytes that were generated since the stream's start."""
        return self._before + self._content.position

    def total_size(self) -> int:
        """Return the bytes of the whole stream."""
        return self._content.size

    def is_complete(self) -> bool:
        """Return whether the last byte was generated."""
        return not self._left

    @property
    def _left(self) -> int:
        return self.total_size() - self.position()


StreamingGenerator = Generator


class BufferPool:
    """Bytes for many small objects, which have the dedup ratio all together.

    They are of blocks of 1 MiB, more where the ratio is above 4, each with the whole ratio and a
    random seed. Each slice starts at a unit of 4 KiB, so that chunks of 4 KiB of objects of any
    size repeat. It is for one thread at a time.
    """

    def __init__(self, dedup_ratio: float = 1.0, compress_ratio: float = 1.0) -> None:
        """Start at a block's first byte.

        Args:
            dedup_ratio: 1 to 1000.
            compress_ratio: 1 to 20.

        Raises:
            TypeError: a ratio is no number.
            ValueError: a ratio is outside its range.
        """
        self._block = DataGenerator(_block(dedup_ratio, compress_ratio))

    def next_slice(self, size: SupportsIndex) -> BytesView:
        """Return ``size`` bytes: the next ones, above 1 MiB those of ``generate_buffer``.

        Where a block ends, the slice goes on in the next one.

        Raises:
            TypeError: ``size`` is no whole number.
            ValueError: ``size`` is below 1.
        """
        size = whole_number("size", size, 1)
        if size > BLOCK:
            return generate_buffer(size, self.dedup_ratio, self.compress_ratio)
        return filled_bytes(size, self._fill)

    def reconfigure(self, dedup_ratio: float = 1.0, compress_ratio: float = 1.0) -> None:
        """Go on with other ratios, in a new block unless they are the same.

        Arguments and errors are those of the constructor.
        """
        spec = _block(dedup_ratio, compress_ratio)
        if spec != self._block.spec.with_seed(spec.seed):
            self._block = DataGenerator(spec)

    @property
    def remaining(self) -> int:
        """Bytes up to the block's end."""
        return self._block.size - self._block.position

    @property
    def dedup_ratio(self) -> float:
        """The dedup ratio, an int if it is whole."""
        return _number(self._block.spec.dedup)

    @property
    def compress_ratio(self) -> float:
        """The compression ratio, an int if it is whole."""
        return _number(self._block.spec.compress)

    def _fill(self, buffer: memoryview) -> None:
        block = self._block
        rest = len(buffer)
        while rest:
            if block.is_complete():
                block.set_seed(seed_of(None))
                block.reset()
            rest -= block.fill_chunk(buffer[len(buffer) - rest :])
        block.seek(-(-block.position // MIN_UNIT) * MIN_UNIT)


def generate_buffer(
    size: SupportsIndex,
    dedup_ratio: float = 1.0,
    compress_ratio: float = 1.0,
    numa_mode: str = "auto",
    max_threads: SupportsIndex | None = None,
    numa_node: SupportsIndex | None = None,
    method: str = "parallel",
) -> BytesView:
    """Return ``size`` bytes of a random seed, which have the ratios by themselves.

    Arguments and errors are those of ``Generator``.
    """
    threads = threads_of(numa_mode, max_threads, numa_node, method)
    spec = spec_of(size, dedup_ratio, compress_ratio, seed_of(None))
    return filled_bytes(spec.size, DataGenerator(spec, threads=threads).fill_chunk)


def generate_into_buffer(
    buffer: Any,
    dedup_ratio: float = 1.0,
    compress_ratio: float = 1.0,
    numa_mode: str = "auto",
    max_threads: SupportsIndex | None = None,
    numa_node: SupportsIndex | None = None,
    method: str = "parallel",
) -> int:
    """Fill ``buffer`` as ``generate_buffer`` does, and return its bytes.

    Arguments and errors are those of ``Generator`` and of its ``fill_chunk``.
    """
    threads = threads_of(numa_mode, max_threads, numa_node, method)
    out = writable_bytes(buffer)
    spec = spec_of(out.size, dedup_ratio, compress_ratio, seed_of(None))
    return DataGenerator(spec, threads=threads).fill_chunk(out)


def generate_data(
    size: SupportsIndex,
    dedup_ratio: float = 1.0,
    compress_ratio: float = 1.0,
    numa_mode: str = "auto",
    max_threads: SupportsIndex | None = None,
) -> BytesView:
    """Return what ``generate_buffer`` does."""
    return generate_buffer(size, dedup_ratio, compress_ratio, numa_mode, max_threads)


def fill_buffer(
    buffer: Any,
    dedup_ratio: float = 1.0,
    compress_ratio: float = 1.0,
    numa_mode: str = "auto",
    max_threads: SupportsIndex | None = None,
) -> int:
    """Do what ``generate_into_buffer`` does."""
    return generate_into_buffer(buffer, dedup_ratio, compress_ratio, numa_mode, max_threads)


_allocated = ctypes.pythonapi.PyByteArray_FromStringAndSize
_allocated.restype = ctypes.py_object
_allocated.argtypes = [ctypes.c_char_p, ctypes.c_ssize_t]


def create_bytearrays(count: SupportsIndex, size: SupportsIndex) -> list[bytearray]:
    """Return ``count`` bytearrays of ``size`` bytes, whatever their memory held.

    ``bytearray(size)`` writes zeros, which takes a second for some GiB.

    Raises:
        TypeError: ``count`` or ``size`` is no whole number.
        ValueError: ``count`` or ``size`` is negative.
        MemoryError: there is not so much memory.
    """
    size = whole_number("size", size, 0, MAX_SIZE)
    return [_allocated(None, size) for _ in range(whole_number("count", count, 0))]


def bench_rolling_pool(obj_size: SupportsIndex, total_bytes: SupportsIndex) -> tuple[int, float]:
    """Return the bytes that a pool gave in slices of ``obj_size``, and the seconds it took.

    Args:
        obj_size: bytes, 1 or more.
        total_bytes: about how many in all, at least one slice.

    Raises:
        TypeError: an argument is no whole number.
        ValueError: an argument is outside its range.
    """
    size = whole_number("obj_size", obj_size, 1)
    count = max(1, whole_number("total_bytes", total_bytes, 0) // size)
    pool = BufferPool()
    pool.next_slice(size)
    start = time.perf_counter()
    for _ in range(count):
        pool.next_slice(size)
    return count * size, time.perf_counter() - start


def get_numa_info() -> dict[str, Any]:
    """Return the NUMA nodes and CPUs that the process may use.

    Returns:
        ``num_nodes``, ``physical_cores``, ``logical_cpus``, ``is_uma`` (bool) and
        ``deployment_type`` (text).
    """
    found = topology.detect()
    cpus, nodes = len(found.cpus), len(found.nodes)
    return {
        "num_nodes": nodes,
        "physical_cores": min(cpus, psutil.cpu_count(logical=False) or cpus),
        "logical_cpus": cpus,
        "is_uma": nodes == 1,
        "deployment_type": "UMA (one NUMA node)" if nodes == 1 else f"NUMA ({nodes} nodes)",
    }


def get_system_info() -> dict[str, Any]:
    """Return what ``get_numa_info`` does."""
    return get_numa_info()


def _block(dedup_ratio: float, compress_ratio: float) -> Spec:
    """Return the spec of a block with enough units that rounding does not show."""
    spec = spec_of(BLOCK, dedup_ratio, compress_ratio, seed_of(None))
    size = -(-ENOUGH_UNITS * spec.layout.dedup_milli // 1000) * MIN_UNIT
    return spec if size <= BLOCK else spec_of(size, dedup_ratio, compress_ratio, spec.seed)


def _number(ratio: float) -> float:
    return int(ratio) if ratio == int(ratio) else ratio

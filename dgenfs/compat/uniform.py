"""Numbers that are distributed evenly, and vectors of length 1, as dgen-py 0.3.0 has them.

These are values, not content: no ratio is declared of them. They follow from the seed alone.
"""

from collections.abc import Callable
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from dgenfs.api.buffers import filled_bytes, writable_bytes
from dgenfs.api.generator import DataGenerator, spec_of
from dgenfs.compat.arguments import seed_of, threads_of
from dgenfs.content.layout import MAX_SIZE
from dgenfs.names.integers import whole_number

FLOAT = 4  # bytes of a float32
ONE = 0x3F800000  # the bits of the float32 1.0, whose lowest 23 are the fraction (IEEE 754)
FRACTION = 23  # bits


def generate_uniform(
    count: SupportsIndex,
    low: float = 0.0,
    high: float = 1.0,
    max_threads: SupportsIndex | None = None,
    numa_mode: str = "auto",
    seed: SupportsIndex | None = None,
) -> bytes:
    """Return numbers that are distributed evenly.

    Args:
        count: how many, 0 or more.
        low: the least.
        high: above the largest.
        max_threads: most threads to make random bits with; None or 0 for one a CPU.
        numa_mode: "auto", "force" or "disabled"; no effect.
        seed: 0 to 2^64 - 1; None for a random one.

    Returns:
        float32[count], as bytes.

    Raises:
        TypeError: an argument is of no type that it can be of.
        ValueError: an argument is outside its range.
    """
    count = whole_number("count", count, 0, MAX_SIZE // FLOAT)
    return _uniform(count, low, high, threads_of(numa_mode, max_threads), seed, lambda _: None)


def normalize_rows(
    buffer: Any, dim: SupportsIndex, max_threads: SupportsIndex | None = None
) -> None:
    """Scale each row to the Euclidean length 1, in place; a row of zeros stays.

    Args:
        buffer: any writable C-contiguous buffer of float32, or of bytes that are float32.
        dim: numbers of a row, 1 or more.
        max_threads: 0 or more, None; no effect.

    Raises:
        TypeError: ``buffer`` is no buffer, or ``dim`` no whole number.
        ValueError: ``buffer`` is read-only, not contiguous, of other numbers, or of no whole
            number of rows; or ``dim`` is below 1.
    """
    threads_of("auto", max_threads)
    dim = whole_number("dim", dim, 1)
    data = writable_bytes(buffer)
    kind = memoryview(buffer).format
    if kind not in ("f", "<f", "B"):
        raise ValueError(f"a buffer of {kind!r}: must be of float32, or of bytes that are float32")
    if data.size % (dim * FLOAT):
        raise ValueError(
            f"a buffer of {data.size} bytes: must be a multiple of {dim * FLOAT}, those of a row"
        )
    _normalize(data.view(np.float32).reshape(-1, dim))


def generate_uniform_vectors(
    rows: SupportsIndex,
    dim: SupportsIndex,
    low: float = 0.0,
    high: float = 1.0,
    normalize: bool = True,
    max_threads: SupportsIndex | None = None,
    numa_mode: str = "auto",
    seed: SupportsIndex | None = None,
) -> bytes:
    """Return what ``generate_uniform`` does, as rows that ``normalize_rows`` has scaled.

    Args:
        rows: how many, 0 or more.
        dim: numbers of a row, 1 or more.
        low: see ``generate_uniform``.
        high: see there.
        normalize: whether to scale.
        max_threads: see there.
        numa_mode: see there.
        seed: see there.

    Returns:
        float32[rows, dim], as bytes.

    Raises:
        TypeError: an argument is of no type that it can be of.
        ValueError: an argument is outside its range.
    """
    dim = whole_number("dim", dim, 1)
    rows = whole_number("rows", rows, 0, MAX_SIZE // (dim * FLOAT))
    threads = threads_of(numa_mode, max_threads)

    def scale(values: NDArray[np.float32]) -> None:
        if normalize:
            _normalize(values.reshape(rows, dim))

    return _uniform(rows * dim, low, high, threads, seed, scale)


def _uniform(
    count: int,
    low: float,
    high: float,
    threads: int | None,
    seed: SupportsIndex | None,
    finish: Callable[[NDArray[np.float32]], None],
) -> bytes:
    with np.errstate(over="ignore"):
        least, end = np.float32(low), np.float32(high)
        span = end - least
    if not (least < end and np.isfinite(span)):
        raise ValueError(f"low {low}, high {high}: low must be less, and both float32 and finite")
    spec = spec_of(count * FLOAT, 1, 1, seed_of(seed))

    def fill(view: memoryview) -> None:
        DataGenerator(spec, threads=threads).fill_chunk(view)
        bits = np.frombuffer(view, np.uint32)
        bits >>= 32 - FRACTION
        bits |= ONE
        values = bits.view(np.float32)
        values -= 1
        values *= span
        values += least
        # Rounding may come to the end itself.
        np.minimum(values, np.nextafter(end, least), out=values)
        finish(values)

    return filled_bytes(spec.size, fill)


def _normalize(rows: NDArray[np.float32]) -> None:
    # In float64, as squares of float32 may be too large for it.
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    lengths[lengths == 0] = 1
    np.divide(rows, lengths[:, np.newaxis], out=rows, casting="unsafe")

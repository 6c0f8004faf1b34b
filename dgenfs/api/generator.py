"""The generator: content into the caller's buffers, in large pieces on all CPUs."""

from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from dgenfs.api.buffers import filled_bytes, writable_bytes
from dgenfs.api.filling import fill
from dgenfs.content.layout import MAX_SIZE, Layout, default_unit
from dgenfs.content.view import View
from dgenfs.names.grammar import MAX_COMPRESS_MILLI, MAX_DEDUP_MILLI, MAX_SEED
from dgenfs.names.integers import whole_number
from dgenfs.names.spec import Spec


class DataGenerator:
    """A stream of test data, written into the caller's buffers.

    ``read_into`` and ``set_seed`` may be called by any number of threads at once: each fill is of
    the seed that was set when it was called. The position, and with it ``fill_chunk``, ``seek`` and
    ``reset``, belongs to one thread at a time. The GIL is released while a buffer is filled.
    Buffers of 16 MiB and more are split over threads that are pinned to the CPUs, each NUMA node's
    filling a part of its own. The CPUs are those that the process's main thread may use at that
    moment. Once a call has returned or raised, no thread writes to its buffer, whatever raised:
    what a signal's handler raises meanwhile, as Ctrl-C does, waits for that. A handler may fill
    buffers itself. It pickles with its position.

    Attributes:
        spec: what is generated.
        size: bytes of the whole stream.
        threads: most threads to fill one buffer with, None for one a CPU.
    """

    def __init__(
        self,
        spec_or_name: Spec | str,
        *,
        file: SupportsIndex | None = None,
        threads: SupportsIndex | None = None,
    ) -> None:
        """Start at the stream's first byte.

        Args:
            spec_or_name: a file's or a tree's.
            file: number of a tree's file; None for all files one after the other.
            threads: most threads to fill one buffer with, None for one a CPU.

        Raises:
            SpecError: the name is not valid, or asks for a checksum.
            IndexError: the tree has no such file.
            TypeError: ``file`` or ``threads`` is no whole number.
            ValueError: ``threads`` is below 1.
        """
        self.spec = Spec.parse(spec_or_name) if isinstance(spec_or_name, str) else spec_or_name
        self._view = self.spec.view(file)
        self._file = file
        self.threads = None if threads is None else whole_number("threads", threads, 1)
        self.size = self._view.size
        self._position = 0

    @property
    def position(self) -> int:
        """Bytes before the next byte that ``fill_chunk`` writes."""
        return self._position

    def seek(self, offset: SupportsIndex) -> None:
        """Go on at ``offset`` bytes.

        Raises:
            TypeError: ``offset`` is no whole number.
            ValueError: ``offset`` is negative or past the end.
        """
        self._position = whole_number(f"{self.spec}: offset", offset, 0, self.size)

    def reset(self) -> None:
        """Go on at the first byte."""
        self._position = 0

    def is_complete(self) -> bool:
        """Return whether ``fill_chunk`` has written the last byte."""
        return self._position == self.size

    def set_seed(self, seed: SupportsIndex) -> None:
        """Go on at the same position in the content of another seed.

        Fills that are under way in other threads keep to theirs.

        Args:
            seed: 0 to 2^64 - 1.

        Raises:
            TypeError: ``seed`` is no whole number.
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

    def read_into(self, buffer: Any, offset: SupportsIndex) -> int:
        """Fill ``buffer`` with the bytes from ``offset`` on; the position stays.

        Args:
            buffer: any writable C-contiguous buffer or CPU tensor, filled in place.
            offset: bytes, 0 or more.

        Returns:
            Bytes written: the buffer's length, less at the end, 0 behind it.

        Raises:
            TypeError: ``buffer`` is no buffer of numbers, or ``offset`` is no whole number.
            ValueError: ``buffer`` is read-only or not contiguous, or ``offset`` is negative.
        """
        view, out, offset = self.target(buffer, offset)
        fill(view, out, offset, self.threads)
        return out.size

    def read(self, offset: SupportsIndex, length: SupportsIndex) -> bytes:
        """Return the bytes from ``offset`` on, filled in one piece; the position stays.

        Args:
            offset: bytes, 0 or more.
            length: bytes, 0 or more; fewer are returned at the end, none behind it.

        Raises:
            TypeError: ``offset`` or ``length`` is no whole number.
            ValueError: ``offset`` or ``length`` is negative.
            MemoryError, OverflowError: there are more than fit into memory.
        """
        return filled_bytes(
            self.length(offset, length), lambda buffer: self.read_into(buffer, offset)
        )

    def length(self, offset: SupportsIndex, length: SupportsIndex) -> int:
        """Return how many bytes ``read`` returns, whose arguments and errors these are."""
        rest = self.size - whole_number("offset", offset, 0)
        return max(0, min(whole_number("length", length, 0), rest))

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the view, which follows from the rest."""
        state = self.__dict__.copy()
        del state["_view"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._view = self.spec.view(self._file)

    def target(self, buffer: Any, offset: SupportsIndex) -> tuple[View, NDArray[np.uint8], int]:
        """Return what ``read_into`` fills: the view, the memory (uint8[::1]) and the offset.

        Arguments and errors are those of ``read_into``.
        """
        view = self._view
        start = whole_number("offset", offset, 0)
        out = writable_bytes(buffer)
        return view, out[: max(0, view.size - start)], start


def generate_data(
    size: SupportsIndex, dedup: float = 1, compress: float = 1, seed: SupportsIndex = 0
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
        TypeError: ``size`` or ``seed`` is no whole number.
        ValueError: an argument is outside its range.
    """
    generator = DataGenerator(spec_of(size, dedup, compress, seed))
    out = np.empty(generator.size, np.uint8)
    generator.fill_chunk(out)
    return out


def spec_of(size: SupportsIndex, dedup: float, compress: float, seed: SupportsIndex) -> Spec:
    """Return the spec of ``{size}_d{dedup}_c{compress}_s{seed}``.

    Arguments and errors are those of ``generate_data``.
    """
    size = whole_number("size", size, 0, MAX_SIZE)
    dedup_milli = _thousandths("dedup", dedup, MAX_DEDUP_MILLI)
    layout = Layout(
        files=1,
        size=size,
        dedup_milli=dedup_milli,
        compress_milli=_thousandths("compress", compress, MAX_COMPRESS_MILLI),
        seed=whole_number("seed", seed, 0, MAX_SEED),
        unit=default_unit(1, size, dedup_milli),
    )
    return Spec(layout)


def _thousandths(what: str, ratio: float, most: int) -> int:
    if not 1 <= ratio <= most / 1000:
        raise ValueError(f"{what} {ratio}: must be 1 to {most // 1000}")
    return round(round(ratio, 3) * 1000)

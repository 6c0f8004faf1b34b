"""The generator for trio and asyncio, by way of AnyIO."""

import copy
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread

from dgenfs.api.buffers import writable_bytes
from dgenfs.api.generator import DataGenerator
from dgenfs.names.spec import Spec

INLINE = 64 << 10  # bytes that are filled on the loop's own thread: 3 µs, a thread costs 50 µs
EXTENT = 32 << 20  # bytes filled between two looks at a cancellation: about 1 ms


class AsyncDataGenerator:
    """A stream of test data, written into the caller's buffers without blocking the event loop.

    Runs under trio and asyncio, in one thread. Any number of tasks may be in ``read_into`` at once,
    each reading the seed that was set when it was called; ``fill_chunk`` is for one task at a time,
    and while it is under way ``seek``, ``reset`` and ``set_seed`` raise
    ``anyio.BusyResourceError``. A cancelled call returns within about 1 ms, when no thread writes
    to the buffer any more; the position is then unchanged and the buffer's content undefined.
    """

    def __init__(
        self, spec_or_name: Spec | str, *, file: int | None = None, threads: int | None = None
    ) -> None:
        """Start at the stream's first byte; arguments and errors are ``DataGenerator``'s."""
        self._generator = DataGenerator(spec_or_name, file=file, threads=threads)
        self._filling = anyio.ResourceGuard("filling a chunk from")

    @property
    def spec(self) -> Spec:
        """What is generated."""
        return self._generator.spec

    @property
    def size(self) -> int:
        """Bytes of the whole stream."""
        return self._generator.size

    @property
    def position(self) -> int:
        """Bytes before the next byte that ``fill_chunk`` writes."""
        return self._generator.position

    def seek(self, offset: int) -> None:
        """Go on at ``offset`` bytes; ValueError if that is negative or past the end."""
        with self._filling:
            self._generator.seek(offset)

    def reset(self) -> None:
        """Go on at the first byte."""
        with self._filling:
            self._generator.reset()

    def is_complete(self) -> bool:
        """Return whether ``fill_chunk`` has written the last byte."""
        return self._generator.is_complete()

    def set_seed(self, seed: int) -> None:
        """Go on at the same position in the content of another seed (0 to 2^64 - 1)."""
        with self._filling:
            self._generator.set_seed(seed)

    async def fill_chunk(self, buffer: Any) -> int:
        """Fill ``buffer`` with the bytes that follow and advance.

        Returns:
            Bytes written: the buffer's length, less at the end, 0 behind it.

        Raises:
            TypeError, ValueError: as ``DataGenerator.read_into`` does.
            anyio.BusyResourceError: another task is in ``fill_chunk``.
        """
        with self._filling:
            start = self._generator.position
            written = await self.read_into(buffer, start)
            self._generator.seek(start + written)
            return written

    async def read_into(self, buffer: Any, offset: int) -> int:
        """Fill ``buffer`` with the bytes from ``offset`` on; the position stays.

        Args:
            buffer: any writable C-contiguous buffer or CPU tensor, filled in place.
            offset: bytes, 0 or more.

        Returns:
            Bytes written: the buffer's length, less at the end, 0 behind it.

        Raises:
            TypeError, ValueError: as ``DataGenerator.read_into`` does.
        """
        generator = copy.copy(self._generator)  # which no set_seed changes meanwhile
        out = writable_bytes(buffer)
        await anyio.lowlevel.checkpoint()
        if out.size <= INLINE:
            return generator.read_into(out, offset)
        written = 0
        while written < out.size:
            part = out[written : written + EXTENT]
            filled = await anyio.to_thread.run_sync(generator.read_into, part, offset + written)
            written += filled
            if filled < part.size:
                break
        return written

"""The generator for trio and asyncio, by way of AnyIO."""

from copy import copy
from typing import Any, SupportsIndex

import anyio
import anyio.lowlevel
import anyio.to_thread

from dgenfs.api.buffers import new_bytes
from dgenfs.api.filling import fill, fill_inside
from dgenfs.api.generator import DataGenerator
from dgenfs.machine.gate import CLOSED, FORKS, Gate, wait_until_left
from dgenfs.names.spec import Spec

_FILLING = "filling a chunk from"
INLINE = 64 << 10  # bytes that are filled on the loop's own thread: 3 µs, a thread costs 50 µs


class AsyncDataGenerator:
    """A stream of test data, written into the caller's buffers without blocking the event loop.

    Runs under trio and asyncio, in one thread. Any number of tasks may be in ``read_into`` at once,
    each reading the seed that was set when it was called; ``fill_chunk`` is for one task at a time,
    and while it is under way ``seek``, ``reset`` and ``set_seed`` raise
    ``anyio.BusyResourceError``.

    A call that is cancelled, by whatever of asyncio, trio or AnyIO, ends at once, with the
    position unchanged and the buffer's content undefined. It waits on the loop's own thread until
    no thread writes to the buffer any more: for 1 MiB at most of each, some 50 µs.

    It pickles with its position.
    """

    def __init__(
        self,
        spec_or_name: Spec | str,
        *,
        file: SupportsIndex | None = None,
        threads: SupportsIndex | None = None,
    ) -> None:
        """Start at the stream's first byte; arguments and errors are ``DataGenerator``'s."""
        self._generator = DataGenerator(spec_or_name, file=file, threads=threads)
        self._filling = anyio.ResourceGuard(_FILLING)

    def __getstate__(self) -> DataGenerator:
        """Leave out the guard, which is of this process's tasks."""
        return copy(self._generator)

    def __setstate__(self, state: DataGenerator) -> None:
        self._generator = state
        self._filling = anyio.ResourceGuard(_FILLING)

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

    def seek(self, offset: SupportsIndex) -> None:
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

    def set_seed(self, seed: SupportsIndex) -> None:
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

    async def read(self, offset: SupportsIndex, length: SupportsIndex) -> bytes:
        """Return the bytes from ``offset`` on; arguments and errors as ``DataGenerator.read``."""
        out = new_bytes(self._generator.length(offset, length))
        with out.getbuffer() as memory:
            await self.read_into(memory, offset)
        return out.getvalue()

    async def read_into(self, buffer: Any, offset: SupportsIndex) -> int:
        """Fill ``buffer`` with the bytes from ``offset`` on; the position stays.

        Args:
            buffer: any writable C-contiguous buffer or CPU tensor, filled in place.
            offset: bytes, 0 or more.

        Returns:
            Bytes written: the buffer's length, less at the end, 0 behind it.

        Raises:
            TypeError, ValueError: as ``DataGenerator.read_into`` does.
        """
        view, out, offset = self._generator.target(buffer, offset)
        size, threads = out.size, self._generator.threads
        await anyio.lowlevel.checkpoint()
        if size <= INLINE:
            if not size or (view.files is not None and view.files.read_soon(out, offset)):
                return size
            if view.files is None:
                fill(view, out, offset, 1)
                return size
        gate = Gate()
        gate.held.append(out)
        del out  # the gate's alone, who gives it back as soon as nobody is inside
        try:
            # No shield holds off asyncio's own cancellation: the thread is left alone, but for
            # what it writes.
            await anyio.to_thread.run_sync(
                fill_inside, gate, view, offset, threads, abandon_on_cancel=True
            )
        finally:
            gate.words[CLOSED] = 1
            if gate.forks == FORKS[0]:
                wait_until_left(gate.address)
            gate.held.clear()
        return size

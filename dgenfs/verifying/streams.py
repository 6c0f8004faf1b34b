"""Copies that come in order and once only: standard input, a FIFO, a member of an archive."""

import errno
import io
import os
import select
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dgenfs.machine.threads import in_order
from dgenfs.verifying.comparing import CHUNK, Damage
from dgenfs.verifying.copies import Content, Copies, Progress
from dgenfs.verifying.findings import MAX_EXTENTS
from dgenfs.verifying.reports import FileReport
from dgenfs.verifying.windows import Window

WRITER_MILLISECONDS = 1000  # in which a FIFO's writer must have opened it


class Stream(Protocol):
    """Bytes in order."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill a part of ``buffer``; return how many bytes, 0 at the end."""


def read_some(stream: Stream, buffer: NDArray[np.uint8]) -> int:
    """Fill a part of ``buffer``; return how many bytes, 0 at the end.

    Raises:
        BlockingIOError: the stream does not block, and has no bytes at the moment: no end.
    """
    got = stream.readinto(buffer.data)
    if got is None:
        raise BlockingIOError(errno.EAGAIN, "has no bytes yet: give a stream that waits for them")
    return got


class _Input(io.FileIO):
    """Standard input, which waits for bytes though who shares it may have it not block."""

    def readinto(self, buffer: Any) -> int:
        while (got := super().readinto(buffer)) is None:
            self._poll(None)
        return got

    def _poll(self, milliseconds: int | None) -> bool:
        polled = select.poll()
        polled.register(self, select.POLLIN)
        return bool(polled.poll(milliseconds))


class _Fifo(_Input):
    """A FIFO that somebody writes to."""

    def __init__(self, path: str) -> None:
        super().__init__(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        self._first = b""
        if not self._poll(WRITER_MILLISECONDS):
            # Nobody has written; a read says whether nobody can (pipe(7)).
            with suppress(BlockingIOError):
                self._first = os.read(self.fileno(), 1)
                if not self._first:
                    self.close()
                    raise OSError(errno.EPIPE, "nobody writes to it: start its writer first", path)

    def readinto(self, buffer: Any) -> int:
        if not self._first:
            return super().readinto(buffer)
        buffer[:1] = self._first
        self._first = b""
        return 1


def opened_stream(fifo: str | None = None) -> io.FileIO:
    """Open the FIFO at a path, None for standard input.

    Raises:
        OSError: it cannot be opened, or nobody writes to it.
    """
    return _Input(0, closefd=False) if fifo is None else _Fifo(fifo)


def compared_stream(
    copies: Copies, stream: Stream, path: str, content: Content, window: Window, progress: Progress
) -> FileReport:
    """Compare what a stream gives; see ``Verifier.verify_stream``.

    Args:
        copies: whose threads compare, while the caller's reads.
        stream: read to its end.
        path: what to call it.
        content: what it should hold.
        window: bytes of it that are asked for, and where in the stream they are.
        progress: called with the number of bytes compared since the last call.
    """
    report = FileReport(path, content.name, content.file, content.view.size, 0)
    comparison = copies.comparison(content)

    def compare(chunk: tuple[int, NDArray[np.uint8]]) -> Damage:
        at, data = chunk
        return comparison.compare(data, at)

    reader = _Reader(stream, copies.ahead + 2)
    reader.skip(window.at)
    chunks = reader.chunks(window.offset, window.length)
    for damage in in_order(copies.pool, copies.ahead, compare, chunks, comparison.stop):
        damage.add_to(report, MAX_EXTENTS)
        progress(damage.length)
    reader.skip(None)
    report.size = reader.position
    report.end(window, reader.position)
    return report


class _Reader:
    """A stream, read into buffers in turn."""

    def __init__(self, stream: Stream, buffers: int) -> None:
        self._stream = stream
        self._buffers = [np.empty(0, np.uint8)] * buffers
        self.position = 0

    def chunks(self, start: int, length: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield (offset, bytes) that last until as many as there are buffers were yielded since."""
        done = 0
        while done < length:
            buffer = self._buffers.pop(0)
            if not buffer.size:
                buffer = np.empty(min(CHUNK, length), np.uint8)
            self._buffers.append(buffer)
            got = self._fill(buffer[: length - done])
            if not got:
                return
            yield start + done, buffer[:got]
            done += got

    def _fill(self, buffer: NDArray[np.uint8]) -> int:
        """Fill ``buffer``, less at the end; return how many bytes."""
        done = 0
        while done < buffer.size:
            got = read_some(self._stream, buffer[done:])
            if not got:
                break
            done += got
        self.position += done
        return done

    def skip(self, length: int | None) -> None:
        """Read ``length`` bytes, or all that are left, and forget them."""
        buffer = np.empty(CHUNK if length is None else min(CHUNK, length), np.uint8)
        while length is None or length > 0:
            got = self._fill(buffer if length is None else buffer[:length])
            if not got:
                return
            if length is not None:
                length -= got

"""What a file is: segments of content, of literal or computed bytes, of zeros, and of errors.

A view is immutable and fills a buffer at any offset. Its segments are listed, or follow a rule
where they are too many to be. A plain file is one range of a content and pays for nothing else.
"""

import os
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dgenfs.content.layout import Layout
from dgenfs.kernels.fill import fill_files


class Segment(Protocol):
    """Adjoining bytes of one origin.

    Attributes:
        length: bytes.
    """

    @property
    def length(self) -> int:
        """Bytes."""

    def read_into(self, out: NDArray[np.uint8], offset: int) -> None:
        """Fill ``out`` (uint8[::1]) with the bytes from ``offset`` on, which are all there.

        Raises:
            OSError: the segment is one that cannot be read.
        """


@dataclass(frozen=True, slots=True)
class ContentRange:
    """Bytes of a content.

    Attributes:
        layout: the content's.
        start: bytes before the first one, counted over all files in order.
        length: bytes.
    """

    layout: Layout
    start: int
    length: int

    def read_into(self, out: NDArray[np.uint8], offset: int) -> None:
        """Generate them."""
        fill_files(out, np.uint64(self.start + offset), self.layout.row)


@dataclass(frozen=True, slots=True)
class Literal:
    """Bytes that are given.

    Attributes:
        data: they.
    """

    data: bytes

    @property
    def length(self) -> int:
        """Bytes."""
        return len(self.data)

    def read_into(self, out: NDArray[np.uint8], offset: int) -> None:
        """Copy them."""
        out[:] = np.frombuffer(self.data, np.uint8, out.size, offset)


@dataclass(frozen=True, slots=True)
class Computed:
    """Bytes that follow from their offset, such as an index of what stands elsewhere.

    Attributes:
        length: bytes.
        compute: fills an array (uint8[::1]) from an offset in the segment on.
    """

    length: int
    compute: Callable[[NDArray[np.uint8], int], None]

    def read_into(self, out: NDArray[np.uint8], offset: int) -> None:
        """Compute them."""
        self.compute(out, offset)


@dataclass(frozen=True, slots=True)
class Zeros:
    """Bytes that are all zero.

    Attributes:
        length: bytes.
    """

    length: int

    def read_into(self, out: NDArray[np.uint8], offset: int) -> None:  # noqa: ARG002
        """Clear ``out``."""
        out.fill(0)


@dataclass(frozen=True, slots=True)
class Failing:
    """Bytes that cannot be read.

    Attributes:
        length: bytes.
        number: errno of every read that touches them.
    """

    length: int
    number: int

    def read_into(self, out: NDArray[np.uint8], offset: int) -> None:  # noqa: ARG002
        """Raise OSError."""
        raise OSError(self.number, os.strerror(self.number))


class Piece(NamedTuple):
    """What one segment gives of a range.

    Attributes:
        at: offset in the view.
        segment: whose bytes they are.
        start: offset in the segment.
        length: bytes.
    """

    at: int
    segment: Segment
    start: int
    length: int


class View:
    """A file's bytes.

    Attributes:
        size: bytes.
        plain: the only segment, if it is a range of a content.
    """

    __slots__ = ("_segment_at", "plain", "size")

    def __init__(
        self,
        size: int,
        segment_at: Callable[[int], tuple[int, Segment]],
        plain: ContentRange | None = None,
    ) -> None:
        """Give the segments by a rule.

        Args:
            size: bytes.
            segment_at: returns the segment that holds an offset below ``size``, and the offset of
                its first byte; every time the same.
            plain: the only segment, if it is a range of a content.
        """
        self.size = size
        self.plain = plain
        self._segment_at = segment_at

    @classmethod
    def of(cls, *segments: Segment) -> "View":
        """Return a view of segments one after the other."""
        listed = [segment for segment in segments if segment.length]
        ends = list(accumulate(segment.length for segment in listed))
        starts = [0, *ends[:-1]]

        def segment_at(offset: int) -> tuple[int, Segment]:
            index = bisect_right(starts, offset) - 1
            return starts[index], listed[index]

        only = segments[0] if len(segments) == 1 else None
        plain = only if isinstance(only, ContentRange) else None
        return cls(ends[-1] if ends else 0, segment_at, plain)

    @classmethod
    def of_content(cls, layout: Layout, file: int | None = None) -> "View":
        """Return the view of file number ``file``, or of all files one after the other."""
        if file is None:
            return cls.of(ContentRange(layout, 0, layout.total_size))
        return cls.of(ContentRange(layout, file * layout.size, layout.size))

    def pieces(self, offset: int, length: int) -> Iterator[Piece]:
        """Yield what each segment gives of the bytes [offset, offset + length), all within."""
        end = offset + length
        while offset < end:
            start, segment = self._segment_at(offset)
            within = offset - start
            count = min(end - offset, segment.length - within)
            yield Piece(offset, segment, within, count)
            offset += count

    def read_into(self, out: NDArray[np.uint8], offset: int) -> None:
        """Fill ``out`` (uint8[::1]) with the bytes from ``offset`` on, which must all be there.

        Raises:
            OSError: a segment cannot be read.
        """
        for at, segment, start, length in self.pieces(offset, out.size):
            segment.read_into(out[at - offset : at - offset + length], start)

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes [offset, offset + length), fewer at the end.

        Raises:
            OSError: a segment cannot be read.
        """
        out = np.empty(max(0, min(length, self.size - offset)), np.uint8)
        self.read_into(out, offset)
        return out.tobytes()

    def part(self, offset: int, length: int) -> "View":
        """Return the view of the bytes [offset, offset + length), which must all be there."""
        if self.plain is not None:
            return View.of(ContentRange(self.plain.layout, self.plain.start + offset, length))

        def segment_at(at: int) -> tuple[int, Segment]:
            start, segment = self._segment_at(offset + at)
            return start - offset, segment

        return View(length, segment_at)

"""What a file is: segments of content, of literal or computed bytes, of zeros, and of errors.

A view is immutable and fills a buffer at any offset. Its segments are listed, or follow a rule
where they are too many to be. What a name's row describes is read by kernels in one piece.
"""

import os
from bisect import bisect_right
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dgenfs.content.containers.frames import Container, Crc, Run
from dgenfs.content.digests import Each, compute, ranges
from dgenfs.content.layout import Layout
from dgenfs.kernels.digests import DONE, ENDLESS, SOON, STOPPED, Patience
from dgenfs.kernels.files import fill_files
from dgenfs.kernels.frames import DIFFERENT, compare_frames
from dgenfs.kernels.row import SIZE


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
        FileRange(self.layout.row, self.start, self.length).read_into(out, offset)


@dataclass(frozen=True, slots=True, eq=False)
class FileRange:
    """Bytes of files as a name's row describes them, whatever these are made of.

    Attributes:
        row: uint64[ROW_WORDS] or more, of files that are not empty.
        start: bytes before the first one, counted over all files in order.
        length: bytes.
        part: what they are to a reader of the format, if they are a container's own.
    """

    row: NDArray[np.uint64]
    start: int
    length: int
    part: str = ""

    def read_into(self, out: NDArray[np.uint8], offset: int, patience: Patience = ENDLESS) -> None:
        """Generate them.

        Raises:
            CancelledError: ``patience`` ended.
        """
        status = fill_files(out, np.uint64(self.start + offset), self.row, patience)
        if status == STOPPED:
            raise CancelledError
        assert status == DONE

    def read_soon(self, out: NDArray[np.uint8], offset: int) -> bool:
        """Generate them, unless that takes a long CRC; return whether."""
        return bool(fill_files(out, np.uint64(self.start + offset), self.row, SOON) == DONE)

    def __deepcopy__(self, _: object) -> "FileRange":
        """Return the same: it never changes, and a container's row holds its own address."""
        return self

    def holds(self, data: NDArray[np.uint8], offset: int, patience: Patience) -> bool:
        """Return whether ``data`` (uint8[::1]) is what a file, of a container, has at ``offset``.

        Raises:
            CancelledError: ``patience`` ended.
        """
        file, within = divmod(self.start + offset, int(self.row[SIZE]))
        status = compare_frames(data, np.uint64(file), np.uint64(within), self.row, patience)
        if status == STOPPED:
            raise CancelledError
        assert status in (DONE, DIFFERENT)
        return bool(status == DONE)


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
        files: all of them as kernels read them, None where only the segments are known.
        container: what stands around the content in each of the files, None for nothing.
        segment_at: returns the segment that holds an offset below ``size``, and the offset of its
            first byte.
    """

    __slots__ = ("container", "files", "segment_at", "size")

    def __init__(
        self,
        size: int,
        segment_at: Callable[[int], tuple[int, Segment]],
        files: FileRange | None = None,
        container: Container | None = None,
    ) -> None:
        """Give the segments by a rule.

        Args:
            size: bytes.
            segment_at: returns the segment that holds an offset below ``size``, and the offset of
                its first byte; every time the same.
            files: the same bytes as kernels read them, if they can.
            container: what stands around the content in each of the files.
        """
        self.size = size
        self.files = files
        self.container = container
        self.segment_at = segment_at

    @classmethod
    def of(cls, *segments: Segment) -> "View":
        """Return a view of segments one after the other."""
        listed = [segment for segment in segments if segment.length]
        ends = list(accumulate(segment.length for segment in listed))
        starts = [0, *ends[:-1]]

        def segment_at(offset: int) -> tuple[int, Segment]:
            index = bisect_right(starts, offset) - 1
            return starts[index], listed[index]

        return cls(ends[-1] if ends else 0, segment_at)

    @classmethod
    def of_files(
        cls,
        layout: Layout,
        container: Container | None,
        row: NDArray[np.uint64],
        file: int | None = None,
    ) -> "View":
        """Return the view of file number ``file``, or of all files one after the other.

        Args:
            layout: the content's.
            container: what stands around the content in each file, None for nothing.
            row: the name's, uint64[NAME_ROW_WORDS] or more.
            file: the number, None for all.
        """
        size = layout.size if container is None else container.size
        start = 0 if file is None else file * size
        length = layout.files * size if file is None else size
        files = FileRange(row, start, length)
        if container is None:
            return cls(length, lambda _: (0, ContentRange(layout, start, length)), files)

        def segment_at(offset: int) -> tuple[int, Segment]:
            number, within = divmod(start + offset, size)
            at, segment = _segment_of(container, layout, row, number, within)
            return number * size + at - start, segment

        return cls(length, segment_at, files, container)

    def pieces(self, offset: int, length: int) -> Iterator[Piece]:
        """Yield what each segment gives of the bytes [offset, offset + length), all within."""
        end = offset + length
        while offset < end:
            start, segment = self.segment_at(offset)
            within = offset - start
            count = min(end - offset, segment.length - within)
            yield Piece(offset, segment, within, count)
            offset += count

    def read_into(self, out: NDArray[np.uint8], offset: int, patience: Patience = ENDLESS) -> None:
        """Fill ``out`` (uint8[::1]) with the bytes from ``offset`` on, which must all be there.

        Raises:
            CancelledError: ``patience`` ended.
            OSError: a segment cannot be read.
        """
        if self.files is not None:
            if out.size:
                self.files.read_into(out, offset, patience)
            return
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

        def segment_at(at: int) -> tuple[int, Segment]:
            start, segment = self.segment_at(offset + at)
            return start - offset, segment

        files = self.files
        if files is not None:
            files = FileRange(files.row, files.start + offset, length)
        return View(length, segment_at, files, self.container)

    def compute_digests(self, offset: int, length: int, each: Each = map) -> None:
        """Compute what takes long of the bytes [offset, offset + length), all within.

        These bytes are read at once then, unless others have taken the place of what was kept.

        Args:
            offset: bytes.
            length: bytes.
            each: calls a function with each piece, and may have several threads do it.
        """
        if self.files is not None and self.container is not None:
            start = self.files.start + offset
            compute(ranges(self.container, self.files.row, start, length), each)


def _segment_of(
    container: Container, layout: Layout, row: NDArray[np.uint64], number: int, within: int
) -> tuple[int, Segment]:
    """Return the segment that holds byte ``within`` of a container, and where it starts there."""
    index = bisect_right(container.starts, within) - 1
    run = container.runs[index]
    repetition, place = divmod(within - container.starts[index], run.stride)
    first = within - place
    head = len(run.head)
    if head <= place < head + run.hole and run.payload is not None:
        position = run.payload + repetition * run.hole
        start = number * layout.size + position
        return first + head, ContentRange(layout, start, run.hole)
    begin, end, part = _own(run, place)
    start = number * container.size + first + begin
    return first + begin, FileRange(row, start, end - begin, part)


def _own(run: Run, place: int) -> tuple[int, int, str]:
    """Return from where to where in a repetition the same of a run's own bytes stand, and what."""
    head = len(run.head)
    begin, end = (0, head) if place < head else (head + run.hole, run.stride)
    if head <= place < head + run.hole:
        begin, end = head, head + run.hole
    for field in run.fields:
        if not isinstance(field, Crc):
            continue
        after = field.at + field.width
        if field.at <= place < after:
            return field.at, after, "CRC"
        if field.at > place:
            end = min(end, field.at)
        else:
            begin = max(begin, after)
    return begin, end, run.part

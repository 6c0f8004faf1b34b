"""Comparing: what is wrong in the bytes of a copy, and where the wrong bytes belong."""

import mmap
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dgenfs.content.layout import Layout
from dgenfs.content.view import ContentRange, Failing, View
from dgenfs.kernels import damage
from dgenfs.kernels.fill import content_offset
from dgenfs.kernels.row import SECTOR
from dgenfs.verifying.reading import Source
from dgenfs.verifying.reports import Extent, Kind

CHUNK = 4 << 20  # bytes of one read

_KINDS = {
    damage.ZEROS: Kind.ZEROS,
    damage.MISPLACED: Kind.MISPLACED,
    damage.OTHER_SEED: Kind.OTHER_SEED,
    damage.BIT_FLIPS: Kind.BIT_FLIPS,
    damage.UNKNOWN: Kind.UNKNOWN,
}

Rows = Callable[[Layout], NDArray[np.uint64]]


class Buffers(threading.local):
    """Each thread's own memory.

    Attributes:
        data: CHUNK bytes, aligned to pages, as O_DIRECT wants it.
        extents: int64[sectors that a chunk touches, damage.COLUMNS].
    """

    def __init__(self) -> None:
        """Take the memory, on the thread that first uses it."""
        self.data = mmap.mmap(-1, CHUNK)
        self.extents: NDArray[np.int64] = np.empty((CHUNK // SECTOR + 1, damage.COLUMNS), np.int64)


def rows_of(layout: Layout, seeds: Sequence[int]) -> NDArray[np.uint64]:
    """Return the rows of a content and of the same with other seeds: uint64[:, ROW_WORDS]."""
    return np.stack([layout.row, *(replace(layout, seed=seed).row for seed in seeds)])


class Comparison:
    """One open file and the view that it should show; for any number of threads."""

    def __init__(
        self, source: Source, view: View, seeds: Sequence[int], rows: Rows, buffers: Buffers
    ) -> None:
        """Compare ``source`` with ``view``.

        Args:
            source: the copy.
            view: what it should hold.
            seeds: others whose content to recognize.
            rows: returns ``rows_of`` a layout and these seeds.
            buffers: memory to read into.
        """
        self._source = source
        self._view = view
        self._seeds = seeds
        self._rows = rows
        self._buffers = buffers

    def chunk(self, extent: tuple[int, int]) -> tuple[int, int, list[Extent]]:
        """Compare the bytes at (offset, length), at most CHUNK from a multiple of it on.

        Returns:
            The length, the 512-byte sectors with a wrong byte, and the damage in order of offset.
        """
        start, length = extent
        wrong_sectors = 0
        extents: list[Extent] = []
        for at, piece in self._source.read(start, length, self._buffers.data):
            if isinstance(piece, int):
                extents.append(Extent(at, at + piece, Kind.UNREADABLE, piece))
                continue
            for place, segment, within, count in self._view.pieces(at, piece.size):
                part = piece[place - at : place - at + count]
                if isinstance(segment, ContentRange):
                    for more, wrong in self._content(part, place, segment, within):
                        wrong_sectors += more
                        extents += wrong
                elif not isinstance(segment, Failing):  # which says nothing of its bytes
                    expected = np.empty_like(part)
                    segment.read_into(expected, within)
                    more, wrong = differences(part, expected, place)
                    wrong_sectors += more
                    extents += wrong
        return length, wrong_sectors, extents

    def _content(
        self, data: NDArray[np.uint8], at: int, segment: ContentRange, within: int
    ) -> Iterator[tuple[int, list[Extent]]]:
        """Yield wrong sectors and damage of what should be content, a file's at a time."""
        layout = segment.layout
        done = 0
        while done < data.size:
            position = segment.start + within + done
            count = min(data.size - done, layout.size - position % layout.size)
            part = data[done : done + count]
            rows = self._rows(layout)
            offset = content_offset(np.uint64(position), layout.row)
            extents = self._buffers.extents
            number, sectors = damage.find_damage(part, np.uint64(offset), rows, extents)
            place = (layout, at + done, position)
            yield sectors, [self._extent(row, *place) for row in extents[:number].tolist()]
            done += count

    def _extent(self, row: list[int], layout: Layout, at: int, position: int) -> Extent:
        """Return the extent of a row of ``find_damage``.

        Args:
            row: int64[damage.COLUMNS].
            layout: the content's.
            at: offset in the file of what was compared.
            position: the same in the content, over all files in order.
        """
        kind = _KINDS[row[damage.KIND]]
        start = row[damage.START]
        belongs_in = belongs_at = seed = None
        if kind in (Kind.MISPLACED, Kind.OTHER_SEED):
            shift = row[damage.SHIFT] % (1 << 64)  # a uint64 in an int64's bits
            belongs_in, belongs_at = belongs(layout, position + start, shift)
            if belongs_at is not None:
                belongs_at += at - position % layout.size  # of the content's file, to the view's
        if kind is Kind.OTHER_SEED:
            seed = self._seeds[row[damage.OWNER] - 1]
        return Extent(
            at + start,
            at + row[damage.END],
            kind,
            row[damage.WRONG_BYTES],
            row[damage.WRONG_BITS],
            belongs_at,
            belongs_in,
            seed,
        )


def belongs(layout: Layout, position: int, shift: int) -> tuple[int | None, int | None]:
    """Return the file and the offset nearest to ``position`` whose content is ``shift`` ahead.

    Args:
        layout: the content's.
        position: bytes before the wrong ones, counted over all files in order.
        shift: bytes of content to go on, modulo the period.

    Returns:
        None twice where no file shows that content.
    """
    file, within = divmod(position, layout.size)
    here = file * layout.stride + within
    nearest = sorted((shift + k * layout.period for k in range(-2, 2)), key=abs)
    for distance in nearest:
        file, offset = divmod(here + distance, layout.stride)
        if 0 <= file < layout.files and offset < layout.size:
            return file, offset
    return None, None


def differences(
    data: NDArray[np.uint8], expected: NDArray[np.uint8], at: int
) -> tuple[int, list[Extent]]:
    """Compare bytes that are not content, sector by sector, counted from the file's start.

    Args:
        data: uint8[::1].
        expected: uint8[::1], as long.
        at: offset of the first byte in the file.

    Returns:
        Sectors with a wrong byte, and an extent for each.
    """
    extents = []
    wrong = np.flatnonzero(data != expected)
    sectors, firsts = np.unique((at + wrong) // SECTOR, return_index=True)
    for places in np.split(wrong, firsts[1:]) if sectors.size else ():
        bits = int(np.bitwise_count(data[places] ^ expected[places]).sum())
        kind = Kind.UNKNOWN
        if not data[places].any() and bits > places.size:
            kind = Kind.ZEROS
        elif bits <= max(damage.FEW_BITS, damage.BITS_OF_A_BYTE * places.size):
            kind = Kind.BIT_FLIPS
        start, end = at + int(places[0]), at + int(places[-1]) + 1
        extents.append(Extent(start, end, kind, places.size, bits))
    return sectors.size, extents

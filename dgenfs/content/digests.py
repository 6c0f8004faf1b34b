"""Digests: CRCs of so much content that who needs one computes it before, piece by piece.

So it can be interrupted, several threads may do it, and each piece is looked at once.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dgenfs.content.containers.frames import Container
from dgenfs.kernels.crc import combine
from dgenfs.kernels.digests import (
    DONE,
    ENDLESS,
    PIECE,
    TABLE,
    Patience,
    crc_of_content,
    keep_crc,
)
from dgenfs.kernels.row import KEY, PERIOD, STRIDE

_NOTHING = np.empty(0, np.uint8)
_TABLE = np.uint64(TABLE.ctypes.data)
_AT_ONCE = Patience(np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0))


@dataclass(frozen=True, slots=True, eq=False)
class Range:
    """Content that a CRC covers, no longer than the period.

    Attributes:
        row: the content's.
        offset: content offset of the first byte.
        length: bytes.
        kind: which CRC.
    """

    row: NDArray[np.uint64]
    offset: int
    length: int
    kind: int

    def crc(self, patience: Patience = ENDLESS) -> int | None:
        """Return the CRC, None if it is not known and ``patience`` too little."""
        offset, length = np.uint64(self.offset), np.uint64(self.length)
        kind = np.int64(self.kind)
        status, crc = crc_of_content(self.row, offset, length, kind, _NOTHING, _TABLE, patience)
        return int(crc) if status == DONE else None

    def pieces(self) -> Iterator["Range"]:
        """Yield the pieces that the CRC is put together from, each of 1 ms."""
        period = int(self.row[PERIOD])
        for at in range(0, self.length, PIECE):
            length = min(PIECE, self.length - at)
            yield Range(self.row, (self.offset + at) % period, length, self.kind)

    def keep(self, crc: int) -> None:
        """Keep the CRC."""
        offset, length = np.uint64(self.offset), np.uint64(self.length)
        keep_crc(_TABLE, self.row[KEY], offset, length, np.int64(self.kind), np.uint64(crc))


Each = Callable[[Callable[[Range], int | None], Iterable[Range]], Iterable[int | None]]


def compute(ranges: Iterable[Range], each: Each) -> None:
    """Compute CRCs that are not known yet.

    Args:
        ranges: what they cover.
        each: calls a function with each piece and returns the results in order, as map does.
    """
    for one in ranges:
        if one.crc(_AT_ONCE) is not None:
            continue
        value = np.uint64(0)
        for piece, crc in zip(one.pieces(), each(Range.crc, one.pieces()), strict=True):
            assert crc is not None
            length = np.uint64(piece.length)
            value = combine(value, np.uint64(crc), length, np.int64(one.kind))
        one.keep(int(value))


def ranges(
    container: Container, row: NDArray[np.uint64], start: int, length: int
) -> Iterator[Range]:
    """Yield what the long CRCs cover that stand in a range of files.

    Args:
        container: each file's.
        row: the name's.
        start: bytes before the range, counted over all files in order.
        length: bytes.
    """
    if not container.long_crcs:
        return
    size, period = container.size, int(row[PERIOD])
    for file in range(start // size, -(-(start + length) // size)):
        for at, crc in container.long_crcs:
            if start - crc.width < file * size + at < start + length:
                position = file * int(row[STRIDE]) + (crc.payload or 0)
                # As crc_of_content divides it: what repeats is looked at once.
                rest = crc.length % period if crc.length > period else crc.length
                yield Range(row, position % period, rest, crc.kind)
                if crc.length > period:
                    yield Range(row, (position + rest) % period, period - rest, crc.kind)

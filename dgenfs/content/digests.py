"""Digests: CRCs of so much content that who needs one computes it before, piece by piece."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dgenfs.content.containers.frames import Container
from dgenfs.kernels.digests import ENDLESS, PIECE, TABLE, crc_of_content
from dgenfs.kernels.row import PERIOD, STRIDE

_NOTHING = np.empty(0, np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Digest:
    """Content of which the CRC is kept once it was computed, in 1 ms (kernels.digests).

    Attributes:
        row: the content's.
        offset: content offset of the first byte.
        length: bytes, at most PIECE.
        kind: which CRC.
    """

    row: NDArray[np.uint64]
    offset: int
    length: int
    kind: int

    def compute(self) -> None:
        """Compute it, unless it is kept already."""
        offset, length = np.uint64(self.offset), np.uint64(self.length)
        table = np.uint64(TABLE.ctypes.data)
        crc_of_content(self.row, offset, length, np.int64(self.kind), _NOTHING, table, ENDLESS)


def digests(
    container: Container, row: NDArray[np.uint64], start: int, length: int
) -> Iterator[Digest]:
    """Yield what the long CRCs are of that stand in a range of files.

    Args:
        container: each file's.
        row: the name's.
        start: bytes before the range, counted over all files in order.
        length: bytes.
    """
    if not container.long_crcs:
        return
    size = container.size
    for file in range(start // size, -(-(start + length) // size)):
        covered = {
            (crc.payload or 0, crc.length, int(crc.kind))
            for at, crc in container.long_crcs
            if start - crc.width < file * size + at < start + length
        }
        for payload, count, kind in covered:
            yield from _pieces(row, file * int(row[STRIDE]) + payload, count, kind)


def _pieces(row: NDArray[np.uint64], position: int, length: int, kind: int) -> Iterator[Digest]:
    """Yield what ``crc_of_content`` looks at."""
    period = int(row[PERIOD])
    rest = length % period
    ranges = [(0, length)] if length <= period else [(0, rest), (rest, period)]
    for begin, end in ranges:
        for at in range(begin, end, PIECE):
            yield Digest(row, (position + at) % period, min(PIECE, end - at), kind)

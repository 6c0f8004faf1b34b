"""What a chunk of a container shows: its own bytes, and where in the content it begins."""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dgenfs.content.framing import Found, Framing, Places
from dgenfs.content.layout import Layout
from dgenfs.kernels.row import SECTOR, WORD

Hashes = NDArray[np.uint64]
Flags = NDArray[np.bool_]

_CRC = 4  # bytes
_BLOCK = 1 << 17  # chunks at a time, so that arrays stay in the processor's caches
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIERS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


class Chunks(NamedTuple):
    """Chunks of a file, arrays of one length.

    Attributes:
        frames: uint64, a hash of all but the payload and its CRCs.
        payload: int64, bytes of payload ahead of a chunk.
        numbered: whether it has a number that is the same in no two repetitions.
        shows: whether it has payload, or a CRC of it.
        tells: whether these are so many bytes that they are like no others by chance.
        ends: int64, where payload ends of which a sector's rest may look like the zeros behind it;
            else -1.
        lengths: int64, bytes.
    """

    frames: Hashes
    payload: Places
    numbered: Flags
    shows: Flags
    tells: Flags
    ends: Places
    lengths: Places

    def where(self, chosen: Flags) -> "Chunks":
        """Return some of the chunks."""
        return Chunks._make(one[chosen] for one in self)


class Cutter:
    """Cuts a file into chunks, whose bytes it does not need.

    Attributes:
        framing: the file's.
        chunk: bytes of each but the last.
        count: chunks of the file.
    """

    def __init__(self, layout: Layout, framing: Framing, chunk: int) -> None:
        """Take the numbers of the content, and chunks of a multiple of 512 bytes."""
        self.framing = framing
        self.chunk = chunk
        self._size = framing.container.size
        self.count = -(-self._size // chunk)
        self._period = np.uint64(layout.period)
        self._random = np.uint64(layout.random_words_numerator), np.uint64(layout.compress_milli)
        # Beyond the zeros that end a sector there are words, of which no two are equal.
        least_words = layout.random_words_numerator // layout.compress_milli
        self._telling = SECTOR - WORD * least_words + 2 * WORD  # bytes

    def cut(self, numbers: Places) -> Chunks:
        """Return the chunks of these numbers, counted from 0, int64[n]."""
        blocks = range(0, len(numbers), _BLOCK) or (0,)
        parts = [self._cut(numbers[at : at + _BLOCK]) for at in blocks]
        return Chunks._make(np.concatenate(one) for one in zip(*parts, strict=True))

    def _cut(self, numbers: Places) -> Chunks:
        framing = self.framing
        starts = numbers * self.chunk
        lengths = np.minimum(self.chunk, self._size - starts)
        first, last, end = (
            framing.locate(at) for at in (starts, starts + lengths - 1, starts + lengths)
        )
        payload = framing.payload.before(first)
        shown = framing.payload.before(end) - payload
        crcs = framing.crcs.before(end) - framing.crcs.before(first)
        numbered = framing.numbers.before(end) > framing.numbers.before(first)
        begin = framing.find(starts, first)
        finish = framing.find(starts + lengths - 1, last)
        frames = hashed(self._frames(begin, finish), np.where(numbered, 1 + numbers, 0))
        tells = shown >= self._telling
        if framing.container.record >= self._telling:
            tells |= crcs >= _CRC
        zeros = begin.in_payload & (finish.gaps - begin.gaps == 1) & finish.blank
        zeros &= lengths - shown < SECTOR
        ends = np.where(zeros, payload + shown, -1)
        return Chunks(frames, payload, numbered, (shown > 0) | (crcs > 0), tells, ends, lengths)

    def _frames(self, begin: Found, finish: Found) -> Hashes:
        """Return hashes of what stands in chunks besides payload, numbers and CRCs.

        Args:
            begin: what is at the first byte of each chunk.
            finish: what is at its last.
        """
        gaps = finish.gaps - begin.gaps
        pure = begin.in_payload & (gaps == 0)
        padding = (begin.padding > 0) & (begin.padding == finish.padding)
        plain = pure | padding
        what = np.where(pure, 0, np.where(padding, 1, np.where(begin.in_payload, 2, 3)))
        frames = hashed(what, np.where(plain, self.framing.fillers[begin.padding], begin.left))
        # Of the last gap a part may be cut off, which makes no difference.
        first_kind = np.where(gaps + ~begin.in_payload >= 2, begin.next_kind, 0)
        for more in (first_kind, gaps, finish.kind):
            frames = hashed(frames, np.where(plain, 0, more))
        return frames

    def identities(self, chunks: Chunks, starts: list[int]) -> Iterator[Hashes]:
        """Yield, for each file, hashes of its chunks that show payload.

        Args:
            chunks: of each file.
            starts: where in the content the files start, bytes.
        """
        (ending,) = np.nonzero(chunks.ends >= 0)
        ends, payload = chunks.ends[ending], chunks.payload[ending]
        rest = (chunks.lengths[ending] - (ends - payload)).astype(np.uint64)
        for start in starts:
            hashes = hashed(chunks.frames, self._places(chunks.payload, start))
            whole = ending[self._are_zeros(self._places(ends, start), rest)]
            hashes[whole] = hashed(_PURE, self._places(chunks.payload[whole], start))
            yield hashes

    def _places(self, payload: Places, start: int) -> Hashes:
        """Return where in the content payload is."""
        places: Hashes = payload.astype(np.uint64) + np.uint64(start)
        return places % self._period

    def _are_zeros(self, places: Hashes, rest: Hashes) -> Flags:
        """Return whether ``rest`` bytes of content at each place are zeros that end a sector."""
        numerator, milli = self._random
        sectors, within = np.divmod(places, np.uint64(SECTOR))
        turn = sectors % milli
        words = (turn + np.uint64(1)) * numerator // milli - turn * numerator // milli
        zeros: Flags = within >= np.uint64(WORD) * words
        return zeros & (within + rest <= np.uint64(SECTOR))


def hashed(hashes: Hashes | Places, more: Hashes | Places) -> Hashes:
    """Return hashes of ``hashes`` and ``more``: SplitMix64's output for a state, so many on."""
    z: Hashes = hashes.astype(np.uint64) + (more.astype(np.uint64) + np.uint64(1)) * _GAMMA
    z = (z ^ (z >> np.uint64(30))) * _MULTIPLIERS[0]
    z = (z ^ (z >> np.uint64(27))) * _MULTIPLIERS[1]
    return z ^ (z >> np.uint64(31))


_NONE = np.zeros(1, np.uint64)
_PURE = functools.reduce(hashed, [_NONE] * 6)  # what ``frames`` is of payload alone

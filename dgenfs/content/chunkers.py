"""The dedup ratio that stores will report whose chunks end where the content says so."""

import math
from dataclasses import dataclass

from dgenfs.content.layout import Layout
from dgenfs.content.prediction import fixed_dedup, gaps
from dgenfs.kernels.row import SECTOR, WORD

# Buzhash is a rotation of 32 bits: within a run of zeros it has no more values than that.
_ROTATIONS = 32
# Restic's Rabin fingerprint is of so many bytes, and of zeros it is 0, which ends a chunk.
_RABIN_WINDOW = 64  # bytes


@dataclass(frozen=True, slots=True)
class Chunker:
    """Where a store ends a chunk: at the first place from ``least`` on that its hash chooses.

    Attributes:
        least: bytes of a chunk, unless the file ends.
        average: bytes between two places that the hash chooses in random content.
        most: bytes after which a chunk ends anyhow.
        ends_at_zeros: whether a run of zeros ends a chunk, as it does for a Rabin fingerprint.
    """

    least: int
    average: int
    most: int
    ends_at_zeros: bool = False


BORG = Chunker(512 << 10, 2 << 20, 8 << 20)  # its default, buzhash,19,23,21,4095
RESTIC = Chunker(512 << 10, 1 << 20, 8 << 20, ends_at_zeros=True)
SMALL = Chunker(2 << 10, 8 << 10, 64 << 10)  # borg's buzhash,11,16,13,4095


@dataclass(frozen=True, slots=True)
class Expected:
    """A ratio that depends on chance: on where a hash ends chunks.

    Attributes:
        ratio: bytes of all chunks for one byte of distinct chunks.
        spread: how far a store may be off, as a part of the ratio: two standard deviations.
    """

    ratio: float
    spread: float


def content_defined_dedup(layout: Layout, chunker: Chunker) -> Expected:
    """Return about the dedup ratio of a store with content-defined chunks.

    Such chunks find the repetition at any alignment. Where a file begins in the midst of what
    others show, or a repetition begins, chunks are new until one ends where a chunk did before; and
    where a file ends in the midst, its last chunk is new. Both come once for each distance between
    the starts of files that is shorter than a file.
    """
    if layout.total_size == 0:
        return Expected(1.0, 0.0)
    if layout.size <= chunker.least or is_fixed(layout, chunker):
        return Expected(fixed_dedup(layout, chunker.least), 0.0)
    lost = variance = 0.0  # bytes, bytes^2
    distance = chunker.average / _chances(layout, chunker)
    both = _until_alike(chunker, distance) + _last_chunk(chunker, distance)
    advance = layout.units_per_file % layout.content_units
    for gap, count in gaps(layout.content_units, advance, layout.files):
        mean, square = _at_most(max(0, layout.size - gap * layout.unit), both / 2)
        lost += count * mean
        variance += count * max(0.0, square - mean**2)  # rounding may leave less
    stored = layout.unique_size + lost
    return Expected(layout.total_size / stored, 2 * math.sqrt(variance) / stored)


def _at_most(limit: int, wait: float) -> tuple[float, float]:
    """Return the means of a sum of two exponential waits, cut at ``limit``, and of its square."""
    x = limit / wait
    beyond = math.exp(-x)
    mean = wait * (2 - beyond * (x + 2))
    return mean, wait**2 * (6 - beyond * (2 * x**2 + 6 * x + 6))


def is_fixed(layout: Layout, chunker: Chunker) -> bool:
    """Return whether each chunk is the least one, as every sector ends in zeros that end it."""
    return chunker.ends_at_zeros and _zeros_end_a_chunk(math.ceil(_random_words(layout)))


def _chances(layout: Layout, chunker: Chunker) -> float:
    """Return how many times as many places end a chunk as in random content."""
    words = _random_words(layout)
    if chunker.ends_at_zeros:
        ending = 1 - words % 1 if _zeros_end_a_chunk(int(words)) else 0  # part of the sectors
        return 1 + ending * chunker.average / SECTOR
    random = WORD * words
    return (random + min(_ROTATIONS, SECTOR - random)) / SECTOR


def _random_words(layout: Layout) -> float:
    """Return the mean of a sector; a sector has this rounded down or up."""
    return layout.random_words_numerator / layout.compress_milli


def _zeros_end_a_chunk(words: int) -> bool:
    return SECTOR - WORD * words >= _RABIN_WINDOW


def _until_alike(chunker: Chunker, distance: float) -> float:
    """Return the mean of the bytes until the chunks of a repetition end where those before did.

    Both end at the same places from the first on that comes when both are as long as the least
    chunk. With the time in ``distance``, m as the least chunk, and D < m from the last end of one
    to the last of the other, the mean h(D) from there on has h' + h = m - D + h(m - D) and
    h(0) = m + 1, so h = m + 1 + ((m^2 + 2 m) D - (m + 1) D^2) / 2. This is its mean over all D that
    a file's or a repetition's beginning can meet. The most that a chunk can have is left out.
    """
    m = chunker.least / distance
    return distance * (m + 1 + (m**2 / 2 + m**3 / 3 + m**4 / 12) / (m + 1))


def _last_chunk(chunker: Chunker, distance: float) -> float:
    """Return the mean of the bytes of a file's last chunk: of chunks up to any byte."""
    least, most = chunker.least, chunker.most
    longest = math.exp((least - most) / distance)  # the part of chunks that are ``most`` bytes
    square = least**2 / 2 + distance * (least + distance - longest * (most + distance))
    return square / (least + distance * (1 - longest))

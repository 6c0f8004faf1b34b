"""The dedup ratio that stores of fixed chunks will report: calculated, not counted."""

import math
from collections.abc import Iterator

from dgenfs.content.layout import MIN_UNIT, Layout
from dgenfs.kernels.row import SECTOR, SECTOR_WORDS, WORD

# Tails shorter than a word are told apart one by one up to so many; beyond, as many differ as
# chance lets, which is off by some 0.02 %.
_COUNTED_TAILS = 1 << 20
_CLOSE = 0.02  # what a name promises: this part off the ratio at most


def is_close(layout: Layout) -> bool:
    """Return whether a store sees the named dedup ratio within 2 %, see ``deviation``."""
    return all(off <= _CLOSE for off in _deviations(layout))


def deviation(layout: Layout) -> float:
    """Return how far the dedup ratio that rounding leaves is from the named one, as a part of it.

    It is the largest of what distinct bytes give and of what stores see whose chunks have 4 KiB up
    to the unit.
    """
    return max(_deviations(layout))


def _deviations(layout: Layout) -> Iterator[float]:
    named = layout.dedup_milli / 1000
    yield abs(layout.effective_dedup / named - 1)
    chunk = layout.unit  # the largest one loses most to tails
    while chunk >= MIN_UNIT:
        yield abs(fixed_dedup(layout, chunk) / named - 1)
        chunk //= 2


def fixed_dedup(layout: Layout, chunk: int) -> float:
    """Return the dedup ratio of a store that cuts each file into chunks of one size: exact.

    It is bytes of all chunks for one byte of distinct chunks. The last chunk of a file may be
    shorter, and is a chunk of its own. Chunks begin at sectors, and no two sectors have the same
    first word; so two chunks are the same only if they are as long and begin at the same place of
    the content, or if they are shorter than a word and so by chance.

    Args:
        layout: the numbers of the content.
        chunk: bytes, a multiple of 512.
    """
    if layout.total_size == 0:
        return 1.0
    whole, tail = divmod(layout.size, chunk)
    stored = chunk * distinct_chunks(layout, chunk, whole)
    if tail:
        stored += tail * _distinct_tails(layout, whole * chunk, tail)
    return layout.total_size / stored


def distinct_chunks(layout: Layout, chunk: int, each: int) -> int:
    """Return how many of the first ``each`` chunks of all files are distinct.

    Or ``each`` chunks from anywhere in the content on, the same in all files. Chunk j of file f
    begins at place (f * stride + j * step) mod circle, in grains, which divide units and chunks.
    Files of one phase meet the same places, every ``phases``-th of the circle. With these numbered
    in the order in which chunks come, the chunks of a file are an arc, and each file's begins a
    fixed distance after that of the file before.
    """
    grain = math.gcd(layout.unit, chunk)  # bytes
    circle, stride, step = layout.period // grain, layout.stride // grain, chunk // grain
    phases = math.gcd(step, circle)
    turn = phases // math.gcd(stride, phases)  # files f and f + turn have the same phase
    places = circle // phases
    advance = stride * turn // phases * pow(step // phases, -1, places) % places
    rounds, more = divmod(layout.files, turn)
    return sum(
        phases_alike * _covered(places, advance, files, each)
        for files, phases_alike in ((rounds + 1, more), (rounds, turn - more))
    )


def _covered(places: int, advance: int, arcs: int, length: int) -> int:
    """Return how many places of a circle are on ``arcs`` of ``length`` places; see ``gaps``."""
    return sum(count * min(gap, length) for gap, count in gaps(places, advance, arcs))


def gaps(places: int, advance: int, starts: int) -> list[tuple[int, int]]:
    """Return the distances between neighbors of the places 0, advance, 2 * advance … of a circle.

    Starts at the same place are one. There are distances of two sizes, or of three, the third their
    sum (Sós, 1958: the three-gap theorem). The two are found as in Euclid's algorithm, whatever the
    number of starts.

    Args:
        places: of the circle.
        advance: from one start to the next, below ``places``.
        starts: their number.

    Returns:
        Distances, in places, and how often each occurs.
    """
    common = math.gcd(places, advance)
    starts = min(starts, places // common)
    if starts == 0:
        return []
    # The start that is nearest to 0 on either side: its number and distance, in ``common`` places.
    after, ahead = 1, advance // common
    before, behind = 0, places // common
    while after + before < starts:
        if ahead < behind:
            times = min((behind - 1) // ahead, (starts - 1 - before) // after)
            before, behind = before + times * after, behind - times * ahead
        else:
            times = min((ahead - 1) // behind, (starts - 1 - after) // before)
            after, ahead = after + times * before, ahead - times * behind
    return [
        (ahead * common, starts - after),
        (behind * common, starts - before),
        ((ahead + behind) * common, after + before - starts),
    ]


def _distinct_tails(layout: Layout, offset: int, length: int) -> int:
    """Return how many of the files' last chunks, ``length`` bytes from ``offset`` on, differ."""
    m, u = layout.units_per_file, layout.content_units
    tails = min(layout.files, u // math.gcd(m, u))
    if length >= WORD:
        return tails
    values = 1 << 8 * length
    if tails > _COUNTED_TAILS:
        return round(-values * math.expm1(tails * math.log1p(-1 / values)))
    import numpy as np  # these here, as names are read without, and few have such tails

    from dgenfs.kernels.words import GAMMA, mix

    unit, within = divmod(offset, layout.unit)
    units = (np.arange(tails, dtype=np.uint64) * np.uint64(m) + np.uint64(unit)) % np.uint64(u)
    sectors = units * np.uint64(layout.unit // SECTOR) + np.uint64(within // SECTOR)
    states = np.uint64(layout.key) + (sectors * np.uint64(SECTOR_WORDS) + np.uint64(1)) * GAMMA
    words = getattr(mix, "py_func", mix)(states)  # itself where nothing is compiled
    shown = np.sort(words & np.uint64(values - 1))
    return 1 + int(np.count_nonzero(shown[1:] != shown[:-1]))

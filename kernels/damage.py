"""Damage: where wrong bytes are, what they are and where they belong.

Called by verifying, for whole buffers: what is right costs what compare costs, and what is wrong is
read, counted and searched eight words at a time. The reference is tests/oracle.py: the tests plant
damage and know what it is.

Every step of the word function is a bijection of 64 bits, and all words stand on one cycle, whose
next place is the next word of any content: a word tells its place without a key (``place_of``), and
a key says where on the cycle a content begins. So one search of a sector finds the words that
neighbor their next ones, whatever content they are of, and their place says whose they can be: by a
look-up, however many there are. Words of another content pass with a chance of
(words of the content) / 2^64, and then they truly are words of this content.
"""

from typing import NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from dgenfs.kernels.compare import compare_in_sector, sector_differs, sectors_at
from dgenfs.kernels.fill import SECTOR_STATES, next_random_words, random_words, sector_state
from dgenfs.kernels.jit import BYTES, ROW, inlined, kernel
from dgenfs.kernels.row import KEY, PERIOD, RANDOM, RATIO, SECTOR, SECTOR_WORDS, WORD
from dgenfs.kernels.words import (
    GAMMA,
    GROUP,
    GROUPS,
    INVERSE_GAMMA,
    bytes_differ,
    mix,
    neighbors,
    place_of,
    store_words,
    trailing_zeros,
)

ZEROS = 1
MISPLACED = 2
OTHER_SEED = 3
BIT_FLIPS = 4
UNKNOWN = 5

# Columns of an extent.
START = 0  # index of the first wrong byte
END = 1  # index behind the last wrong byte
KIND = 2
# Bytes to add to a content offset, modulo the period, to get where the bytes belong; a uint64 in an
# int64's bits, as files that end in partial units may have a period above 2^63.
SHIFT = 3
OTHER = 4  # index of the other content that the bytes belong to, in Others
WRONG_BYTES = 5
WRONG_BITS = 6
COLUMNS = 7

# Few enough wrong bits to have flipped one by one: so many, or two for each wrong byte.
FEW_BITS = 8
BITS_OF_A_BYTE = 2

NOT_FOUND = np.uint64(0xFFFFFFFFFFFFFFFF)  # above every period
ALL = NOT_FOUND  # bits
OWN = -1  # the content itself, not one of the others
NOBODY = -2

_SECTOR = np.uint64(SECTOR)
_SEARCHED = WORD * (SECTOR_WORDS + 2) - 1  # bytes that ``neighbors`` reads at all alignments
_WORD = np.uint64(WORD)
_NONE = np.uint64(0)
_ONE = np.uint64(1)
_BITS = np.uint64(64)
_BYTE_BITS = np.uint64(8)


class Others(NamedTuple):
    """Contents that differ from one in their key only, and are to be recognized.

    Attributes:
        starts: uint64[n], the places on the cycle of their first words, in order.
        ranks: int64[n]; words that may be of several are taken for those of the lowest rank.
    """

    starts: NDArray[np.uint64]
    ranks: NDArray[np.int64]


OTHERS = types.NamedTuple((types.uint64[::1], types.int64[::1]), Others)


def others_of(keys: NDArray[np.uint64]) -> Others:
    """Return the contents of ``keys`` (uint64[n]), ranked in this order."""
    starts = keys * INVERSE_GAMMA + _ONE
    ranks = np.argsort(starts, kind="stable")
    return Others(starts[ranks], ranks)


@inlined
def add_modulo(a, b, period):
    """Return ``(a + b) % period`` (uint64), for ``a < period`` and ``b <= period`` (uint64).

    The plain sum of two content offsets may pass 2^64.
    """
    rest = period - b
    return a - rest if a >= rest else a + b


@inlined
def load_word(buf, at):
    """Return the little-endian word (uint64) at ``buf[at : at + 8]``, at any alignment."""
    word = np.uint64(0)
    for i in range(WORD):
        word |= np.uint64(buf[at + i]) << (_BYTE_BITS * np.uint64(i))
    return word


@inlined
def skipped(number, length, words):
    """Return how many of ``length`` (uint64) words stand before the first one of a content.

    Args:
        number: uint64, the first one's number in the content, modulo 2^64.
        length: uint64.
        words: uint64, of the content.

    Returns:
        uint64, ``length`` if none of them is of the content.
    """
    if number < words:
        return _NONE
    return min(_NONE - number, length)


@kernel(types.UniTuple(types.int64, 2)(types.uint64, types.uint64, types.uint64, OTHERS))
def find_other(place, length, words, others):
    """Return which of the others words can be of: the one of the lowest rank.

    Args:
        place: uint64, of the first word on the cycle.
        length: uint64, words, at least 1.
        words: uint64, of each content.
        others: Others.

    Returns:
        int64 each: its index, NOBODY for none; how many words stand before its first one.
    """
    top = place + length - _ONE
    reach = words + length - _ONE
    count = others.starts.size
    low = np.int64(0)
    high = np.int64(count)
    while low < high:
        middle = (low + high) // 2
        if others.starts[middle] <= top:
            low = middle + 1
        else:
            high = middle
    found = np.int64(NOBODY)
    before = np.int64(0)
    # From the last one that starts at or before the last word backwards, around the cycle.
    for k in range(low - 1, low - 1 - count, -1):
        start = others.starts[k]  # a negative index counts from the end
        if top - start >= reach:
            break
        if found == NOBODY or others.ranks[k] < others.ranks[found]:
            found = np.int64(k + count if k < 0 else k)
            before = np.int64(skipped(place - start, length, words))
    return found, before


@kernel(
    types.UniTuple(types.int64, 3)(
        BYTES, types.int64, types.int64, types.uint64, types.uint64, types.uint64, OTHERS
    )
)
def search(buf, start, stop, own, first, words, others):
    """Find the first two words that are neighbors in a content; ``locate`` says more.

    Args:
        buf: uint8[::1], with _SEARCHED bytes from ``start`` on.
        start: int64, index.
        stop: int64, index behind the last byte at which a pair may start.
        own: uint64, as for ``locate``.
        first: uint64, place of the content's first word on the cycle.
        words: uint64, of the content.
        others: Others.

    Returns:
        int64 each: whose they are, as for ``locate``; index of the first word; its number in that
        content, a uint64 in an int64's bits.
    """
    found = np.int64(NOBODY)
    found_at = np.int64(0)
    found_place = np.uint64(0)
    for alignment in range(WORD):
        count = (stop - start - alignment + WORD - 1) // WORD
        if count <= 0:
            break
        pairs = neighbors(buf, start + alignment) & (ALL >> (_BITS - np.uint64(count)))
        while pairs != _NONE:
            # All pairs of a run are of one content and stand in one place.
            begin = trailing_zeros(pairs)
            length = trailing_zeros(~(pairs >> begin))
            at = start + alignment + WORD * np.int64(begin)
            place = place_of(load_word(buf, at))
            before = skipped(place - first, length, words)
            number = place + before - first
            right = own != NOT_FOUND and number * _WORD == own + np.uint64(at - start)
            if before < length and not right:
                return np.int64(OWN), at + WORD * np.int64(before), np.int64(number)
            if others.starts.size > 0 and not right:
                other, skip = find_other(place, length, words, others)
                if other != NOBODY and (
                    found == NOBODY or others.ranks[other] < others.ranks[found]
                ):
                    found = other
                    found_at = at + WORD * skip
                    found_place = place + np.uint64(skip)
            end = begin + length
            pairs = (pairs >> end) << end if end < _BITS else _NONE
    if found != NOBODY:
        found_place -= others.starts[found]
    return found, found_at, np.int64(found_place)


@kernel(
    types.Tuple((types.int64, types.uint64))(
        BYTES, types.int64, types.int64, types.uint64, ROW, OTHERS
    )
)
def locate(buf, start, stop, own, row, others):
    """Return the content offset that ``buf[start]`` belongs to, by any two random words behind it.

    Args:
        buf: uint8[::1].
        start: int64, index of the first byte to look at.
        stop: int64, index behind the last byte at which a pair of words may start, at most
            ``start + 512``; the pair itself may end up to 15 bytes later if ``buf`` does.
        own: uint64, the content offset of ``buf[start]``, whose words are passed over; NOT_FOUND to
            pass over none.
        row: uint64[ROW_WORDS], of the content to look in first.
        others: Others, contents to look in if no pair is of that one.

    Returns:
        int64, index of the other content, OWN for the content itself, NOBODY if no such pair is
        there; uint64, bytes, below the period, NOT_FOUND if none is there.
    """
    period = row[PERIOD]
    first = row[KEY] * INVERSE_GAMMA + _ONE
    if start + _SEARCHED <= buf.size:
        owner, at, number = search(buf, start, stop, own, first, period // _WORD, others)
    else:
        near_end = np.zeros(_SEARCHED, np.uint8)
        near_end[: buf.size - start] = buf[start:]
        stop = min(stop, np.int64(buf.size) - 2 * WORD + 1)
        owner, at, number = search(
            near_end, 0, stop - start, own, first, period // _WORD, others
        )
        at += start
    if owner == NOBODY:
        return owner, NOT_FOUND
    ahead = np.uint64(at - start) % period
    return owner, add_modulo(np.uint64(number) * _WORD, period - ahead, period)


@inlined
def erased(wrong):
    """Return whether bytes of which ``compare_part`` says ``wrong`` were overwritten with zeros.

    Bits that flip one by one leave others of their bytes; an erased byte loses 4 on average.
    """
    _, _, wrong_bytes, wrong_bits, zeros = wrong
    return zeros == wrong_bytes and wrong_bits > wrong_bytes


@inlined
def continues(buf, at, length, position, extents, last, row, others, scratch):
    """Return whether a sector is what the extent before it is misplaced from.

    The end of an extent may be too short for two words to tell where it belongs.
    """
    kind = extents[last, KIND]
    if kind != MISPLACED and kind != OTHER_SEED:
        return False
    key = row[KEY]
    if kind == OTHER_SEED:
        key = (others.starts[extents[last, OTHER]] - _ONE) * GAMMA
    there = add_modulo(position, np.uint64(extents[last, SHIFT]), row[PERIOD])
    sector = there // _SECTOR
    within = np.int64(there % _SECTOR)
    count = random_words(sector, row[RANDOM], row[RATIO])
    state = sector_state(key, sector)
    whole = length == SECTOR
    if whole and within == 0:
        return not sector_differs(buf, at, state, count)
    j = within // WORD + 1
    if whole and j < SECTOR_WORDS:
        # One word tells nearly all that are from elsewhere.
        word = mix(state + np.uint64(j) * GAMMA) if j < count else _NONE
        if load_word(buf, at + WORD * j - within) != word:
            return False
    for group in range(GROUPS):
        store_words(scratch, 0, group, state, count)
    sector = add_modulo(sector, _ONE, row[PERIOD] // _SECTOR)
    count = random_words(sector, row[RANDOM], row[RATIO])
    state = sector_state(key, sector)
    for group in range(GROUPS):
        store_words(scratch, SECTOR, group, state, count)
    for i in range(0, length - GROUP + 1, GROUP):
        if bytes_differ(buf, at + i, scratch, within + i):
            return False
    for i in range(length // GROUP * GROUP, length):
        if buf[at + i] != scratch[within + i]:
            return False
    return True


@kernel(
    types.int64(
        BYTES,
        types.int64,
        types.uint64,
        types.int64,
        types.UniTuple(types.int64, 5),
        ROW,
        OTHERS,
        types.int64[:, ::1],
        types.int64,
        types.boolean,
        types.uint8[::1],
    )
)
def begin_extent(
    buf, at, position, length, wrong, row, others, extents, written, merging, scratch
):
    """Tell what a wrong sector is, and begin an extent unless it goes on with the last one.

    Args:
        buf: uint8[::1].
        at: int64, index of the sector's first byte in ``buf``.
        position: uint64, content offset of that byte.
        length: int64, bytes of it that are in ``buf``.
        wrong: what ``compare_part`` says of them.
        row: as ``find_damage`` takes it.
        others: as ``find_damage`` takes them.
        extents: as ``find_damage`` takes them.
        written: int64, extents so far.
        merging: boolean, whether the last of them ends with the sector before.
        scratch: uint8[1024].

    Returns:
        int64, extents now.
    """
    first, last, wrong_bytes, wrong_bits, _ = wrong
    kind = np.int64(UNKNOWN)
    shift = np.uint64(0)
    other = np.int64(0)
    if merging and continues(
        buf, at, length, position, extents, written - 1, row, others, scratch
    ):
        kind = extents[written - 1, KIND]
        shift = np.uint64(extents[written - 1, SHIFT])
        other = extents[written - 1, OTHER]
    elif erased(wrong):
        kind = np.int64(ZEROS)
    else:
        within = np.int64(position % _SECTOR)
        start = max(at, at + first - (within + first) % WORD)
        here = add_modulo(position, np.uint64(start - at), row[PERIOD])
        whose, offset = locate(buf, start, at + last + 1, here, row, others)
        if whose != NOBODY:
            kind = np.int64(MISPLACED if whose == OWN else OTHER_SEED)
            shift = add_modulo(offset, row[PERIOD] - here, row[PERIOD])
            other = max(whose, np.int64(0))
        elif wrong_bits <= max(FEW_BITS, BITS_OF_A_BYTE * wrong_bytes):
            kind = np.int64(BIT_FLIPS)
    if not (
        merging
        and extents[written - 1, KIND] == kind
        and np.uint64(extents[written - 1, SHIFT]) == shift
        and extents[written - 1, OTHER] == other
    ):
        extents[written, START] = at + first
        extents[written, KIND] = kind
        extents[written, SHIFT] = np.int64(shift)
        extents[written, OTHER] = other
        extents[written, WRONG_BYTES] = 0
        extents[written, WRONG_BITS] = 0
        written += 1
    return written


@kernel(
    types.UniTuple(types.int64, 2)(BYTES, types.uint64, ROW, OTHERS, types.int64[:, ::1])
)
def find_damage(buf, offset, row, others, extents):
    """Compare ``buf`` with a content and describe every extent in which it differs.

    Adjoining sectors of a kind are one extent. A sector that continues what the one before it is
    MISPLACED or OTHER_SEED from is that too; else one whose wrong bytes all read zero is ZEROS;
    else one that holds words of the content from elsewhere is MISPLACED, of another OTHER_SEED;
    else one with few wrong bits for its wrong bytes is BIT_FLIPS; else it is UNKNOWN.

    Args:
        buf: uint8[::1], any length and alignment.
        offset: uint64, content offset of ``buf[0]``, bytes, below the period.
        row: uint64[ROW_WORDS], the content's.
        others: Others, contents to recognize.
        extents: int64[:, ::1], COLUMNS wide, one for every sector that ``buf`` touches.

    Returns:
        int64 each: extents written; sectors that hold a wrong byte.
    """
    written = np.int64(0)
    wrong_sectors = np.int64(0)
    merging = False  # whether the sector before ended the last extent
    scratch = np.empty(2 * SECTOR, np.uint8)
    at = np.int64(0)
    while at < buf.size:
        within = np.int64(offset % _SECTOR)
        end = at + np.int64(min(np.uint64(buf.size - at), row[PERIOD] - offset))
        ahead = offset - np.uint64(at)  # of a content offset to the index in buf, modulo 2^64
        state, carry, whole, step, c_milli = sectors_at(row, offset)
        while at < end:
            count, carry = next_random_words(carry, whole, step, c_milli)
            length = min(SECTOR - within, end - at)
            part = compare_in_sector(buf, at, within, length, state, count, merging)
            wrong = part[2] > 0
            if wrong:
                # Large areas are erased, and a call would take as long as the sector.
                if not (merging and extents[written - 1, KIND] == ZEROS and erased(part)):
                    written = begin_extent(
                        buf,
                        at,
                        np.uint64(at) + ahead,
                        length,
                        part,
                        row,
                        others,
                        extents,
                        written,
                        merging,
                        scratch,
                    )
                extents[written - 1, END] = at + part[1] + 1
                extents[written - 1, WRONG_BYTES] += part[2]
                extents[written - 1, WRONG_BITS] += part[3]
                wrong_sectors += 1
            merging = wrong
            state += SECTOR_STATES
            at += length
            within = np.int64(0)
        offset = np.uint64(0)
    return written, wrong_sectors

"""Damage: where wrong bytes are, what they are and where they belong.

Called by verifying, for whole buffers: what is right costs what compare costs, and what is wrong is
counted and searched eight words at a time. The reference is tests/oracle.py: the tests plant damage
and know what it is.
"""

import numpy as np
from numba import types

from dgenfs.kernels.compare import compare_in_sector, sector_differs, sectors_at
from dgenfs.kernels.fill import SECTOR_STATES, next_random_words, random_words, sector_state
from dgenfs.kernels.jit import BYTES, ROW, inlined, kernel
from dgenfs.kernels.origins import NOBODY, OTHERS, OWN, add_modulo, load_word, locate
from dgenfs.kernels.row import KEY, PERIOD, RANDOM, RATIO, SECTOR, SECTOR_WORDS, WORD
from dgenfs.kernels.words import GAMMA, GROUP, GROUPS, bytes_differ, mix, store_words

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

_SECTOR = np.uint64(SECTOR)
_NONE = np.uint64(0)
_ONE = np.uint64(1)


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
    different = np.uint8(0)
    for i in range(length // GROUP * GROUP, length):
        different |= buf[at + i] ^ scratch[within + i]
    return different == 0


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
def begin_extent(buf, at, position, length, wrong, row, others, extents, written, merging, scratch):
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
    if merging and continues(buf, at, length, position, extents, written - 1, row, others, scratch):
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


@kernel(types.UniTuple(types.int64, 2)(BYTES, types.uint64, ROW, OTHERS, types.int64[:, ::1]))
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

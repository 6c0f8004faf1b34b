"""Damage: where wrong bytes are, what they are and where they belong.

Called by verifying, for whole buffers: what is right costs what compare costs. The reference is
tests/oracle.py: the tests plant damage and know what it is.

Every step of the word function is a bijection of 64 bits, so a random word and the key give back
the word's number, and with it the content offset it belongs to. All keys walk one cycle of 2^64
words, so words of another key pass with a chance of (words of the content) / 2^64, and then they
truly are words of this content; that the word behind has the next number rules out other bytes.
"""

import numpy as np
from numba import types

from dgenfs.kernels.compare import compare, compare_part, sector_differs, sectors_at
from dgenfs.kernels.fill import SECTOR_STATES, next_random_words
from dgenfs.kernels.jit import BYTES, ROW, inlined, kernel
from dgenfs.kernels.row import KEY, PERIOD, SECTOR, WORD
from dgenfs.kernels.words import INVERSE_GAMMA, unmix

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
OWNER = 4  # index of the row whose content the bytes belong to
WRONG_BYTES = 5
WRONG_BITS = 6
COLUMNS = 7

# Few enough wrong bits to have flipped one by one: so many, or two for each wrong byte.
FEW_BITS = 8
BITS_OF_A_BYTE = 2

NOT_FOUND = np.uint64(0xFFFFFFFFFFFFFFFF)  # above every period

_SECTOR = np.uint64(SECTOR)
_WORD = np.uint64(WORD)
_ONE = np.uint64(1)
_BYTE_BITS = np.uint64(8)


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
def word_number(word, key):
    """Return the number (uint64) of ``word`` (uint64) in the content of ``key`` (uint64)."""
    return (unmix(word) - key) * INVERSE_GAMMA - _ONE


@kernel(types.uint64(BYTES, types.int64, types.int64, ROW, types.uint64))
def locate(buf, start, stop, row, own):
    """Return the content offset that ``buf[start]`` belongs to, by any two random words behind it.

    Args:
        buf: uint8[::1].
        start: int64, index of the first byte to look at.
        stop: int64, index behind the last byte at which a pair of words may start; the pair itself
            may end up to 15 bytes later if ``buf`` does.
        row: uint64[ROW_WORDS], of the content to look in.
        own: uint64, a content offset to pass over, NOT_FOUND for none.

    Returns:
        uint64, bytes, below the period; NOT_FOUND if no such pair is there.
    """
    key = row[KEY]
    period = row[PERIOD]
    words = period // _WORD
    last = min(stop - 1, np.int64(buf.size) - 2 * WORD)
    for alignment in range(WORD):
        for at in range(start + alignment, last + 1, WORD):
            number = word_number(load_word(buf, at), key)
            if number < words and word_number(load_word(buf, at + WORD), key) == number + _ONE:
                ahead = np.uint64(at - start) % period
                offset = add_modulo(number * _WORD, period - ahead, period)
                if offset != own:
                    return offset
    return NOT_FOUND


@inlined
def continues(buf, at, length, position, extent, rows):
    """Return whether a sector is what ``extent``, before it, is misplaced from.

    The end of an extent may be too short for two words to tell where it belongs.
    """
    if extent[KIND] != MISPLACED and extent[KIND] != OTHER_SEED:
        return False
    there = add_modulo(position, np.uint64(extent[SHIFT]), rows[0, PERIOD])
    return compare(buf[at : at + length], there, rows[extent[OWNER]])[0] < 0


@inlined
def owner_of(buf, start, stop, here, rows):
    """Return whose words are in ``buf[start:stop]``, and from where.

    Args:
        buf: uint8[::1].
        start: int64, a word's first byte.
        stop: int64, as ``locate`` takes it.
        here: uint64, content offset of ``buf[start]``, which is passed over for ``rows[0]``.
        rows: uint64[:, ::1].

    Returns:
        int64, index of the row, -1 for none; uint64, how far ahead of ``here`` the bytes belong.
    """
    for k in range(rows.shape[0]):
        offset = locate(buf, start, stop, rows[k], here if k == 0 else NOT_FOUND)
        if offset != NOT_FOUND:
            return np.int64(k), add_modulo(offset, rows[0, PERIOD] - here, rows[0, PERIOD])
    return np.int64(-1), np.uint64(0)


@kernel(
    types.int64(
        BYTES,
        types.int64,
        types.uint64,
        types.int64,
        types.UniTuple(types.int64, 5),
        types.uint64[:, ::1],
        types.int64[:, ::1],
        types.int64,
        types.boolean,
    )
)
def add_sector(buf, at, position, length, wrong, rows, extents, written, merging):
    """Tell what a wrong sector is and add it to the extents.

    Args:
        buf: uint8[::1].
        at: int64, index of the sector's first byte in ``buf``.
        position: uint64, content offset of that byte.
        length: int64, bytes of it that are in ``buf``.
        wrong: what ``compare_part`` says of them.
        rows: as ``find_damage`` takes them.
        extents: as ``find_damage`` takes them.
        written: int64, extents so far.
        merging: boolean, whether the last of them ends with the sector before.

    Returns:
        int64, extents now.
    """
    first, last, wrong_bytes, wrong_bits, zeros = wrong
    kind = np.int64(UNKNOWN)
    shift = np.uint64(0)
    owner = np.int64(0)
    if merging and continues(buf, at, length, position, extents[written - 1], rows):
        kind = extents[written - 1, KIND]
        shift = np.uint64(extents[written - 1, SHIFT])
        owner = extents[written - 1, OWNER]
    elif zeros == wrong_bytes and wrong_bits > wrong_bytes:
        # Bits that flip one by one leave others of their bytes; an erased byte loses 4 on average.
        kind = np.int64(ZEROS)
    else:
        within = np.int64(position % _SECTOR)
        start = max(at, at + first - (within + first) % WORD)
        here = add_modulo(position, np.uint64(start - at), rows[0, PERIOD])
        k, ahead = owner_of(buf, start, at + last + 1, here, rows)
        if k >= 0:
            kind = np.int64(MISPLACED if k == 0 else OTHER_SEED)
            shift = ahead
            owner = k
        elif wrong_bits <= max(FEW_BITS, BITS_OF_A_BYTE * wrong_bytes):
            kind = np.int64(BIT_FLIPS)
    if merging:
        before = extents[written - 1]
        same_place = np.uint64(before[SHIFT]) == shift and before[OWNER] == owner
        merging = before[KIND] == kind and same_place
    if not merging:
        extents[written, START] = at + first
        extents[written, KIND] = kind
        extents[written, SHIFT] = np.int64(shift)
        extents[written, OWNER] = owner
        extents[written, WRONG_BYTES] = 0
        extents[written, WRONG_BITS] = 0
        written += 1
    extents[written - 1, END] = at + last + 1
    extents[written - 1, WRONG_BYTES] += wrong_bytes
    extents[written - 1, WRONG_BITS] += wrong_bits
    return written


@kernel(
    types.UniTuple(types.int64, 2)(BYTES, types.uint64, types.uint64[:, ::1], types.int64[:, ::1])
)
def find_damage(buf, offset, rows, extents):
    """Compare ``buf`` with a content and describe every extent in which it differs.

    Adjoining sectors of a kind are one extent. A sector that continues what the one before it is
    MISPLACED or OTHER_SEED from is that too; else one whose wrong bytes all read zero is ZEROS;
    else one that holds words of the content of ``rows[0]`` from elsewhere is MISPLACED, of another
    row OTHER_SEED; else one with few wrong bits for its wrong bytes is BIT_FLIPS; else it is
    UNKNOWN.

    Args:
        buf: uint8[::1], any length and alignment.
        offset: uint64, content offset of ``buf[0]``, bytes, below the period.
        rows: uint64[:, ::1], ROW_WORDS wide, the content's row, then those that differ from it in
            their seed and are to be recognized.
        extents: int64[:, ::1], COLUMNS wide, one for every sector that ``buf`` touches.

    Returns:
        int64 each: extents written; sectors that hold a wrong byte.
    """
    written = np.int64(0)
    wrong_sectors = np.int64(0)
    merging = False  # whether the sector before ended the last extent
    at = np.int64(0)
    while at < buf.size:
        within = np.int64(offset % _SECTOR)
        end = at + np.int64(min(np.uint64(buf.size - at), rows[0, PERIOD] - offset))
        ahead = offset - np.uint64(at)  # of a content offset to the index in buf, modulo 2^64
        state, carry, whole, step, c_milli = sectors_at(rows[0], offset)
        while at < end:
            count, carry = next_random_words(carry, whole, step, c_milli)
            length = min(SECTOR - within, end - at)
            wrong = False
            if length < SECTOR or sector_differs(buf, at, state, count):
                part = compare_part(buf, at, within, length, state, count)
                wrong = part[2] > 0
                if wrong:
                    position = np.uint64(at) + ahead
                    written = add_sector(
                        buf, at, position, length, part, rows, extents, written, merging
                    )
                    wrong_sectors += 1
            merging = wrong
            state += SECTOR_STATES
            at += length
            within = np.int64(0)
        offset = np.uint64(0)
    return written, wrong_sectors

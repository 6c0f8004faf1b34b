"""Damage: where wrong bytes are, what they are and where they belong.

Called by verify for the buffers in which compare found a difference. The reference is
tests/oracle.py: the tests plant damage and know what it is.

Every step of the word function is a bijection of 64 bits, so a random word and the key give back
the word's number, and with it the content offset it belongs to. All keys walk one cycle of 2^64
words, so words of another key pass with a chance of (words of the content) / 2^64, and then they
truly are words of this content; that the word behind has the next number rules out other bytes.
"""

import numpy as np

from dgenfs.kernels.compare import compare, compare_part, sector_differs
from dgenfs.kernels.fill import random_words, random_words_numerator, sector_state
from dgenfs.kernels.jit import inlined, kernel
from dgenfs.kernels.words import INVERSE_GAMMA, SECTOR, WORD, unmix

ZEROS = 1
MISPLACED = 2
OTHER_SEED = 3
BIT_FLIPS = 4
UNKNOWN = 5

# Columns of an extent row.
START = 0  # index of the first wrong byte
END = 1  # index behind the last wrong byte
KIND = 2
# Bytes to add to a content offset, modulo the period, to get where the bytes belong; a uint64 in an
# int64's bits, as files that end in partial units may have a period above 2^63.
SHIFT = 3
KEY = 4  # index of the key that the bytes belong to
WRONG_BYTES = 5
WRONG_BITS = 6
COLUMNS = 7

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


@kernel("uint64(Array(uint8, 1, 'C', readonly=True), int64, int64, uint64, uint64, uint64)")
def locate(buf, start, stop, key, period, own):
    """Return the content offset that ``buf[start]`` belongs to, by any two random words behind it.

    Args:
        buf: uint8[::1].
        start: int64, index of the first byte to look at.
        stop: int64, index behind the last byte at which a pair of words may start; the pair itself
            may end up to 15 bytes later if ``buf`` does.
        key: uint64, the layout's key.
        period: uint64, bytes, a multiple of 4096.
        own: uint64, a content offset that is no answer, NOT_FOUND for none.

    Returns:
        uint64, bytes, below ``period``; NOT_FOUND if no such pair is there.
    """
    words = period // _WORD
    last = min(stop - 1, np.int64(buf.size) - 2 * WORD)
    for alignment in range(WORD):
        for at in range(start + alignment, last + 1, WORD):
            number = word_number(load_word(buf, at), key)
            if number < words and word_number(load_word(buf, at + WORD), key) == number + _ONE:
                ahead = np.uint64(at - start) % period
                found = add_modulo(number * _WORD, period - ahead, period)
                if found != own:
                    return found
    return NOT_FOUND


@kernel(
    "int64(Array(uint8, 1, 'C', readonly=True), uint64, uint64[::1], uint64, uint64, int64[:, ::1])"
)
def find_damage(buf, offset, keys, period, c_milli, extents):
    """Write one row for every extent of damage in ``buf``, adjoining sectors of a kind in one.

    A sector that continues what the one before it is MISPLACED or OTHER_SEED from is that too; else
    one whose wrong bytes all read zero is ZEROS; else one that holds words of the content of
    ``keys[0]`` from elsewhere is MISPLACED, of another key OTHER_SEED; else one with few wrong bits
    for its wrong bytes is BIT_FLIPS; else it is UNKNOWN.

    Args:
        buf: uint8[::1], any length and alignment.
        offset: uint64, content offset of ``buf[0]``, bytes, below ``period``.
        keys: uint64[::1], the layout's key, then those of other seeds to look for.
        period: uint64, bytes, a multiple of 4096.
        c_milli: uint64, compression ratio in thousandths, 1000 to 20000.
        extents: int64[:, ::1], COLUMNS wide, a row for every sector that ``buf`` touches.

    Returns:
        int64, rows written.
    """
    numerator = random_words_numerator(c_milli)
    rows = np.int64(0)
    merging = False  # whether the sector before ended the last row
    at = np.int64(0)
    while at < buf.size:
        position = (offset + np.uint64(at)) % period
        sector = position // _SECTOR
        within = np.int64(position % _SECTOR)
        length = min(SECTOR - within, np.int64(buf.size) - at)
        count = random_words(sector, numerator, c_milli)
        state = sector_state(keys[0], sector)
        if length == SECTOR and not sector_differs(buf, at, state, count):
            merging = False
            at += length
            continue
        first, last, wrong_bytes, wrong_bits, zeros = compare_part(
            buf, at, within, length, state, count
        )
        if wrong_bytes == 0:
            merging = False
            at += length
            continue
        kind = UNKNOWN
        shift = np.uint64(0)
        owner = np.int64(0)
        if merging:
            # The end of an extent may be too short for two words to tell where it belongs.
            row = extents[rows - 1]
            if row[KIND] == MISPLACED or row[KIND] == OTHER_SEED:
                there = add_modulo(position, np.uint64(row[SHIFT]), period)
                part = buf[at : at + length]
                if compare(part, there, keys[row[KEY]], period, c_milli)[0] < 0:
                    kind = row[KIND]
                    shift = np.uint64(row[SHIFT])
                    owner = row[KEY]
        # Bits that flip one by one leave others of their bytes; an erased byte loses 4 on average.
        if kind == UNKNOWN and zeros == wrong_bytes and wrong_bits > wrong_bytes:
            kind = ZEROS
        elif kind == UNKNOWN:
            start = max(np.int64(0), at + first - (within + first) % WORD)
            here = (offset + np.uint64(start)) % period
            for k in range(keys.size):
                own = here if k == 0 else NOT_FOUND
                found = locate(buf, start, at + last + 1, keys[k], period, own)
                if found != NOT_FOUND:
                    kind = MISPLACED if k == 0 else OTHER_SEED
                    shift = add_modulo(found, period - here, period)
                    owner = np.int64(k)
                    break
            if kind == UNKNOWN and (wrong_bits <= 8 or wrong_bits <= 2 * wrong_bytes):
                kind = BIT_FLIPS
        if merging:
            row = extents[rows - 1]
            same_place = np.uint64(row[SHIFT]) == shift and row[KEY] == owner
            merging = row[KIND] == kind and same_place
        if not merging:
            row = extents[rows]
            row[START] = at + first
            row[KIND] = kind
            row[SHIFT] = np.int64(shift)
            row[KEY] = owner
            row[WRONG_BYTES] = 0
            row[WRONG_BITS] = 0
            rows += 1
        row = extents[rows - 1]
        row[END] = at + last + 1
        row[WRONG_BYTES] += wrong_bytes
        row[WRONG_BITS] += wrong_bits
        merging = True
        at += length
    return rows

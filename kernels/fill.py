"""Generation: any byte range of a content into the caller's buffer.

Called by files, frames and the mount's cache. The reference is tests/oracle.py.
"""

import numpy as np
from numba import types

from dgenfs.kernels.jit import ROW, inlined, kernel
from dgenfs.kernels.row import (
    KEY,
    PERIOD,
    RANDOM,
    RATIO,
    SECTOR,
    SECTOR_WORDS,
    SIZE,
    STRIDE,
    WORD,
)
from dgenfs.kernels.words import GAMMA, GROUPS, LANES, mix, store_words

_SECTOR = np.uint64(SECTOR)
_SECTOR_WORDS = np.uint64(SECTOR_WORDS)
_ONE = np.uint64(1)
_BYTE_BITS = np.uint64(8)

SECTOR_STATES = np.uint64(SECTOR_WORDS * int(GAMMA) % (1 << 64))


@inlined
def sector_state(key, sector):
    """Return the state (uint64) of the first word of ``sector`` (uint64)."""
    return key + (sector * _SECTOR_WORDS + _ONE) * GAMMA


@inlined
def random_words(sector, numerator, c_milli):
    """Return R (int64), the random words of ``sector`` (uint64); the others are zero."""
    r = sector % c_milli
    return np.int64(((r + _ONE) * numerator) // c_milli - (r * numerator) // c_milli)


@inlined
def file_offset(row, file, within):
    """Return the content offset (uint64) of byte ``within`` of file number ``file`` (uint64)."""
    return (file * row[STRIDE] + within) % row[PERIOD]


@kernel(types.uint64(types.uint64, ROW))
def content_offset(position, row):
    """Return the content offset (uint64) of a byte.

    Args:
        position: uint64, bytes before it, counted over all files in order.
        row: uint64[ROW_WORDS], of files that are not empty.
    """
    return file_offset(row, position // row[SIZE], position % row[SIZE])


@inlined
def next_random_words(carry, whole, step, c_milli):
    """Return R (int64) of a sector and the carry (uint64) of the next one.

    R(T) = ((r + 1) * N) // c - (r * N) // c, by carrying the remainder of r * N / c along:
    divisions would cost as much as the sector itself.

    Args:
        carry: uint64, ``(T * N) mod c``.
        whole: uint64, ``N // c``.
        step: uint64, ``N mod c``.
        c_milli: uint64, c.
    """
    carry += step
    if carry >= c_milli:
        return np.int64(whole) + 1, carry - c_milli
    return np.int64(whole), carry


@kernel("void(uint8[::1], int64, int64, int64, uint64, int64)")
def fill_part(out, at, within, length, state, count):
    """Write bytes [within, within + length) of one sector at ``out[at:]``.

    Args:
        out: uint8[::1], the caller's buffer.
        at: int64, index of the first byte to write.
        within: int64, first byte of the sector to write, 0 to 511.
        length: int64, bytes, at most 512 - within.
        state: uint64, state of the sector's first word.
        count: int64, random words of the sector.
    """
    done = np.int64(0)
    while done < length:
        j = (within + done) // WORD
        skip = (within + done) % WORD
        word = np.uint64(0)
        if j < count:
            word = mix(state + np.uint64(j) * GAMMA) >> (_BYTE_BITS * np.uint64(skip))
        for _ in range(min(WORD - skip, length - done)):
            out[at + done] = np.uint8(word & np.uint64(255))
            word >>= _BYTE_BITS
            done += 1


@kernel(types.void(types.uint8[::1], types.int64, types.int64, types.uint64, ROW))
def fill_run(out, at, length, offset, row):
    """Write content bytes [offset, offset + length) at ``out[at:]``; they must not wrap.

    Args:
        out: uint8[::1], the caller's buffer.
        at: int64, index of the first byte to write.
        length: int64, bytes.
        offset: uint64, content offset, bytes.
        row: uint64[ROW_WORDS].
    """
    key = row[KEY]
    c_milli = row[RATIO]
    numerator = row[RANDOM]
    sector = offset // _SECTOR
    end = at + length
    within = np.int64(offset % _SECTOR)
    if within > 0 or length < SECTOR:
        part = min(length, SECTOR - within)
        count = random_words(sector, numerator, c_milli)
        fill_part(out, at, within, part, sector_state(key, sector), count)
        at += part
        sector += _ONE
    whole = numerator // c_milli
    step = numerator % c_milli
    carry = ((sector % c_milli) * numerator) % c_milli
    state = sector_state(key, sector)
    for _ in range((end - at) // SECTOR):
        count, carry = next_random_words(carry, whole, step, c_milli)
        if count == SECTOR_WORDS:
            # Apart, because here the constant count leaves no select in the loop: a fifth faster.
            for group in range(GROUPS):
                store_words(out, at, group, state, SECTOR_WORDS)
        else:
            for group in range(GROUPS):
                if group * LANES < count:
                    store_words(out, at, group, state, count)
                else:
                    store_words(out, at, group, state, 0)
        state += SECTOR_STATES
        at += SECTOR
        sector += _ONE
    if at < end:
        count = random_words(sector, numerator, c_milli)
        fill_part(out, at, np.int64(0), end - at, state, count)


@kernel(types.void(types.uint8[::1], types.uint64, ROW))
def fill(out, offset, row):
    """Fill ``out`` with content from ``offset`` on, starting over at the period.

    Nothing outside the range is computed, so the cost does not depend on the offset.

    Args:
        out: uint8[::1], filled whole; any length and alignment.
        offset: uint64, content offset of ``out[0]``, bytes, below the period.
        row: uint64[ROW_WORDS].
    """
    at = np.int64(0)
    while at < out.size:
        length = np.int64(min(np.uint64(out.size - at), row[PERIOD] - offset))
        fill_run(out, at, length, offset, row)
        at += length
        offset = np.uint64(0)

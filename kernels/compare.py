"""Comparison: how a buffer differs from a content, at memory speed where it does not.

Called by damage, and by clients that check what they read. The reference is tests/oracle.py and a
plain comparison of two arrays.
"""

import numpy as np
from numba import types

from dgenfs.kernels.fill import SECTOR_STATES, next_random_words, sector_state
from dgenfs.kernels.jit import BYTES, ROW, inlined, kernel
from dgenfs.kernels.row import KEY, PERIOD, RANDOM, RATIO, SECTOR, WORD
from dgenfs.kernels.words import (
    GAMMA,
    GROUP,
    GROUPS,
    LANES,
    bytes_differ,
    differences,
    mix,
    words_differ,
)

_SECTOR = np.uint64(SECTOR)
_ONE = np.uint64(1)
_BYTE_BITS = np.uint64(8)
_RIGHT = (np.int64(-1), np.int64(-1), np.int64(0), np.int64(0), np.int64(0))


@inlined
def sector_differs(buf, at, state, count):
    """Return whether the whole sector at ``buf[at : at + 512]`` is not the expected one."""
    differs = np.uint8(0)
    for group in range(GROUPS):
        if group * LANES < count:
            differs |= words_differ(buf, at, group, state, count)
        else:
            differs |= words_differ(buf, at, group, state, 0)
    return differs != 0


@kernel(
    types.UniTuple(types.int64, 5)(
        BYTES, types.int64, types.int64, types.int64, types.uint64, types.int64
    )
)
def compare_part(buf, at, within, length, state, count):
    """Compare bytes [within, within + length) of one sector with ``buf[at:]``, byte by byte.

    Args:
        buf: uint8[::1].
        at: int64, index of the first byte.
        within: int64, first byte of the sector, 0 to 511.
        length: int64, bytes, at most 512 - within.
        state: uint64, state of the sector's first word.
        count: int64, random words of the sector.

    Returns:
        int64 each: first wrong byte counted from ``at``, -1 if there is none; last wrong byte;
        wrong bytes; wrong bits; wrong bytes that read zero.
    """
    first = np.int64(-1)
    last = np.int64(-1)
    wrong_bytes = np.int64(0)
    wrong_bits = np.int64(0)
    zeros = np.int64(0)
    for i in range(length):
        j = (within + i) // WORD
        word = np.uint64(0)
        if j < count:
            word = mix(state + np.uint64(j) * GAMMA) >> (
                _BYTE_BITS * np.uint64((within + i) % WORD)
            )
        difference = (word & np.uint64(255)) ^ np.uint64(buf[at + i])
        if difference != np.uint64(0):
            if first < 0:
                first = i
            last = i
            wrong_bytes += 1
            if buf[at + i] == 0:
                zeros += 1
            while difference != np.uint64(0):
                difference &= difference - _ONE
                wrong_bits += 1
    return first, last, wrong_bytes, wrong_bits, zeros


@inlined
def compare_in_sector(buf, at, within, length, state, count, likely_wrong):
    """Do what ``compare_part`` does, and for whole sectors many bytes at once.

    It is faster for sectors that are wrong if ``likely_wrong``, else for those that are right.
    """
    if length < SECTOR:
        return compare_part(buf, at, within, length, state, count)
    if likely_wrong or sector_differs(buf, at, state, count):
        return differences(buf, at, state, count)
    return _RIGHT


@inlined
def sectors_at(row, offset):
    """Return what walks the sectors from content byte ``offset`` (uint64) on.

    Returns:
        The state (uint64) of the first sector's first word, and what ``next_random_words`` takes:
        carry, whole, step and c_milli (uint64 each).
    """
    c_milli = row[RATIO]
    numerator = row[RANDOM]
    sector = offset // _SECTOR
    carry = ((sector % c_milli) * numerator) % c_milli
    return sector_state(row[KEY], sector), carry, numerator // c_milli, numerator % c_milli, c_milli


@kernel(types.UniTuple(types.int64, 3)(BYTES, types.uint64, ROW))
def compare(buf, offset, row):
    """Compare ``buf`` with the content from ``offset`` on, starting over at the period.

    Args:
        buf: uint8[::1], any length and alignment.
        offset: uint64, content offset of ``buf[0]``, bytes, below the period.
        row: uint64[ROW_WORDS].

    Returns:
        int64 each: index of the first wrong byte, -1 if there is none; wrong bytes; 512-byte
        sectors of the content that hold one.
    """
    first = np.int64(-1)
    wrong_bytes = np.int64(0)
    wrong_sectors = np.int64(0)
    wrong = False
    at = np.int64(0)
    while at < buf.size:
        within = np.int64(offset % _SECTOR)
        end = at + np.int64(min(np.uint64(buf.size - at), row[PERIOD] - offset))
        state, carry, whole, step, c_milli = sectors_at(row, offset)
        while at < end:
            count, carry = next_random_words(carry, whole, step, c_milli)
            length = min(SECTOR - within, end - at)
            part_first, _, part_bytes, _, _ = compare_in_sector(
                buf, at, within, length, state, count, wrong
            )
            wrong = part_bytes > 0
            if wrong:
                if first < 0:
                    first = at + part_first
                wrong_bytes += part_bytes
                wrong_sectors += 1
            state += SECTOR_STATES
            at += length
            within = np.int64(0)
        offset = np.uint64(0)
    return first, wrong_bytes, wrong_sectors


@kernel(types.boolean(BYTES, BYTES))
def are_equal(data, expected):
    """Return whether two buffers of one length (uint8[::1]) hold the same bytes."""
    at = np.int64(0)
    while at + GROUP <= data.size:
        if bytes_differ(data, at, expected, at):
            return False
        at += GROUP
    differs = np.uint8(0)
    for i in range(at, data.size):
        differs |= data[i] ^ expected[i]
    return differs == 0

"""Generation: any byte range of a content into the caller's buffer.

Called by the generator and by the mount's workers. The reference is tests/oracle.py.

A content is the endless repetition of its first ``period`` bytes; byte x of file f of a
specification stands at content offset ``(f * stride + x) mod period``, where ``stride`` is a
file's size rounded up to whole units and ``period`` the content units' bytes. See Layout.
"""

import numpy as np

from dgenfs.kernels.atomic import fetch_add
from dgenfs.kernels.jit import inlined, kernel
from dgenfs.kernels.words import (
    GAMMA,
    GROUPS,
    LANES,
    SECTOR,
    SECTOR_WORDS,
    WORD,
    mix,
    store_words,
)

SLICE = 1 << 20  # bytes that a thread fills before it takes more; 25 µs

_SECTOR = np.uint64(SECTOR)
_SECTOR_WORDS = np.uint64(SECTOR_WORDS)
_ONE = np.uint64(1)
_BYTE_BITS = np.uint64(8)

SECTOR_STATES = np.uint64(SECTOR_WORDS * int(GAMMA) % (1 << 64))


@inlined
def random_words_numerator(c_milli):
    """Return N (uint64): a sector holds N / c_milli random words on average."""
    if c_milli == np.uint64(1000):
        return np.uint64(64000)
    return max(c_milli, np.uint64(64000) - (np.uint64(3) * c_milli) // np.uint64(5))


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


@kernel("void(uint8[::1], int64, int64, uint64, uint64, uint64)")
def fill_run(out, at, length, offset, key, c_milli):
    """Write content bytes [offset, offset + length) at ``out[at:]``; they must not wrap.

    Args:
        out: uint8[::1], the caller's buffer.
        at: int64, index of the first byte to write.
        length: int64, bytes.
        offset: uint64, content offset, bytes.
        key: uint64.
        c_milli: uint64, compression ratio in thousandths.
    """
    sector = offset // _SECTOR
    numerator = random_words_numerator(c_milli)
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


@kernel("void(uint8[::1], uint64, uint64, uint64, uint64)")
def fill(out, offset, key, period, c_milli):
    """Fill ``out`` with content from ``offset`` on, starting over at ``period``.

    Nothing outside the range is computed, so the cost does not depend on the offset.

    Args:
        out: uint8[::1], filled whole; any length and alignment.
        offset: uint64, content offset of ``out[0]``, bytes, below ``period``.
        key: uint64, the layout's key.
        period: uint64, bytes, a multiple of 4096.
        c_milli: uint64, compression ratio in thousandths, 1000 to 20000.
    """
    at = np.int64(0)
    while at < out.size:
        length = np.int64(min(np.uint64(out.size - at), period - offset))
        fill_run(out, at, length, offset, key, c_milli)
        at += length
        offset = np.uint64(0)


@kernel("void(uint8[::1], uint64, uint64, uint64, uint64, uint64, uint64)")
def fill_files(out, position, key, period, c_milli, size, stride):
    """Fill ``out`` with the bytes of all files one after the other, from ``position`` on.

    Args:
        out: uint8[::1], filled whole.
        position: uint64, bytes before ``out[0]``, counted over all files in order.
        key: uint64, the layout's key.
        period: uint64, bytes, a multiple of 4096.
        c_milli: uint64, compression ratio in thousandths, 1000 to 20000.
        size: uint64, bytes of one file, not 0.
        stride: uint64, content bytes from the start of one file to that of the next.
    """
    file = position // size
    within = position % size
    at = np.int64(0)
    while at < out.size:
        length = np.int64(min(np.uint64(out.size - at), size - within))
        fill(out[at : at + length], (file * stride + within) % period, key, period, c_milli)
        at += length
        file += _ONE
        within = np.uint64(0)


@kernel("void(uint8[::1], int64[::1], uint64, uint64, uint64, uint64, uint64, uint64)")
def fill_slices(out, taken, position, key, period, c_milli, size, stride):
    """Fill slice after slice of ``out``, as fill_files does, leaving out what other threads take.

    Args:
        out: uint8[::1]; when all threads have returned, it is filled whole.
        taken: int64[1], slices taken so far, 0 at first and shared by the threads.
        position: uint64, bytes before ``out[0]``, counted over all files in order.
        key: uint64, the layout's key.
        period: uint64, bytes, a multiple of 4096.
        c_milli: uint64, compression ratio in thousandths, 1000 to 20000.
        size: uint64, bytes of one file, not 0.
        stride: uint64, content bytes from the start of one file to that of the next.
    """
    while True:
        start = fetch_add(taken, 1) * SLICE
        if start >= out.size:
            return
        end = min(start + SLICE, out.size)
        fill_files(out[start:end], position + np.uint64(start), key, period, c_milli, size, stride)

"""One read of a data file: which bytes of the cache or of a private buffer answer it.

Called by the request loop and, for the Python data plane, by dgenfs.mount. The reference is
tests/oracle.py, by way of the mount.
"""

import numpy as np
from numba import types

from dgenfs.kernels.cache import (
    BLOCK,
    CACHE,
    EXTENT,
    KEEPS_LARGE,
    NONE,
    RESIDENT,
    acquire,
    asked_again,
    extents_between,
    release,
)
from dgenfs.kernels.digests import DONE, PATIENCE, TOO_LONG
from dgenfs.kernels.files import fill_file
from dgenfs.kernels.fill import file_offset, fill
from dgenfs.kernels.jit import ROW, inlined, kernel
from dgenfs.kernels.row import FRAMES, KEY, PERIOD, WORD
from dgenfs.kernels.scratch import DATA, PINNED, SCRATCH, SINK, address_of, put_slice

_BLOCK = np.uint64(BLOCK)
_EXTENT = np.uint64(EXTENT)
_EXTENTS = np.uint64(BLOCK // EXTENT)
_ONE = np.uint64(1)
_ZERO = np.uint64(0)


@kernel(types.void(CACHE, types.uint64, types.uint64, types.uint64, ROW))
def fill_extents(cache, slot, number, missing, row):
    """Fill the extents of the bitmap ``missing`` in ``slot``, which holds block ``number``.

    Args:
        cache: Cache.
        slot: uint64, pinned by the caller.
        number: uint64, content offset of the block / BLOCK.
        missing: uint64.
        row: uint64[ROW_WORDS]; the part of an extent behind the period is left as it is.
    """
    extent = _ZERO
    while missing >> extent != _ZERO:
        while (missing >> extent) & _ONE == _ZERO:
            extent += _ONE
        start = extent * _EXTENT
        while extent < _EXTENTS and (missing >> extent) & _ONE == _ONE:
            extent += _ONE
        end = min(extent * _EXTENT, row[PERIOD] - number * _BLOCK)
        first = np.int64(slot * _BLOCK)
        out = cache.data[first + np.int64(start) : first + np.int64(end)]
        fill(out, number * _BLOCK + start, row)
        if extent == _EXTENTS:
            return


@kernel(types.void(CACHE, types.uint64, types.uint64, types.uint64, SCRATCH))
def bring_near(cache, slot, start, end, scratch):
    """Read bytes [start, end) of ``slot``, so that they are in this processor's own cache.

    The kernel copies them page by page, which from the last-level cache is slow: a read of 1 MiB
    took 250 µs without this, and 200 with it.
    """
    first = np.int64(slot * _BLOCK + start) // WORD * WORD
    last = np.int64(slot * _BLOCK + end) // WORD * WORD
    words = cache.data[first:last].view(np.uint64)
    sum_of_words = _ZERO
    for i in range(words.size):
        sum_of_words ^= words[i]
    scratch.words[SINK] = sum_of_words  # or the loop would be left out


# What prepare returns in place of slices
WAITS = -1  # for a CRC of more bytes than the caller allows
LEFT = -2  # it was stopped


@inlined
def generate(row, file, offset, length, scratch, patience):
    """Do what ``prepare`` does with the bytes of a container, of which the cache has none."""
    first = np.int64(WORD * DATA)
    data = scratch.data[first : first + np.int64(length)]
    status = fill_file(data, file, offset, row, patience)
    if status != np.uint64(DONE):
        return np.int64(WAITS if status == np.uint64(TOO_LONG) else LEFT)
    scratch.words[PINNED] = NONE
    put_slice(scratch, 1, address_of(scratch, DATA), length)
    return np.int64(1)


@kernel(
    types.int64(
        ROW,
        types.uint64,
        types.uint64,
        types.uint64,
        CACHE,
        SCRATCH,
        PATIENCE,
    )
)
def prepare(row, file, offset, length, cache, scratch, patience):
    """Make a read's bytes and write where they are to the scratch's slices.

    What the cache has, or is to keep, is answered from it; the rest goes to the scratch's data, and
    so does a read that wraps at the period. ``finish`` must follow.

    Args:
        row: uint64[ROW_WORDS].
        file: uint64, number of the file, below FILES.
        offset: uint64, bytes, below the file's size.
        length: uint64, bytes, 1 to MAX_READ, within the file.
        cache: Cache.
        scratch: Scratch.
        patience: Patience, for a container's CRCs.

    Returns:
        int64, slices written; WAITS or LEFT, and ``finish`` has nothing to do.
    """
    if row[FRAMES] != _ZERO:
        return generate(row, file, offset, length, scratch, patience)
    position = file_offset(row, file, offset)
    end = position + length
    slices = np.int64(0)
    at = position
    while at < end:
        number = at // _BLOCK
        start = number * _BLOCK
        piece_end = min(end, start + _BLOCK)
        slot = NONE
        missing = _ZERO
        if end > row[PERIOD]:
            piece_end = end
        elif cache.slots.shape[0] != 0 and (length < _EXTENT or cache.state[KEEPS_LARGE] != _ZERO):
            again = asked_again(cache, row[KEY], number, at - start, piece_end - start)
            if again or cache.state[RESIDENT] != _ZERO:  # else there is nothing to look up
                wanted = extents_between(at - start, piece_end - start)
                slot, missing = acquire(cache, row[KEY], number, wanted, again)
        if slot == NONE:
            missing = _ZERO
            first = np.int64(WORD * DATA) + np.int64(at - position)
            fill(scratch.data[first : first + np.int64(piece_end - at)], at, row)
            address = address_of(scratch, DATA) + (at - position)
        else:
            if missing != _ZERO:
                fill_extents(cache, slot, number, missing, row)
            elif length >= _EXTENT:
                bring_near(cache, slot, at - start, piece_end - start, scratch)
            address = np.uint64(cache.data.ctypes.data) + slot * _BLOCK + (at - start)
        scratch.words[PINNED + 2 * slices] = slot
        scratch.words[PINNED + 2 * slices + 1] = missing
        slices += 1
        put_slice(scratch, slices, address, piece_end - at)
        at = piece_end
    return slices


@kernel(types.void(CACHE, SCRATCH, types.int64))
def finish(cache, scratch, slices):
    """Unpin what ``prepare`` pinned, after the bytes of its ``slices`` (int64) were used."""
    for i in range(slices):
        slot = scratch.words[PINNED + 2 * i]
        if slot != NONE:
            release(cache, slot, scratch.words[PINNED + 2 * i + 1])

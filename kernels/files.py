"""Files: any byte range of them, as their names' rows say, whether content alone or in frames.

Called by views, the generator and the mount's workers. The reference is tests/oracle.py.
"""

import numpy as np
from numba import types

from dgenfs.kernels.atomic import fetch_add
from dgenfs.kernels.digests import DONE, PATIENCE, UNLIMITED, Patience
from dgenfs.kernels.fill import file_offset, fill
from dgenfs.kernels.frames import fill_frames
from dgenfs.kernels.jit import ROW, kernel
from dgenfs.kernels.row import FRAMES, SIZE

SLICE = 1 << 20  # bytes that a thread fills before it takes more; 25 µs

_ZERO = np.uint64(0)
_ONE = np.uint64(1)


@kernel(
    types.uint64(
        types.uint8[::1],
        types.uint64,
        types.uint64,
        ROW,
        PATIENCE,
    )
)
def fill_file(out, file, offset, row, patience):
    """Fill ``out`` with the bytes of a file from ``offset`` on; see ``fill_frames``."""
    if row[FRAMES] != _ZERO:
        return fill_frames(out, file, offset, row, patience)
    fill(out, file_offset(row, file, offset), row)
    return np.uint64(DONE)


@kernel(types.uint64(types.uint8[::1], types.uint64, ROW, PATIENCE))
def fill_files(out, position, row, patience):
    """Fill ``out`` with the bytes of all files one after the other, from ``position`` on.

    Args:
        out: uint8[::1], filled whole.
        position: uint64, bytes before ``out[0]``, counted over all files in order.
        row: uint64[ROW_WORDS], of files that are not empty.
        patience: Patience, for CRCs.

    Returns:
        uint64, see ``fill_frames``.
    """
    size = row[SIZE]
    file = position // size
    within = position % size
    at = np.int64(0)
    while at < out.size:
        length = np.int64(min(np.uint64(out.size - at), size - within))
        part = out[at : at + length]
        status = fill_file(part, file, within, row, patience)
        if status != np.uint64(DONE):
            return status
        at += length
        file += _ONE
        within = _ZERO
    return np.uint64(DONE)


@kernel(types.void(types.uint8[::1], types.int64[::1], types.int64[::1], types.uint64, ROW))
def fill_slices(out, taken, ended, position, row):
    """Fill slice after slice of ``out``, as fill_files does, leaving out what other threads take.

    The last is taken first: a container's CRCs, which take long, stand at its end.

    Args:
        out: uint8[::1]; when all threads have returned, it is filled whole.
        taken: int64[1], slices taken so far, 0 at first and shared by the threads.
        ended: int64[::1]; as soon as the first is 1, no more slices are taken.
        position: uint64, bytes before ``out[0]``, counted over all files in order.
        row: uint64[ROW_WORDS], of files that are not empty.
    """
    slices = (out.size + SLICE - 1) // SLICE
    patience = Patience(UNLIMITED, np.uint64(ended.ctypes.data), _ZERO, _ZERO)
    while fetch_add(ended, 0) == 0:
        number = slices - 1 - fetch_add(taken, 1)
        if number < 0:
            return
        start = number * SLICE
        end = min(start + SLICE, out.size)
        fill_files(out[start:end], position + np.uint64(start), row, patience)

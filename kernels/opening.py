"""Opening and closing data files, and what the kernel keeps of them meanwhile.

A large file is read straight into the client's memory. A small one is written to the kernel's page
cache before its OPEN is answered, so that no READ asks for it: a read ends with the file there, and
touches no more of the client's buffer than it fills. What the page cache has of it is dropped when
its last handle is closed: it costs less to generate than to keep.

To store and to drop wait for pages that are being read, and a READ waits for a worker: workers that
all waited would wait for ever. So both are done only while no handle is open on the file, and
another OPEN of it is answered after them. Handles are counted in slots by inode, as a row may be
freed before a handle on one of its files is: RELEASE comes in the background. Files share slots by
chance; then one is read by READs, and dropped when memory is short.

Sources: Linux fs/fuse/dev.c, fuse_notify_store and fuse_notify_inval_inode. Called by serve.
"""

import mmap
import os
from typing import NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from dgenfs.kernels import libc
from dgenfs.kernels.counters import OPENED, RELEASED, STORED_BYTES
from dgenfs.kernels.digests import ENDLESS
from dgenfs.kernels.files import fill_file
from dgenfs.kernels.fuse import (
    FOPEN_DIRECT_IO,
    FOPEN_KEEP_CACHE,
    FOPEN_NOFLUSH,
    IN_NODEID,
    NOTIFY_INVAL_INODE,
    NOTIFY_LENGTH,
    NOTIFY_NODEID,
    NOTIFY_OFFSET,
    NOTIFY_OUT,
    NOTIFY_STORE,
    OPEN_FLAGS,
    OPEN_OUT,
    OPEN_OUT_FH,
    OPEN_OUT_FLAGS,
    OPEN_REQUEST,
    OUT_HEADER,
    OUT_LENGTH_AND_ERROR,
    OUT_UNIQUE,
    RELEASE_FH,
)
from dgenfs.kernels.ids import TREE_SHIFT
from dgenfs.kernels.jit import inlined, kernel
from dgenfs.kernels.lookups import HINTS_TYPE, TABLE, find_row, handle_of, open_by
from dgenfs.kernels.row import SIZE, WORD
from dgenfs.kernels.scratch import DATA, SCRATCH, address_of, reply, reply_data

# Words of ``limits``: bytes of the largest file that is
CACHED = 0  # read through the page cache
STORED = 1  # stored there when opened, dropped when closed; 0 for none, and nothing is counted
# A file that ends within a page is only stored where the kernel clears the rest of the page, or who
# maps it would see what was in that memory before: Linux 6.11 and later, CVE-2024-44947.
STORES_TAILS = 2
LIMITS = 3

SLOTS = 1 << 16  # 4 MiB, resident only as far as they were used
SLOT_WORDS = 8  # a cache line; pthread_mutex_t, 40 bytes on x86-64, 48 on aarch64, is first
HANDLES = 6  # open on the slot's files

WRITES = os.O_ACCMODE | os.O_TRUNC
PAGE = mmap.PAGESIZE

NOTICE = DATA - (OUT_HEADER + NOTIFY_OUT) // WORD  # of the scratch; what is stored follows
_NOTICE_OUT = NOTICE + OUT_HEADER // WORD

_ZERO = np.uint64(0)
_ONE = np.uint64(1)


class Opening(NamedTuple):
    """How files are opened, and which are.

    Attributes:
        limits: uint64[LIMITS].
        slots: uint64[SLOTS, SLOT_WORDS].
    """

    limits: NDArray[np.uint64]
    slots: NDArray[np.uint64]


OPENING = types.NamedTuple((types.uint64[::1], types.uint64[:, ::1]), Opening)


def new_opening(cached: int, stored: int) -> Opening:
    """Return how files are opened while none is; ``limits[STORES_TAILS]`` is the caller's to set.

    Args:
        cached: bytes of the largest file that is read through the page cache.
        stored: the same, of one that is written there when it is opened and dropped when closed;
            at most ``cached``.
    """
    limits = np.array([cached, stored, 0], np.uint64)
    return Opening(limits, np.zeros((SLOTS, SLOT_WORDS), np.uint64))  # PTHREAD_MUTEX_INITIALIZER


@inlined
def slot_of(slots, inode):
    """Return the slot (uint64[SLOT_WORDS]) of a file's inode (uint64)."""
    return slots[(inode ^ (inode >> np.uint64(TREE_SHIFT))) % np.uint64(SLOTS)]


@kernel(types.uint64(types.uint64, types.uint64[::1]))
def open_flags(size, limits):
    """Return the FOPEN_* of a file.

    Pages are kept until they are dropped: contents never change. Without FLUSH, close(2) asks
    nobody.

    Args:
        size: uint64, bytes of the file.
        limits: uint64[LIMITS].

    Returns:
        uint64.
    """
    flags = np.uint64(FOPEN_KEEP_CACHE | FOPEN_NOFLUSH)
    return flags | np.uint64(FOPEN_DIRECT_IO) if size > limits[CACHED] else flags


@inlined
def is_stored(size, flags, limits):
    """Return whether a file of ``size`` (uint64) bytes opened with ``flags`` (uint64) is stored."""
    whole = size % np.uint64(PAGE) == _ZERO or limits[STORES_TAILS] != _ZERO
    some = size != _ZERO and size <= limits[STORED]
    return whole and some and flags & np.uint64(os.O_DIRECT) == _ZERO


@inlined
def notify(fuse, code, inode, stored, scratch):
    """Write a notification about a whole file to the kernel, which may refuse it.

    Args:
        fuse: int32, descriptor of /dev/fuse.
        code: uint64, NOTIFY_*.
        inode: uint64, of the file.
        stored: uint64, bytes of the scratch's data that are its; 0 to drop it whole.
        scratch: Scratch.
    """
    words = scratch.words
    size = np.uint64(OUT_HEADER + NOTIFY_OUT) + stored
    words[NOTICE + OUT_LENGTH_AND_ERROR] = size | code << np.uint64(32)
    words[NOTICE + OUT_UNIQUE] = _ZERO
    words[_NOTICE_OUT + NOTIFY_NODEID] = inode
    words[_NOTICE_OUT + NOTIFY_OFFSET] = _ZERO
    words[_NOTICE_OUT + NOTIFY_LENGTH] = stored
    return libc.write(fuse, address_of(scratch, NOTICE), size) >= 0


@inlined
def store(fuse, row, file, inode, scratch, counters):
    """Write a file's bytes into the kernel's page cache."""
    start = WORD * DATA
    data = scratch.data[start : start + np.int64(row[SIZE])]
    fill_file(data, file, _ZERO, row, ENDLESS)
    if notify(fuse, np.uint64(NOTIFY_STORE), inode, row[SIZE], scratch):
        counters[STORED_BYTES] += row[SIZE]


@kernel(types.void(OPENING, types.uint64, types.int64))
def count_handles(opening, inode, more):
    """Count handles on a file, if they are counted.

    Args:
        opening: Opening.
        inode: uint64, the file's.
        more: int64, how many; negative of those that are closed.
    """
    if opening.limits[STORED] != _ZERO:
        slot = slot_of(opening.slots, inode)
        libc.mutex_lock(slot.ctypes.data)
        slot[HANDLES] += np.uint64(more)
        libc.mutex_unlock(slot.ctypes.data)


@kernel(
    types.boolean(types.int32, OPENING, HINTS_TYPE, TABLE, SCRATCH, types.uint64[::1], types.int64)
)
def open_file(fuse, opening, hints, table, scratch, counters, received):
    """Answer the OPEN in the scratch if it is one of a data file for reading.

    Args:
        fuse: int32, descriptor of /dev/fuse.
        opening: Opening.
        hints: uint32[HINTS].
        table: uint64[2^ROW_BITS, TABLE_COLUMNS].
        scratch: Scratch.
        counters: uint64[COUNTERS].
        received: int64, bytes of the request.

    Returns:
        boolean, whether it was answered; else it is the control plane's.
    """
    words = scratch.words
    flags = words[OPEN_FLAGS]
    if received < OPEN_REQUEST or flags & np.uint64(WRITES) != _ZERO:
        return False
    inode = words[IN_NODEID]
    number, file = find_row(hints, table, inode)
    if number < 0:
        return False
    row = table[number]
    if opening.limits[STORED] != _ZERO:
        slot = slot_of(opening.slots, inode)
        libc.mutex_lock(slot.ctypes.data)
        if slot[HANDLES] == _ZERO and is_stored(row[SIZE], flags, opening.limits):
            store(fuse, row, file, inode, scratch, counters)
        slot[HANDLES] += _ONE
        libc.mutex_unlock(slot.ctypes.data)
    words[DATA + OPEN_OUT_FH] = handle_of(table, number, file)
    words[DATA + OPEN_OUT_FLAGS] = open_flags(row[SIZE], opening.limits)
    if reply_data(fuse, scratch, OPEN_OUT):
        counters[OPENED] += _ONE
    else:
        count_handles(opening, inode, -1)  # the connection was aborted
    return True


@kernel(types.void(types.int32, OPENING, TABLE, SCRATCH, types.uint64[::1]))
def close_file(fuse, opening, table, scratch, counters):
    """Answer the RELEASE in the scratch, of a data file.

    Args:
        fuse: int32, descriptor of /dev/fuse.
        opening: Opening.
        table: uint64[2^ROW_BITS, TABLE_COLUMNS].
        scratch: Scratch.
        counters: uint64[COUNTERS].
    """
    number, _ = open_by(table, scratch.words[RELEASE_FH])
    size = table[number, SIZE] if number >= 0 else _ZERO  # now, as the row may be freed meanwhile
    reply(fuse, scratch, 0, 0, 0)
    if opening.limits[STORED] != _ZERO:
        inode = scratch.words[IN_NODEID]
        slot = slot_of(opening.slots, inode)
        libc.mutex_lock(slot.ctypes.data)
        slot[HANDLES] -= _ONE
        if slot[HANDLES] == _ZERO and size != _ZERO and size <= opening.limits[STORED]:
            notify(fuse, np.uint64(NOTIFY_INVAL_INODE), inode, _ZERO, scratch)
        libc.mutex_unlock(slot.ctypes.data)
    counters[RELEASED] += _ONE

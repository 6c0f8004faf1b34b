"""Files of a tree, made and checked many in one call: a small one costs its system calls.

Called by dgenfs.api.publishing and dgenfs.verifying.trees, for files that fit in one buffer.
What is not as it should be is only found here; what it is, the caller finds out.
"""

import errno
import os

import numpy as np
from numba import types

from dgenfs.kernels import libc
from dgenfs.kernels.compare import compare
from dgenfs.kernels.digests import DONE, ENDLESS
from dgenfs.kernels.files import fill_file
from dgenfs.kernels.fill import file_offset
from dgenfs.kernels.frames import compare_frames
from dgenfs.kernels.jit import ROW, inlined, kernel
from dgenfs.kernels.names import PATH_BYTES, put_path
from dgenfs.kernels.row import FRAMES, SIZE

BLOCK = 4096  # bytes; O_DIRECT's alignment

EINTR = errno.EINTR
EINVAL = errno.EINVAL

_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_TO_READ = np.int32(os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not keep us waiting
_AROUND_CACHE = np.int32(os.O_DIRECT)
_TO_MAKE = np.int32(os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC)
_NEW_MODE = np.int32(0o666)
_NO_MODE = np.int32(0)


@inlined
def read_whole(descriptor, buffer, size):
    """Return whether a file's bytes were read and are ``size`` (int64, at least 1), no more."""
    # Of more than it should have, as its size may be told before the file grows.
    wanted = buffer[: (size // BLOCK + 1) * BLOCK]
    got = np.int64(0)
    while got < size:
        # What is behind a whole block only: O_DIRECT takes no odd offset.
        if got % BLOCK != 0:
            return False
        rest = wanted[got:]
        count = libc.pread(descriptor, rest.ctypes.data, np.uint64(rest.size), got)
        if count > 0:
            got += count
        elif count == 0 or libc.errno() != EINTR:
            return False
    return got == size


@inlined
def has_content(data, file, row):
    """Return whether ``data`` is what a file should hold."""
    if row[FRAMES] == _ZERO:
        return compare(data, file_offset(row, file, _ZERO), row)[0] < 0
    return compare_frames(data, file, _ZERO, row, ENDLESS) == np.uint64(DONE)


@kernel(
    types.boolean(
        types.int32,
        types.uint8[::1],
        types.uint64,
        types.uint8[::1],
        ROW,
        types.boolean,
        types.boolean,
    )
)
def is_identical(folder, path, file, buffer, row, direct, buffered):
    """Return whether a file is there, can be read and has its content and no more.

    It is read around the page cache (O_DIRECT) where its file system has that, unless buffered.

    Args:
        folder: int32, descriptor of the directory that ``path`` starts from.
        path: uint8[::1], ends with a zero.
        file: uint64, its number in the tree.
        buffer: uint8[::1], page aligned, room for the file and at least a byte in whole blocks.
        row: uint64[NAME_ROW_WORDS], of files that are not empty.
        direct: boolean, whether a file that cannot be read so is not identical.
        buffered: boolean, whether it is read through the page cache; not both.
    """
    size = np.int64(row[SIZE])
    address = path.ctypes.data
    around_cache = _TO_READ if buffered else _TO_READ | _AROUND_CACHE
    descriptor = libc.openat(folder, address, around_cache, _NO_MODE)
    if descriptor < 0 and libc.errno() == EINVAL and not direct:
        descriptor = libc.openat(folder, address, _TO_READ, _NO_MODE)
    if descriptor < 0:
        return False
    identical = read_whole(descriptor, buffer, size) and has_content(buffer[:size], file, row)
    libc.close(descriptor)
    return identical


@kernel(
    types.void(
        types.int32,
        types.uint64,
        types.uint8[::1],
        types.uint8[::1],
        ROW,
        types.boolean,
        types.boolean,
        types.int64[::1],
    )
)
def find_different(folder, first, different, buffer, row, direct, buffered, stop):
    """Find the files of a tree that are not identical, for whatever reason.

    Args:
        folder: int32, descriptor of the tree's directory.
        first: uint64, number of the first file to look at.
        different: uint8[::1], one for each file from it on; set to 1 or 0.
        buffer: uint8[::1], page aligned, room for the file and at least a byte in whole blocks.
        row: uint64[NAME_ROW_WORDS], of files that are not empty.
        direct: boolean, whether a file that cannot be read around the cache counts as different.
        buffered: boolean, whether files are read through the page cache; not both.
        stop: int64[1], not 0 once another thread wants no more files to be looked at.
    """
    path = np.empty(PATH_BYTES, np.uint8)
    file = first
    for i in range(different.size):
        if stop[0] != 0:
            return
        put_path(path, file, row)
        different[i] = not is_identical(folder, path, file, buffer, row, direct, buffered)
        file += _ONE


@kernel(types.int64(types.int32, types.uint8[::1], types.uint8[::1]))
def make(folder, path, data):
    """Make a file that is not there.

    Args:
        folder: int32, descriptor of the directory that ``path`` starts from.
        path: uint8[::1], ends with a zero.
        data: uint8[::1], its bytes.

    Returns:
        int64, errno of what failed, 0 for nothing.
    """
    descriptor = libc.openat(folder, path.ctypes.data, _TO_MAKE, _NEW_MODE)
    # As a file system in user space or of a network answers when the process is stopped meanwhile.
    while descriptor < 0 and libc.errno() == EINTR:
        descriptor = libc.openat(folder, path.ctypes.data, _TO_MAKE, _NEW_MODE)
    if descriptor < 0:
        return np.int64(libc.errno())
    error = np.int64(0)
    done = np.int64(0)
    while done < data.size and error == 0:
        rest = data[done:]
        count = libc.write(descriptor, rest.ctypes.data, np.uint64(rest.size))
        if count >= 0:
            done += count
        elif libc.errno() != EINTR:
            error = np.int64(libc.errno())
    # What a network or a quota could not take may be told only now.
    if libc.close(descriptor) < 0 and error == 0:
        error = np.int64(libc.errno())
    return error


@kernel(
    types.UniTuple(types.int64, 2)(types.int32, types.uint64, types.int64, types.uint8[::1], ROW)
)
def make_files(folder, first, count, buffer, row):
    """Make files of a tree, in directories that are there; end at the first that fails.

    Args:
        folder: int32, descriptor of the tree's directory.
        first: uint64, number of the first file.
        count: int64, files.
        buffer: uint8[::1], room for one file.
        row: uint64[NAME_ROW_WORDS].

    Returns:
        int64 each: files made; errno of what failed, 0 for nothing.
    """
    path = np.empty(PATH_BYTES, np.uint8)
    data = buffer[: np.int64(row[SIZE])]
    file = first
    for done in range(count):
        put_path(path, file, row)
        fill_file(data, file, _ZERO, row, ENDLESS)
        error = make(folder, path, data)
        if error != 0:
            return done, error
        file += _ONE
    return count, np.int64(0)

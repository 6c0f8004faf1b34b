"""Names of a tree's files, from their numbers and back.

Called by lookups, trees and dgenfs.verifying.verifier. The reference is ``Spec.path`` and
``Spec.index``.
"""

import numpy as np
from numba import types

from dgenfs.kernels.jit import BYTES, ROW, inlined, kernel
from dgenfs.kernels.row import (
    DIGITS,
    DIRECTORY_DIGITS,
    EXTENSION,
    EXTENSION_LAST,
    EXTENSION_LENGTH,
    FILES,
    PER_DIRECTORY,
    WORD,
)

PATH_BYTES = 40  # room for the longest: ten digits, "/", ten digits, ".", eleven letters, a zero

_TEN = np.uint64(10)
_ZERO_DIGIT = ord("0")
_SLASH = ord("/")


@inlined
def extension_byte(row, i):
    """Return byte ``i`` (uint64) of a tree's extension, whose "." is byte 0."""
    text = row[EXTENSION] if i < WORD else row[EXTENSION_LAST]
    return (text >> np.uint64(8 * (i % WORD))) & np.uint64(255)


@kernel(types.int64(ROW, BYTES, types.int64, types.int64))
def file_named(row, data, start, end):
    """Return the number (int64) of the tree's file of a name, -1 for none.

    Args:
        row: uint64[NAME_ROW_WORDS].
        data: uint8[::1].
        start: int64, index of the name's first byte.
        end: int64, index behind the zero that ends it.
    """
    digits = np.int64(row[DIGITS])
    extension = np.int64(row[EXTENSION_LENGTH])
    if digits == 0 or end - start != digits + extension + 1 or data[end - 1] != 0:
        return np.int64(-1)
    file = np.uint64(0)
    for i in range(start, start + digits):
        digit = np.uint64(data[i]) - np.uint64(_ZERO_DIGIT)
        if digit >= _TEN:
            return np.int64(-1)
        file = file * _TEN + digit
    for i in range(extension):
        if np.uint64(data[start + digits + i]) != extension_byte(row, i):
            return np.int64(-1)
    return np.int64(file) if file < row[FILES] else np.int64(-1)


@kernel(types.void(BYTES, types.int64, types.uint8[::1], ROW))
def find_unknown(names, directory, unknown, row):
    """Find the names in a directory of a tree that are no file's that belongs there.

    Args:
        names: uint8[::1], each with a zero behind it.
        directory: int64, its number, -1 for the tree's own.
        unknown: uint8[::1], one for each name; set to 1 or 0.
        row: uint64[NAME_ROW_WORDS].
    """
    end = np.int64(0)
    for i in range(unknown.size):
        start = end
        while names[end] != 0:
            end += 1
        end += 1
        file = file_named(row, names, start, end)
        belongs = np.int64(-1)
        if row[PER_DIRECTORY] != np.uint64(0):
            belongs = np.int64(np.uint64(file) // row[PER_DIRECTORY])
        unknown[i] = file < 0 or belongs != directory


@inlined
def put_number(out, at, digits, number):
    """Write ``number`` (uint64) as ``digits`` (int64) decimal digits at ``out[at:]``."""
    for i in range(digits):
        out[at + digits - 1 - i] = np.uint8(np.uint64(_ZERO_DIGIT) + number % _TEN)
        number //= _TEN


@kernel(types.int64(types.uint8[::1], types.uint64, ROW))
def put_path(out, file, row):
    """Write the path of a tree's file within the tree, and a zero behind it.

    Args:
        out: uint8[PATH_BYTES].
        file: uint64, below the tree's files.
        row: uint64[NAME_ROW_WORDS].

    Returns:
        int64, bytes of the path, without the zero.
    """
    at = np.int64(0)
    if row[PER_DIRECTORY] != np.uint64(0):
        at = np.int64(row[DIRECTORY_DIGITS])
        put_number(out, np.int64(0), at, file // row[PER_DIRECTORY])
        out[at] = _SLASH
        at += 1
    digits = np.int64(row[DIGITS])
    put_number(out, at, digits, file)
    at += digits
    for i in range(np.int64(row[EXTENSION_LENGTH])):
        out[at] = np.uint8(extension_byte(row, i))
        at += 1
    out[at] = 0
    return at

"""The table of contents that the kernel knows, which workers read without a lock."""

import errno

import numpy as np
from numpy.typing import NDArray

from dgenfs.kernels import reads, requests
from dgenfs.names.spec import Spec

CAPACITY = 1 << requests.ROW_BITS  # 128 MiB of address space, resident only as far as it was used

_NEXT_FREE = reads.SIZE  # of a free row
_ROW_MASK = CAPACITY - 1
_FILE_MASK = (1 << requests.FILE_BITS) - 1


class Contents:
    """Rows of numbers, one for each name that the kernel knows.

    For one thread, except for the arrays, which workers read: a row is written before the kernel
    learns its inode, and freed when the kernel has forgotten it and so closed every handle on it.

    Attributes:
        rows: uint64[CAPACITY, CONTENT_COLUMNS].
        hints: uint32[HINTS], the row of a name by a hash of its inode; others are found out.
    """

    def __init__(self) -> None:
        """Start with no row."""
        self.rows: NDArray[np.uint64] = np.zeros((CAPACITY, reads.CONTENT_COLUMNS), np.uint64)
        self.hints: NDArray[np.uint32] = np.zeros(requests.HINTS, np.uint32)
        self._used = 0
        self._free = CAPACITY  # head of the list of freed rows; CAPACITY ends it

    def add(self, inode: int, spec: Spec) -> int:
        """Return the row of a new name's content.

        Raises:
            OSError: ENFILE, all rows are taken.
        """
        if self._free < CAPACITY:
            index = self._free
            self._free = int(self.rows[index, _NEXT_FREE])
        elif self._used < CAPACITY:
            index = self._used
            self._used += 1
        else:
            raise OSError(errno.ENFILE, f"{CAPACITY} names are in use, no more are supported")
        layout = spec.layout
        row = self.rows[index]
        row[reads.TAG] = int(row[reads.TAG]) % requests.TAGS + 1
        row[reads.SIZE] = layout.size
        row[reads.KEY] = layout.key
        row[reads.STRIDE] = layout.stride
        row[reads.PERIOD] = layout.period
        row[reads.COMPRESS] = layout.compress_milli
        row[reads.FILES] = layout.files
        row[reads.DIGITS :] = 0
        if spec.tree:
            digits, _, extension = spec.file_name(0).partition(".")
            text = f".{extension}".encode()
            row[reads.DIGITS] = len(digits)
            row[reads.EXTENSION] = int.from_bytes(text[:8], "little")
            row[reads.EXTENSION_LAST] = int.from_bytes(text[8:], "little")
            row[reads.EXTENSION_LENGTH] = len(text)
            row[reads.PER_DIRECTORY] = spec.per_directory or 0
        row[reads.INODE] = inode
        self.refresh(index)
        return index

    def refresh(self, index: int) -> None:
        """Let a row be found by its inode, which another of the same hash may have prevented."""
        self.hints[requests.hint(self.rows[index, reads.INODE])] = index

    def remove(self, index: int) -> None:
        """Free a row."""
        self.rows[index, reads.INODE] = 0
        self.rows[index, _NEXT_FREE] = self._free
        self._free = index

    def handle(self, index: int, file: int) -> int:
        """Return the handle (fh) of file number ``file`` of a row's content."""
        tag = int(self.rows[index, reads.TAG])
        return (tag << requests.ROW_BITS | index) << requests.FILE_BITS | file

    def resolve(self, fh: int) -> tuple[NDArray[np.uint64], int]:
        """Return the row (uint64[CONTENT_COLUMNS]) and the file's number of a handle.

        Raises:
            OSError: EBADF, ``fh`` is no handle of a content that the kernel knows.
        """
        row = self.rows[fh >> requests.FILE_BITS & _ROW_MASK]
        file = fh & _FILE_MASK
        tag = fh >> requests.FILE_BITS + requests.ROW_BITS
        if row[reads.INODE] == 0 or int(row[reads.TAG]) != tag or file >= int(row[reads.FILES]):
            raise OSError(errno.EBADF, f"handle {fh:#x} is not open")
        return row, file

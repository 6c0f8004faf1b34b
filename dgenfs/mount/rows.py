"""The table of names that the kernel knows, which workers read without a lock."""

import errno
from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dgenfs.kernels import ids, lookups
from dgenfs.kernels.row import NAME_ROW_WORDS, SIZE
from dgenfs.names.spec import Spec

CAPACITY = 1 << ids.ROW_BITS  # 128 MiB of address space, resident only as far as it was used

_NEXT_FREE = SIZE  # of a free row
_LOWER_HALF = (1 << 32) - 1


class Rows:
    """Rows of numbers, one for each name that the kernel knows.

    For one thread, except for the arrays, which workers read: a row is written before the kernel
    learns its inode, and removed some time after the kernel has forgotten it. RELEASE of a tree's
    file may be on its way then, and who found such a file by its handle (open_by_handle_at) may
    still have it open, as that keeps the file's inode known, but not the tree's: its next READ is
    refused, and one that is being answered goes on. So a removed row and what it points to stay as
    they are until all requests have ended that workers were busy with.

    Attributes:
        table: uint64[CAPACITY, TABLE_COLUMNS].
        hints: uint32[HINTS], the row of a name by a hash of its inode; a wrong one is noticed.
        requests: returns the kernel's numbers of the requests that workers are busy with.
    """

    def __init__(self) -> None:
        """Start with no row."""
        self.table: NDArray[np.uint64] = np.zeros((CAPACITY, lookups.TABLE_COLUMNS), np.uint64)
        self.hints: NDArray[np.uint32] = np.zeros(ids.HINTS, np.uint32)
        self._pointed_to: dict[int, NDArray[np.uint64]] = {}  # by rows that are not free
        self._removed: deque[tuple[int, frozenset[int]]] = deque()  # rows, who may be reading them
        self.requests: Callable[[], frozenset[int]] = frozenset
        self._used = 0
        self._free = CAPACITY  # head of the list of freed rows; CAPACITY ends it

    def add(self, inode: int, generation: int, spec: Spec) -> int:
        """Return the row of a new name.

        Raises:
            OSError: ENFILE, all rows are taken.
        """
        if self._removed:
            self._free_removed(self.requests())
        if self._free < CAPACITY:
            index = self._free
            self._free = int(self.table[index, _NEXT_FREE])
        elif self._used < CAPACITY:
            index = self._used
            self._used += 1
        else:
            raise OSError(errno.ENFILE, f"{CAPACITY} names are in use, no more are supported")
        row = self.table[index]
        tag = (int(row[lookups.TAG]) & _LOWER_HALF) % ids.TAGS + 1
        row[lookups.TAG] = generation << 32 | tag
        row[:NAME_ROW_WORDS] = spec.row[:NAME_ROW_WORDS]
        self._pointed_to[index] = spec.row
        row[lookups.INODE] = inode
        self.refresh(index)
        return index

    def refresh(self, index: int) -> None:
        """Let a row be found by its inode, which another of the same hash may have prevented."""
        self.hints[lookups.hint(self.table[index, lookups.INODE])] = index

    def remove(self, index: int) -> None:
        """Let no more requests find a row, and free it when those have ended that may have."""
        self.table[index, lookups.INODE] = 0
        busy = self.requests()
        self._removed.append((index, busy))
        self._free_removed(busy)

    def _free_removed(self, busy: frozenset[int]) -> None:
        while self._removed and self._removed[0][1].isdisjoint(busy):
            index, _ = self._removed.popleft()
            del self._pointed_to[index]
            self.table[index, _NEXT_FREE] = self._free
            self._free = index

    def handle(self, index: int, file: int) -> int:
        """Return the handle (fh) of file number ``file`` of a row's content."""
        return int(lookups.handle_of(self.table, index, np.uint64(file)))

    def resolve(self, fh: int) -> tuple[NDArray[np.uint64], int]:
        """Return the row (uint64[ROW_WORDS] and more) and the file's number of a handle.

        The row is not the table's, so it stays good as long as the caller keeps it.

        Raises:
            OSError: EBADF, ``fh`` is not a handle of a content that the kernel knows.
        """
        row, file = lookups.open_by(self.table, np.uint64(fh))
        if row < 0:
            raise OSError(errno.EBADF, f"handle {fh:#x} is not open")
        return self._pointed_to[row], int(file)

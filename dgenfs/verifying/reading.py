"""Reading a copy: around the page cache where that can be, and past what cannot be read."""

import errno
import fcntl
import logging
import mmap
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dgenfs.verifying.comparing import CHUNK
from dgenfs.verifying.findings import Extent, Kind

BLOCK = 4096  # bytes; O_DIRECT's alignment, and the least that an unreadable extent has
# Of read(2): what is wrong with the call, not with the storage, whose errors are many: EIO, EBADMSG
# and ENODATA of media, EILSEQ and EUCLEAN of checksums, ETIMEDOUT, ENOLINK and ESTALE of networks.
OUR_ERRORS = (errno.EBADF, errno.EFAULT, errno.EINVAL)
# Nothing is there any more: in smaller pieces it would be no more readable, at 2,000 calls a chunk.
GONE = (errno.ENODEV, errno.ENOTCONN, errno.ENXIO, errno.ESTALE)

log = logging.getLogger(__name__)


class NotAFileError(ValueError):
    """A path is neither a regular file nor a block device."""


class Caching(Enum):
    """How reads use the page cache."""

    AROUND = auto()  # not at all (O_DIRECT), where that can be
    DIRECT = auto()  # not at all, or there are none
    THROUGH = auto()
    ANEW = auto()  # once what it holds of the file is dropped, as that may be who wrote it


class Buffers(threading.local):
    """Each thread's own memory to read into.

    Attributes:
        data: CHUNK bytes and a block, aligned to pages, as O_DIRECT wants it.
    """

    def __init__(self) -> None:
        """Take the memory, on the thread that first uses it."""
        self.data = mmap.mmap(-1, CHUNK + BLOCK)


class OpenFile:
    """An open file or block device; see places.Source."""

    step = CHUNK

    def __init__(self, descriptor: int, path: Path, buffers: Buffers, caching: Caching) -> None:
        """Read from ``descriptor``, which stays the caller's.

        Raises:
            NotAFileError: it is neither a regular file nor a block device.
            ValueError: it should be ``DIRECT``, and its file system has no O_DIRECT.
        """
        self._opened = os.fstat(descriptor)
        mode = self._opened.st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
            raise NotAFileError(f"{path}: is neither a regular file nor a block device")
        self._descriptor = descriptor
        self._buffers = buffers
        self._first = b""  # the first block, where finding out about O_DIRECT has read it
        self.is_device = stat.S_ISBLK(mode)
        direct = caching in (Caching.AROUND, Caching.DIRECT)
        self.around_cache = direct and self._reads_directly(path)
        if caching is Caching.DIRECT and not self.around_cache:
            raise ValueError(f"{path}: its file system has no O_DIRECT; leave out --direct")
        if caching is Caching.ANEW:
            with suppress(OSError):  # what this host wrote and has not sent yet is not dropped
                os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        if not self.around_cache:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        self.size = os.lseek(descriptor, 0, os.SEEK_END)

    def changed(self) -> bool:
        """Return whether a file changed since it was opened, and take its size anew.

        Whoever writes to it may set its time of modification, and whoever puts another file in its
        place leaves it as it is. The time of the last change of state tells, though it also moves
        with the file's mode, owner and links. One that is gone counts as changed, of the same size.
        """
        if self.is_device:
            return False
        try:
            was, now = self._opened, os.fstat(self._descriptor)
        except OSError as error:  # one of GONE
            log.warning("not known whether it changed: %s", error.strerror)
            return True
        self.size = now.st_size
        times = [(one.st_size, one.st_mtime_ns, one.st_ctime_ns) for one in (was, now)]
        return times[0] != times[1]

    def _reads_directly(self, path: Path) -> bool:
        """Set O_DIRECT (fcntl(2), F_SETFL) and return whether a read takes it."""
        plain = fcntl.fcntl(self._descriptor, fcntl.F_GETFL)
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_SETFL, plain | os.O_DIRECT)
            with mmap.mmap(-1, BLOCK) as block:
                self._first = block[: os.preadv(self._descriptor, [block], 0)]
        except OSError as error:
            if error.errno == errno.EINVAL:
                log.debug("%s: no O_DIRECT here, reading through the page cache", path)
                fcntl.fcntl(self._descriptor, fcntl.F_SETFL, plain)
                return False
            # An unreadable first block is damage, found when it is compared.
        return True

    def read(self, start: int, length: int) -> Iterator[tuple[int, NDArray[np.uint8] | Extent]]:
        """Yield pieces of [start, start + length): where, and their bytes or why there are none.

        Each piece overwrites the one before.

        Args:
            start: bytes.
            length: bytes, at most CHUNK.

        Raises:
            OSError: one of OUR_ERRORS.
        """
        buffer = self._buffers.data
        head = start % BLOCK  # O_DIRECT begins with a whole block
        pieces = [(start - head, head + length)]
        while pieces:
            at, wanted = pieces.pop()
            head = max(0, start - at)
            try:
                got = self._read_into(buffer, at, wanted)
            except OSError as error:
                if error.errno in OUR_ERRORS:
                    raise
                if wanted <= BLOCK or error.errno in GONE:
                    log.warning("offset %d, %d bytes: %s", at, wanted, error.strerror)
                    end = at + wanted
                    yield at + head, Extent(at + head, end, Kind.UNREADABLE, wanted - head)
                else:
                    half = (wanted // 2 + BLOCK - 1) & -BLOCK
                    pieces += [(at + half, wanted - half), (at, half)]
                continue
            if got > head:
                yield at + head, np.frombuffer(buffer, np.uint8, got - head, head)
            if got < wanted:
                # The file became shorter while it was read.
                end = at + max(head, got)
                yield end, Extent(end, at + wanted, Kind.MISSING, at + wanted - end)

    def _read_into(self, buffer: mmap.mmap, at: int, wanted: int) -> int:
        got = 0
        if at == 0:
            got = len(self._first)
            buffer[:got] = self._first
            if 0 < got < BLOCK:
                return min(got, wanted)
        while got < wanted:
            # A whole block past the end: O_DIRECT takes no odd length.
            end = -(-wanted // BLOCK) * BLOCK if self.around_cache else wanted
            with memoryview(buffer) as view, view[got:end] as rest:
                count = os.preadv(self._descriptor, [rest], at + got)
            if count == 0:
                break
            got += count
            if self.around_cache and got % BLOCK:
                break
        return min(got, wanted)


@contextmanager
def opened(path: Path, buffers: Buffers, caching: Caching) -> Iterator[OpenFile]:
    """Open a file or block device for reading.

    Args:
        path: where it is.
        buffers: to read into.
        caching: how reads use the page cache.

    Raises:
        NotAFileError, ValueError: as ``OpenFile`` does.
        OSError: it cannot be opened.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO must not keep us waiting
    descriptor = os.open(path, flags)
    try:
        yield OpenFile(descriptor, path, buffers, caching)
    finally:
        try:
            os.close(descriptor)
        except OSError as error:
            # As rclone, whose checksum is not of what it gave; what was compared counts.
            log.warning("%s: cannot be closed: %s", path, error.strerror)

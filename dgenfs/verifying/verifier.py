"""Verification: what is wrong in a copy, where, and where the wrong bytes belong."""

import errno
import fcntl
import logging
import mmap
import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dgenfs.content.layout import SECTOR, Layout
from dgenfs.kernels import damage
from dgenfs.kernels.compare import compare
from dgenfs.machine import topology
from dgenfs.machine.threads import in_order
from dgenfs.names.spec import Spec
from dgenfs.verifying.reports import Extent, FileReport, Kind, TreeReport, Unreadable

CHUNK = 4 << 20  # bytes of one read
MIN_THREADS = 4  # reads in flight on a machine of fewer CPUs, to keep a device's queue filled
BLOCK = 4096  # bytes; O_DIRECT's alignment, and the least that an unreadable extent has
# Of read(2): what is wrong with the call, not with the storage, whose errors are many: EIO, EBADMSG
# and ENODATA of media, EILSEQ and EUCLEAN of checksums, ETIMEDOUT, ENOLINK and ESTALE of networks.
OUR_ERRORS = (errno.EBADF, errno.EFAULT, errno.EINVAL)
# Nothing is there any more: in smaller pieces it would be no more readable, at 2,000 calls a chunk.
GONE = (errno.ENODEV, errno.ENOTCONN, errno.ENXIO, errno.ESTALE)

log = logging.getLogger(__name__)

Progress = Callable[[int], None]


_KINDS = {
    damage.ZEROS: Kind.ZEROS,
    damage.MISPLACED: Kind.MISPLACED,
    damage.OTHER_SEED: Kind.OTHER_SEED,
    damage.BIT_FLIPS: Kind.BIT_FLIPS,
    damage.UNKNOWN: Kind.UNKNOWN,
}


class NotAFileError(ValueError):
    """A path is neither a regular file nor a block device."""


class Verifier:
    """Compares files with what their names say.

    One verifier keeps its threads and buffers for all files given to it; close it when done, or
    use it as a context manager. For one caller at a time.
    """

    def __init__(
        self, *, seeds: Sequence[int] = (), direct: bool = False, threads: int | None = None
    ) -> None:
        """Start the reading threads.

        Args:
            seeds: other seeds whose content to recognize.
            direct: refuse to read through the page cache instead of doing so where a file cannot
                be read around it.
            threads: reads in flight, None for one a CPU and at least MIN_THREADS.
        """
        self._seeds = tuple(seeds)
        self._direct = direct
        self._threads = threads or max(MIN_THREADS, len(topology.detect().cpus))
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="dgenfs-verify")
        self._buffers = threading.local()

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> "Verifier":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def verify_file(
        self, path: Path, spec: Spec, file: int = 0, progress: Progress | None = None
    ) -> FileReport:
        """Compare one file, or the start of a block device, with what it should hold.

        Args:
            path: a regular file or a block device.
            spec: what it should hold.
            file: number of the file in a tree.
            progress: called with the number of bytes compared since the last call.

        Raises:
            NotAFileError: ``path`` is neither.
            ValueError: it cannot be read around the page cache and must be.
            OSError: it cannot be opened; what cannot be read of it is damage.
        """
        with _open(path, direct=self._direct) as (descriptor, around_cache):
            device = stat.S_ISBLK(os.fstat(descriptor).st_mode)
            size = os.lseek(descriptor, 0, os.SEEK_END)
            report = FileReport(path, spec.name, file, spec.size, size)
            log.debug("%s: %d bytes as %s, O_DIRECT %s", path, size, spec.name, around_cache)
            comparison = _Comparison(
                descriptor, spec.layout, file, self._seeds, around_cache, self._buffers
            )
            compared = min(size, spec.size)
            chunks = ((at, min(CHUNK, compared - at)) for at in range(0, compared, CHUNK))
            found: Iterator[tuple[int, int, list[Extent]]]
            if compared <= CHUNK:
                # Another thread would cost a small file more than it saves.
                found = map(comparison.chunk, chunks)
            else:
                found = in_order(self._pool, 2 * self._threads, comparison.chunk, chunks)
            for length, wrong_sectors, extents in found:
                report.wrong_sectors += wrong_sectors
                for extent in extents:
                    report.add(extent)
                if progress is not None:
                    progress(length)
        if size < spec.size:
            report.add(Extent(size, spec.size, Kind.MISSING, spec.size - size))
        if size > spec.size and not device:
            report.add(Extent(spec.size, size, Kind.EXCESS, size - spec.size))
        return report

    def verify_tree(self, path: Path, spec: Spec, progress: Progress | None = None) -> TreeReport:
        """Compare a directory with the tree it should hold.

        Files and directories in it that cannot be opened are in the report, and hide no others.

        Args:
            path: the tree's directory, whatever it is called.
            spec: a tree's.
            progress: called with the number of bytes compared since the last call.

        Raises:
            NotADirectoryError: ``path`` is not a directory.
            OSError: it cannot be reached.
        """
        if not is_directory(path):
            raise NotADirectoryError(f"{path}: is not a directory, and {spec.name} is a tree")
        report = TreeReport(path, spec.name, spec.files)
        for file, found in enumerate(self._files(path, spec, progress)):
            if found is None:
                report.add_missing(spec.path(file))
            elif isinstance(found, Unreadable):
                report.add_unreadable(found)
            else:
                report.add_file(found)
        for other in _others(path, spec):
            if isinstance(other, Unreadable):
                report.add_unreadable(other)
            else:
                report.add_unexpected(other)
        return report

    def _files(
        self, path: Path, spec: Spec, progress: Progress | None
    ) -> Iterator[FileReport | Unreadable | None]:
        """Yield the report of each file of a tree in order, None for one that is not there."""

        def verify(file: int) -> FileReport | Unreadable | None:
            inner = progress if spec.size > CHUNK else None
            inside = spec.path(file)
            try:
                return self.verify_file(path / inside, spec, file, inner)
            except (FileNotFoundError, NotADirectoryError, NotAFileError):
                return None
            except (OSError, ValueError) as error:
                return Unreadable(inside, _reason(error))

        files = range(spec.files)
        if spec.size > CHUNK:
            # The threads share the chunks of one file.
            yield from map(verify, files)
            return
        for found in in_order(self._pool, 2 * self._threads, verify, files):
            if progress is not None:
                progress(spec.size)
            yield found


class _Comparison:
    """One open file and the content it should have; used by several threads."""

    def __init__(
        self,
        descriptor: int,
        layout: Layout,
        file: int,
        seeds: Sequence[int],
        around_cache: bool,
        buffers: threading.local,
    ) -> None:
        self._descriptor = descriptor
        self._layout = layout
        self._file = file
        self._seeds = seeds
        self._around_cache = around_cache
        self._buffers = buffers
        keys = [layout.key, *(layout.key_of_seed(seed) for seed in seeds)]
        self._keys = np.array(keys, np.uint64)
        self._base = layout.file_offset(file)

    def chunk(self, extent: tuple[int, int]) -> tuple[int, int, list[Extent]]:
        """Return the length, the wrong sectors and the damage of the bytes at (offset, length)."""
        start, length = extent
        wrong_sectors = 0
        extents: list[Extent] = []
        for at, found in self._read(start, length):
            if isinstance(found, int):
                extents.append(Extent(at, at + found, Kind.UNREADABLE, found))
                continue
            offset = np.uint64((self._base + at) % self._layout.period)
            period = np.uint64(self._layout.period)
            c_milli = np.uint64(self._layout.compress_milli)
            first, _, wrong = compare(found, offset, self._keys[0], period, c_milli)
            if first < 0:
                continue
            wrong_sectors += int(wrong)
            rows = np.empty((found.size // SECTOR + 2, damage.COLUMNS), np.int64)
            count = damage.find_damage(found, offset, self._keys, period, c_milli, rows)
            extents.extend(self._extent(at, row) for row in rows[:count].tolist())
        return length, wrong_sectors, extents

    def _extent(self, at: int, row: list[int]) -> Extent:
        kind = _KINDS[row[damage.KIND]]
        extent = Extent(
            at + row[damage.START],
            at + row[damage.END],
            kind,
            row[damage.WRONG_BYTES],
            row[damage.WRONG_BITS],
        )
        if kind not in (Kind.MISPLACED, Kind.OTHER_SEED):
            return extent
        shift = row[damage.SHIFT] % (1 << 64)  # a uint64 in an int64's bits
        belongs_in, belongs_at = self._belongs(extent.start, shift)
        seed = self._seeds[row[damage.KEY] - 1] if kind is Kind.OTHER_SEED else None
        return replace(extent, belongs_in=belongs_in, belongs_at=belongs_at, seed=seed)

    def _belongs(self, start: int, shift: int) -> tuple[int | None, int | None]:
        """Return the file and the offset nearest to ``start`` whose content is ``shift`` ahead."""
        layout = self._layout
        here = self._file * layout.stride + start
        nearest = sorted((shift + k * layout.period for k in range(-2, 2)), key=abs)
        for distance in nearest:
            file, offset = divmod(here + distance, layout.stride)
            if 0 <= file < layout.files and offset < layout.size:
                return file, offset
        return None, None

    def _read(self, start: int, length: int) -> Iterator[tuple[int, NDArray[np.uint8] | int]]:
        """Yield pieces of [start, start + length): their bytes, or their length if unreadable."""
        buffer = getattr(self._buffers, "buffer", None)
        if buffer is None:
            # Anonymous memory is aligned to pages, as O_DIRECT wants it.
            buffer = self._buffers.buffer = mmap.mmap(-1, CHUNK)
        pieces = [(start, length)]
        while pieces:
            at, wanted = pieces.pop()
            try:
                got = self._read_into(buffer, at, wanted)
            except OSError as error:
                if error.errno in OUR_ERRORS:
                    raise
                if wanted <= BLOCK or error.errno in GONE:
                    log.warning("offset %d, %d bytes: %s", at, wanted, error.strerror)
                    yield at, wanted
                else:
                    half = (wanted // 2 + BLOCK - 1) & -BLOCK
                    pieces += [(at + half, wanted - half), (at, half)]
                continue
            if got:
                yield at, np.frombuffer(buffer, np.uint8, got)
            if got < wanted:
                # The file became shorter while it was read.
                yield at + got, wanted - got

    def _read_into(self, buffer: mmap.mmap, at: int, wanted: int) -> int:
        got = 0
        while got < wanted:
            # A whole block past the end: O_DIRECT takes no odd length.
            end = -(-wanted // BLOCK) * BLOCK if self._around_cache else wanted
            with memoryview(buffer) as view, view[got:end] as rest:
                count = os.preadv(self._descriptor, [rest], at + got)
            if count == 0:
                break
            got += count
            if self._around_cache and got % BLOCK:
                break
        return min(got, wanted)


@contextmanager
def _open(path: Path, *, direct: bool) -> Iterator[tuple[int, bool]]:
    """Open a file for reading; yield its descriptor and whether it goes around the page cache."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO must not keep us waiting
    descriptor = os.open(path, flags)
    try:
        mode = os.fstat(descriptor).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
            raise NotAFileError(f"{path}: is neither a regular file nor a block device")
        around_cache = _reads_directly(descriptor, path)
        if direct and not around_cache:
            raise ValueError(f"{path}: its file system has no O_DIRECT; leave out --direct")
        if not around_cache:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        yield descriptor, around_cache
    finally:
        os.close(descriptor)


def _reads_directly(descriptor: int, path: Path) -> bool:
    """Set O_DIRECT (fcntl(2), F_SETFL) and return whether a read takes it."""
    plain = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, plain | os.O_DIRECT)
        with mmap.mmap(-1, BLOCK) as block:
            os.preadv(descriptor, [block], 0)
    except OSError as error:
        if error.errno == errno.EINVAL:
            log.debug("%s: no O_DIRECT here, reading through the page cache", path)
            fcntl.fcntl(descriptor, fcntl.F_SETFL, plain)
            return False
        # An unreadable first block is damage, found when it is compared.
    return True


def is_directory(path: Path) -> bool:
    """Return whether ``path`` is a directory; OSError if that cannot be told.

    Path.is_dir takes some errors of storage for "no", others not, depending on Python's version.
    """
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _others(path: Path, spec: Spec, directory: str = "") -> Iterator[str | Unreadable]:
    """Yield the paths within the tree at ``path`` that are not its own, and unreadable directories.

    Args:
        path: the tree's directory.
        spec: the tree's.
        directory: which of its directories, ``""`` for the tree itself.
    """
    try:
        names = [entry.name for entry in (path / directory).iterdir()]
    except OSError as error:
        no_directory = isinstance(error, FileNotFoundError | NotADirectoryError)
        other = directory and no_directory
        yield directory if other else Unreadable(directory or ".", _reason(error))
        return
    for name in names:
        if not directory and spec.directory_index(name) is not None:
            yield from _others(path, spec, name)
        elif spec.index(inside := f"{directory}/{name}" if directory else name) is None:
            yield inside


def _reason(error: OSError | ValueError) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)

"""Generated content written out: to a file, a directory of files, or a pipe."""

import errno
import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from dgenfs.content.view import View
from dgenfs.kernels.trees import make_files
from dgenfs.machine import topology
from dgenfs.machine.system_calls import sync_file_system
from dgenfs.machine.threads import in_order
from dgenfs.names.spec import Spec

CHUNK = 8 << 20  # bytes of one write
NEW = os.O_CREAT | os.O_EXCL
NO_LINKS = (
    errno.EPERM,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
)  # from link(2), on file systems without links

Progress = Callable[[int], None]
Item = TypeVar("Item")


class _Chunk(NamedTuple):
    """One write.

    Attributes:
        path: the file.
        source: the bytes, at most CHUNK.
        at: where in the file they go.
        flags: NEW for the only chunk of a file that is to be made. All others must find theirs: one
            that was removed meanwhile would come back with a hole.
    """

    path: Path
    source: View
    at: int
    flags: int = 0


def write_stream(source: View, descriptor: int, progress: Progress) -> None:
    """Write to a pipe, a terminal or whatever else takes bytes in order only.

    Args:
        source: what to write.
        descriptor: open for writing.
        progress: called with the number of bytes written since the last call.

    Raises:
        OSError: the reader went away, or the device is full.
    """
    buffer = np.empty(min(CHUNK, source.size), np.uint8)
    for start in range(0, source.size, CHUNK):
        part = buffer[: source.size - start]
        source.read_into(part, start)
        chunk = part.data
        while chunk:
            written = os.write(descriptor, chunk)
            progress(written)
            chunk = chunk[written:]


def write_file(source: View, path: Path, progress: Progress, *, force: bool = False) -> None:
    """Write to a file, which appears under its name only when it is whole and on the disk.

    A block device is written in place; a FIFO or a character device gets a stream.

    Args:
        source: what to write.
        path: the file; its directory must exist.
        progress: called with the number of bytes written since the last call.
        force: write over a file that is there, or a block device. Links are followed; the new file
            has the permissions of the old one.

    Raises:
        FileExistsError: ``path`` is there, or was made while its content was written, and ``force``
            is not given; or it is nothing that can be written over.
        OSError: the file cannot be written; nothing is left of it.
    """
    try:
        there = path.stat()
    except FileNotFoundError:
        there = None
    if there is not None and (stat.S_ISFIFO(there.st_mode) or stat.S_ISCHR(there.st_mode)):
        with _opened(path) as descriptor:
            write_stream(source, descriptor, progress)
    elif not force and os.path.lexists(path):
        raise FileExistsError(f"{path}: is there already; --force writes over it")
    elif there is not None and stat.S_ISBLK(there.st_mode):
        with _opened(path) as descriptor:
            _write(_chunks(source, path), progress)
            os.fsync(descriptor)
    elif there is not None and not stat.S_ISREG(there.st_mode):
        raise FileExistsError(f"{path}: is no file or device that can be written over")
    else:
        # What is written over is the file, not the link to it.
        path = Path(os.path.realpath(path, strict=there is not None)) if force else path
        part = _part(path)
        with _opened(part, NEW) as descriptor:
            try:
                _write(_chunks(source, part), progress)
                if there is not None:
                    _take_over(descriptor, there)
                os.fsync(descriptor)
                if force:
                    part.replace(path)
                else:
                    _publish(part, path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise


def write_tree(spec: Spec, path: Path, progress: Progress) -> None:
    """Write a tree to a directory, which appears under its name when it is whole and on the disk.

    Args:
        spec: a tree's.
        path: the directory; the one that holds it must exist.
        progress: called with the number of bytes written since the last call.

    Raises:
        FileExistsError: ``path`` is there, or was made while the tree was written.
        OSError: a file cannot be written; nothing is left of the tree.
    """
    there = f"{path}: is there already; remove it or give another path"
    if os.path.lexists(path):
        raise FileExistsError(there)
    part = _part(path)
    part.mkdir()
    try:
        with _opened(part, os.O_DIRECTORY, os.O_RDONLY) as descriptor:
            for directory in range(spec.directories):
                (part / spec.directory_name(directory)).mkdir()
            if spec.size <= CHUNK and spec.is_plain:
                _make_files(spec, descriptor, part, progress)
            else:
                _write(_tree_chunks(spec, part), progress)
            sync_file_system(descriptor, part)
        try:
            part.rename(path)
        except OSError as error:
            if os.path.lexists(path):
                raise FileExistsError(there) from error
            raise
    except BaseException:
        with suppress(FileNotFoundError):
            shutil.rmtree(part)
        raise


@contextmanager
def _opened(path: Path, flags: int = 0, access: int = os.O_WRONLY) -> Iterator[int]:
    descriptor = os.open(path, access | flags | os.O_CLOEXEC, 0o666)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _publish(part: Path, path: Path) -> None:
    """Give a whole file its name; FileExistsError if that was taken meanwhile."""
    taken = f"{path}: was made while its content was written; --force writes over it"
    try:
        os.link(part, path)
    except FileExistsError as error:
        raise FileExistsError(taken) from error
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if os.path.lexists(path):
            raise FileExistsError(taken) from error
        part.replace(path)
    else:
        part.unlink()


def _take_over(descriptor: int, there: os.stat_result) -> None:
    """Give a new file the owner, where that is allowed, and the permissions of the one there."""
    with suppress(PermissionError):
        os.fchown(descriptor, there.st_uid, there.st_gid)
    os.fchmod(descriptor, there.st_mode & 0o777)


def _part(path: Path) -> Path:
    part = path.with_name(f"{path.name}.part")
    if os.path.lexists(part):
        raise FileExistsError(f"{part}: is left from an earlier run; remove it")
    return part


def _tree_chunks(spec: Spec, path: Path) -> Iterator[_Chunk]:
    """Yield the chunks of a tree's files, which are not there."""
    for file in range(spec.files):
        inside = path / spec.path(file)
        source = spec.view(file)
        if source.size <= CHUNK:
            # The thread that writes it makes it too: a file more to open takes a small one's time.
            yield _Chunk(inside, source, 0, NEW)
        else:
            with _opened(inside, NEW):
                pass
            yield from _chunks(source, inside)


def _make_files(spec: Spec, folder: int, path: Path, progress: Progress) -> None:
    """Make all files of a tree, each in one write.

    Args:
        spec: the tree's.
        folder: descriptor of its directory.
        path: that directory's, for the error.
        progress: called with the number of bytes written since the last call.
    """

    def make(files: range, buffer: NDArray[np.uint8]) -> int:
        made, error = make_files(folder, np.uint64(files.start), len(files), buffer, spec.row)
        if error:
            raise OSError(error, os.strerror(error), str(path / spec.path(files[made])))
        return len(files) * spec.size

    _on_threads(make, spec.batches(CHUNK), progress)


def _chunks(source: View, path: Path) -> Iterator[_Chunk]:
    """Yield the chunks of a file that is there."""
    for start in range(0, max(1, source.size), CHUNK):
        yield _Chunk(path, source.part(start, min(CHUNK, source.size - start)), start)


def _write(chunks: Iterator[_Chunk], progress: Progress) -> None:
    def write(chunk: _Chunk, buffer: NDArray[np.uint8]) -> int:
        path, source, at, flags = chunk
        data = buffer[: source.size]
        source.read_into(data, 0)
        rest = data.data
        with _opened(path, flags) as descriptor:
            while rest:
                written = os.pwrite(descriptor, rest, at)
                rest = rest[written:]
                at += written
        return source.size

    _on_threads(write, chunks, progress)


def _on_threads(
    write: Callable[[Item, NDArray[np.uint8]], int], items: Iterable[Item], progress: Progress
) -> None:
    """Call ``write`` with each item on a thread a CPU; it returns the bytes that it wrote.

    Args:
        write: called with an item and its thread's own buffer, uint8[CHUNK].
        items: taken one by one.
        progress: called with the number of bytes written since the last call.
    """
    own = threading.local()

    def with_buffer(item: Item) -> int:
        if not hasattr(own, "buffer"):
            own.buffer = np.empty(CHUNK, np.uint8)
        return write(item, own.buffer)

    threads = len(topology.detect().cpus)
    with ThreadPoolExecutor(threads, thread_name_prefix="dgenfs-write") as pool:
        for length in in_order(pool, 2 * threads, with_buffer, items):
            progress(length)

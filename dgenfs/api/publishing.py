"""Generated content written out: to a file, a directory of files, or a pipe."""

import errno
import functools
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from dgenfs.api.parts import DIRECTORY, NEW, Part, naming, opened
from dgenfs.content.view import View
from dgenfs.kernels.digests import Patience, until
from dgenfs.kernels.trees import make_files
from dgenfs.machine import topology
from dgenfs.machine.file_users import storage_user
from dgenfs.machine.gate import CLOSED, FORKS, Gate, wait_until_left
from dgenfs.machine.threads import in_order
from dgenfs.names.data_set import ProfileDirectory
from dgenfs.names.file_set import ProfileFile
from dgenfs.names.spec import Spec

CHUNK = 8 << 20  # bytes of one write

Progress = Callable[[int], None]
Item = TypeVar("Item")


class _Chunk(NamedTuple):
    """One write.

    Attributes:
        opened: opens the file for it. Only the first write to a file of a tree makes it: one that
            was removed meanwhile would come back with a hole.
        path: the file's, for errors.
        source: the bytes, at most CHUNK.
        at: where in the file they go.
    """

    opened: Callable[[], AbstractContextManager[int]]
    path: Path
    source: View
    at: int


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
        source.compute_digests(start, part.size)
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
        with naming(path), _device(path, there) as descriptor:
            write_stream(source, descriptor, progress)
        return
    if there is not None and stat.S_ISDIR(there.st_mode):
        raise FileExistsError(
            f"{path}: is a directory, no file or device that can be written over; remove it or "
            "give another path"
        )
    if not force and os.path.lexists(path):
        raise FileExistsError(f"{path}: is there already; --force writes over it")
    if there is not None:
        if not (stat.S_ISBLK(there.st_mode) or stat.S_ISREG(there.st_mode)):
            raise FileExistsError(f"{path}: is no file or device that can be written over")
        if user := storage_user(there):
            raise OSError(errno.EBUSY, f"is in use: {user} stores its blocks there", str(path))
        if stat.S_ISBLK(there.st_mode):
            _write_device(source, path, there, progress)
            return
    # What is written over is the file, not the link to it.
    target = Path(os.path.realpath(path, strict=there is not None)) if force else path
    with Part(target) as part:
        _write(_chunks(source, part.path, part.descriptor), progress)
        part.publish(over=force, like=there)


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
    _require_free(path)
    with Part(path, tree=True) as part:
        for directory in range(spec.directories):
            name = spec.directory_name(directory)
            with naming(part.path / name):
                os.mkdir(name, dir_fd=part.descriptor)
        if spec.size <= CHUNK and spec.is_compiled:
            _make_files(spec, part, progress)
        else:
            _write(_tree_chunks(spec, part), progress)
        if spec.per_directory is None:
            _require_all(spec.files, (".",), part)
        else:
            _require_all(spec.files, map(spec.directory_name, range(spec.directories)), part)
        part.publish()


def write_data_set(data_set: ProfileDirectory, path: Path, progress: Progress) -> None:
    """Write a data set to a directory, which appears under its name as a tree does.

    Args:
        data_set: its top, or a directory in it.
        path: the directory; the one that holds it must exist.
        progress: called with the number of bytes written since the last call.

    Raises:
        FileExistsError: ``path`` is there, or was made while the data set was written.
        OSError: a file cannot be written; nothing is left of the data set.
    """
    _require_free(path)
    with Part(path, tree=True) as part:
        _write(_data_set_chunks(data_set, part), progress)
        folders = [data_set, *data_set.below()]
        names = (data_set.path_of(folder) or "." for folder in folders)
        _require_all(sum(folder.count for folder in folders), names, part)
        part.publish()


def _require_free(path: Path) -> None:
    if os.path.lexists(path):
        raise FileExistsError(f"{path}: is there already; remove it or give another path")


@contextmanager
def _device(path: Path, there: os.stat_result, flags: int = 0) -> Iterator[int]:
    """Yield a descriptor of what was found ``there``, to write."""
    with opened(path, os.O_WRONLY | flags) as descriptor:
        if not os.path.samestat(os.fstat(descriptor), there):
            raise FileExistsError(f"{path}: was replaced by another file just now")
        yield descriptor


def _write_device(source: View, path: Path, there: os.stat_result, progress: Progress) -> None:
    """Write to the start of a block device that nothing uses and that has room for all."""
    try:
        with naming(path), _device(path, there, os.O_EXCL) as descriptor:
            size = os.lseek(descriptor, 0, os.SEEK_END)
            if size < source.size:
                holds = f"holds {size} bytes, and the content has {source.size}"
                raise OSError(errno.ENOSPC, holds)
            _write(_chunks(source, path, descriptor), progress)
            os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        used = "is in use: mounted, swapped to, or a part of another device"
        raise OSError(errno.EBUSY, used, str(path)) from error


def _tree_chunks(spec: Spec, part: Part) -> Iterator[_Chunk]:
    """Yield the chunks of a tree's files, which are not there."""
    for file in range(spec.files):
        yield from _new_file(spec.path(file), spec.view(file), part)


def _data_set_chunks(data_set: ProfileDirectory, part: Part) -> Iterator[_Chunk]:
    """Yield the chunks of a data set's files, once the directories that hold them are made."""
    for node in data_set.walk():
        name = data_set.path_of(node)
        if isinstance(node, ProfileFile):
            yield from _new_file(name, node.view(), part)
        else:
            with naming(part.path / name):
                os.mkdir(name, dir_fd=part.descriptor)


def _new_file(name: str, source: View, part: Part) -> Iterator[_Chunk]:
    """Yield the chunks of a file that is not there."""
    path = part.path / name
    make = functools.partial(opened, name, NEW, part.descriptor)
    if source.size <= CHUNK:
        # The thread that writes it makes it too: a file more to open takes a small one's time.
        yield _Chunk(make, path, source, 0)
    else:
        with naming(path), make():
            pass
        again = functools.partial(opened, name, os.O_WRONLY | os.O_NOFOLLOW, part.descriptor)
        yield from _chunks(source, path, again)


def _make_files(spec: Spec, part: Part, progress: Progress) -> None:
    """Make all files of a tree, each in one write."""

    def make(files: range, buffer: NDArray[np.uint8], _: Patience) -> int:
        first = np.uint64(files.start)
        made, error = make_files(part.descriptor, first, len(files), buffer, spec.row)
        if error:
            raise OSError(error, os.strerror(error), str(part.path / spec.path(files[made])))
        return len(files) * spec.size

    _on_threads(make, spec.batches(CHUNK), progress)


def _require_all(made: int, directories: Iterable[str], part: Part) -> None:
    """Raise FileNotFoundError if of what was made in directories some is not there any more."""
    found = 0
    for name in directories:
        with (
            naming(part.path / name),
            opened(name, DIRECTORY, part.descriptor) as descriptor,
            os.scandir(descriptor) as entries,
        ):
            found += sum(1 for _ in entries)
    if found != made:
        said = f"{found} files are there, where {made} were made"
        raise FileNotFoundError(errno.ENOENT, said, str(part.path))


def _chunks(
    source: View, path: Path, file: int | Callable[[], AbstractContextManager[int]]
) -> Iterator[_Chunk]:
    """Yield the chunks of a file that is there, by its descriptor or by what opens it."""
    opener = (lambda: nullcontext(file)) if isinstance(file, int) else file
    for start in range(0, max(1, source.size), CHUNK):
        yield _Chunk(opener, path, source.part(start, min(CHUNK, source.size - start)), start)


def _write(chunks: Iterator[_Chunk], progress: Progress) -> None:
    def write(chunk: _Chunk, buffer: NDArray[np.uint8], patience: Patience) -> int:
        data = buffer[: chunk.source.size]
        chunk.source.read_into(data, 0, patience)
        rest, at = data.data, chunk.at
        with naming(chunk.path), chunk.opened() as descriptor:
            while rest:
                written = os.pwrite(descriptor, rest, at)
                rest = rest[written:]
                at += written
        return chunk.source.size

    _on_threads(write, chunks, progress)


def _on_threads(
    write: Callable[[Item, NDArray[np.uint8], Patience], int],
    items: Iterable[Item],
    progress: Progress,
) -> None:
    """Call ``write`` with each item on a thread a CPU; it returns the bytes that it wrote.

    Nothing is written any more once this has returned or raised, whatever raised.

    Args:
        write: called with an item, its thread's own buffer, uint8[CHUNK], and a patience that ends
            once nothing is to be written any more.
        items: taken one by one.
        progress: called with the number of bytes written since the last call.
    """
    own = threading.local()
    gate = Gate()
    patience = until(gate.words[CLOSED:])

    def close() -> None:
        gate.words[CLOSED] = 1

    def with_buffer(item: Item) -> int:
        if not gate.enter():
            return 0
        try:
            if not hasattr(own, "buffer"):
                own.buffer = np.empty(CHUNK, np.uint8)
            return write(item, own.buffer, patience)
        finally:
            gate.leave()

    threads = len(topology.detect().cpus)
    with ThreadPoolExecutor(threads, thread_name_prefix="dgenfs-write") as pool:
        results = in_order(pool, 2 * threads, with_buffer, items, close)
        try:
            for length in results:
                progress(length)
        finally:
            gate.words[CLOSED] = 1
            if gate.forks == FORKS[0]:
                wait_until_left(gate.address)

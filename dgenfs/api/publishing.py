"""Generated content written out: to a file, a directory of files, or a pipe."""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dgenfs.api.chunks import CHUNK, Chunk, Progress, chunks_of, new_file, on_threads, write_chunks
from dgenfs.api.parts import DIRECTORY, Part, naming, opened
from dgenfs.content.view import View
from dgenfs.kernels.digests import Patience
from dgenfs.kernels.trees import make_files
from dgenfs.machine.file_users import storage_user
from dgenfs.names.data_set import ProfileDirectory
from dgenfs.names.file_set import ProfileFile
from dgenfs.names.spec import Spec


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
        write_chunks(chunks_of(source, part.path, part.descriptor), progress)
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
            write_chunks(_tree_chunks(spec, part), progress)
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
        write_chunks(_data_set_chunks(data_set, part), progress)
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
            write_chunks(chunks_of(source, path, descriptor), progress)
            os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        used = "is in use: mounted, swapped to, or a part of another device"
        raise OSError(errno.EBUSY, used, str(path)) from error


def _tree_chunks(spec: Spec, part: Part) -> Iterator[Chunk]:
    """Yield the chunks of a tree's files, which are not there."""
    for file in range(spec.files):
        yield from new_file(spec.path(file), spec.view(file), part.path, part.descriptor)


def _data_set_chunks(data_set: ProfileDirectory, part: Part) -> Iterator[Chunk]:
    """Yield the chunks of a data set's files, once the directories that hold them are made."""
    for node in data_set.walk():
        name = data_set.path_of(node)
        if isinstance(node, ProfileFile):
            yield from new_file(name, node.view(), part.path, part.descriptor)
        else:
            with naming(part.path / name):
                os.mkdir(name, dir_fd=part.descriptor)


def _make_files(spec: Spec, part: Part, progress: Progress) -> None:
    """Make all files of a tree, each in one write."""

    def make(files: range, buffer: NDArray[np.uint8], _: Patience) -> int:
        first = np.uint64(files.start)
        made, error = make_files(part.descriptor, first, len(files), buffer, spec.row)
        if error:
            raise OSError(error, os.strerror(error), str(part.path / spec.path(files[made])))
        return len(files) * spec.size

    on_threads(make, spec.batches(CHUNK), progress)


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

"""Parts of content written in place, beside what other hosts write to the same directory or file.

What is there of a part that was stopped half-way may be of any state: who goes on compares it.
"""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from dgenfs.api.chunks import Chunk, Progress, chunks_of, new_file, write_chunks
from dgenfs.api.parts import DIRECTORY, naming, opened
from dgenfs.content.view import View
from dgenfs.machine.system_calls import sync_file_system
from dgenfs.names.catalog import Member

LOOKED_AT = 1 << 20  # bytes at both ends of a range, where a file system does not tell of holes


def write_members(
    folder: Path, members: Iterable[Member], progress: Progress, *, over: bool = False
) -> None:
    """Write files to a directory, each as it is written; the directory is on the disk afterwards.

    Args:
        folder: is made if it is not there, as are directories in it; what holds it must exist.
        members: paths in it, and what to write.
        progress: called with the number of bytes written since the last call.
        over: replace files that are there.

    Raises:
        FileExistsError: a file is there, and ``over`` is not given.
        NotADirectoryError: a link, or a file, stands where a directory should.
        OSError: a file cannot be written; those that are whole stay.
    """
    with suppress(FileExistsError):
        folder.mkdir()
    with opened(folder, DIRECTORY) as descriptor:  # whose error names it
        write_chunks(_chunks(folder, descriptor, members, over=over), progress)
        sync_file_system(descriptor, folder)


def make_directories(folder: Path, names: Iterable[str]) -> None:
    """Make directories below one, which are those that no file's path tells of."""
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)


def _chunks(
    folder: Path, descriptor: int, members: Iterable[Member], *, over: bool
) -> Iterator[Chunk]:
    made = ""
    for inside, file in members:
        above = inside.rpartition("/")[0]
        if above != made:
            make_directories(folder, [above])
            _require_own(folder, descriptor, above)
            made = above
        there = os.path.lexists(folder / inside)
        if there and not over:
            rule = "is there already; --resume goes on, and leaves what is right"
            raise FileExistsError(f"{folder / inside}: {rule}")
        if there:
            # A link's target, or another name of the file, is somebody else's.
            with naming(folder / inside):
                os.unlink(inside, dir_fd=descriptor)
        yield from new_file(inside, file.view(), folder, descriptor)


def _require_own(folder: Path, descriptor: int, inside: str) -> None:
    """Raise NotADirectoryError if a link stands where a directory should: it leads elsewhere."""
    with naming(folder / inside), ExitStack() as above:
        for part in Path(inside).parts:
            descriptor = above.enter_context(opened(part, DIRECTORY, descriptor))


def write_ranges(
    path: Path,
    source: View,
    ranges: Iterable[tuple[int, int]],
    progress: Progress,
    *,
    over: bool = False,
) -> None:
    """Write ranges of a file where they belong in it; they are on the disk afterwards.

    Args:
        path: is made with the size that it will have, if it is not there.
        source: the whole file.
        ranges: [start, end) of what to write.
        progress: called with the number of bytes written since the last call.
        over: write over what is there.

    Raises:
        FileExistsError: what is there is no file, or has other names too; or it is not of the size
            that it will have, or holds data in a range, and ``over`` is not given.
        OSError: it cannot be written; what is written stays.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    with naming(path), opened(path, flags) as descriptor:
        there = os.fstat(descriptor)
        if not stat.S_ISREG(there.st_mode):
            rule = "is no regular file: parts are written to files and directories"
            raise FileExistsError(f"{path}: {rule}")
        if there.st_nlink > 1:
            rule = f"has {there.st_nlink} names, all of which a part in place would change"
            raise FileExistsError(f"{path}: {rule}: remove the others, or it")
        if there.st_size not in (0, source.size) and not over:
            rule = f"is there already, and has {there.st_size} B instead of {source.size} B"
            raise FileExistsError(f"{path}: {rule}; --resume makes it what it should be")
        if there.st_size != source.size:
            os.ftruncate(descriptor, source.size)
        write_chunks(_range_chunks(path, descriptor, source, ranges, over=over), progress)
        os.fsync(descriptor)


def _range_chunks(
    path: Path, descriptor: int, source: View, ranges: Iterable[tuple[int, int]], *, over: bool
) -> Iterator[Chunk]:
    for start, end in ranges:
        if not over and _holds_data(descriptor, start, end):
            rule = f"holds data from {start} to {end} already; --resume goes on"
            raise FileExistsError(f"{path}: {rule}, and leaves what is right")
        for chunk in chunks_of(source.part(start, end - start), path, descriptor):
            yield chunk._replace(at=start + chunk.at)


def _holds_data(descriptor: int, start: int, end: int) -> bool:
    """Return whether a range seems to hold more than the zeros of a file that was made longer."""
    try:
        if os.lseek(descriptor, start, os.SEEK_DATA) >= end:
            return False
    except OSError as error:
        if error.errno == errno.ENXIO:  # a hole to the end
            return False
    length = min(LOOKED_AT, end - start)
    return any(any(os.pread(descriptor, length, at)) for at in (start, end - length))

"""Where copies are: files and directories, and what else holds files under paths."""

import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dgenfs.content.layout import MAX_SIZE
from dgenfs.machine.directories import is_directory
from dgenfs.machine.file_systems import is_served
from dgenfs.verifying.comparing import CHUNK
from dgenfs.verifying.findings import Extent
from dgenfs.verifying.reading import Buffers, Caching, opened
from dgenfs.verifying.reports import reason

KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


class Entry(NamedTuple):
    """A name in a directory.

    Attributes:
        name: it.
        is_directory: whether it is one, or a longer prefix.
        size: bytes of a file, None where that is not told.
        why: what it is instead of a file or directory, or why that cannot be told.
    """

    name: str
    is_directory: bool = False
    size: int | None = None
    why: str = ""


class Source(Protocol):
    """A copy that is open for reading, by any number of threads.

    Attributes:
        size: bytes.
        is_device: whether it is a block device.
        around_cache: whether reads go around the page cache (O_DIRECT).
        step: bytes of one read, a multiple of CHUNK.
    """

    size: int
    is_device: bool
    around_cache: bool
    step: int

    def read(self, start: int, length: int) -> Iterator[tuple[int, NDArray[np.uint8] | Extent]]:
        """Yield pieces of [start, start + length): where, and their bytes or why there are none.

        Each is at most CHUNK bytes, and lasts until the next one.

        Raises:
            OSError: it cannot be read at all.
        """

    def changed(self) -> bool:
        """Return whether it changed since it was opened, and take its size anew."""


class Place(Protocol):
    """A file, or what holds files under paths.

    Attributes:
        path: as users name it.
        alone: bytes of a file that one thread reads by itself, at the most.
        in_order: whether a copy is read from its start to its end, not by several threads at once.
    """

    @property
    def path(self) -> Path | str:
        """As users name it."""

    @property
    def alone(self) -> int:
        """Bytes of a file that one thread reads by itself, at the most."""

    @property
    def in_order(self) -> bool:
        """Whether a copy is read from its start to its end, not by several threads at once."""

    def at(self, inside: str) -> Path | str:
        """Return what users name a path in it."""

    def opened(self, inside: str, expected: int) -> AbstractContextManager[Source]:
        """Open a path in it, nothing for itself, that should have ``expected`` bytes.

        Raises:
            NotAFileError: it holds no bytes.
            ValueError: it cannot be read as was asked for.
            OSError: it cannot be opened.
        """

    def names(self, inside: str) -> Iterator[str]:
        """Yield the names in a directory, nothing for itself.

        Raises:
            NotADirectoryError, FileNotFoundError: there is none.
            OSError: it cannot be listed.
        """

    def entries(self, inside: str) -> Iterator[Entry]:
        """Yield what is in a directory; see ``names``. Of a file system, in order of names."""

    def below(self, inside: str) -> "Place":
        """Return the place at a path in it."""

    def require_directory(self, what: str) -> None:
        """Raise OSError unless it is one, as ``what`` needs."""


class Folder:
    """A path of the file system: a file, a device, or a directory."""

    def __init__(self, path: Path, buffers: Buffers, caching: Caching) -> None:
        """Read what is at ``path`` into ``buffers``.

        Where another program or host answers reads, they come in order and through the page cache,
        which reads ahead, unless ``caching`` is ``DIRECT``.
        """
        self.path = path
        self.buffers = buffers
        self.in_order = caching is not Caching.DIRECT and _is_served(path)
        self.alone = MAX_SIZE if self.in_order else CHUNK
        anew = self.in_order and caching is Caching.AROUND
        self.caching = Caching.ANEW if anew else caching

    def at(self, inside: str) -> Path:
        """Return the path in it."""
        return self.path / inside

    def opened(self, inside: str, expected: int) -> AbstractContextManager[Source]:  # noqa: ARG002
        """Open a file or device."""
        return opened(self.path / inside, self.buffers, self.caching)

    def names(self, inside: str) -> Iterator[str]:
        """Yield what scandir(3) tells, as it tells it."""
        with os.scandir(self.path / inside) as entries:
            for entry in entries:
                yield entry.name

    def entries(self, inside: str) -> Iterator[Entry]:
        """Yield what is in a directory, links as such, once all of it is listed."""
        with os.scandir(self.path / inside) as listing:
            listed = sorted(listing, key=lambda entry: entry.name)
        return map(_entry, listed)

    def below(self, inside: str) -> "Folder":
        """Return the place at a path in it."""
        return Folder(self.path / inside, self.buffers, self.caching)

    def require_directory(self, what: str) -> None:
        """Raise NotADirectoryError unless it is one."""
        if not is_directory(self.path):
            raise NotADirectoryError(f"{self.path}: is not a directory, and {what}")


def _is_served(path: Path) -> bool:
    try:
        return is_served(path)
    except OSError:
        return False  # why is told when it is opened


def _entry(found: "os.DirEntry[str]") -> Entry:
    try:
        status = found.stat(follow_symlinks=False)
    except OSError as error:
        return Entry(found.name, why=reason(error))
    if stat.S_ISDIR(status.st_mode):
        return Entry(found.name, is_directory=True)
    if stat.S_ISREG(status.st_mode):
        return Entry(found.name, size=status.st_size)
    kind = KINDS.get(stat.S_IFMT(status.st_mode), "no regular file")
    return Entry(found.name, why=f"is {kind}")

"""Names as file objects."""

import io
import os
from pathlib import PurePath
from typing import Any, SupportsIndex

from dgenfs.api.generator import DataGenerator
from dgenfs.names.catalog import find_file
from dgenfs.names.integers import whole_number

BUFFER_SIZE = 64 << 10  # bytes; costs 3 µs to fill


class DataFile(io.RawIOBase):
    """A generated file, unbuffered, read-only and seekable, which pickles; see ``open``."""

    def __init__(self, generator: DataGenerator, name: str) -> None:
        """Read what ``generator`` generates under the name ``name``."""
        self.generator = generator
        self._position = 0
        self.name = name

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` from the position on; return bytes written, 0 at the end."""
        self._check_open()
        written = self.generator.read_into(buffer, self._position)
        self._position += written
        return written

    def readall(self) -> bytes:
        """Return the bytes from the position to the end, filled in one piece.

        Raises:
            MemoryError, OverflowError: there are more than fit into memory.
        """
        self._check_open()
        data = self.generator.read(self._position, self.generator.size)
        self._position += len(data)
        return data

    def seek(self, offset: SupportsIndex, whence: int = os.SEEK_SET) -> int:
        """Set the position, which may be past the end, and return it.

        Raises:
            TypeError: ``offset`` is no whole number.
            ValueError: the position would be negative, or ``whence`` is not one of SEEK_*.
        """
        self._check_open()
        starts = {
            os.SEEK_SET: 0,
            os.SEEK_CUR: self._position,
            os.SEEK_END: self.generator.size,
        }
        if whence not in starts:
            raise ValueError(f"whence {whence}: must be 0, 1 or 2")
        position = starts[whence] + whole_number("offset", offset)
        if position < 0:
            raise ValueError(f"position {position} of {self.name}: must not be negative")
        self._position = position
        return position

    def tell(self) -> int:
        """Return the position, bytes."""
        self._check_open()
        return self._position

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process reads on from.

        Raises:
            ValueError: the file is closed.
        """
        self._check_open()
        return self.__dict__

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError(f"{self.name} is closed")


class _Buffered(io.BufferedReader):
    """A file whose small reads are answered from a buffer."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave out the buffer; ValueError if the file is closed."""
        raw: Any = self.raw
        return _reopened, (raw.generator, raw.name, self.tell())


def _reopened(generator: DataGenerator, name: str, position: int) -> _Buffered:
    file = _Buffered(DataFile(generator, name), BUFFER_SIZE)
    file.seek(position)
    return file


def open(  # noqa: A001
    name: str, *, threads: SupportsIndex | None = None
) -> io.BufferedReader:
    """Open a name as a binary file.

    Args:
        name: a file's name, or a file in a tree such as ``1000x1M_d2/000017.bin``.
        threads: most threads to fill one large read with, None for one a CPU.

    Returns:
        A seekable, read-only file object; large reads go past its buffer. It pickles with its
        position.

    Raises:
        SpecError: ``name`` is not the name of a file.
        TypeError: ``threads`` is no whole number.
        ValueError: ``threads`` is below 1.
    """
    node = find_file(PurePath(name))
    generator = DataGenerator(node.spec, file=node.number, threads=threads)
    return _Buffered(DataFile(generator, name), BUFFER_SIZE)

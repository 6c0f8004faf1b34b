"""Every name as a file of fsspec: ``dgen://10G_d4_c2.bin``, ``dgen://1000x1M_d2/000017.bin``.

What is there is the catalog's answer, as in a mount. The root holds every name and lists none.
"""

import errno
import functools
import hashlib
import os
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import anyio.to_thread
import psutil
from fsspec.asyn import AbstractAsyncStreamedFile, AsyncFileSystem
from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.spec import AbstractBufferedFile

from dgenfs.api.aio import AsyncDataGenerator
from dgenfs.api.file import BUFFER_SIZE
from dgenfs.api.generator import DataGenerator
from dgenfs.content.layout import FORMAT
from dgenfs.names.catalog import MTIME, ROOT, Directory, File, Root, find
from dgenfs.names.grammar import SpecError

Info = dict[str, Any]

PIECE = 1 << 20  # bytes that are written to a local file at a time
ENTRY_BYTES = 290  # of memory for one entry of a listing, its information and name
FEW = 1_000_000  # entries that are listed whatever memory is free
_LEVELS = 2  # below a tree: its directories, and their files
_MAGIC = re.compile("[*?[]")  # what begins a pattern


class DgenFileSystem(AsyncFileSystem):  # type: ignore[misc]  # fsspec has no types
    """All names, read-only: what would write raises OSError with EROFS.

    It takes no options but fsspec's own. An error about a path has it as ``filename``; what is no
    name, or not in a tree, raises FileNotFoundError, which says which rule is broken. Instances and
    open files pickle.

    The calls that are not asynchronous are answered in the caller's thread without an event loop:
    any thread may make them, and so may a forked child.
    """

    protocol = "dgen"
    blocksize = PIECE
    mirror_sync_methods = False

    # Paths.

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        stripped = super()._strip_protocol(path)
        return stripped if isinstance(stripped, list) else stripped.lstrip("/")

    def _file(self, path: str) -> File:
        stripped = self._strip_protocol(path)
        node = _found(stripped)
        if not isinstance(node, File):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), stripped)
        return node

    # What is there.

    def info(self, path: str, **_: Any) -> Info:
        """Return name, size (bytes, 0 of a directory), type, and times (seconds since 1970)."""
        stripped = self._strip_protocol(path)
        return _information(stripped, _found(stripped))

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """Return the entries of a directory in order, or the file itself; of the root none.

        Raises:
            FileNotFoundError: it is no name.
            MemoryError: there are more than fit into memory.
        """
        stripped = self._strip_protocol(path)
        node = _found(stripped)
        found: Iterable[Info] = [_information(stripped, node)]
        if not isinstance(node, File):
            found = _entries(stripped, node, 1, "")
        return list(found) if detail else [entry["name"] for entry in found]

    def find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,
        detail: bool = False,
        prefix: str = "",
        **_: Any,
    ) -> Any:
        """Return the files below a path: names, or a dict of their information by name.

        Args:
            path: a directory, or a file, which is returned itself; nothing is below any other.
            maxdepth: levels of directories, None for all.
            withdirs: whether directories are returned too.
            detail: whether a dict is returned.
            prefix: what the names of entries of ``path`` start with; others cost nothing.

        Raises:
            ValueError: ``maxdepth`` is below 1.
            MemoryError: there are more than fit into memory.
        """
        if maxdepth is not None and maxdepth < 1:
            raise ValueError(f"maxdepth {maxdepth}: must be at least 1")
        stripped = self._strip_protocol(path)
        try:
            node = _found(stripped)
        except FileNotFoundError:
            return {} if detail else []
        found = _below(stripped, node, maxdepth or _LEVELS, prefix)
        kept = (entry for entry in found if withdirs or entry["type"] == "file")
        if detail:
            return {entry["name"]: entry for entry in kept}
        return [entry["name"] for entry in kept]

    def glob(self, path: str, maxdepth: int | None = None, **keywords: Any) -> Any:
        """Return what matches a pattern; of a large directory only what starts as the pattern."""
        stem = _MAGIC.split(self._strip_protocol(path), maxsplit=1)[0]
        keywords["prefix"] = stem.rpartition("/")[2]
        return super().glob(path, maxdepth=maxdepth, **keywords)

    def ukey(self, path: str) -> str:
        """Return what is equal for names of the same content only, in all processes: hex digits."""
        node = _found(self._strip_protocol(path))
        said = (FORMAT,) if isinstance(node, Root) else (FORMAT, node.spec.name, node.number)
        return hashlib.sha256(repr((type(node).__name__, said)).encode()).hexdigest()

    def checksum(self, path: str) -> int:
        """Return ``ukey`` as a number."""
        return int(self.ukey(path), 16)

    def created(self, path: str) -> datetime:
        """Return when what is there was made, the same for all."""
        _found(self._strip_protocol(path))
        return datetime.fromtimestamp(MTIME, UTC)

    modified = created

    async def _info(self, path: str, **_: Any) -> Info:
        return self.info(path)

    async def _ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        return await anyio.to_thread.run_sync(self.ls, path, detail)

    async def _find(self, path: str, maxdepth: int | None = None, **keywords: Any) -> Any:
        return await anyio.to_thread.run_sync(
            functools.partial(self.find, path, maxdepth, **keywords)
        )

    async def _glob(self, path: str, maxdepth: int | None = None, **keywords: Any) -> Any:
        return await anyio.to_thread.run_sync(
            functools.partial(self.glob, path, maxdepth, **keywords)
        )

    # What is in it.

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        """Return the bytes of a file that a slice ``[start:end]`` of all would give."""
        node = self._file(path)
        return DataGenerator(node.spec, file=node.number).read(*_range(node.size, start, end))

    async def _cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        node = self._file(path)
        generator = AsyncDataGenerator(node.spec, file=node.number)
        return await generator.read(*_range(node.size, start, end))

    async def _get_file(
        self, rpath: str, lpath: str, callback: Any = DEFAULT_CALLBACK, **_: Any
    ) -> None:
        if await self._isdir(rpath):
            Path(lpath).mkdir(parents=True, exist_ok=True)
            return
        node = self._file(rpath)
        generator = AsyncDataGenerator(node.spec, file=node.number)
        buffer = memoryview(bytearray(min(PIECE, node.size)))
        callback.set_size(node.size)
        with Path(lpath).open("wb") as out:
            while written := await generator.fill_chunk(buffer):
                await anyio.to_thread.run_sync(out.write, buffer[:written])
                callback.relative_update(written)

    def _open(self, path: str, mode: str = "rb", block_size: Any = None, **_: Any) -> "DgenFile":
        if mode != "rb":
            self._refuse(path)
        return DgenFile(self, self._strip_protocol(path), self._file(path), block_size)

    async def open_async(self, path: str, mode: str = "rb", **_: Any) -> "DgenStream":
        """Open a file whose ``read`` is awaited."""
        if mode != "rb":
            self._refuse(path)
        size = self._file(path).size
        return DgenStream(self, self._strip_protocol(path), size=size, cache_type="none")

    # What would write.

    def _refuse(self, path: Any = "", *_: Any, **__: Any) -> NoReturn:
        raise OSError(errno.EROFS, f"{os.strerror(errno.EROFS)}: dgen:// takes no writes", path)

    async def _refuse_async(self, path: Any = "", *_: Any, **__: Any) -> NoReturn:
        self._refuse(path)

    mkdir = makedirs = rmdir = rm = rm_file = mv = copy = cp_file = _refuse
    pipe = pipe_file = put = put_file = touch = _refuse
    _mkdir = _makedirs = _rm = _rm_file = _mv_file = _copy = _cp_file = _refuse_async
    _pipe = _pipe_file = _put = _put_file = _refuse_async


class DgenFile(AbstractBufferedFile):  # type: ignore[misc]  # fsspec has no types
    """An open file, for one thread at a time.

    Whatever block size or cache is asked for, nothing is read ahead and nothing is kept: that costs
    more than to generate it. It pickles with its position.
    """

    DEFAULT_BLOCK_SIZE = BUFFER_SIZE  # of a search for the end of a line

    def __init__(self, fs: DgenFileSystem, path: str, node: File, block_size: Any) -> None:
        super().__init__(fs, path, "rb", block_size, size=node.size, cache_type="none")
        self._generator = DataGenerator(node.spec, file=node.number)

    def read(self, length: int | None = -1) -> bytes:
        """Return the bytes from the position on, all if ``length`` is None or negative."""
        self._check_open()
        if length is None or length < 0:
            length = self.size
        data = self._generator.read(self.loc, length)
        self.loc += len(data)
        return data

    def readinto(self, b: Any) -> int:
        """Fill ``b`` from the position on; return bytes written, 0 at the end."""
        self._check_open()
        written = self._generator.read_into(b, self.loc)
        self.loc += written
        return written

    def __reduce__(self) -> Any:
        """Open it again; ValueError if it is closed."""
        self._check_open()
        return super().__reduce__()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError(f"{self.path} is closed")


class DgenStream(AbstractAsyncStreamedFile):  # type: ignore[misc]  # fsspec has no types
    """An open file whose reads are awaited, for one task at a time."""

    async def _fetch_range(self, start: int, end: int) -> bytes:
        data: bytes = await self.fs._cat_file(self.path, start, end)
        return data

    def __reduce__(self) -> NoReturn:
        """Raise TypeError: fsspec would make a file of it whose reads are not awaited."""
        raise TypeError(f"{self.path}: a file of open_async does not pickle: open it there")

    def __del__(self) -> None:
        """Leave it open: fsspec would call ``close``, which nobody could await."""


@functools.lru_cache(maxsize=256)  # paths; to find one again takes 20 µs, and its row 30 µs
def _found(path: str) -> Root | File | Directory:
    if not path:
        return ROOT
    try:
        return find(path)
    except SpecError as error:
        raise FileNotFoundError(errno.ENOENT, str(error), path) from error


def _information(path: str, node: Root | File | Directory) -> Info:
    is_file = isinstance(node, File)
    return {
        "name": path,
        "size": node.size if isinstance(node, File) else 0,
        "type": "file" if is_file else "directory",
        "created": float(MTIME),
        "mtime": float(MTIME),
    }


def _range(size: int, start: int | None, end: int | None) -> tuple[int, int]:
    """Return the offset and length of what a slice gives of ``size`` bytes."""
    first, last, _ = slice(start, end).indices(size)
    return first, max(0, last - first)


def _below(path: str, node: Root | File | Directory, depth: int, prefix: str) -> Iterator[Info]:
    """Yield a node, but for the root, and what is below it, sorted by name."""
    if not isinstance(node, Root):
        yield _information(path, node)
    yield from _entries(path, node, depth, prefix)


def _entries(path: str, node: Root | File | Directory, depth: int, prefix: str) -> Iterator[Info]:
    """Yield what is at most ``depth`` levels below a node, sorted by name.

    Raises:
        MemoryError: a list of it all would not fit into memory.
    """
    if not isinstance(node, Directory):
        return
    first, last = _positions(node, prefix)
    deeper = node.holds_directories and depth > 1
    _require_memory(path, (last - first) * (node.spec.per_directory or 1 if deeper else 1))
    template = _information(path, node)
    if not node.holds_directories:
        template |= {"size": node.spec.size, "type": "file"}
    for at, name in enumerate(islice(node.names(first), last - first), first):
        below = f"{path}/{name}"
        yield {**template, "name": below}
        if deeper:
            yield from _entries(below, Directory(node.spec, at), depth - 1, "")


def _positions(node: Directory, prefix: str) -> tuple[int, int]:
    """Return where the entries that start with ``prefix`` begin and end: names are sorted."""

    def start_of(position: int) -> str:
        return next(node.names(position))[: len(prefix)]

    positions = range(node.count)
    return (
        bisect_left(positions, prefix, key=start_of),
        bisect_right(positions, prefix, key=start_of),
    )


def _require_memory(path: str, count: int) -> None:
    if count < FEW:
        return
    free = psutil.virtual_memory().available
    if count * ENTRY_BYTES > free:
        raise MemoryError(
            f"{path}: to list {count} entries takes some {count * ENTRY_BYTES >> 30} GiB, and "
            f"{free >> 30} GiB are free; glob by the first digits, or walk a tree with "
            "directories (_f1000)"
        )

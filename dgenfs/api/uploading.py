"""Generated content put into stores: objects, or files of a server, of any protocol.

What is sent is generated into buffers that are used again and again, which the store's own client
gets as they are.
"""

import errno
import io
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import numpy as np

from dgenfs.api.chunks import Progress
from dgenfs.api.multipart import MAX_PARTS, Multipart
from dgenfs.content.view import View
from dgenfs.kernels.digests import Patience, until
from dgenfs.machine.requests import Requests
from dgenfs.machine.store_errors import StoreError, translated
from dgenfs.machine.stores import CLIENTS, HTTP, S3, Store
from dgenfs.machine.threads import in_order
from dgenfs.names.catalog import Directory, Member
from dgenfs.names.data_set import ProfileDirectory

PART = 8 << 20  # bytes; an object of more is sent in parts, as `aws s3` does
REQUESTS = 16  # small objects under way, as each waits for the store most of its time
PARTS = 8  # under way; of each, asyncio keeps a copy in the worst case
BUFFERS = 256 << 20  # bytes of all parts under way, where they are large; but two of them
LARGE = BUFFERS // REQUESTS  # bytes; of parts of more not every thread may have one

Task = Callable[["_Buffer"], None]


def upload_file(source: View, store: Store, progress: Progress, *, force: bool = False) -> None:
    """Write an object, or a server's file, which appears when it is whole.

    Args:
        source: what to write.
        store: where; on a server of files its directory must exist.
        progress: called with the number of bytes written since the last call, by one thread at a
            time.
        force: write over what is there.

    Raises:
        FileExistsError: the object is there, and ``force`` is not given.
        StoreError: it cannot be written; no part of it is left.
    """
    there = store.info()
    if there is not None and there["type"] == "directory":
        if not store.has_objects:  # where a prefix may have the same name
            raise FileExistsError(f"{store.url}: is a directory; give the URL of a file")
    elif there is not None and not force:
        raise FileExistsError(f"{store.url}: is there already; --force writes over it")
    _Uploads(store, progress, source.size).run([(store, source)])


def upload_directory(
    node: Directory | ProfileDirectory,
    store: Store,
    progress: Progress,
    *,
    members: Iterable[Member] | None = None,
    force: bool = False,
) -> None:
    """Write the files of a tree or a data set below a URL. Each appears when it is whole.

    Args:
        node: a tree, the top of a data set, or a directory in one.
        store: where.
        progress: as of ``upload_file``.
        members: those of the files to write, and their paths, None for all.
        force: write even if there is something below the URL, and over it.

    Raises:
        FileExistsError: something is below the URL, and ``force`` is not given.
        StoreError: a file cannot be written; those that are whole stay.
    """
    if not force and not store.is_empty():
        raise FileExistsError(
            f"{store.url}: something is there already; --force writes over it, or give another URL"
        )
    largest = 0
    folders = ["."]
    if isinstance(node, Directory):
        largest = node.spec.size
    else:
        folders += (node.path_of(folder) for folder in node.below() if folder.count == 0)
    uploads = _Uploads(store, progress, largest)
    uploads.make_directories(folders)
    uploads.run(uploads.placed(node.members() if members is None else members))


def part_size(size: int) -> int:
    """Return the bytes of each part but the last one of an object of ``size``."""
    least = -(-size // MAX_PARTS)
    return max(PART, -(-least >> 20) << 20)


class _Buffer:
    """A thread's own memory, of as many bytes as it needs at the moment."""

    def __init__(self, patience: Patience) -> None:
        self._bytes = bytearray()
        self._patience = patience

    def filled(self, source: View, offset: int, length: int) -> bytearray:
        """Return the bytes [offset, offset + length) of a view, until the next call.

        Raises:
            CancelledError: the patience ended.
            OSError: the view cannot be read.
        """
        if len(self._bytes) != length:
            self._bytes = bytearray(length)
        source.read_into(np.frombuffer(self._bytes, np.uint8), offset, self._patience)
        return self._bytes

    def release(self) -> None:
        """Keep no memory until the next call."""
        self._bytes = bytearray()


class _Uploads:
    """Objects of one store that are under way."""

    def __init__(self, store: Store, progress: Progress, largest: int) -> None:
        """Prepare to write objects of ``largest`` bytes at the most, 0 for unknown."""
        self._store = store
        self._progress = progress
        self._lock = threading.Lock()
        self._requests = Requests(store)
        self._multiparts: set[Multipart] = set()
        self._ended = np.zeros(1, np.int64)
        self._patience = until(self._ended)
        # Nobody knows the largest file of a data set before its turn.
        large = max(2, BUFFERS // part_size(largest) if largest else 2)
        self._large = threading.BoundedSemaphore(large)
        if not store.has_objects:
            self._threads = CLIENTS - 1  # one makes directories
        elif largest <= PART:
            self._threads = REQUESTS
        else:
            self._threads = max(2, min(PARTS, BUFFERS // part_size(largest)))

    def make_directories(self, names: Iterable[str]) -> None:
        """Make directories below the URL, where a store has these."""
        if self._store.has_objects:
            return
        for name in names:
            place = self._store if name == "." else self._store.join(name)
            with place.client() as fs, translated(place.url):
                fs.makedirs(place.path, exist_ok=True)

    def placed(self, members: Iterable[Member]) -> Iterator[tuple[Store, View]]:
        """Yield where each file goes, once the directory that holds it is made, and its bytes."""
        made = ""
        for inside, file in members:
            above = inside.rpartition("/")[0]
            if above != made:
                self.make_directories([above])
                made = above
            yield self._store.join(inside), file.view()

    def run(self, objects: Iterable[tuple[Store, View]]) -> None:
        """Write objects, many at a time; on an error, none is begun any more, nor left in parts."""
        own = threading.local()

        def call(task: Task) -> None:
            # A request that was given up may still send from this thread's buffer.
            if self._ended[0]:
                return
            if not hasattr(own, "buffer"):
                own.buffer = _Buffer(self._patience)
            task(own.buffer)

        try:
            with ThreadPoolExecutor(self._threads, thread_name_prefix="dgenfs-upload") as pool:
                tasks = self._tasks(objects)
                for _ in in_order(pool, 2 * self._threads, call, tasks, self._stop):
                    pass
        finally:
            for multipart in sorted(self._multiparts, key=lambda one: not one.answered):
                multipart.abort()

    def _stop(self) -> None:
        self._ended[0] = 1
        self._requests.cancel()

    def _tasks(self, objects: Iterable[tuple[Store, View]]) -> Iterator[Task]:
        """Yield what each thread has to do: small objects, and parts of large ones."""
        for store, source in objects:
            if not store.has_objects:
                yield self._file(store, source)
            elif source.size <= PART:
                yield self._whole(store, source)
            elif store.protocol in S3:
                yield from self._parts(store, source)
            elif store.protocol in HTTP:
                yield self._body(store, source)
            else:
                yield self._stream(store, source)

    def _room(self, size: int) -> AbstractContextManager[object]:
        """Return what to hold while there is memory for a part of ``size``."""
        return self._large if size > LARGE else nullcontext()

    def _advance(self, length: int) -> None:
        with self._lock:
            self._progress(length)

    def _whole(self, store: Store, source: View) -> Task:
        """Return what writes an object in one request."""

        def put(buffer: _Buffer) -> None:
            body = buffer.filled(source, 0, source.size)
            # Azure's library takes a bytearray for a list of numbers.
            data = body if store.protocol in (*S3, *HTTP) else bytes(body)
            with translated(store.url):
                self._requests.run(store.fs._pipe_file(store.path, data))
            self._advance(source.size)

        return put

    def _parts(self, store: Store, source: View) -> Iterator[Task]:
        """Yield what writes the parts of an object in S3."""
        size = part_size(source.size)
        multipart = Multipart(store, -(-source.size // size))
        self._multiparts.add(multipart)
        multipart.begin()

        def part(number: int) -> Task:
            def put(buffer: _Buffer) -> None:
                start = number * size
                length = min(size, source.size - start)
                with self._room(size):
                    body = buffer.filled(source, start, length)
                    if multipart.put(number, body, self._requests):
                        self._multiparts.discard(multipart)
                    if size > LARGE:
                        del body
                        buffer.release()
                self._advance(length)

            return put

        yield from map(part, range(multipart.parts))

    def _body(self, store: Store, source: View) -> Task:
        """Return what writes an object by HTTP, whose client reads what it sends."""

        def put(_: _Buffer) -> None:
            body = io.BufferedReader(_Reader(source, self._patience, self._advance), PART)
            with translated(store.url):
                self._requests.run(store.fs._put_file(body, store.path, method="put"))

        return put

    def _stream(self, store: Store, source: View) -> Task:
        """Return what writes an object in order, through a file of its library."""
        size = part_size(source.size)

        def put(buffer: _Buffer) -> None:
            with self._room(size):
                with translated(store.url):
                    file = store.fs.open(store.path, "wb", block_size=size)
                try:
                    self._write(file, store, source, buffer)
                except BaseException:
                    # To close it would make an object of what was written.
                    with suppress(Exception):
                        file.discard()
                    file.closed = True
                    raise
                with translated(store.url):
                    file.close()

        return put

    def _file(self, store: Store, source: View) -> Task:
        """Return what writes a file to a server, beside its name until it is whole."""

        def put(buffer: _Buffer) -> None:
            # Of two who write the same file, each writes its own.
            part = f"{store.path}.{secrets.token_hex(4)}.part"
            with store.client() as fs:
                try:
                    self._write_file(fs, part, store, source, buffer)
                    with translated(store.url):
                        fs.mv(part, store.path)
                except BaseException:
                    with suppress(Exception):
                        fs.rm_file(part)
                    raise

        return put

    def _write_file(self, fs: Any, path: str, store: Store, source: View, buffer: _Buffer) -> None:
        """Write a file to a server; StoreError unless all of it is there."""
        with translated(store.url):
            file = fs.open(path, "wb")
            if hasattr(file, "set_pipelined"):  # of paramiko: no answer for each 32 KiB
                file.set_pipelined(True)
        try:
            self._write(file, store, source, buffer)
        finally:
            with translated(store.url):
                file.close()
        # Paramiko drops what the server says of pipelined writes that are under way at the end.
        there = 0
        with suppress(FileNotFoundError), translated(store.url):
            there = fs.info(path)["size"]
        if there != source.size:
            rule = f"the server keeps {there} of {source.size} bytes: is it full?"
            raise StoreError(errno.EIO, rule, store.url)

    def _write(self, file: Any, store: Store, source: View, buffer: _Buffer) -> None:
        """Write a view to a file in order."""
        for start in range(0, source.size, PART):
            if self._ended[0]:
                raise CancelledError
            data = buffer.filled(source, start, min(PART, source.size - start))
            with translated(store.url):
                file.write(data)
            self._advance(len(data))


class _Reader(io.RawIOBase):
    """A view as a file."""

    def __init__(self, source: View, patience: Patience, progress: Progress) -> None:
        self._source = source
        self._patience = patience
        self._progress = progress
        self._position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        out = np.frombuffer(buffer, np.uint8)[: self._source.size - self._position]
        self._source.read_into(out, self._position, self._patience)
        self._position += out.size
        self._progress(out.size)
        return out.size

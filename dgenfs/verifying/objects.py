"""Objects of a store: read by GETs of ranges, found by listings."""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from dgenfs.machine.requests import read_range
from dgenfs.machine.store_errors import MissingObjectError, StoreError, translated
from dgenfs.machine.stores import HTTP, S3, Store, open_store
from dgenfs.verifying.comparing import CHUNK
from dgenfs.verifying.findings import Extent, Kind
from dgenfs.verifying.places import Entry, Source
from dgenfs.verifying.reading import NotAFileError

ALONE = 64 << 20  # bytes of an object that one thread reads by itself
GET = 8 << 20  # bytes of one ranged GET
# Of what a store tells of an object: what differs once it was written again.
_STATES = ("ETag", "etag", "md5", "mtime", "LastModified", "last_modified", "generation")

log = logging.getLogger(__name__)


class Prefix:
    """A URL that fsspec reads: an object, or a prefix that others have in common.

    Attributes:
        store: where it is.
    """

    alone = ALONE
    in_order = False

    def __init__(self, store: Store) -> None:
        """Read what is in ``store``."""
        self.store = store

    @property
    def path(self) -> str:
        """The URL."""
        return self.store.url

    def at(self, inside: str) -> str:
        """Return the URL of a path in it."""
        return self.store.join(inside).url if inside else self.store.url

    @contextmanager
    def opened(self, inside: str, expected: int) -> Iterator[Source]:
        """Open an object, a small one with the GET that reads all of it."""
        yield Object(self.store.join(inside) if inside else self.store, expected)

    def names(self, inside: str) -> Iterator[str]:
        """Yield the last parts of keys, and of longer prefixes, from one listing."""
        return (entry.name for entry in self.entries(inside))

    def entries(self, inside: str) -> Iterator[Entry]:
        """Yield the last parts of keys, and longer prefixes as directories, as they are listed."""
        store = self.store.join(inside) if inside else self.store
        with translated(store.url):
            yield from _keys(store) if store.protocol in S3 else _listed(store)

    def below(self, inside: str) -> "Prefix":
        """Return the place at a path in it."""
        return Prefix(self.store.join(inside))

    def require_directory(self, what: str) -> None:  # noqa: ARG002
        """Raise FileNotFoundError unless some object has the prefix."""
        if self.store.protocol not in S3:
            next(self.names(""), None)
        elif not self.store.first_keys(1):
            raise _no_object(self.store)


def is_object(url: str) -> bool:
    """Return whether a URL is known to be an object's."""
    try:
        return Object(open_store(url), 0).size >= 0
    except (OSError, NotAFileError):
        return False


def _keys(store: Store) -> Iterator[Entry]:
    """Yield entries page by page, as s3fs keeps what it knows of a million objects in memory.

    Source: Amazon S3 API Reference, ListObjectsV2.
    """
    bucket, prefix = store.bucket_and_prefix()
    more: dict[str, str] = {}
    found = False
    while True:
        page = store.fs.call_s3(
            "list_objects_v2", Bucket=bucket, Prefix=prefix, Delimiter="/", **more
        )
        objects = page.get("Contents", ())
        longer = page.get("CommonPrefixes", ())
        found = found or bool(objects or longer)
        for one in objects:
            if one["Key"] != prefix:
                yield Entry(one["Key"][len(prefix) :], size=one["Size"])
        for one in longer:
            name = one["Prefix"][len(prefix) : -1]
            if name:
                yield Entry(name, is_directory=True)
            else:
                yield Entry("/", why="no path leads to keys with // in them")
        if not page.get("IsTruncated"):
            break
        more = {"ContinuationToken": page["NextContinuationToken"]}
    if not found:
        raise _no_object(store)


def _no_object(store: Store) -> MissingObjectError:
    return MissingObjectError(errno.ENOENT, "no object has this prefix", store.url)


def _listed(store: Store) -> Iterator[Entry]:
    """Yield entries as any other store lists them, all at once."""
    path = store.path.rstrip("/")
    http = store.protocol in HTTP
    # A page of links, which is not there without the slash.
    with store.client() as fs:
        listed = fs.ls(f"{path}/" if http else store.path, detail=True)
        is_listed = any(info["name"].rstrip("/") == path for info in listed)
        if is_listed and not fs.isdir(store.path):
            raise NotADirectoryError(errno.ENOTDIR, "is an object, not a prefix", store.url)
    for info in sorted(listed, key=lambda info: str(info["name"])):
        whole = info["name"].rstrip("/")
        if whole == path:
            continue
        name = whole.rpartition("/")[2]
        if http:
            if name.startswith("?") or name in (".", ".."):
                continue  # another view of the page, or a way up
            name = unquote(name)
        kind = "link" if info.get("islink") else info.get("type", "file")
        if kind == "directory":
            yield Entry(name, is_directory=True)
        elif kind == "file":
            yield Entry(name, size=info.get("size"))
        else:
            yield Entry(name, why="is a link" if kind == "link" else "is no regular file")


class Object:
    """An object of a store; see Source.

    One that should be small is read with one GET as it is opened; of a larger one each read is one
    ranged GET. A GET fails for good once the store's library has tried as often as it does.
    """

    is_device = False
    around_cache = False
    step = GET

    def __init__(self, store: Store, expected: int) -> None:
        """Read from ``store`` what should have ``expected`` bytes.

        Raises:
            FileNotFoundError: it is not there.
            StoreError: it cannot be read.
        """
        self._store = store
        self._data: NDArray[np.uint8] | None = None
        least = 0
        if 0 < expected <= CHUNK:
            self._data = self._first(expected)
            least = self._data.size
            if least > expected:
                self._data = None  # only its start
        if self._data is None:
            self._state = self._look()
            self.size: int = max(self._state[0], least)
        else:
            self.size = least

    def _first(self, expected: int) -> NDArray[np.uint8]:
        """Return an object's bytes, one more than there should be if it has more."""
        try:
            return read_range(self._store, 0, expected + 1)
        except FileNotFoundError:
            raise
        except StoreError:
            # No range of no bytes can be had (RFC 9110, section 15.5.17).
            if self._look()[0] == 0:
                return np.empty(0, np.uint8)
            raise

    def _look(self) -> tuple[Any, ...]:
        """Return what tells this object from another of its name, its size first."""
        with self._store.client() as fs, translated(self._store.url):
            info = fs.info(self._store.path)
        if not isinstance(info.get("size"), int):
            raise StoreError(errno.EIO, "the server does not tell its size", self._store.url)
        if info.get("type") == "directory":
            raise NotAFileError(f"{self._store.url}: is a prefix, not an object")
        return info["size"], *(str(info[key]) for key in _STATES if key in info)

    def read(self, start: int, length: int) -> Iterator[tuple[int, NDArray[np.uint8] | Extent]]:
        """Yield what a GET gives, in pieces of CHUNK bytes, and what it leaves out as missing."""
        if self._data is not None:
            data = self._data[start : start + length]
        else:
            data = read_range(self._store, start, start + length)
        for at in range(0, data.size, CHUNK):
            yield start + at, data[at : at + CHUNK]
        if data.size < length:
            # It is shorter than the store says, or became so.
            end = start + data.size
            yield end, Extent(end, start + length, Kind.MISSING, length - data.size)

    def changed(self) -> bool:
        """Return whether another object has its name by now, or none has."""
        if self._data is not None:
            return False  # one GET is of one object
        was = self._state
        try:
            self._state = self._look()
        except FileNotFoundError:
            return True
        self.size = self._state[0]
        try:
            # A store may be mistaken about the size, and no other GET asks for what is behind.
            self.size += read_range(self._store, self.size, self.size + 1).size
        except StoreError as error:  # as most answer who asks for a range behind the end
            log.debug("%s: behind the end: %s", self._store.url, error.strerror)
        return self._state != was

"""Stores: what a URL names, through fsspec.

Endpoints and credentials are fsspec's and the libraries' own matter: environment and files of
theirs say them, see docs/stores.md.
"""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from dgenfs.machine.libraries import MissingLibraryError
from dgenfs.machine.store_errors import MissingObjectError, shown, translated

S3 = ("s3", "s3a")
HTTP = ("http", "https")
# What pip installs for a protocol; fsspec says it of all others.
PACKAGES = {
    **dict.fromkeys(S3, "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("az", "abfs", "abfss"), "adlfs"),
    **dict.fromkeys(("sftp", "ssh"), "paramiko"),
    **dict.fromkeys(HTTP, "aiohttp"),
    **dict.fromkeys(("webhdfs", "github", "dbfs"), "requests"),
    "hdfs": "pyarrow",
    "smb": "smbprotocol",
}

CONNECTIONS = 32  # of one process to a store
# Of one without an asynchronous library: sshd refuses some of ten that log in at a time.
CLIENTS = 5

# A protocol, behind those that fsspec chains to it: simplecache::s3://bucket.
_URL = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*::)*([A-Za-z][A-Za-z0-9+.-]+)://")


@dataclass(frozen=True)
class Store:
    """A place in a store: an object, a bucket, a prefix, or what a file system has for these.

    It may be used by several threads, and pickled; what is opened for it is not.

    Attributes:
        url: its URL, without a password.
        path: what the file system calls it.
    """

    url: str
    path: str
    _systems: "_FileSystems"

    @property
    def fs(self) -> Any:
        """The fsspec.AbstractFileSystem, which keeps no listings.

        It is for all threads only where the store has objects; see ``client``.
        """
        return self._systems.fs

    def client(self) -> AbstractContextManager[Any]:
        """Return a context with a file system that no other thread uses meanwhile, or all may.

        Who has one must not ask for another: there are CLIENTS at the most, where their library is
        not safe for threads, and others wait.

        Raises:
            StoreError: it cannot connect.
        """
        return self._systems.taken()

    @property
    def protocol(self) -> str:
        """The first of the URL, such as ``s3``."""
        return protocol_of(self.url)

    @property
    def has_objects(self) -> bool:
        """Whether what is written appears whole, and directories are only parts of names.

        Else it is a server of files, or is treated like one.
        """
        return bool(self.fs.async_impl)

    def info(self) -> dict[str, Any] | None:
        """Return what the store says of what is there: its ``type`` and, of a file, ``size``.

        Returns:
            None if nothing is there.

        Raises:
            StoreError: the store does not say.
        """
        try:
            with self.client() as fs, translated(self.url):
                found: dict[str, Any] = fs.info(self.path)
        except MissingObjectError:
            return None
        return found

    def is_empty(self) -> bool:
        """Return whether nothing is there, nor below it.

        Raises:
            StoreError: the store does not say; of S3, also that there is no such bucket.
        """
        if self.protocol in S3:
            # Consoles make an object of the prefix itself, for a directory.
            _, prefix = self.bucket_and_prefix()
            return all(key == prefix for key in self.first_keys(2))
        there = self.info()
        if there is None or there["type"] != "directory":
            return there is None
        with self.client() as fs, translated(self.url):
            return not fs.ls(self.path, detail=False)

    def first_keys(self, count: int) -> list[str]:
        """Return the first keys in S3 that are below this place, longer ones up to a slash.

        Raises:
            StoreError: the store does not say; also that there is no such bucket.
        """
        bucket, prefix = self.bucket_and_prefix()
        with translated(self.url):
            listed = self.fs.call_s3(
                "list_objects_v2", Bucket=bucket, Prefix=prefix, Delimiter="/", MaxKeys=count
            )
        longer = (one["Prefix"] for one in listed.get("CommonPrefixes", ()))
        return [*(one["Key"] for one in listed.get("Contents", ())), *longer]

    def bucket_and_prefix(self) -> tuple[str, str]:
        """Return the bucket in S3, and what the keys below this place begin with."""
        bucket, key, _ = self.fs.split_path(self.path)
        return bucket, f"{key.rstrip('/')}/" if key else ""

    def join(self, inside: str) -> "Store":
        """Return the place of a path below this one."""
        name = quote(inside) if self.protocol in HTTP else inside
        url = self.url if self.url.endswith("/") else f"{self.url}/"
        path = f"{self.path.rstrip('/')}/{name}" if self.path else name
        return Store(url + inside, path, self._systems)


def is_url(text: str) -> bool:
    """Return whether a text is the URL of a store, and no path."""
    return _URL.match(text) is not None


def open_store(url: str) -> Store:
    """Return the place that a URL names, which need not be there.

    Args:
        url: of any protocol that fsspec knows, such as ``s3://bucket/prefix/``.

    Raises:
        MissingLibraryError: fsspec or the protocol's library is not installed.
        ValueError: no such protocol is known, or the URL is not one of the protocol's.
        StoreError: the store cannot be connected to, where that is done at once.
    """
    systems = _FileSystems(url)
    return Store(shown(url), systems.path, systems)


def local_path(url: str) -> str | None:
    """Return the path of a file:// URL; None for what is none."""
    is_local = is_url(url) and protocol_of(url) in ("file", "local")
    return url.split("://", 1)[1] if is_local else None


def protocol_of(url: str) -> str:
    """Return the protocol of a URL, of the first where some are chained."""
    return url.split("::")[0].split("://")[0].lower()


def path_of(url: str) -> PurePath:
    """Return the path from the root of what a URL names, its host or bucket in front."""
    return PurePath(url.partition("://")[2].rstrip("/"))


class _FileSystems:
    """The file systems of a URL.

    Those of asynchronous libraries are fsspec's to share among threads. Others are not safe to
    share: of two threads that use one paramiko client, one takes the other's answer.
    """

    def __init__(self, url: str) -> None:
        """Open the first one."""
        self.url = url
        with translated(url):
            self.fs, self.path = _opened(url)
        self._turns = threading.BoundedSemaphore(CLIENTS)
        self._free = [self.fs]

    @contextmanager
    def taken(self) -> Iterator[Any]:
        """Have one for this thread, or the one for all of them."""
        if self.fs.async_impl:
            yield self.fs
            return
        with self._turns:
            try:
                fs = self._free.pop()
            except IndexError:
                with translated(self.url):
                    fs, _ = _opened(self.url)
            try:
                yield fs
            finally:
                self._free.append(fs)

    def __reduce__(self) -> Any:
        return _FileSystems, (self.url,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _FileSystems) and self.url == other.url

    def __hash__(self) -> int:
        return hash(self.url)


def _opened(url: str) -> tuple[Any, str]:
    protocol = protocol_of(url)
    try:
        from fsspec.core import url_to_fs
        from fsspec.registry import get_filesystem_class
    except ImportError as error:
        text = (
            f"{shown(url)}: URLs need fsspec, which is not installed: pip install 'dgenfs[fsspec]'"
        )
        raise MissingLibraryError(text) from error
    try:
        cls = get_filesystem_class(protocol)
    except ImportError as error:
        package = PACKAGES.get(protocol)
        how = f"pip install {package}" if package else str(error)
        text = f"{shown(url)}: the library for {protocol}:// is not installed: {how}"
        raise MissingLibraryError(text) from error
    except ValueError as error:
        rule = f"fsspec knows no protocol {protocol}://; s3://, gs:// and sftp:// are some"
        raise ValueError(f"{shown(url)}: {rule}") from error
    if protocol in S3 and url.partition("://")[2][:1] in ("", "/"):
        raise ValueError(f"{shown(url)}: names no bucket, as s3://bucket/key does")
    if cls.async_impl:
        fs, path = url_to_fs(url, use_listings_cache=False, **_defaults(protocol, cls))
        if protocol in S3:
            from dgenfs.machine.s3_times import read_quickly

            fs.connect()
            read_quickly(fs.session)
        return fs, str(path)
    try:
        fs, path = url_to_fs(url, skip_instance_cache=True)
    except TypeError as error:  # an argument of its class that neither URL nor configuration gave
        raise ValueError(f"{shown(url)}: {error}; see docs/stores.md for what to give") from error
    if hasattr(fs, "dircache"):
        fs.dircache.use_listings_cache = False
    if protocol in ("sftp", "ssh"):
        # Paramiko leaves Nagle's algorithm on, which keeps most requests waiting for 40 ms.
        fs.client.get_transport().sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return fs, str(path)


def _defaults(protocol: str, cls: Any) -> dict[str, Any]:
    """Return what fsspec's configuration of a protocol, whose class is ``cls``, leaves to us.

    botocore has ten connections, which are fewer than the requests that we have under way. And it
    computes checksums of what it receives, which we compare by ourselves; and some servers, such as
    rclone's, send a whole object's with a range of it. And for each request it makes up who sends
    it anew, which takes a twentieth of a small one's time.
    """
    if protocol not in S3:
        return {}
    from importlib.metadata import version

    from fsspec.config import apply_config

    ours = {
        "max_pool_connections": CONNECTIONS,
        "response_checksum_validation": "when_required",
        "user_agent": f"dgenfs/{version('dgenfs')}",
    }
    given = apply_config(cls, {}).get("config_kwargs", {})
    return {"config_kwargs": {**ours, **given}}

"""Requests to stores: of ranges, and of threads that can give them up."""

import asyncio
import errno
import re
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgenfs.machine.store_errors import translated
from dgenfs.machine.stores import HTTP, S3, Store


def read_range(store: Store, start: int, end: int) -> NDArray[np.uint8]:
    """Return the bytes [start, end) of an object, fewer where it ends before.

    Returns:
        uint8[::1].

    Raises:
        MissingObjectError: it is not there.
        StoreError: it cannot be read; also of no bytes, where the store has no such range.
    """
    with store.client() as fs, translated(store.url):
        if not fs.async_impl:
            got = fs.cat_file(store.path, start=start, end=end)
        else:
            request: Coroutine[Any, Any, bytes | memoryview]
            if store.protocol in S3:
                request = _s3_range(fs, store.path, start, end)
            elif store.protocol in HTTP:
                request = _http_range(fs, store.path, start, end)
            else:
                request = fs._cat_file(store.path, start=start, end=end)
            got = asyncio.run_coroutine_threadsafe(request, fs.loop).result()
    return np.frombuffer(got, np.uint8)[: end - start]


async def _s3_range(fs: Any, path: str, start: int, end: int) -> memoryview:
    """Return a range of an object in S3, read into one piece of memory.

    s3fs joins the pieces that come, which takes longer than to compare them.
    """
    from s3fs.core import _error_wrapper, version_id_kw

    bucket, key, version = fs.split_path(path)
    asked = {"Bucket": bucket, "Key": key, "Range": f"bytes={start}-{end - 1}"}
    data = np.empty(end - start + 1, np.uint8).data  # all of it, and its end

    async def read() -> memoryview:
        answer = await fs._call_s3("get_object", **asked, **version_id_kw(version))
        body = answer["Body"]
        done = 0
        try:
            while got := await body.readinto(data[done:]):
                done += got
        finally:
            body.close()
        return data[: min(done, end - start)]

    # As s3fs's own functions read: what breaks off is asked for again.
    whole: memoryview = await _error_wrapper(read, retries=fs.retries)
    return whole


async def _http_range(fs: Any, url: str, start: int, end: int) -> bytes:
    """Return a range of what a web server has.

    fsspec takes whatever a server sends for the range, and keeps all of it.

    Source: RFC 9110, sections 14 and 15.3.7: a server may ignore ranges, and send all.
    """
    options = dict(fs.kwargs)
    wanted = {"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity"}
    headers = {**options.pop("headers", {}), **wanted}
    session = await fs.set_session()
    async with session.get(fs.encode_url(url), headers=headers, **options) as answer:
        if answer.status == 404:
            raise FileNotFoundError(url)
        answer.raise_for_status()
        first = 0
        if answer.status == 206:
            told = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
            first = int(told[1]) if told else -1
        if first != start:
            text = "the server gives no ranges of objects; curl URL | dgenfs verify - --as NAME"
            raise OSError(errno.EIO, f"{text} reads one in order")
        try:
            got: bytes = await answer.content.readexactly(end - start)
        except asyncio.IncompleteReadError as error:
            got = error.partial
        return got


class Requests:
    """Requests of several threads to a store with an asynchronous library."""

    def __init__(self, store: Store) -> None:
        """Have requests to a store run where its library runs all of them."""
        self._store = store
        self._futures: set[Future[Any]] = set()
        self._ended = False

    def run(self, request: Coroutine[Any, Any, Any]) -> Any:
        """Wait for a request and return what it returns.

        Raises:
            CancelledError: ``cancel`` was called.
        """
        # As fsspec's own functions do, which cannot be cancelled.
        future = asyncio.run_coroutine_threadsafe(request, self._store.fs.loop)
        self._futures.add(future)
        try:
            if self._ended:
                future.cancel()
            return future.result()
        finally:
            self._futures.discard(future)

    def cancel(self) -> None:
        """Give up what is under way and what comes."""
        self._ended = True
        for future in tuple(self._futures):
            future.cancel()

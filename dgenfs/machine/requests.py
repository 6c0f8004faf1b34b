"""Requests of threads to stores whose libraries are asynchronous, which can be given up."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any

from dgenfs.machine.stores import Store


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

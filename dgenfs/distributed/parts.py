"""Parts that the workers of a Dask cluster do: handed out, watched, and given to others.

Dask gives the parts of a worker that died to the others. A part may so be done twice, and by two
workers at a time where one was only cut off, so it must come to the same each time.
"""

import errno
import pickle
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from dgenfs.machine.store_errors import errno_of
from dgenfs.machine.stores import is_url
from dgenfs.names.share import Share
from dgenfs.verifying.copies import Progress
from dgenfs.verifying.reports import reason

if TYPE_CHECKING:
    from distributed import Client, Future, Worker

PART = 1 << 30  # bytes of a part, at least where there are MOST
MOST = 10_000  # parts that are made for their bytes: Dask takes some 1 ms for each
A_THREAD = 4  # parts for each of a cluster's threads, at least, so that all end about together
RETRIES = 2  # as another worker may reach what one could not
NEWS = 1.0  # seconds between two messages about a part

Result = TypeVar("Result")
Task = Callable[[Share, Progress], Result]


class ClusterError(ValueError):
    """A cluster cannot run parts; the message names the worker."""


def everywhere(path: Path | str) -> Path | str:
    """Return what workers, in directories of their own, call a path or a URL."""
    return path if isinstance(path, str) and is_url(path) else Path(path).absolute()


def shares(client: "Client", size: int, pieces: int) -> list[Share]:
    """Return the parts to make of ``size`` bytes in ``pieces`` that are not cut."""
    threads = sum(client.nthreads().values())
    count = max(A_THREAD * threads, min(size // PART, MOST))
    count = max(1, min(count, pieces))
    return [Share(number, count) for number in range(1, count + 1)]


def done(
    client: "Client",
    what: str,
    task: Task[Result],
    parts: Sequence[Share],
    progress: Progress,
) -> Iterator[tuple[Share, Result | OSError]]:
    """Yield what ``task`` returns of each part, in order, or why no worker could do it.

    When the caller stops, or is interrupted, all parts are cancelled; those that are under way end
    at their next bytes.

    Args:
        client: of the cluster.
        what: the command, for those who watch the cluster.
        task: does a part; it is pickled.
        parts: the parts.
        progress: called with the number of bytes done since the last call, by any thread.

    Raises:
        ClusterError: a worker runs another dgenfs.
        ConnectionError: the scheduler is gone.
    """
    from distributed import as_completed

    ours = version("dgenfs")
    run = f"dgenfs-{what}-{uuid4().hex}"
    news = _News(progress)
    client.subscribe_topic(run, lambda event: news.add(*event[1]))
    futures = client.map(
        _for_workers(ours, pickle.dumps(_Part(task, run))),
        [(share.number, share.count) for share in parts],
        key=[f"{run}-{share.number}" for share in parts],
        retries=RETRIES,
        pure=False,
    )
    places = {future.key: place for place, future in enumerate(futures)}
    results: dict[int, Result | OSError] = {}
    following = 0
    try:
        for future in as_completed(list(futures), loop=client.loop):
            place = places[future.key]
            results[place] = _result(future, ours, news, parts[place].number)
            future.release()
            while following in results:
                yield parts[following], results.pop(following)
                following += 1
    finally:
        with suppress(Exception):  # the scheduler is gone
            client.unsubscribe_topic(run)
            if following < len(parts):
                client.cancel(futures, force=True)


def _for_workers(ours: str, pickled: bytes) -> Callable[[tuple[int, int]], tuple[Any, ...]]:
    """Return what Dask hands out: a function by its code, which needs no dgenfs to be loaded.

    So the scheduler need not have one, and a worker can say that it has another one, or none.
    """

    def part(share: tuple[int, int]) -> tuple[Any, ...]:
        import pickle
        from importlib import metadata

        from distributed import get_worker

        where = get_worker().address
        try:
            theirs = metadata.version("dgenfs")
        except metadata.PackageNotFoundError:
            theirs = None
        if theirs != ours:
            return where, theirs, 0, None
        return where, theirs, *pickle.loads(pickled)(*share)

    return part


def _result(future: "Future[Any]", ours: str, news: "_News", number: int) -> Any:
    """Return a part's result, or why there is none."""
    from distributed import KilledWorker

    try:
        where, theirs, count, result = future.result()
    except OSError as error:
        return error
    except KilledWorker as error:
        text = f"{error.allowed_failures + 1} workers died of it, {error.last_worker.address} last"
        return OSError(errno.EIO, text)
    except CancelledError as error:
        raise ConnectionError("Dask: the scheduler is gone, or cancelled the run") from error
    except Exception as error:
        return OSError(errno.EIO, f"{type(error).__name__}: {error}")
    if theirs != ours:
        has = "no dgenfs" if theirs is None else f"dgenfs {theirs}"
        raise ClusterError(f"{where}: has {has}, and this host {ours}: install the same on both")
    news.add(number, count)
    return result


class _News:
    """What is done of all parts, by the messages about them."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._done: dict[int, int] = {}
        self._lock = threading.Lock()

    def add(self, number: int, done: int) -> None:
        """Count what is new; of a part that is done again, nothing until it is past that."""
        with self._lock:
            more = done - self._done.get(number, 0)
            if more > 0:
                self._done[number] = done
                self._progress(more)


class _Part:
    """A part on a worker."""

    def __init__(self, task: Task[Any], run: str) -> None:
        self._task = task
        self._run = run

    def __call__(self, number: int, count: int) -> tuple[int, Any]:
        """Return the bytes that were done, and the task's result; an OSError names the worker."""
        from distributed import get_worker

        worker = get_worker()
        watch = _Watch(worker, self._run, number)
        try:
            result = self._task(Share(number, count), watch.add)
        except CancelledError:
            raise
        except Exception as error:
            raise OSError(*_told(error, worker.address)) from error
        return watch.done, result


def _told(error: Exception, where: str) -> tuple[int, str]:
    """Return the errno and the text that a client gets of an error on a worker."""
    number = errno_of(error) or errno.EIO
    if isinstance(error, OSError | ValueError):
        return number, f"{reason(error)}, says {where}"
    return number, f"{type(error).__name__}: {error}, says {where}"


class _Watch:
    """A worker's view of a part: tells what is done, and looks whether it is wanted still."""

    def __init__(self, worker: "Worker", run: str, number: int) -> None:
        self._worker = worker
        self._run = run
        self._number = number
        self._key = worker.get_current_task()
        self._lock = threading.Lock()
        self._told = time.monotonic()
        self.done = 0

    def add(self, count: int) -> None:
        """Count bytes; CancelledError if nobody waits for them."""
        with self._lock:
            self.done += count
            now = time.monotonic()
            tell = now >= self._told + NEWS
            if tell:
                self._told = now
        # What runs cannot be ended from outside: Dask only marks it.
        task = self._worker.state.tasks.get(self._key)
        if task is None or task.state == "cancelled":
            raise CancelledError
        if tell:
            self._worker.log_event(self._run, (self._number, self.done))

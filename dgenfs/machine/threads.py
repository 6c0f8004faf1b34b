"""Work on a pool of threads with results in order and a bound on what is under way."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    pool: ThreadPoolExecutor,
    window: int,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    stop: Callable[[], None] = lambda: None,
) -> Iterator[Result]:
    """Yield ``function(item)`` for each item, in order.

    When the caller stops or a call raises, no call is under way any more.

    Args:
        pool: where the calls run.
        window: most items that are taken ahead of the result that is yielded.
        function: called on the pool's threads.
        items: taken one by one, on the caller's thread.
        stop: called before what is under way is waited for: it may end sooner then.

    Raises:
        Exception: what ``function`` raises for the first item that it raises for.
    """
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= window:
                yield _first(pending)
        while pending:
            yield _first(pending)
    finally:
        if pending:
            stop()
        for future in pending:
            if not future.cancel():
                future.exception()


def _first(pending: deque[Future[Result]]) -> Result:
    """Return the first result; what an exception keeps from being waited for stays pending."""
    result = pending[0].result()
    pending.popleft()
    return result

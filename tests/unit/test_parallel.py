import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dgenfs.machine.threads import in_order


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def test_results_are_in_order(pool: ThreadPoolExecutor) -> None:
    def slow_first(i: int) -> int:
        time.sleep(0.02 if i % 4 == 0 else 0)
        return i * i

    assert list(in_order(pool, 6, slow_first, range(20))) == [i * i for i in range(20)]


@pytest.mark.parametrize("window", [1, 3])
def test_no_more_than_the_window_is_taken_ahead(pool: ThreadPoolExecutor, window: int) -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for i in range(20):
            taken += 1
            yield i

    for seen, _ in enumerate(in_order(pool, window, abs, items())):
        assert taken <= seen + window


def test_the_first_error_in_order_is_raised_when_nothing_runs_any_more(
    pool: ThreadPoolExecutor,
) -> None:
    running = 0
    lock = threading.Lock()

    def work(i: int) -> int:
        nonlocal running
        with lock:
            running += 1
        time.sleep(0.02)
        with lock:
            running -= 1
        if i >= 2:
            raise ValueError(f"item {i}")
        return i

    found: list[int] = []
    with pytest.raises(ValueError, match="item 2"):
        found.extend(in_order(pool, 4, work, range(50)))
    assert running == 0


def test_a_caller_that_stops_leaves_nothing_running(pool: ThreadPoolExecutor) -> None:
    done: list[int] = []

    def work(i: int) -> None:
        time.sleep(0.02)
        done.append(i)

    results = in_order(pool, 4, work, range(100))
    next(results)
    results.close()  # type: ignore[attr-defined]
    after = len(done)
    time.sleep(0.1)
    assert len(done) == after < 10


def test_a_signal_during_the_wait_leaves_nothing_running(pool: ThreadPoolExecutor) -> None:
    stopped, ended = threading.Event(), threading.Event()

    def work(_: int) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.1)  # when its result is waited for
        stopped.wait(10)
        time.sleep(0.02)
        ended.set()

    def interrupt(*_: object) -> None:
        raise InterruptedError

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(InterruptedError):
            list(in_order(pool, 1, work, [0], stopped.set))
        assert stopped.is_set()
        assert ended.is_set()
    finally:
        signal.signal(signal.SIGALRM, before)
        stopped.set()

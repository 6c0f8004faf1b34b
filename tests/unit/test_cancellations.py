"""Fills that are cancelled, by every means there is: nothing writes to the buffer after it."""

import asyncio
import contextlib
import itertools
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import numpy as np
import pytest
import trio
from writers import LAST, NAME, SIZE, TRIALS, clear_then_look_for_writers, content

from dgenfs import AsyncDataGenerator


class StoppedError(Exception):
    """What tasks raise here."""


async def cancel_natively(read: Callable[[], Awaitable[int]], delay: float) -> bool:
    """Cancel by asyncio's own means, more than once; return whether it was in time."""
    task = asyncio.ensure_future(read())
    await asyncio.sleep(delay)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return True
    return False


async def time_out(read: Callable[[], Awaitable[int]], delay: float) -> bool:
    try:
        async with asyncio.timeout(delay):
            await read()
    except TimeoutError:
        return True
    return False


async def wait_for(read: Callable[[], Awaitable[int]], delay: float) -> bool:
    try:
        await asyncio.wait_for(read(), delay)
    except TimeoutError:
        return True
    return False


async def cancel_a_group(read: Callable[[], Awaitable[int]], delay: float) -> bool:
    async def wait_until_read() -> None:
        await read()

    async def fail() -> None:
        await asyncio.sleep(delay)
        raise StoppedError

    try:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(wait_until_read())
            group.create_task(fail())
    except* StoppedError:
        pass
    return reading.cancelled()


async def move_on(read: Callable[[], Awaitable[int]], delay: float) -> bool:
    with anyio.move_on_after(delay) as scope:
        await read()
    return scope.cancelled_caught


async def move_on_in_trio(read: Callable[[], Awaitable[int]], delay: float) -> bool:
    with trio.move_on_after(delay) as scope:
        await read()
    return scope.cancelled_caught


Cancel = Callable[[Callable[[], Awaitable[int]], float], Awaitable[bool]]


async def cancel_many_times(cancel: Cancel) -> None:
    generator = AsyncDataGenerator(NAME)
    buffer = np.zeros(SIZE, np.uint8)
    await generator.fill_chunk(buffer)
    cancelled = 0
    for chunk, delay in zip(itertools.cycle([False, True]), np.linspace(0, LAST, TRIALS)):
        generator.reset()
        if chunk:
            read = lambda: generator.fill_chunk(buffer)  # noqa: E731
        else:
            read = lambda: generator.read_into(buffer, 0)  # noqa: E731
        if await cancel(read, delay):
            cancelled += 1
            assert generator.position == 0
        clear_then_look_for_writers(buffer)
        buffer[:] = 1
        assert await generator.read_into(buffer, 0) == SIZE
        assert np.array_equal(buffer, content())
    assert cancelled


@pytest.mark.parametrize(
    "cancel",
    [cancel_natively, time_out, wait_for, cancel_a_group, move_on],
    ids=lambda cancel: cancel.__name__,
)
def test_cancelled_in_asyncio(cancel: Cancel) -> None:
    asyncio.run(cancel_many_times(cancel))


@pytest.mark.parametrize("cancel", [move_on, move_on_in_trio], ids=lambda cancel: cancel.__name__)
def test_cancelled_in_trio(cancel: Cancel) -> None:
    trio.run(cancel_many_times, cancel)


def then_ignore_interrupts(function: Callable[[], None], left: int) -> None:
    """Call it, and ignore SIGINT from then on, though it may come ``left`` times before that."""
    try:
        if left:
            then_ignore_interrupts(function, left - 1)
        else:
            function()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def run_until_interrupted(kills: int, ready: Any) -> None:
    """In a process of its own: SIGINT comes ``kills`` times, wherever that is."""
    generator = AsyncDataGenerator(NAME)
    buffer = np.zeros(SIZE, np.uint8)

    async def read() -> None:
        ready.set()
        while True:
            await generator.read_into(buffer, 0)

    def run() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        asyncio.run(read())

    with contextlib.suppress(KeyboardInterrupt):
        then_ignore_interrupts(run, kills)
    clear_then_look_for_writers(buffer)
    # AnyIO may have been interrupted before it noted that its thread is to be ended.
    os._exit(0)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("kills", [1, 2, 3])
def test_asyncio_ended_by_ctrl_c(kills: int) -> None:
    """The first SIGINT cancels the task; more are raised wherever the loop is."""
    chance = random.Random(kills)
    context = multiprocessing.get_context("fork")
    for _ in range(TRIALS // 3):
        ready = context.Event()
        child = context.Process(target=run_until_interrupted, args=(kills, ready))
        child.start()
        assert child.pid is not None
        ready.wait()
        for _ in range(kills):
            time.sleep(chance.uniform(0, LAST))
            os.kill(child.pid, signal.SIGINT)
        child.join()
        assert child.exitcode == 0


def test_a_coroutine_that_is_closed() -> None:
    """As by the garbage collector, where its loop is gone."""
    generator = AsyncDataGenerator(NAME)
    buffer = np.zeros(SIZE, np.uint8)
    for delay in np.linspace(0, LAST, TRIALS):
        loop = asyncio.new_event_loop()
        reading = generator.read_into(buffer, 0)
        task = loop.create_task(reading)
        loop.run_until_complete(asyncio.sleep(delay))
        with contextlib.suppress(RuntimeError):  # of AnyIO, which misses its task
            reading.close()
        clear_then_look_for_writers(buffer)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, RuntimeError):
            loop.run_until_complete(task)
        loop.close()

"""What a signal's handler raises in a fill: nothing writes to the buffer after it."""

import contextlib
import hashlib
import mmap
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from writers import LAST, NAME, SIZE, TRIALS, clear_then_look_for_writers, content

import dgenfs
from dgenfs import DataGenerator, Spec
from dgenfs.api.publishing import write_file, write_tree


class StoppedError(Exception):
    """What signals' handlers raise here."""


@contextlib.contextmanager
def handler(number: int, function: Callable[..., Any]) -> Iterator[None]:
    before = signal.signal(number, function)
    try:
        yield
    finally:
        signal.signal(number, before)


def stop(*_: object) -> None:
    raise StoppedError


def read_by_file(buffer: Any) -> None:
    dgenfs.open(NAME).readinto(buffer)


def read_by_chunk(buffer: Any) -> None:
    DataGenerator(NAME).fill_chunk(buffer)


def read_by_offset(buffer: Any) -> None:
    DataGenerator(NAME).read_into(buffer, 0)


def test_a_crc_of_very_much() -> None:
    """Hours of work, which any signal's handler ends."""
    generator = DataGenerator("1P_c2.npz")
    with handler(signal.SIGALRM, stop):
        for size in (4096, 64 << 20):
            buffer = np.zeros(size, np.uint8)
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            began = time.monotonic()
            with pytest.raises(StoppedError):
                generator.read_into(buffer, generator.size - size)
            assert time.monotonic() - began < 5


@pytest.mark.parametrize("read", [read_by_file, read_by_chunk, read_by_offset])
@pytest.mark.parametrize("again", [0, 0.0005], ids=["once", "again and again"])
def test_a_handler_that_raises(read: Callable[[Any], None], again: float) -> None:
    buffer = np.zeros(SIZE, np.uint8)
    read(buffer)
    stopped = 0
    with handler(signal.SIGALRM, stop):
        for delay in np.linspace(0.0001, LAST, TRIALS):
            try:
                try:
                    signal.setitimer(signal.ITIMER_REAL, delay, again)
                    read(buffer)
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            except StoppedError:
                stopped += 1
            # One that came with the timer's end is raised here at the latest.
            with contextlib.suppress(StoppedError):
                time_goes_by = sum(range(100))
                assert time_goes_by
            clear_then_look_for_writers(buffer)
            buffer[:] = 1
            read(buffer)
            assert np.array_equal(buffer, content())
    assert stopped


def test_a_handler_that_fills_a_buffer_itself() -> None:
    """It is called in the midst of what sets threads to work: none of that waits for a lock."""
    generator = DataGenerator(NAME)
    inner, outer = np.zeros(16 << 20, np.uint8), np.zeros(16 << 20, np.uint8)
    right = content()[: outer.size]
    chance = random.Random(1)
    fills = 0

    def fill(*_: object) -> None:
        nonlocal fills
        generator.read_into(inner, 0)
        fills += 1

    with handler(signal.SIGALRM, fill):
        for trial in range(400):
            inner[::4096] = outer[::4096] = 0
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-6, 2e-4))
            generator.read_into(outer, 0)
            while fills <= trial:
                pass
            assert np.array_equal(outer, right)
            assert np.array_equal(inner, right)


def test_ctrl_c_while_other_threads_fill() -> None:
    buffers = [np.zeros(SIZE, np.uint8) for _ in range(3)]
    ended = threading.Event()
    wrong = []

    def fill(buffer: np.ndarray[Any, Any]) -> None:
        generator = DataGenerator(NAME)
        while not ended.is_set():
            buffer[::4096] = 0
            generator.read_into(buffer, 0)
            if not np.array_equal(buffer, content()):
                wrong.append(buffer)

    threads = [threading.Thread(target=fill, args=(buffer,)) for buffer in buffers[1:]]
    for thread in threads:
        thread.start()
    interrupted = 0
    try:
        with handler(signal.SIGINT, signal.default_int_handler):
            for delay in np.linspace(0.0001, 2 * LAST, TRIALS):
                timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
                try:
                    timer.start()
                    DataGenerator(NAME).read_into(buffers[0], 0)
                    timer.join()
                except KeyboardInterrupt:
                    interrupted += 1
                clear_then_look_for_writers(buffers[0])
                timer.join()
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert interrupted == TRIALS
    assert not wrong


def test_a_buffer_is_free_when_its_fill_has_returned() -> None:
    """It can be unmapped at once, by whoever fills it."""
    generator = DataGenerator(NAME)
    for _ in range(60):
        buffer = mmap.mmap(-1, 16 << 20)
        generator.read_into(buffer, 0)
        buffer.close()


def written() -> int:
    """Bytes that this process has written to files, pipes and sockets so far."""
    line = Path("/proc/self/io").read_text().splitlines()[1]
    return int(line.removeprefix("wchar: "))


def test_nothing_is_written_when_a_second_error_ends_the_wait(tmp_path: Path) -> None:
    """The first comes from the progress of a file or a tree, the second from a handler."""
    errors = 0

    armed = False

    def fail(_: int) -> None:
        signal.setitimer(signal.ITIMER_REAL, delay)
        raise StoppedError

    def stop_if_armed(*_: object) -> None:
        if armed:
            raise StoppedError

    with handler(signal.SIGALRM, stop_if_armed):
        for trial in range(10):
            delay = 0.0001 + 0.0005 * trial
            armed = True
            try:
                try:
                    if trial % 2:
                        write_file(Spec.parse("64M").view(0), tmp_path / f"{trial}", fail)
                    else:
                        write_tree(Spec.parse("2000x64K"), tmp_path / f"{trial}", fail)
                finally:
                    armed = False
            except StoppedError as error:
                before = written()
                errors += isinstance(error.__context__, StoppedError)
            time.sleep(0.005)
            assert written() == before
            subprocess.run(["rm", "-rf", *tmp_path.iterdir()], check=True)
    assert errors


LATE = """
import atexit, hashlib, os, threading
from dgenfs import DataGenerator, AsyncDataGenerator, open
main = threading.main_thread()
generator = DataGenerator("32M_d2")
early = bytearray(32 << 20)
if {before}:
    generator.read_into(early, 0)

def fill(where):
    buffer = bytearray(32 << 20)
    assert generator.read_into(buffer, 0) == len(buffer)
    print(where, hashlib.sha256(buffer).hexdigest(), flush=True)

def later():
    main.join()
    fill("thread")
    import asyncio
    buffer = bytearray(32 << 20)
    asyncio.run(AsyncDataGenerator("32M_d2").read_into(buffer, 0))
    print("loop", hashlib.sha256(buffer).hexdigest(), flush=True)

threading.Thread(target=later).start()
atexit.register(fill, "atexit")
"""


@pytest.mark.parametrize("before", [False, True])
def test_when_the_main_thread_has_ended(before: bool) -> None:
    run = subprocess.run(
        [sys.executable, "-c", LATE.format(before=before)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    right = hashlib.sha256(content().data).hexdigest()
    assert run.stdout.split() == ["thread", right, "loop", right, "atexit", right]

"""Reads that wait for a CRC of many GiB: nobody else waits for them, and they end when left."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from life.test_endings import ENDINGS_OF_BUSY
from mounting import PLANES, RETUNED, Mount, ended, mounted
from processes import PATIENCE, eventually

import dgenfs

TAIL = 4096  # bytes, with the CRCs of an npz file's end
ENDLESS = "4E_s{}.npz"  # the CRC takes years
LONG = "8G_s{}.npz"  # half a second
OTHER = "1T_d2_c1.5_s7.bin"
SOON = 10.0  # seconds; what is ended takes years
READERS = 400

# Prints "reading", then the bytes; any number of files at once.
READ = """
import os, sys, threading
tail = int(sys.argv[1])
files = [os.open(path, os.O_RDONLY) for path in sys.argv[2:]]
def read(fd):
    data = os.pread(fd, tail, os.fstat(fd).st_size - tail)
    os.write(1, data)
threads = [threading.Thread(target=read, args=(fd,), daemon=True) for fd in files]
os.write(1, b"reading")
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


@contextmanager
def reader(*paths: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that has opened files and reads the tail of each."""
    command = [sys.executable, "-I", "-S", "-c", READ, str(TAIL), *map(str, paths)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        assert process.stdout.read(7) == b"reading"
        yield process
    finally:
        process.kill()
        process.communicate(timeout=10 * PATIENCE)


def tail_of(name: str) -> bytes:
    """What no mount is asked for."""
    with dgenfs.open(name) as file:
        file.seek(-TAIL, os.SEEK_END)
        return file.read()


def reads_soon(path: Path, offset: int = 123 << 20) -> None:
    """A read does not wait for a CRC; its bytes are right."""
    started = time.monotonic()
    with path.open("rb", 0) as file:
        file.seek(offset)
        data = file.read(4096)
    assert time.monotonic() - started < SOON * PATIENCE
    with dgenfs.open(path.name) as expected:
        expected.seek(offset)
        assert data == expected.read(4096)


def is_computing(mount: Mount) -> bool:
    before = mount.cpu_seconds()
    time.sleep(0.1)
    return mount.cpu_seconds() - before > 0.015


def ends_soon(process: "subprocess.Popen[bytes]", number: int) -> None:
    process.send_signal(number)
    process.wait(SOON * PATIENCE)


@pytest.fixture(scope="module")
def mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mount]:
    with mounted(tmp_path_factory.mktemp("long"), OTHER, "--io=direct", *RETUNED) as mount:
        yield mount


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_reader_that_is_left_is_computed_for_no_more(mount: Mount, number: int) -> None:
    path = mount.path / ENDLESS.format(number)
    with reader(path) as process:
        eventually(lambda: is_computing(mount))
        reads_soon(path)
        reads_soon(mount.path / OTHER)
        ends_soon(process, number)
    eventually(lambda: not is_computing(mount), SOON)


def test_any_number_of_readers(mount: Mount) -> None:
    with reader(*(mount.path / ENDLESS.format(100 + i) for i in range(READERS))) as process:
        eventually(lambda: is_computing(mount))
        for _ in range(10):
            reads_soon(mount.path / OTHER)
        ends_soon(process, signal.SIGKILL)
    eventually(lambda: not is_computing(mount), SOON)
    reads_soon(mount.path / OTHER)


def test_any_number_of_readers_of_the_page_cache(tmp_path: Path) -> None:
    """Linux sends such reads in the background, as many at once as it was told."""
    with mounted(tmp_path, OTHER, "--io=cached") as mount:
        with reader(*(mount.path / ENDLESS.format(i) for i in range(READERS))) as process:
            eventually(lambda: is_computing(mount))
            for i in range(10):
                reads_soon(mount.path / OTHER, (500 + i) << 20)
            ends_soon(process, signal.SIGKILL)
        mount.process.terminate()
        ended(mount)


def test_who_comes_again_goes_on_where_the_last_one_left(mount: Mount) -> None:
    path = mount.path / LONG.format(1)
    attempts, data = 0, b""
    while not data:
        attempts += 1
        assert attempts < 100
        with reader(path) as process:
            try:
                data, _ = process.communicate(timeout=0.15)
            except subprocess.TimeoutExpired:
                ends_soon(process, signal.SIGKILL)
    assert data == tail_of(path.name)


def test_a_change_of_threads_loses_no_reader(mount: Mount) -> None:
    names = [LONG.format(2 + i) for i in range(3)]  # one more than are computed at once
    with reader(*(mount.path / name for name in names)) as process:
        eventually(lambda: is_computing(mount))
        for settings in ({"workers_per_node": 1}, {"workers_per_node": 3, "cache_bytes": 8 << 20}):
            started = time.monotonic()
            (mount.path / ".topology").write_text(json.dumps(settings))
            assert time.monotonic() - started < SOON * PATIENCE
        data, _ = process.communicate(timeout=30 * PATIENCE)
    parts = {data[i : i + TAIL] for i in range(0, len(data), TAIL)}
    assert parts == {tail_of(name) for name in names}


@pytest.mark.parametrize("ending", ["SIGTERM", "umount -f"])
@pytest.mark.parametrize("plane", PLANES)
def test_the_mount_ends_meanwhile(tmp_path: Path, plane: str, ending: str) -> None:
    with mounted(tmp_path, OTHER, "--io=direct", f"--data-plane={plane}") as mount:
        path = mount.path / ENDLESS.format(1)
        with reader(*(mount.path / ENDLESS.format(i) for i in range(150))) as process:
            eventually(lambda: is_computing(mount))
            reads_soon(path)
            reads_soon(mount.path / OTHER)
            ENDINGS_OF_BUSY[ending](mount)
            ended(mount)
            process.wait(SOON * PATIENCE)

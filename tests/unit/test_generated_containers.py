"""Containers by the package itself: generated into buffers, copied, cancelled and written."""

import copy
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import anyio
import numpy as np
import oracle
import pytest
from mounting import DGENFS
from processes import PATIENCE, run

import dgenfs
from dgenfs import AsyncDataGenerator, DataGenerator, Spec
from dgenfs.api.publishing import write_file, write_tree

FORMATS = sorted(oracle.CONTAINERS)
ENDLESS = "4E.npz"  # a CRC that takes years
SOON = 10.0  # seconds; what is ended takes years
TAIL = 4096


def whole(name: str) -> bytes:
    content = oracle.parse(name)
    files = [oracle.read(content, i, 0, content.size) for i in range(content.files)]
    return b"".join(files)


@pytest.mark.parametrize("extension", FORMATS)
def test_files_and_trees_into_buffers(extension: str) -> None:
    for name in (f"100001_d2_c1.5_r9999.{extension}", f"5x20001_d2_r9999_f2.{extension}"):
        expected = whole(name)
        generator = DataGenerator(name)
        assert generator.size == len(expected)
        buffer = bytearray(30_000)
        pieces = []
        while written := generator.fill_chunk(buffer):
            pieces.append(bytes(buffer[:written]))
        assert b"".join(pieces) == expected
        generator.set_seed(5)
        generator.seek(15_000)
        assert generator.fill_chunk(buffer) == len(buffer)
        start, _, end = name.rpartition("_r")
        assert buffer == whole(f"{start}_s5_r{end}")[15_000:45_000]
    content = oracle.parse(name)
    last = DataGenerator(name, file=4)
    last.fill_chunk(buffer)
    assert buffer[:20_001] == oracle.read(content, 4, 0, 20_001)
    with dgenfs.open(f"{name}/{oracle.tree_path(content, 4)}") as file:
        assert file.read() == oracle.read(content, 4, 0, 20_001)


@pytest.mark.parametrize("extension", FORMATS)
@pytest.mark.parametrize("threads", [1, None])
def test_on_all_cpus(extension: str, threads: int | None) -> None:
    """What threads fill at once is what is read in small pieces; CRCs are in it and behind it."""
    name = f"40M_c2_r12M.{extension}"
    buffer = np.empty(40 << 20, np.uint8)
    DataGenerator(name, threads=threads).read_into(buffer, 0)
    with dgenfs.open(name) as file:
        for start in range(0, len(buffer), 3_000_000):
            file.seek(start)
            assert file.read(3_000_000) == buffer[start : start + 3_000_000].tobytes()


def test_copies_outlive_what_they_are_of() -> None:
    name = "300001_r30000.tfrecord"
    expected = whole(name)
    spec = Spec.parse(name)
    assert spec.view(0).read(0, len(expected)) == expected
    copies = [pickle.loads(pickle.dumps(spec)), copy.copy(spec), copy.deepcopy(spec)]
    generators = [copy.copy(DataGenerator(name)), copy.deepcopy(DataGenerator(name))]
    del spec
    gc.collect()
    rubbish = [np.full(2000, 2**63, np.uint64) for _ in range(1000)]
    for one in copies:
        assert one.view(0).read(0, len(expected)) == expected
    for generator in generators:
        buffer = bytearray(len(expected))
        generator.read_into(buffer, 0)
        assert buffer == expected
    assert len(rubbish) == 1000


def test_in_a_forked_child() -> None:
    name = "300001_r30000.npz"
    expected = whole(name)
    generator = DataGenerator(name)
    child = os.fork()
    if child == 0:
        buffer = bytearray(len(expected))
        generator.read_into(buffer, 0)
        os._exit(buffer != expected)
    assert os.waitpid(child, 0)[1] == 0


class StoppedError(Exception):
    pass


def stop(*_: object) -> None:
    raise StoppedError


@pytest.mark.parametrize("size", [TAIL, 40 << 20])
@pytest.mark.parametrize("threads", [1, None])
def test_a_signal_ends_a_long_crc(size: int, threads: int | None) -> None:
    generator = DataGenerator(ENDLESS, threads=threads)
    buffer = np.empty(size, np.uint8)
    before = signal.signal(signal.SIGUSR1, stop)
    timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGUSR1))
    try:
        timer.start()
        started = time.monotonic()
        with pytest.raises(StoppedError):
            generator.read_into(buffer, generator.size - size)
        assert time.monotonic() - started < SOON * PATIENCE
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    assert is_idle()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("size", [TAIL, 40 << 20])
def test_a_long_crc_is_cancelled(size: int, backend: str) -> None:
    async def cancel() -> None:
        generator = AsyncDataGenerator(ENDLESS)
        started = time.monotonic()
        with anyio.move_on_after(0.2) as scope:
            await generator.read_into(np.empty(size, np.uint8), generator.size - size)
        assert scope.cancelled_caught
        assert time.monotonic() - started < SOON * PATIENCE

    anyio.run(cancel, backend=backend)
    assert is_idle()


def is_idle() -> bool:
    """Whether no thread of this process computes; seen in the first of some looks."""
    for _ in range(20):
        before = time.process_time()
        time.sleep(0.05)
        if time.process_time() - before < 0.02:
            return True
    return False


@pytest.mark.parametrize("extension", FORMATS)
def test_gen(extension: str, tmp_path: Path) -> None:
    name, tree = f"100001_d2_r9999.{extension}", f"5x20001_d2_r9999_f2.{extension}"
    expected = whole(name)
    if extension == "npz":
        for given in (name, tree):
            run(DGENFS, "gen", given, "-o", tmp_path / given)
        assert run(DGENFS, "gen", name, "-o", "-").out == expected
    else:
        write_file(Spec.parse(name).view(), tmp_path / name, lambda _: None)
        write_tree(Spec.parse(tree), tmp_path / tree, lambda _: None)
    assert (tmp_path / name).read_bytes() == expected
    content = oracle.parse(tree)
    files = {str(path.relative_to(tmp_path / tree)) for path in (tmp_path / tree).rglob("*.*")}
    assert files == {oracle.tree_path(content, i) for i in range(5)}
    for i in range(5):
        path = tmp_path / tree / oracle.tree_path(content, i)
        assert path.read_bytes() == oracle.read(content, i, 0, 20_001)


def test_ctrl_c_ends_gen_in_a_long_crc() -> None:
    """Of a tail that is piped, all of whose time is the CRC's."""
    code = (
        "import sys; from pathlib import Path; from dgenfs import Spec\n"
        "from dgenfs.api.publishing import write_stream\n"
        f"view = Spec.parse({ENDLESS!r}).view(0); print('go', flush=True)\n"
        "write_stream(view.part(view.size - 4096, 4096), 1, lambda _: None)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"go\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.wait(SOON * PATIENCE) == -signal.SIGINT

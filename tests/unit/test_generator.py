import array
import ctypes
import mmap
import multiprocessing
import threading
import time
from typing import Any

import numpy as np
import oracle
import pytest

import dgenfs
from dgenfs import DataGenerator, SpecError
from dgenfs.machine import pinned, topology
from dgenfs.machine.topology import Node, Topology

NAME = "100000_d2_c3_s5"


def expected(offset: int, length: int) -> bytes:
    return oracle.read(oracle.parse(NAME), 0, offset, length)


def test_streaming() -> None:
    generator = DataGenerator(NAME)
    pieces = []
    buffer = bytearray(4096)
    while written := generator.fill_chunk(buffer):
        pieces.append(bytes(buffer[:written]))
    assert b"".join(pieces) == expected(0, 100000)
    assert generator.is_complete()
    assert generator.position == generator.size == 100000
    assert generator.fill_chunk(buffer) == 0
    generator.reset()
    assert (generator.position, generator.is_complete()) == (0, False)
    generator.seek(99999)
    assert generator.fill_chunk(buffer) == 1
    assert buffer[0] == expected(99999, 1)[0]


def test_bytes() -> None:
    expected = oracle.read(oracle.parse("300000_d2_c3"), 0, 0, 300000)
    generator = DataGenerator("300000_d2_c3")
    for offset, length in (
        (0, 300000),
        (5, 10),
        (299990, 100),
        (300000, 1),
        (2**63, 2**63),
        (7, 0),
    ):
        assert generator.read(offset, length) == expected[offset : offset + length]
    assert generator.position == 0
    for arguments in ((-1, 1), (0, -1)):
        with pytest.raises(ValueError, match="-1: must be at least 0"):
            generator.read(*arguments)


def test_seek_outside() -> None:
    generator = DataGenerator(NAME)
    for offset in (-1, 100001):
        with pytest.raises(ValueError, match=str(offset)):
            generator.seek(offset)
    with pytest.raises(ValueError, match="-1"):
        generator.read_into(bytearray(1), -1)
    assert generator.read_into(bytearray(1), 100000) == 0
    assert generator.read_into(bytearray(1), 1 << 70) == 0


def test_set_seed_goes_on_in_another_content() -> None:
    generator = DataGenerator(NAME)
    generator.seek(512)
    generator.set_seed(6)
    buffer = bytearray(512)
    generator.fill_chunk(buffer)
    assert buffer == oracle.read(oracle.parse("100000_d2_c3_s6"), 0, 512, 512)
    assert generator.spec.seed == 6
    with pytest.raises(ValueError, match="seed -1"):
        generator.set_seed(-1)


class ChangingBuffer:
    """Sets another seed, and seeks, whenever it is asked for its memory."""

    def __init__(self, generator: DataGenerator, size: int) -> None:
        self.generator = generator
        self.values = np.zeros(size, np.uint8)

    def __dlpack__(self, **keywords: Any) -> Any:
        self.generator.set_seed(6)
        self.generator.seek(0)
        return self.values.__dlpack__(**keywords)

    def __dlpack_device__(self) -> Any:
        return self.values.__dlpack_device__()


def test_a_fill_is_of_one_seed_and_one_position() -> None:
    generator = DataGenerator(NAME)
    generator.seek(512)
    buffer = ChangingBuffer(generator, 1000)
    assert generator.fill_chunk(buffer) == 1000
    assert bytes(buffer.values) == expected(512, 1000)
    assert (generator.position, generator.spec.seed) == (1512, 6)


class Tensor:
    """Memory that shows itself by DLPack only, as a torch tensor does."""

    def __init__(self, values: np.ndarray[Any, Any]) -> None:
        self.values = values

    def __dlpack__(self, **keywords: Any) -> Any:
        return self.values.__dlpack__(**keywords)

    def __dlpack_device__(self) -> Any:
        return self.values.__dlpack_device__()


class OlderTensor(Tensor):
    """One whose DLPack has no version, which NumPy takes for read-only, as torch's before 2.9."""

    def __dlpack__(self, **keywords: Any) -> Any:
        if keywords:
            raise TypeError(f"no such arguments: {keywords}")
        return self.values.__dlpack__()

    def numpy(self) -> np.ndarray[Any, Any]:
        return self.values


class CopyingTensor(OlderTensor):
    """One whose array is not its memory, as TensorFlow's."""

    def numpy(self) -> np.ndarray[Any, Any]:
        return self.values.copy()


@pytest.mark.parametrize(
    "buffer",
    [
        bytearray(800),
        memoryview(bytearray(900))[50:850],
        array.array("d", [0.0] * 100),
        np.zeros(100, np.float64),
        np.zeros((10, 20), np.uint32),
        np.zeros(801, np.uint8)[1:],
        mmap.mmap(-1, 800),
        np.zeros(100, [("Offset", np.uint32), ("Other", np.float32)]),
        (ctypes.c_void_p * 100)(),
        Tensor(np.zeros(200, np.float32)),
        OlderTensor(np.zeros(200, np.float32)),
    ],
    ids=lambda buffer: type(buffer).__name__,
)
def test_buffers_are_filled_in_place(buffer: Any) -> None:
    assert DataGenerator(NAME).read_into(buffer, 7) == 800
    values: Any = buffer.values if isinstance(buffer, Tensor) else buffer
    assert memoryview(values).tobytes() == expected(7, 800)


@pytest.mark.parametrize(
    ("buffer", "error"),
    [
        (b"read-only", ValueError),
        (np.zeros((4, 4), np.uint8)[:, ::2], ValueError),
        (np.zeros(4, object), TypeError),
        (np.zeros(4, [("Offset", np.uint32), ("other", object)]), TypeError),
        (CopyingTensor(np.zeros(4)), ValueError),
        ([0, 0], TypeError),
        (None, TypeError),
    ],
)
def test_other_buffers_are_refused(buffer: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        DataGenerator(NAME).fill_chunk(buffer)


def test_empty_buffers() -> None:
    generator = DataGenerator(NAME)
    for buffer in (bytearray(), np.zeros((0, 4)), np.zeros((4, 0))):
        assert generator.fill_chunk(buffer) == 0
    assert DataGenerator("0").fill_chunk(bytearray(10)) == 0
    assert DataGenerator("0").is_complete()


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="threads 0"):
        DataGenerator(NAME, threads=0)
    with pytest.raises(SpecError):
        DataGenerator("10G.md5")
    with pytest.raises(IndexError, match="file 5"):
        DataGenerator("5x1K", file=5)
    for arguments in ({"size": -1}, {"size": 1, "dedup": 0.5}, {"size": 1, "compress": 21}):
        with pytest.raises(ValueError, match="must be"):
            dgenfs.generate_data(**arguments)


def test_the_gil_is_released() -> None:
    """While one thread fills, this one goes on: it would stand still for the whole call."""
    generator = DataGenerator("8E-1", threads=1)
    buffer = np.zeros(256 << 20, np.uint8)
    filling = threading.Thread(target=generator.fill_chunk, args=(buffer,))
    filling.start()
    ticks = 0
    while filling.is_alive():
        ticks += 1
        time.sleep(0)
    assert ticks > 100


@pytest.mark.parametrize(
    "nodes", [[[0], [1]], [[0], [4000, 4001]], [[4000], [4001], [4002]], [[1, 0, 4000]]], ids=str
)
def test_large_buffers_on_any_nodes(
    nodes: list[list[int]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """CPUs 4000 to 4002 went offline since the topology was read: their threads run anywhere."""
    found = [Node(index, tuple(cpus), 0) for index, cpus in enumerate(nodes, 3)]
    monkeypatch.setattr(topology, "detect", lambda affinity: Topology(tuple(found)))  # noqa: ARG005
    monkeypatch.setattr(pinned, "_plan", None)
    monkeypatch.setattr(pinned, "_workers", {})
    name = "5x7M+1_d2_c2"
    whole, one = (np.zeros(5 * ((7 << 20) + 1), np.uint8) for _ in range(2))
    DataGenerator(name, threads=1).fill_chunk(one)
    assert DataGenerator(name).fill_chunk(whole) == whole.size
    for worker in pinned.plan().workers.values():
        ready = threading.Event()
        worker.call(ready.set)
        assert ready.wait(60)
    assert np.array_equal(whole, one)
    assert ("its thread runs on any" in caplog.text) == (nodes != [[0], [1]])


def test_offsets_behind_the_end() -> None:
    for name in ("100K_d2", "3x100K"):
        for offset in (300 << 10, 1 << 63, 1 << 64, 1 << 200):
            assert DataGenerator(name).read_into(bytearray(10), offset) == 0


def fill_in_child(results: Any) -> None:
    buffer = bytearray(64 << 20)
    DataGenerator("64M", threads=4).fill_chunk(buffer)
    results.put(bytes(buffer[-16:]))


# The child inherits a process with threads on purpose: that is what is tested.
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_generates_too() -> None:
    buffer = bytearray(64 << 20)
    DataGenerator("64M", threads=4).fill_chunk(buffer)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    child = context.Process(target=fill_in_child, args=(results,))
    child.start()
    assert results.get(timeout=30) == buffer[-16:]
    child.join()
    assert child.exitcode == 0

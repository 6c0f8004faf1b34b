"""dgenfs.compat.dgen_py beside dgen-py itself: the same interface, and content of names in it."""

import array
import functools
import hashlib
import inspect
import io
import math
from collections.abc import Callable
from multiprocessing import shared_memory
from types import ModuleType
from typing import Any

import dgen_py as real
import numpy as np
import oracle
import psutil
import pytest

from dgenfs.compat import dgen_py as ours

MIB = 1 << 20
BOTH = pytest.mark.parametrize("module", [ours, real], ids=["dgenfs", "dgen-py"])
# What both refuse. dgen-py has OverflowError and BufferError too, which are ValueErrors here.
REFUSED = {
    TypeError: [
        "Generator()",
        "Generator(5, color=1)",
        "Generator(1.5)",
        'Generator("5")',
        'Generator(5, "2")',
        "Generator(5, None)",
        "Generator(5, numa_mode=None)",
        "Generator(5, method=None)",
        "Generator(5).set_seed(1.5)",
        "Generator(5).get_chunk(1.5)",
        "Generator(5).fill_chunk(5)",
        "generate_data(1.5)",
        "fill_buffer(5)",
        'BufferPool("2")',
        "BufferPool().next_slice(1.5)",
        "create_bytearrays(1.5, 5)",
    ],
    ValueError: [
        "Generator(-1)",
        "Generator(1 << 64)",
        'Generator(5, numa_mode="all")',
        "Generator(5, max_threads=-1)",
        "Generator(5, numa_node=-1)",
        "Generator(5, chunk_size=-1)",
        "Generator(5, block_size=-1)",
        "Generator(5, seed=-1)",
        "Generator(5, seed=1 << 64)",
        "Generator(5).set_seed(1 << 64)",
        "Generator(5).get_chunk(-1)",
        'Generator(5).fill_chunk(b"12345")',
        "Generator(5).fill_chunk(np.zeros(9, np.uint8)[::2])",
        "generate_buffer(-1)",
        'generate_buffer(5, numa_mode="all")',
        'generate_into_buffer(b"12345")',
        "BufferPool().next_slice(0)",
        "BufferPool().next_slice(-1)",
        "create_bytearrays(-1, 5)",
        "create_bytearrays(1, -5)",
        "bench_rolling_pool(0, 5)",
    ],
}


def content(name: str, start: int, length: int) -> bytes:
    return oracle.read(oracle.parse(name), 0, start, length)


def alike(chunks: list[Any]) -> list[int]:
    """For each chunk, which was the first with the same bytes."""
    seen = [bytes(chunk) for chunk in chunks]
    return [seen.index(chunk) for chunk in seen]


def test_every_public_name() -> None:
    assert set(ours.__all__) == set(real.__all__)
    assert ours.__version__ == real.__version__
    assert ours.StreamingGenerator is ours.Generator


def signature(function: Any) -> list[tuple[str, Any, Any]]:
    parameters = inspect.signature(function).parameters.values()
    # A method's self can only be positional where it is not Python's.
    return [(p.name, p.name == "self" or p.kind, p.default) for p in parameters]


def test_signatures() -> None:
    compared = 0
    for name in set(real.__all__) - {"BytesView", "get_numa_info"}:
        theirs, own = getattr(real, name), getattr(ours, name)
        assert signature(own) == signature(theirs), name
        for method, function in vars(theirs).items() if isinstance(theirs, type) else ():
            if method.startswith("_"):
                continue
            if inspect.isgetsetdescriptor(function):
                assert isinstance(getattr(own, method), property), method
            else:
                compared += 1
                assert signature(getattr(own, method)) == signature(function), method
    assert compared == 9


@pytest.mark.parametrize(
    ("size", "chunks"),
    [
        (0, [5, 0]),
        (1, [1, 1]),
        (100_000, [4096, 0, 1, 50_000, 99_999, 1]),
        (3 * MIB, [MIB, MIB + 1, 2 * MIB, 7]),
    ],
)
def test_a_stream(size: int, chunks: list[int]) -> None:
    name = f"{size}_d2_c3_s5"
    own, theirs = ours.Generator(size, 2, 3, seed=5), real.Generator(size, 2, 3, seed=5)
    assert own.total_size() == theirs.total_size() == size
    for way in (fill, get):
        for length in chunks:
            start = own.position()
            data, reference = way(own, length), way(theirs, length)
            assert (data is None) == (reference is None)
            assert len(data or b"") == len(reference or b"")
            assert bytes(data or b"") == content(name, start, len(data or b""))
            assert own.position() == theirs.position()
            assert own.is_complete() is theirs.is_complete()
        own.reset()
        theirs.reset()
        assert own.position() == theirs.position() == 0


def fill(generator: Any, length: int) -> bytes | None:
    buffer = bytearray(length)
    return bytes(buffer[: generator.fill_chunk(buffer)])


def get(generator: Any, length: int) -> Any:
    return generator.get_chunk(length)


def test_any_split_gives_the_same_bytes() -> None:
    generator = ours.Generator(MIB, 4, seed=9)
    pieces = list(iter(lambda: generator.get_chunk(99_999), None))
    assert b"".join(pieces) == content("1M_d4_s9", 0, MIB)


def test_seeds() -> None:
    def run(module: ModuleType) -> tuple[list[int], list[int]]:
        # Far apart: block k of seed s is block 0 of seed s + k in dgen-py.
        generator = module.Generator(16 * MIB, seed=100)
        chunks, positions = [], []
        for step in (None, None, 200, 100, 200, "reset", 100, "reset", 300, None, 300):
            if step == "reset":
                generator.reset()
            elif step is not None:
                generator.set_seed(step)
            positions.append(generator.position())
            chunks.append(generator.get_chunk(MIB))
        generator.set_seed(None)
        chunks.append(generator.get_chunk(MIB))
        generator.reset()
        chunks.append(generator.get_chunk(MIB))
        return alike(chunks), [*positions, generator.position()]

    assert run(ours) == run(real)


def test_a_seed_that_is_set_in_the_middle() -> None:
    generator = ours.Generator(100_000, 2, 3, seed=5)
    generator.get_chunk(30_001)
    generator.set_seed(6)
    assert generator.position() == 30_001
    buffer = bytearray(100_000)
    assert generator.fill_chunk(buffer) == 69_999
    assert bytes(buffer) == content("100000_d2_c3_s6", 0, 69_999) + bytes(30_001)
    assert generator.is_complete()
    assert generator.get_chunk(1) is None
    generator.reset()
    assert generator.get_chunk(1 << 40) == content("100000_d2_c3_s6", 0, 100_000)


def test_random_seeds() -> None:
    made: list[Callable[[], Any]] = [
        lambda: ours.generate_buffer(4096),
        lambda: ours.generate_data(4096),
        lambda: ours.Generator(4096).get_chunk(4096),
        lambda: ours.BufferPool().next_slice(4096),
        lambda: ours.generate_uniform(1024),
        lambda: ours.generate_uniform_vectors(4, 256),
    ]
    chunks = [make() for make in made * 3]
    assert len(set(chunks)) == len(chunks)
    generator = ours.Generator(4096)
    first = generator.get_chunk(4096)
    generator.reset()
    assert generator.get_chunk(4096) == first


@BOTH
def test_what_is_returned(module: ModuleType, tmp_path: Any) -> None:
    for size in (1, 5000, MIB + 1):
        data = module.generate_buffer(size, dedup_ratio=2.0, compress_ratio=2.0)
        assert isinstance(data, module.BytesView)
        assert data
        assert len(data) == size
        view = memoryview(data)
        assert (view.readonly, view.format, view.shape) == (True, "B", (size,))
        values: Any = np.frombuffer(data, np.uint8)
        assert not values.flags.writeable
        assert np.shares_memory(values, np.frombuffer(view, np.uint8))
        assert bytes(data) == values.tobytes() == bytearray(data)
        assert hashlib.sha256(data).digest() == hashlib.sha256(values).digest()
        path = tmp_path / str(size)
        with path.open("wb", buffering=0) as file:
            assert file.write(data) == size
        assert path.read_bytes() == io.BytesIO(data).read() == bytes(data)
    assert len(module.generate_data(10)) == 10
    assert isinstance(module.Generator(10).get_chunk(5), module.BytesView)
    assert isinstance(module.BufferPool().next_slice(5), module.BytesView)


@BOTH
def test_what_is_filled(module: ModuleType) -> None:
    memory = bytearray(64)
    buffers: list[Any] = [
        bytearray(5000),
        memoryview(memory)[8:56],
        np.zeros((5, 5), np.uint8),
        array.array("B", bytes(1000)),
        bytearray(0),
    ]
    for buffer in buffers:
        size = memoryview(buffer).nbytes
        for write in (module.generate_into_buffer, module.fill_buffer):
            assert write(buffer) == size
            assert any(memoryview(buffer).cast("B")) == bool(size)
        assert module.Generator(1 << 20).fill_chunk(buffer) == size
    assert memory[:8] == memory[56:] == bytes(8)


@BOTH
def test_arguments_that_are_taken(module: ModuleType) -> None:
    generator = module.Generator(
        MIB, True, np.float32(2), "FORCE", 0, 7, chunk_size=7, block_size=7, seed=2**64 - 1
    )
    assert generator.chunk_size == 7
    assert module.Generator(np.int64(5)).chunk_size == 32 * MIB
    for mode in ("auto", "Force", "disabled", "disable"):
        assert len(module.generate_buffer(5, numa_mode=mode, max_threads=1, numa_node=3)) == 5
        assert module.fill_buffer(bytearray(5), 2, 2, mode, 2) == 5
    assert len(module.generate_buffer(2 * MIB, method="other", max_threads=0)) == 2 * MIB


@pytest.mark.parametrize(
    ("call", "expected"), [(call, error) for error, calls in REFUSED.items() for call in calls]
)
def test_refused(call: str, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        eval(call, {**vars(ours), "np": np})
    with pytest.raises((expected, OverflowError, BufferError)):
        eval(call, {**vars(real), "np": np})


@pytest.mark.parametrize(
    ("dedup", "compress", "said"),
    [
        (0, 1, "dedup 0: must be 1 to 1000"),
        (0.5, 1, "dedup 0.5: must be 1 to 1000"),
        (1000.1, 1, "dedup 1000.1: must be 1 to 1000"),
        (math.nan, 1, "dedup nan: must be 1 to 1000"),
        (1, 0, "compress 0: must be 1 to 20"),
        (1, 50, "compress 50: must be 1 to 20"),
        (1, -3.0, "compress -3.0: must be 1 to 20"),
    ],
)
def test_ratios_that_no_name_has(dedup: float, compress: float, said: str) -> None:
    pool = ours.BufferPool(4, 2)
    for call in (
        functools.partial(ours.Generator, 5),
        functools.partial(ours.generate_buffer, 5),
        functools.partial(ours.generate_into_buffer, bytearray(5)),
        ours.BufferPool,
        pool.reconfigure,
    ):
        with pytest.raises(ValueError, match=said):
            call(dedup, compress)
    assert (pool.dedup_ratio, pool.compress_ratio) == (4, 2)


@BOTH
def test_bytearrays(module: ModuleType) -> None:
    buffers = module.create_bytearrays(count=3, size=MIB)
    assert [type(buffer) for buffer in buffers] == [bytearray] * 3
    generator = module.Generator(3 * MIB - 5)
    assert [generator.fill_chunk(buffer) for buffer in buffers] == [MIB, MIB, MIB - 5]
    assert len({bytes(buffer) for buffer in buffers}) == 3
    buffers[0].extend(b"more")
    assert len(buffers[0]) == MIB + 4
    assert module.create_bytearrays(0, 5) == []
    assert module.create_bytearrays(2, 0) == [bytearray(), bytearray()]
    with pytest.raises(MemoryError):
        module.create_bytearrays(1, (1 << 63) - 1)


def test_bytearrays_are_not_written_to() -> None:
    process = psutil.Process()
    before = process.memory_info().rss
    buffers = ours.create_bytearrays(4, 256 * MIB)
    assert process.memory_info().rss - before < 256 * MIB
    assert len(buffers) == 4


def test_the_machine() -> None:
    info = ours.get_system_info()
    assert info == ours.get_numa_info()
    assert info["num_nodes"] >= 1
    assert 1 <= info["physical_cores"] <= info["logical_cpus"]
    assert info["is_uma"] == (info["num_nodes"] == 1)
    assert "UMA" in info["deployment_type"]


@BOTH
def test_code_that_is_written_for_it(module: ModuleType) -> None:
    """As DLIO makes tensors and batches, and MLPerf Storage checkpoints, call by call."""
    single = module.Generator(size=256 * MIB)
    for shape, dtype in (((64, 64), np.float64), ((1024, 513), np.float32), ((7,), np.uint8)):
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if size < MIB:
            data = module.generate_buffer(size)
        else:
            single.reset()
            data = single.get_chunk(size)
        tensor = np.frombuffer(data, dtype=dtype).reshape(shape)
        assert tensor.copy().flags.writeable

    stream = module.Generator(size=2 * MIB, dedup_ratio=1.0, compress_ratio=1.0, numa_mode="auto")
    (batch,) = module.create_bytearrays(count=1, size=MIB)
    files = []
    for file in range(2):
        stream.reset()
        stream.set_seed(100 * file)
        while not stream.is_complete():
            files.append(bytes(batch[: stream.fill_chunk(batch)]))
    assert len(set(files)) == 4

    memory = shared_memory.SharedMemory(create=True, size=MIB)
    try:
        assert memory.buf is not None
        checkpoint = module.Generator(MIB + 1, max_threads=2, chunk_size=MIB)
        assert checkpoint.fill_chunk(memory.buf) == MIB
        assert checkpoint.fill_chunk(memory.buf[:4096]) == 1
        assert checkpoint.fill_chunk(memory.buf) == 0
    finally:
        memory.close()
        memory.unlink()

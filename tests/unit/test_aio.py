import functools
from collections.abc import Callable
from typing import Any

import anyio
import numpy as np
import oracle
import pytest

from dgenfs import AsyncDataGenerator

NAME = "96M_d2_c2"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.anyio
async def test_streaming() -> None:
    generator = AsyncDataGenerator("300000_d2_c3")
    buffer = bytearray(70000)
    pieces = []
    while written := await generator.fill_chunk(buffer):
        pieces.append(bytes(buffer[:written]))
    assert b"".join(pieces) == oracle.read(oracle.parse("300000_d2_c3"), 0, 0, 300000)
    assert generator.is_complete()
    generator.reset()
    generator.seek(5)
    generator.set_seed(3)
    small = bytearray(10)
    assert await generator.fill_chunk(small) == 10
    assert small == oracle.read(oracle.parse("300000_d2_c3_s3"), 0, 5, 10)
    assert (generator.position, generator.size, generator.spec.seed) == (15, 300000, 3)


@pytest.mark.anyio
async def test_bytes() -> None:
    expected = oracle.read(oracle.parse("300000_d2_c3"), 0, 0, 300000)
    generator = AsyncDataGenerator("300000_d2_c3")
    for offset, length in (
        (0, 300000),
        (5, 10),
        (299990, 100),
        (300000, 1),
        (2**63, 2**63),
        (7, 0),
    ):
        assert await generator.read(offset, length) == expected[offset : offset + length]
    assert generator.position == 0
    with pytest.raises(ValueError, match="length -1"):
        await generator.read(0, -1)


@pytest.mark.anyio
async def test_concurrent_reads() -> None:
    generator = AsyncDataGenerator(NAME)
    buffers = [np.zeros(3 << 20, np.uint8) for _ in range(8)]
    async with anyio.create_task_group() as group:
        for i, buffer in enumerate(buffers):
            group.start_soon(generator.read_into, buffer, i * 1000)
    content = oracle.parse(NAME)
    for i, buffer in enumerate(buffers):
        assert bytes(buffer[:5000]) == oracle.read(content, 0, i * 1000, 5000)
        assert bytes(buffer[-5000:]) == oracle.read(content, 0, i * 1000 + (3 << 20) - 5000, 5000)


@pytest.mark.anyio
async def test_the_loop_goes_on_while_a_buffer_is_filled() -> None:
    generator = AsyncDataGenerator(NAME, threads=1)
    buffer = np.zeros(96 << 20, np.uint8)
    done = anyio.Event()
    ticks = 0

    async def fill() -> None:
        assert await generator.fill_chunk(buffer) == buffer.size
        done.set()

    async with anyio.create_task_group() as group:
        group.start_soon(fill)
        while not done.is_set():
            ticks += 1
            await anyio.lowlevel.checkpoint()
    assert ticks > 10


@pytest.mark.anyio
async def test_cancelling_leaves_the_position_and_no_writer() -> None:
    generator = AsyncDataGenerator(NAME)
    buffer = np.zeros(96 << 20, np.uint8)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(generator.fill_chunk, buffer)
            await anyio.lowlevel.checkpoint()
            scope.cancel()
    assert generator.position == 0
    assert not buffer[64 << 20 :].any()
    before = buffer.copy()
    await anyio.sleep(0.02)
    assert np.array_equal(buffer, before)
    with anyio.move_on_after(0):
        await generator.read_into(bytearray(10), 0)
        raise AssertionError("a small read is a checkpoint too")


@pytest.mark.anyio
async def test_one_stream_is_for_one_task() -> None:
    generator = AsyncDataGenerator(NAME)

    async def two_tasks() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(generator.fill_chunk, bytearray(8 << 20))

    with pytest.raises(ExceptionGroup) as caught:
        await two_tasks()
    assert isinstance(caught.value.exceptions[0], anyio.BusyResourceError)


class CallingBuffer:
    """Calls something whenever it is asked for its memory, which a fill does after it began."""

    def __init__(self, size: int, call: Callable[[], None]) -> None:
        self.values = np.zeros(size, np.uint8)
        self.call = call

    def __dlpack__(self, **keywords: Any) -> Any:
        self.call()
        return self.values.__dlpack__(**keywords)

    def __dlpack_device__(self) -> Any:
        return self.values.__dlpack_device__()


@pytest.mark.anyio
async def test_a_stream_stays_as_it_is_while_it_is_filled() -> None:
    generator = AsyncDataGenerator(NAME)

    def change() -> None:
        for call in (
            generator.reset,
            functools.partial(generator.seek, 5),
            functools.partial(generator.set_seed, 3),
        ):
            with pytest.raises(anyio.BusyResourceError, match="filling a chunk"):
                call()

    assert await generator.fill_chunk(CallingBuffer(1000, change)) == 1000
    assert (generator.position, generator.spec.seed) == (1000, 0)
    generator.set_seed(3)
    assert generator.spec.seed == 3


@pytest.mark.anyio
@pytest.mark.parametrize("size", [1000, 40 << 20])
async def test_a_read_is_of_one_seed(size: int) -> None:
    generator = AsyncDataGenerator(NAME)
    before = np.zeros(size, np.uint8)
    await generator.read_into(before, 0)
    buffer = CallingBuffer(size, lambda: generator.set_seed(3))
    await generator.read_into(buffer, 0)
    assert generator.spec.seed == 3
    assert np.array_equal(buffer.values, before)


@pytest.mark.anyio
async def test_errors() -> None:
    with pytest.raises(ValueError, match="read-only"):
        await AsyncDataGenerator(NAME).fill_chunk(b"abc")

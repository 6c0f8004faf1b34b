"""The ratios that dgenfs.compat.dgen_py declares, measured, and its pools beside dgen-py's."""

import hashlib
from types import ModuleType
from typing import Any

import dgen_py as real
import lz4.block
import pytest
import zstandard

from dgenfs.compat import dgen_py as ours

MIB = 1 << 20


def ratios(data: list[Any], chunk: int = 4096) -> tuple[float, float, float]:
    """What a store of chunks sees of objects: dedup, and what zstd and lz4 make of the chunks."""
    chunks = [bytes(item)[at : at + chunk] for item in data for at in range(0, len(item), chunk)]
    distinct = {hashlib.sha256(part).digest(): part for part in chunks}
    size = sum(map(len, distinct.values()))
    compressor = zstandard.ZstdCompressor()
    zstd = sum(len(compressor.compress(part)) for part in distinct.values())
    lz4_size = sum(len(lz4.block.compress(part, store_size=False)) for part in distinct.values())
    return sum(map(len, chunks)) / size, size / zstd, size / lz4_size


@pytest.mark.parametrize(("dedup", "compress"), [(1, 1), (2, 3), (4, 2), (2.5, 1.5), (16, 4)])
def test_ratios(dedup: float, compress: float) -> None:
    size = 4 * MIB
    buffer = bytearray(size)
    ours.fill_buffer(buffer, dedup, compress)
    generator = ours.Generator(size, dedup, compress)
    pool = ours.BufferPool(dedup, compress)
    step = 160 << 10  # no divisor of a block
    for data in (
        [ours.generate_buffer(size, dedup, compress)],
        [buffer],
        list(iter(lambda: generator.get_chunk(step), None)),
        [pool.next_slice(64 << 10) for _ in range(size >> 16)],
        [pool.next_slice(step) for _ in range(20 * MIB // step)],
    ):
        seen, zstd, lz4_ratio = ratios(data)
        assert seen == pytest.approx(dedup, rel=0.01)
        assert zstd == pytest.approx(compress, rel=0.035)
        assert lz4_ratio == pytest.approx(compress, rel=0.035)


def test_a_ratio_of_small_objects() -> None:
    pool = ours.BufferPool(4)
    assert ratios([pool.next_slice(1000) for _ in range(1024)])[0] == 4
    assert ratios([pool.next_slice(12_288) for _ in range(1024)])[0] == pytest.approx(4, rel=0.01)
    # Each has a tail, one of 25 chunks, that is the head of a chunk which others show whole.
    assert 3.5 < ratios([pool.next_slice(100_000) for _ in range(200)])[0] < 4
    pool = ours.BufferPool(100)
    assert ratios([pool.next_slice(64 << 10) for _ in range(400)])[0] == pytest.approx(100)


def test_a_pools_bytes() -> None:
    def run(module: ModuleType) -> list[Any]:
        pool = module.BufferPool(2.0, 3)
        seen = [pool.remaining]
        for size in (4096, 3 * MIB, 65_536, MIB - 65_536 - 4096, 8192):
            assert len(pool.next_slice(size)) == size
            seen.append(pool.remaining)
        pool.reconfigure(2, 3)
        seen += [pool.remaining, pool.dedup_ratio, pool.compress_ratio]
        pool.reconfigure(compress_ratio=4.0)
        return [*seen, pool.remaining, pool.dedup_ratio, pool.compress_ratio]

    assert run(ours) == run(real)
    pool = ours.BufferPool(2.5, 1.5)
    assert (pool.dedup_ratio, pool.compress_ratio) == (2.5, 1.5)
    first = pool.next_slice(MIB - 4096)
    across = pool.next_slice(4097)
    assert pool.remaining == MIB - 4096
    assert len({first[:4096], across[:4096]}) == 2


def test_a_pool_is_timed() -> None:
    for sizes in ((1000, 10_500), (1000, 10), (3 * MIB, 10 * MIB)):
        count, seconds = ours.bench_rolling_pool(*sizes)
        assert count == real.bench_rolling_pool(*sizes)[0]
        assert 0 < seconds < 10

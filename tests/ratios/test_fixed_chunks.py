"""What explain says of fixed chunks is what counting distinct chunks by their hash gives."""

import math
import random

import numpy as np
import pytest
import xxhash

from dgenfs import DataGenerator, Spec
from dgenfs.content.prediction import fixed_dedup

SECTOR = 512
CHUNKS = [1 << power for power in range(9, 23)]  # bytes


def counted(spec: Spec, chunks: list[int]) -> list[float]:
    """Bytes of all chunks for one byte of distinct chunks, for each size of them."""
    data = bytearray(spec.files * spec.size)
    DataGenerator(spec, threads=1).fill_chunk(data)
    view = memoryview(data)
    # A chunk is told by the hashes of its sectors, so bytes are hashed once for all chunk sizes.
    sectors = -(-spec.size // SECTOR)
    hashes = np.empty((spec.files, sectors), np.uint64)
    for file in range(spec.files):
        first, end = file * spec.size, (file + 1) * spec.size
        hashes[file] = [
            xxhash.xxh3_64_intdigest(view[at : min(at + SECTOR, end)])
            for at in range(first, end, SECTOR)
        ]
    ratios = []
    for chunk in chunks:
        seen = {}
        for told in hashes:
            text = told.tobytes()
            for start in range(0, spec.size, chunk):
                key = text[start // SECTOR * 8 : -(-(start + chunk) // SECTOR) * 8]
                length = min(chunk, spec.size - start)
                seen[length, key] = length
        ratios.append(len(data) / sum(seen.values()) if data else 1.0)
    return ratios


def random_name(rng: random.Random) -> str:
    total = int(2 ** rng.uniform(0, 22.5))
    files = int(2 ** rng.uniform(0, min(12, math.log2(total)))) if rng.random() < 0.7 else 1
    size = total // files
    near = rng.choice([1, 1, 512, 4096, 65536])
    size = max(0, size // near * near + (rng.randint(0, 9) if rng.random() < 0.3 else 0))
    dedup = rng.choice(
        [1, 1.5, 2, 2.5, 3, 4, 6, 7, 10, 16, 50, 1000, rng.randint(1000, 20000) / 1000]
    )
    compress = rng.choice([1, 1.3, 2, 4, 20])
    unit = rng.choice(["", "", "", "_b4K", "_b8K", "_b32K", "_b256K", "_b4M"])
    tree = f"{files}x" if files > 1 or rng.random() < 0.3 else ""
    return f"{tree}{size}_d{dedup}_c{compress}_s{rng.randint(0, 99)}{unit}"


def check(name: str) -> None:
    spec = Spec.parse(name)
    for chunk, ratio in zip(CHUNKS, counted(spec, CHUNKS), strict=True):
        assert f"{fixed_dedup(spec.layout, chunk):.3f}" == f"{ratio:.3f}", (name, chunk)


@pytest.mark.parametrize("batch", range(8))
def test_random_names(batch: int) -> None:
    rng = random.Random(batch)
    for _ in range(250):
        check(random_name(rng))


@pytest.mark.parametrize(
    "name",
    [
        "5053066_d1000_c1",  # a tail that is the head of the one unit
        "100x523962_d6",
        "300x16292_d16",
        "7x1000000_d1.5_c4_s3",
        "9x300001_d4_c2_b64K",
        "20x3M_d3_b4K",  # chunks above the unit in several phases
        "48M_d5.7_b4K",
        "3x16M_d2.5_b64K",
        "24M+513_d7_c20_b4M",
        "1000x1_d1",  # tails that are equal by chance
        "3000x2_d1",
        "2000x514_d1.5_c20_b4K",
        "4000x3_d2",
        "1_d1000",
        "0_d4",
        "5x0_d3",
        "1x511_c20",
    ],
)
def test_names(name: str) -> None:
    check(name)

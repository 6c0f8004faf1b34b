"""What explain says of fixed chunks of containers is what counting chunks by their hash gives."""

import random

import pytest
import xxhash

from dgenfs import DataGenerator, Spec, SpecError
from dgenfs.content.framed_prediction import SAMPLED, framed_dedup
from dgenfs.content.prediction import fixed_dedup

CHUNKS = [4 << 10, 16 << 10, 64 << 10, 128 << 10, 1 << 20]  # bytes
EXTENSIONS = ["npy", "npz", "tfrecord", "h5", "parquet", "safetensors", "tar"]
RECORDS = ["", "_r1000B", "_r4K", "_r64K", "_r112K", "_r114660B", "_r128K", "_r1M"]


def counted(spec: Spec) -> list[float]:
    """Bytes of all chunks for one byte of distinct chunks, for each size of them."""
    seen: list[dict[int, int]] = [{} for _ in CHUNKS]
    data = bytearray(spec.size)
    for file in range(spec.files):
        DataGenerator(spec, file=file, threads=1).fill_chunk(data)
        view = memoryview(data)
        for of_size, chunk in zip(seen, CHUNKS, strict=True):
            for start in range(0, spec.size, chunk):
                part = view[start : start + chunk]
                of_size[xxhash.xxh3_128_intdigest(part)] = len(part)
    return [spec.total_size / sum(of_size.values()) for of_size in seen]


def random_spec(rng: random.Random, most: int = 1 << 23) -> Spec:
    while True:
        total = int(most ** rng.uniform(0.6, 1))
        files = int(2 ** rng.uniform(0, 8)) if rng.random() < 0.5 else 1
        size = max(5000, total // files)
        size = size // 4096 * 4096 + 8192 if rng.random() < 0.5 else size
        dedup = rng.choice([1, 1.5, 2, 2.5, 3, 4, 10, 50])
        compress = rng.choice([1, 1.3, 2, 4, 20])
        unit = rng.choice(["", "", "_b4K", "_b64K"])
        record = rng.choice([*RECORDS, f"_r{int(2 ** rng.uniform(0, 20))}B"])
        tree = f"{files}x" if files > 1 else ""
        name = f"{tree}{size}_d{dedup}_c{compress}_s{rng.randint(0, 99)}{unit}{record}"
        try:
            return Spec.parse(f"{name}.{rng.choice(EXTENSIONS)}")
        except SpecError:
            continue


def check(spec: Spec) -> float:
    """How far the ratios are that chance may give, at the most, as a part of them."""
    assert spec.container is not None
    spread = 0.0
    for chunk, ratio in zip(CHUNKS, counted(spec), strict=True):
        found = framed_dedup(spec.layout, spec.container, chunk)
        off = found.ratio * found.spread + 1e-9
        assert abs(ratio - found.ratio) <= off, (spec.name, chunk, ratio, found)
        spread = max(spread, found.spread)
    return spread


@pytest.mark.parametrize("batch", range(4))
def test_random_names(batch: int) -> None:
    rng = random.Random(batch)
    exact = sum(check(random_spec(rng)) < 0.0005 for _ in range(60))
    assert exact >= 48


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("record", ["_r64K", "_r114660B", "_r1000B"])
def test_names(extension: str, record: str) -> None:
    for head in ("9M_d2_c2", "8M_d4_c1_b4K", "5x3M_d3_c1.5", "70x200000_d1_c2", "300x130000_d4_c1"):
        check(Spec.parse(f"{head}{record}.{extension}"))


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_sample(extension: str) -> None:
    """Of more chunks than are told apart, or of all where the payload is in one piece."""
    for head, chunk in (
        ("2G_d4_c2", 4 << 10),
        ("7x300M_d3_c2_r1000B", 4 << 10),
        ("60G_d4_r112K", 128 << 10),
    ):
        spec = Spec.parse(f"{head}.{extension}")
        assert spec.container is not None
        exact, sample = (
            framed_dedup(spec.layout, spec.container, chunk, most) for most in (1 << 20, 1 << 17)
        )
        assert exact.spread < 0.001
        assert sample.spread <= SAMPLED
        assert sample.ratio == pytest.approx(exact.ratio, rel=SAMPLED)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_huge_files(extension: str) -> None:
    for head in ("100T_d4_c2_r1M", "60x1T_d50_r8M", "1000000000x1G_d1000_r1M", "64x100G_d1_r1M"):
        # A header of safetensors holds 10^6 tensors.
        head = head.partition("_r")[0] if extension == "safetensors" else head
        spec = Spec.parse(f"{head}.{extension}")
        assert spec.container is not None
        found = framed_dedup(spec.layout, spec.container, 4096)
        raw = fixed_dedup(spec.layout, 4096)
        # Own bytes are 1 in 256 at the most; those of tar that have numbers are as many distinct.
        assert raw / (1 + (1 + raw) / 250) < found.ratio < raw * 1.02

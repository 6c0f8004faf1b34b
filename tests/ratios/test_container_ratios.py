"""Which ratios stores and codecs see of containers: those of raw content, or what explain says."""

from collections.abc import Callable
from pathlib import Path

import lz4.block
import pytest
import zstandard
from stores import fio_dedupe, written

from dgenfs import DataGenerator, Spec
from dgenfs.content.framed_prediction import framed_dedup

ONE_HOLE = ["npy", "npz", "h5", "parquet", "safetensors"]
FRAMED = ["tfrecord", "tar"]
RECORDS = ["64K", "112K", "114660B", "128K", "1M"]


@pytest.mark.parametrize("extension", [*ONE_HOLE, *FRAMED])
@pytest.mark.parametrize("dedup", [2, 4])
def test_fio_dedupe(tmp_path: Path, dedup: int, extension: str) -> None:
    """It sees what is said; where frames do not come in between, what it sees of raw content."""
    for record in RECORDS:
        spec = Spec.parse(f"16M_d{dedup}_c1.5_r{record}.{extension}")
        assert spec.container is not None
        expected = framed_dedup(spec.layout, spec.container, 4096)
        path = written(spec, tmp_path)
        found = fio_dedupe(path, 4096)
        path.unlink()
        assert found == pytest.approx(expected.ratio, rel=max(0.001, expected.spread)), spec.name
        if extension in ONE_HOLE:
            assert found == pytest.approx(dedup, rel=0.02), spec.name


@pytest.mark.parametrize("extension", [*ONE_HOLE, *FRAMED])
def test_trees_of_whole_files(extension: str) -> None:
    """What repeats whole is the same whole."""
    spec = Spec.parse(f"256x200000_d4_r64K.{extension}")
    seen = set()
    data = bytearray(spec.size)
    for file in range(spec.files):
        DataGenerator(spec, file=file, threads=1).fill_chunk(data)
        seen.add(bytes(data))
    assert len(seen) == 64


CODECS: list[Callable[[bytes], bytes]] = [
    lambda data: lz4.block.compress(data, store_size=False),
    zstandard.ZstdCompressor(level=3).compress,
]


def compressed(name: str, codec: Callable[[bytes], bytes], chunk: int) -> float:
    spec = Spec.parse(name)
    buffer = bytearray(spec.size)
    DataGenerator(spec).fill_chunk(buffer)
    data = bytes(buffer)
    parts = [data[at : at + chunk] for at in range(0, len(data), chunk)]
    return len(data) / sum(min(len(part), len(codec(part))) for part in parts)


@pytest.mark.parametrize("codec", CODECS, ids=["lz4", "zstd"])
@pytest.mark.parametrize("chunk", [4 << 10, 128 << 10, 1 << 20])
@pytest.mark.parametrize("compress", [1.5, 2, 4])
def test_compression(codec: Callable[[bytes], bytes], chunk: int, compress: float) -> None:
    """As of raw content within 1 %; frames of a page shrink to nothing, at 2 % off at the most."""
    raw = compressed(f"4M_c{compress}.bin", codec, chunk)
    for record in RECORDS:
        for extension in (*ONE_HOLE, *FRAMED):
            name = f"4M_c{compress}_r{record}.{extension}"
            container = Spec.parse(name).container
            assert container is not None
            found = compressed(name, codec, chunk)
            if extension in ONE_HOLE:
                assert found == pytest.approx(raw, rel=0.01), name
            assert found == pytest.approx(raw * container.size / container.payload, rel=0.02), name

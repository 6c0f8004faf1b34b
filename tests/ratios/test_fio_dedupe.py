"""Dedup ratios as fio-dedupe counts them: chunks at fixed offsets, compared byte by byte."""

from pathlib import Path

import pytest
from stores import fio_dedupe, written

from dgenfs import DataGenerator, Spec

FILES = [
    "1M_d1_c1",
    "1M_d2_c20",
    "1M_d4_c2",
    "3MB_d3_c1_b64K",
    "4M+1_d1_c1.5",
    "5M-777_d4.321_c1.7",
    "10M_d2.5_c3_s42",
    "20M_d10_c1.2",
    "64M_d4_c10",
    "64M_d50_c4",
]
TREES = [
    "5x5M_d2_c1",
    "7x1000000_d1.5_c4_s3",
    "20x300K_d10_c2_f3",
    "200x5000_d3_c2",
    "300x12345_d4_c1",
    "3000x4K_d2.5_c1.5",
]


def chunk_sizes(spec: Spec) -> list[int]:
    # fio-dedupe reads 1 MiB at a time and counts no chunk that is larger.
    return [1 << power for power in range(9, min(spec.unit, 1 << 20).bit_length())]


def check(spec: Spec, ratio: float) -> None:
    assert ratio == pytest.approx(spec.effective_dedup, rel=0.02)
    assert ratio == pytest.approx(spec.dedup, rel=0.02)


@pytest.mark.parametrize("name", FILES)
def test_file(tmp_path: Path, name: str) -> None:
    spec = Spec.parse(name)
    path = written(spec, tmp_path)
    for chunk in chunk_sizes(spec):
        check(spec, fio_dedupe(path, chunk))


@pytest.mark.parametrize("name", TREES)
def test_tree(tmp_path: Path, name: str) -> None:
    """Each file from a chunk's start on and padded to whole chunks, as a store keeps it."""
    spec = Spec.parse(name)
    for chunk in chunk_sizes(spec):
        path = tmp_path / str(chunk)
        with path.open("wb") as image:
            for file in range(spec.files):
                data = bytearray(-(-spec.size // chunk) * chunk)
                DataGenerator(spec, file=file, threads=1).fill_chunk(data)
                image.write(data)
        check(spec, fio_dedupe(path, chunk))
        path.unlink()

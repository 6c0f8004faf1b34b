"""HDF5 files, read by its own library through h5py, and by pyfive, which shares no code with it."""

import random
from pathlib import Path

import h5py
import numpy as np
import pyfive
import pytest
from containers import hdf5 as oracle

CONTENT = random.Random(3).randbytes(2**20)


def check(path: Path, size: int, record: int | None, content: bytes) -> None:
    """A dataset of as many records as there is room for, and a label for each."""
    assert path.stat().st_size == size
    length = min(record or 128 << 10, size - 4104)
    n = (size - 4096) // (length + 8)
    expected = np.frombuffer(content, np.uint8, n * length).reshape(n, length)
    for library in (h5py, pyfive):
        with library.File(path) as file:
            assert sorted(file) == ["labels", "records_0"]
            records, labels = file["records_0"], file["labels"]
            assert (records.shape, records.dtype) == ((n, length), np.uint8)
            assert (labels.shape, labels.dtype) == ((n,), np.int64)
            assert np.array_equal(records[:], expected)
            assert not labels[:].any()
            assert np.array_equal(records[n - 1], expected[n - 1])
            part = (slice(n // 3, n // 2 + 1), slice(length // 3, length // 2 + 1))
            assert np.array_equal(records[part], expected[part])
    with h5py.File(path) as file:
        records = file["records_0"]
        assert (records.chunks, records.compression) == (None, None)
        offset = records.id.get_offset()
    assert offset == 4096
    mapped = np.memmap(path, np.uint8, "r", offset, (n, length))
    assert np.array_equal(mapped, expected)


@pytest.mark.parametrize(
    ("size", "record"),
    [
        (4105, None),
        (4106, 1),
        (5000, 1),
        (100_001, 30),
        (70_000, None),
        (300_000, None),
        (2**20, None),
        (2**20, 2**16),
        (2**20 - 1, 2**16 + 1),
        (2**20, 2**20),
        (2**20, 600_000),
    ],
)
def test_datasets(tmp_path: Path, size: int, record: int | None) -> None:
    path = tmp_path / "x.h5"
    path.write_bytes(oracle.file(size, record, False, CONTENT))
    check(path, size, record, CONTENT)

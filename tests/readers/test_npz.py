"""NumPy, Python's zipfile and Info-ZIP read npz files, on both sides of 4 GiB."""

import mmap
import os
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from containers import contents, npz
from containers.expanding import ends
from processes import run

from dgenfs.content.containers.formats import FORMATS


def check_archive(path: Path, size: int, record: int | None, *unzipped: str) -> None:
    r, n, _, _ = npz.shape(size, record)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        members = {member.filename: member.file_size for member in archive.infolist()}
        assert members == {"x.npy": 128 + r * n, "y.npy": 128 + 8 * n}
    done = run("unzip", "-tqq", path, *unzipped)
    assert (done.out, done.err) == (b"", "")


def check(path: Path, size: int, record: int | None, content: bytes) -> None:
    check_archive(path, size, record)
    r, n, _, _ = npz.shape(size, record)
    with np.load(path, allow_pickle=False) as arrays:
        assert arrays.files == ["x", "y"]
        x, y = arrays["x"], arrays["y"]
    assert (x.dtype, x.shape, x.flags.c_contiguous) == (np.uint8, (r, n), True)
    assert x.tobytes() == content[: r * n]
    assert (y.dtype, y.shape) == (np.int64, (n,))
    assert not y.any()
    # As DLIO takes a sample.
    assert x[..., n - 1].tobytes() == content[n - 1 : r * n : n]


@pytest.mark.parametrize("record", [None, 1, 7, 1000, 65536, 114688])
@pytest.mark.parametrize("size", [4408, 4409, 4417, 5000, 70000, 100001, 1 << 20])
def test_read(tmp_path: Path, size: int, record: int | None) -> None:
    path = tmp_path / "file.npz"
    path.write_bytes(npz.file(size, record, False, contents.SAMPLE))
    assert path.stat().st_size == size
    check(path, size, record, contents.SAMPLE)


@pytest.mark.parametrize("size", [2**32 - 1, 2**32])
def test_around_4_gib(tmp_path: Path, size: int) -> None:
    """A sparse file, which the package places."""
    record = 2**31  # half of it is rest, which no reader reads
    container = FORMATS["npz"].container(size, record, False)
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    path = tmp_path / "file.npz"
    with (
        mmap.mmap(-1, container.payload, flags=private, prot=mmap.PROT_READ) as zeros,
        memoryview(zeros) as content,
        path.open("wb") as file,
    ):
        file.truncate(size)
        for start, part in zip(container.starts, container.runs, strict=True):
            head, tail = ends(part, 0, content)
            os.pwrite(file.fileno(), head, start)
            os.pwrite(file.fileno(), tail, start + part.size - len(tail))
        r, n, _, rest = npz.shape(size, record)
        x_header, _ = npz.array_headers(size, record)
        with content[: r * n] as data:
            expected = npz.own_bytes(size, record, zlib.crc32(data, zlib.crc32(x_header)))
    check_archive(path, size, record, "y.npy")  # unzip would take half a minute for x.npy
    with path.open("rb") as file:
        for piece, behind in zip(expected, (r * n, rest, 0), strict=True):
            assert file.read(len(piece)) == piece
            file.seek(behind, os.SEEK_CUR)
        assert file.tell() == size

"""NumPy reads npy files, also as a map of the file."""

from pathlib import Path

import numpy as np
import pytest
from containers import contents, npy


def check(path: Path, size: int, record: int | None, content: bytes) -> None:
    payload = content[: size - 4096]
    array = np.load(path, allow_pickle=False)
    assert array.dtype == np.uint8
    assert array.shape == (len(payload),)
    assert array.tobytes() == payload
    mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    assert mapped.offset == 4096
    assert mapped[:: -1 if record is None else record].tobytes() == payload[:: record or -1]


@pytest.mark.parametrize("record", [None, 1, 1000, 65536])
@pytest.mark.parametrize("size", [4097, 4098, 5000, 69632, 100000, 1 << 20])
def test_read(tmp_path: Path, size: int, record: int | None) -> None:
    path = tmp_path / "file.npy"
    path.write_bytes(npy.file(size, record, False, contents.SAMPLE))
    assert path.stat().st_size == size
    check(path, size, record, contents.SAMPLE)

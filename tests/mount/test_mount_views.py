"""Files that are more than a range of a content, through a mount and both planes."""

import hashlib
import mmap
import os
from pathlib import Path

import pytest
import segmented
from life.faults import with_fault
from mounting import PLANES, mounted
from processes import run

PLAIN = "9M+5_d2_c2_s77.bin"
TREE = "3x300000_d2_c2_s77"


@pytest.mark.parametrize("plane", PLANES)
def test_segments_of_all_kinds(tmp_path: Path, plane: str) -> None:
    options = (PLAIN, TREE, f"--data-plane={plane}")
    with mounted(tmp_path, *options, command=with_fault("views")) as mount:
        expected = segmented.expected(PLAIN)
        path = mount.path / PLAIN
        assert path.stat().st_size == len(expected)
        digest = run("sha256sum", path).out.split()[0].decode()
        assert digest == hashlib.sha256(expected).hexdigest()
        file = os.open(path, os.O_RDONLY)
        try:
            for offset in (0, 1000, 101_000, 106_000, 110_000, len(expected) - 9, len(expected)):
                assert os.pread(file, 70_000, offset) == expected[offset : offset + 70_000]
            with mmap.mmap(file, 0, mmap.MAP_SHARED, mmap.PROT_READ) as mapped:
                assert mapped[90_000:120_000] == expected[90_000:120_000]
        finally:
            os.close(file)
        for number in range(3):
            found = (mount.path / TREE / f"00000{number}.bin").read_bytes()
            assert found == segmented.expected(TREE, number)
        # And beside them a plain one.
        assert len((mount.path / "1M_s76").read_bytes()) == 1 << 20
        assert mount.settled()["read_errors"] == 0

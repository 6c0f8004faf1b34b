import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from clients import NAME, right
from mounting import ended, is_mounted, mounted
from processes import run

HOLD = """
import os, resource, sys
folder, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
files = [os.open(f"{folder}/{i:06}.bin", os.O_RDONLY) for i in range(first, first + count)]
print(sum(len(os.pread(file, 1, 0)) for file in files), flush=True)
sys.stdin.read()
"""


def test_many_open_files_of_many_processes(tmp_path: Path) -> None:
    """A handle takes no memory."""
    each, processes = 10_000, 5
    with mounted(tmp_path, NAME, "100000x5000") as mount:
        right(mount.path / NAME)
        before = mount.rss()
        holders = [
            subprocess.Popen(
                [sys.executable, "-c", HOLD, mount.path / "100000x5000", str(i * each), str(each)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for i in range(processes)
        ]
        try:
            for holder in holders:
                assert holder.stdout
                assert holder.stdout.readline() == f"{each}\n".encode()
            assert mount.stats()["open_handles"] == each * processes
            assert mount.rss() < before + (8 << 20)
            right(mount.path / NAME)
        finally:
            for holder in holders:
                holder.kill()
                holder.communicate()
        assert mount.settled()["open_handles"] == 0


@pytest.mark.parametrize("how", ["-l", "-f"])
def test_unmounting_with_a_thousand_open_files(tmp_path: Path, how: str) -> None:
    with mounted(tmp_path, NAME, "1000x5000") as mount:
        paths = sorted((mount.path / "1000x5000").iterdir())
        files = [os.open(path, os.O_RDONLY) for path in paths]
        try:
            assert run("umount", mount.path, code=None).code != 0
            assert is_mounted(mount.path)
            assert len(os.pread(files[0], 5000, 0)) == 5000
            run("umount", how, mount.path, code=None)
            for file in files:
                if how == "-l":
                    assert len(os.pread(file, 6000, 0)) == 5000
                else:
                    with pytest.raises(OSError, match=r"not connected|connection abort"):
                        os.pread(file, 6000, 0)
        finally:
            for file in files:
                with suppress(OSError):  # a FLUSH, which fails as well
                    os.close(file)
        ended(mount)

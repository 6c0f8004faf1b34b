import os
from contextlib import suppress
from pathlib import Path

import pytest
from clients import NAME, right
from holders import held_open
from mounting import ended, is_mounted, mounted
from processes import run


def test_many_open_files_of_many_processes(tmp_path: Path) -> None:
    """A handle takes no memory."""
    count = 50_000
    with mounted(tmp_path, NAME, "100000x5000", "--cache=0") as mount:
        right(mount.path / NAME)
        before = mount.rss()
        with held_open([f"{mount.path}/100000x5000/{i:06}.bin" for i in range(count)]):
            assert mount.stats()["open_handles"] == count
            assert mount.rss() < before + (8 << 20)
            right(mount.path / NAME)
        assert mount.settled()["open_handles"] == 0


@pytest.mark.parametrize("how", ["-l", "-f"])
def test_unmounting_with_a_thousand_open_files(tmp_path: Path, how: str) -> None:
    # So large that the kernel keeps nothing of them.
    with mounted(tmp_path, NAME, "1000x2M") as mount:
        paths = sorted((mount.path / "1000x2M").iterdir())
        files = [os.open(path, os.O_RDONLY) for path in paths]
        try:
            assert run("umount", mount.path, code=None).code != 0
            assert is_mounted(mount.path)
            assert len(os.pread(files[0], 5000, 0)) == 5000
            run("umount", how, mount.path, code=None)
            for file in files:
                if how == "-l":
                    assert len(os.pread(file, 6000, 0)) == 6000
                else:
                    with pytest.raises(OSError, match=r"not connected|connection abort"):
                        os.pread(file, 6000, 0)
        finally:
            for file in files:
                with suppress(OSError):  # a FLUSH, which fails as well
                    os.close(file)
        ended(mount)

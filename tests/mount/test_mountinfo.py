"""Mountpoints with odd characters, found without asking what is mounted there."""

import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from dgenfs.mount.forgetting import drop_entries
from dgenfs.mount.mountpoint import FSTYPE, MountError, mounted_at, prepare

NAMES = [
    "plain",
    "with space",
    "tab\there",
    "line\nbreak",
    "back\\slash",
    "\\040",
    "#hash",
    "ünïcödé",
    " - ext4 sda",
    "'quotes\"",
    "%s",
    "-dash",
    "form\ffeed",
    "next\x85line",
    "no\xa0break",
    "wide\u3000space",
    "line\u2028separator",
]


@pytest.fixture(params=NAMES, ids=ascii)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / str(request.param)
    path.mkdir()
    return path


@pytest.fixture
def tmpfs(folder: Path) -> Iterator[Path]:
    subprocess.run(["mount", "-t", "tmpfs", "none", folder], check=True, timeout=30)
    yield folder
    subprocess.run(["umount", folder], check=True, timeout=30)


def test_found(tmpfs: Path) -> None:
    found = mounted_at(tmpfs)
    assert found is not None
    assert found.fstype == "tmpfs"
    major, minor = map(int, found.device.split(":"))
    assert tmpfs.stat().st_dev == major << 8 | minor
    assert mounted_at(tmpfs.parent) is None
    with pytest.raises(MountError, match="a tmpfs file system is mounted there"):
        prepare(tmpfs)


def test_nothing_there(folder: Path) -> None:
    assert mounted_at(folder) is None
    assert mounted_at(folder / "missing") is None
    place = prepare(folder)
    assert place.path == folder
    place.close()


def test_entries_of_what_is_mounted_are_dropped(tmpfs: Path) -> None:
    (tmpfs / "file").write_text("stays")
    drop_entries(tmpfs, [])
    assert (tmpfs / "file").read_text() == "stays"


@pytest.mark.parametrize(("name", "number"), [("folder", errno.EINVAL), ("none", errno.ENOENT)])
def test_entries_of_nothing_mounted(tmp_path: Path, name: str, number: int) -> None:
    (tmp_path / "folder").mkdir()
    before = psutil.Process().num_fds()
    with pytest.raises(OSError, match=r".") as failed:
        drop_entries(tmp_path / name, [])
    assert failed.value.errno == number
    assert psutil.Process().num_fds() == before


def test_the_topmost_of_several(tmpfs: Path) -> None:
    subprocess.run(["mount", "-t", "proc", "none", tmpfs], check=True, timeout=30)
    try:
        found = mounted_at(tmpfs)
        assert found is not None
        assert found.fstype == "proc"
    finally:
        subprocess.run(["umount", tmpfs], check=True, timeout=30)
    assert FSTYPE == "fuse.dgenfs"

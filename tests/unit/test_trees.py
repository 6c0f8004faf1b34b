"""Compiled code that makes and checks files of a tree, by itself: what it finds and what not."""

import errno
import mmap
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import oracle
import pytest
from privileges import file_system

from dgenfs import Spec
from dgenfs.kernels.trees import find_different, make_files
from dgenfs.verifying.comparing import CHUNK

FILES = 5
GO_ON = np.zeros(1, np.int64)
SIZES = [1, 511, 512, 4095, 4096, 4097, 70_000, 1 << 20, 4 << 20]


def name_of(size: int) -> str:
    return f"{FILES}x{size}_d1.5_c1.3_s9_f2"


@cache
def contents(size: int) -> list[bytes]:
    content = oracle.parse(name_of(size))
    return [oracle.read(content, file, 0, size) for file in range(FILES)]


def paths(folder: Path, size: int) -> list[Path]:
    content = oracle.parse(name_of(size))
    return [folder / oracle.tree_path(content, file) for file in range(FILES)]


def written(folder: Path, size: int) -> list[Path]:
    """The files of a tree, made by the oracle."""
    for path, data in zip(paths(folder, size), contents(size), strict=True):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    return paths(folder, size)


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def different(
    folder: Path,
    size: int,
    *,
    first: int = 0,
    count: int | None = None,
    direct: bool = False,
    buffered: bool = False,
) -> list[int]:
    found = np.full(FILES - first if count is None else count, 0xAA, np.uint8)
    buffer = np.frombuffer(mmap.mmap(-1, CHUNK + mmap.PAGESIZE), np.uint8)
    row = Spec.parse(name_of(size)).row
    with opened(folder) as descriptor:
        before = open_descriptors()
        start = np.uint64(first)
        find_different(descriptor, start, found, buffer, row, direct, buffered, GO_ON)
        assert open_descriptors() == before, "descriptors stay open"
    assert set(found.tolist()) <= {0, 1}
    return [first + i for i in np.flatnonzero(found).tolist()]


def reads_directly(folder: Path) -> bool:
    path = folder / "direct"
    path.touch()
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT))
    except OSError:
        return False
    finally:
        path.unlink()
    return True


@pytest.fixture(params=["the disk", "tmpfs", "ramfs"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """One on a disk, in memory, and where there is no O_DIRECT."""
    if request.param == "the disk":
        yield tmp_path
    else:
        with file_system(request.param, tmp_path / "memory") as folder:
            yield folder


@pytest.mark.parametrize("size", SIZES)
def test_one_bit(folder: Path, size: int) -> None:
    """It is found wherever it is, in its file and in no other."""
    files = written(folder, size)
    ways = [{}, {"buffered": True}, {"direct": True}][: 3 if reads_directly(folder) else 2]
    for way in ways:
        assert different(folder, size, **way) == []
    for file, path in enumerate(files):
        for at, bit in ((0, 1), (size // 2, 16), (size - 1, 128)):
            with path.open("r+b") as changed:
                changed.seek(at)
                changed.write(bytes([contents(size)[file][at] ^ bit]))
            for way in ways:
                assert different(folder, size, **way) == [file]
            path.write_bytes(contents(size)[file])
    assert different(folder, size) == []


def test_no_direct_reads(tmp_path: Path) -> None:
    """What cannot be read around the cache is not identical where it must be."""
    with file_system("ramfs", tmp_path / "memory") as folder:
        assert not reads_directly(folder)
        written(folder, 4096)
        assert different(folder, 4096) == []
        assert different(folder, 4096, direct=True) == [0, 1, 2, 3, 4]


def test_some_files_only(tmp_path: Path) -> None:
    for path in written(tmp_path, 4097):
        path.unlink()
    assert different(tmp_path, 4097, first=1, count=3) == [1, 2, 3]
    assert different(tmp_path, 4097, first=4) == [4]
    assert different(tmp_path, 4097, first=5) == []
    written(tmp_path, 4097)
    (tmp_path / "0001" / "000003.bin").unlink()
    assert different(tmp_path, 4097, first=2, count=1) == []
    assert different(tmp_path, 4097, first=2, count=2) == [3]


def sparse(path: Path, data: bytes) -> None:
    path.touch()
    os.truncate(path, len(data))


def another(path: Path, data: bytes) -> None:
    other = next(one for one in contents(len(data)) if one != data)
    path.write_bytes(other)


THINGS: dict[str, Callable[[Path, bytes], object]] = {
    "empty": lambda path, _: path.touch(),
    "shorter by a byte": lambda path, data: path.write_bytes(data[:-1]),
    "shorter by a block": lambda path, data: path.write_bytes(data[: max(0, len(data) - 4096)]),
    "longer by a byte": lambda path, data: path.write_bytes(data + b"\0"),
    "longer by a block": lambda path, data: path.write_bytes(data + bytes(4096)),
    "missing": lambda *_: None,
    "a FIFO": lambda path, _: os.mkfifo(path),
    "a directory": lambda path, _: path.mkdir(),
    "a link to nothing": lambda path, _: path.symlink_to("none"),
    "a link to itself": lambda path, _: path.symlink_to(path.name),
    "a link to a device": lambda path, _: path.symlink_to("/dev/zero"),
    "sparse": sparse,
    "another file": another,
}


@pytest.mark.parametrize("size", [4095, 4096, 70_000, 4 << 20])
@pytest.mark.parametrize("thing", THINGS)
def test_something_else_in_the_place_of_a_file(folder: Path, thing: str, size: int) -> None:
    path = written(folder, size)[3]
    path.unlink()
    THINGS[thing](path, contents(size)[3])
    assert different(folder, size) == [3]


@pytest.mark.parametrize("direct", [False, True])
def test_links_to_what_is_right(tmp_path: Path, direct: bool) -> None:
    files = written(tmp_path, 4097)
    files[0].rename(tmp_path / "kept")
    files[0].symlink_to(tmp_path / "kept")
    files[1].with_name("kept").hardlink_to(files[1])
    (tmp_path / "0001").rename(tmp_path / "elsewhere")
    (tmp_path / "0001").symlink_to("elsewhere")
    assert different(tmp_path, 4097, direct=direct) == []


def made(folder: Path, first: int, count: int, size: int) -> tuple[int, int]:
    with opened(folder) as descriptor:
        buffer = np.empty(size, np.uint8)
        row = Spec.parse(name_of(size)).row
        found, error = make_files(descriptor, np.uint64(first), count, buffer, row)
    return int(found), int(error)


@pytest.mark.parametrize("size", SIZES)
def test_made_files(folder: Path, size: int) -> None:
    files = paths(folder, size)
    for path in files:
        path.parent.mkdir(exist_ok=True)
    assert made(folder, 1, 3, size) == (3, 0)
    assert [path.exists() for path in files] == [False, True, True, True, False]
    assert made(folder, 4, 1, size) == made(folder, 0, 1, size) == (1, 0)
    for path, data in zip(files, contents(size), strict=True):
        assert path.read_bytes() == data
        assert stat.S_IMODE(path.stat().st_mode) & ~0o666 == 0


@pytest.mark.parametrize("thing", ["a file", "a link to nothing", "a directory"])
def test_what_is_there_is_not_written_to(tmp_path: Path, thing: str) -> None:
    files = paths(tmp_path, 512)
    for path in files:
        path.parent.mkdir(exist_ok=True)
    if thing == "a file":
        files[2].write_bytes(b"precious")
    else:
        THINGS[thing](files[2], b"")
    assert made(tmp_path, 0, FILES, 512) == (2, errno.EEXIST)
    assert [path.exists() for path in (*files[:2], *files[3:])] == [True, True, False, False]
    assert thing != "a file" or files[2].read_bytes() == b"precious"
    assert not (tmp_path / "0001" / "none").exists()


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "0000").mkdir()
    assert made(tmp_path, 0, FILES, 512) == (2, errno.ENOENT)


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    with file_system("tmpfs", tmp_path / "disk", "size=64k") as disk:
        for path in paths(disk, 20_000):
            path.parent.mkdir(exist_ok=True)
        done, error = made(disk, 0, FILES, 20_000)
        assert error == errno.ENOSPC
        assert 0 < done < 4
        for path, data in zip(paths(disk, 20_000)[:done], contents(20_000), strict=False):
            assert path.read_bytes() == data

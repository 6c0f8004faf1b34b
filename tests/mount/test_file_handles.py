"""Handles of files (name_to_handle_at(2)), by which NFS servers find what they serve.

They are good also when Linux has dropped all that it knew of the file, and in another mount.
"""

import ctypes
import errno
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import oracle
import pytest
from mounting import PLANES, Mount, mounted
from processes import eventually

import dgenfs
from dgenfs.machine.system_calls import reconfigure_mount
from dgenfs.mount.inodes import FORGOTTEN, KEPT, Inodes

LISTED = ("3M+5_d2_c2.bin", "50x5K_d3_f10", "20x1K+1")
IN_LISTED = (
    "3M+5_d2_c2.bin",
    "50x5K_d3_f10/0003/000031.bin",
    "20x1K+1/000019.bin",
)
DIRECTORIES = ("50x5K_d3_f10/0003", "50x5K_d3_f10", "20x1K+1", ".")
UNLISTED = (
    "70000_s3.bin",
    "7x9K_s5/000006.bin",
    "70001_r999.npz",
    "7x9K_s5_f3.tfrecord/0002/000006.tfrecord",
)

LONG = "2x60G_c20_s9.npz/000001.npz"  # the CRC at its end takes seconds
TAIL = 4096  # bytes

_MAX_HANDLE = 128  # bytes, MAX_HANDLE_SZ
_AT_FDCWD = -100


class FileHandle(ctypes.Structure):
    """struct file_handle."""

    _fields_ = (
        ("handle_bytes", ctypes.c_uint),
        ("handle_type", ctypes.c_int),
        ("f_handle", ctypes.c_ubyte * _MAX_HANDLE),
    )


_libc = ctypes.CDLL(None, use_errno=True)


def handle_of(path: Path) -> FileHandle:
    handle = FileHandle(_MAX_HANDLE)
    mount_id = ctypes.c_int()
    done = _libc.name_to_handle_at(
        _AT_FDCWD, os.fsencode(path), ctypes.byref(handle), ctypes.byref(mount_id), 0
    )
    if done < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
    return handle


def open_by(mount: Mount, handle: FileHandle) -> int:
    root = os.open(mount.path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fd: int = _libc.open_by_handle_at(root, ctypes.byref(handle), os.O_RDONLY)
        if fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return fd
    finally:
        os.close(root)


@pytest.fixture(scope="module", params=PLANES)
def mount(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Mount]:
    folder = tmp_path_factory.mktemp("handles")
    with mounted(folder, *LISTED, f"--data-plane={request.param}") as mount:
        yield mount


def content(path: str) -> bytes:
    name, _, within = path.partition("/")
    parsed = oracle.parse(name)
    file = int(within.rpartition("/")[2].partition(".")[0]) if within else 0
    return oracle.read(parsed, file, 0, parsed.size)


def read_all(fd: int) -> bytes:
    with os.fdopen(fd, "rb") as file:
        return file.read()


@pytest.mark.parametrize("path", [*IN_LISTED, *UNLISTED])
def test_a_file_that_linux_has_dropped(mount: Mount, path: str) -> None:
    handle = handle_of(mount.path / path)
    before = (mount.path / path).stat()
    for _ in range(2):
        reconfigure_mount(mount.path)
        fd = open_by(mount, handle)
        assert os.fstat(fd) == before
        assert read_all(fd) == content(path)
    assert (mount.path / path).stat() == before


@pytest.mark.parametrize("path", DIRECTORIES)
def test_a_directory_that_linux_has_dropped(mount: Mount, path: str) -> None:
    handle = handle_of(mount.path / path)
    names = sorted(entry.name for entry in (mount.path / path).iterdir())
    reconfigure_mount(mount.path)
    fd = open_by(mount, handle)
    try:
        with os.scandir(fd) as found:
            assert sorted(entry.name for entry in found) == names
        inside = os.open(names[-1], os.O_RDONLY, dir_fd=fd)
        os.close(inside)
    finally:
        os.close(fd)


def test_control_files(mount: Mount) -> None:
    handle = handle_of(mount.path / ".stats")
    reconfigure_mount(mount.path)
    assert read_all(open_by(mount, handle)).startswith(b"{")


def test_a_file_that_is_open(mount: Mount) -> None:
    """Found by its handle again, it is the same file, and both can be read."""
    path = "20x1K+1/000019.bin"
    with (mount.path / path).open("rb") as first:
        fd = open_by(mount, handle_of(mount.path / path))
        reconfigure_mount(mount.path)
        assert os.fstat(fd).st_ino == os.fstat(first.fileno()).st_ino
        assert read_all(fd) == first.read() == content(path)


def test_in_another_mount(tmp_path: Path) -> None:
    """A server that was started again knows its clients' handles of what is listed."""
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
    with mounted(tmp_path / "first", *LISTED) as mount:
        handles = [handle_of(mount.path / path) for path in IN_LISTED]
    with mounted(tmp_path / "second", *reversed(LISTED)) as mount:
        for handle, path in zip(handles, IN_LISTED, strict=True):
            assert read_all(open_by(mount, handle)) == content(path)


def is_stale(mount: Mount, handle: FileHandle) -> bool:
    try:
        os.close(open_by(mount, handle))
    except OSError as error:
        if error.errno != errno.ESTALE:
            raise
        return True
    return False


def forget(mount: Mount, handle: FileHandle) -> None:
    """Let more names come and go than are kept, until a handle is stale.

    Linux tells of what it forgot without waiting for it, and other requests overtake that.
    """

    def forgotten() -> bool:
        reconfigure_mount(mount.path)
        for size in range(FORGOTTEN + 1):
            (mount.path / f"{size}_s77").stat()
        reconfigure_mount(mount.path)
        return is_stale(mount, handle)

    eventually(forgotten)


@pytest.mark.parametrize("path", UNLISTED)
def test_a_name_that_is_no_longer_kept(mount: Mount, path: str) -> None:
    handle = handle_of(mount.path / path)
    forget(mount, handle)
    assert (mount.path / path).read_bytes() == content(path)
    assert read_all(open_by(mount, handle)) == content(path)


def test_a_name_that_is_forgotten_while_its_file_is_read(mount: Mount) -> None:
    """The file of a handle keeps itself known to Linux, but not its tree."""
    path = mount.path / LONG
    tail = path.stat().st_size - TAIL
    handle = handle_of(path)
    reconfigure_mount(mount.path)
    fd = open_by(mount, handle)
    with ThreadPoolExecutor(1) as reader:
        reading = reader.submit(os.pread, fd, TAIL, tail)
        reconfigure_mount(mount.path)
        for seed in range(FORGOTTEN + 1):
            (mount.path / f"64K_s{seed}").stat()
        eventually(lambda: is_refused(mount, fd))
        for seed in range(100):  # take the rows that are free by now
            (mount.path / f"65K_s{seed}").stat()
        meanwhile = not reading.done()
        data = reading.result()
    os.close(fd)
    with dgenfs.open(LONG) as expected:
        expected.seek(tail)
        assert data == expected.read(TAIL)
    with path.open("rb") as again:  # what was kept of it is right too
        again.seek(tail)
        assert again.read() == data
    assert meanwhile


def is_refused(mount: Mount, fd: int) -> bool:
    reconfigure_mount(mount.path)
    try:
        os.pread(fd, 1, 1 << 30)
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
        return True
    return False


def two_trees_of_one_number() -> tuple[str, str]:
    found: dict[int | None, str] = {}
    for files in range(1, KEPT):
        name = f"{files}x3"
        inode = Inodes([]).lookup(1, name.encode())
        if inode in found:
            return found[inode], name
        found[inode] = name
    raise AssertionError("no two trees have one number")


def test_a_handle_is_never_another_files(mount: Mount) -> None:
    one, other = two_trees_of_one_number()
    path = mount.path / one / "000000.bin"
    handle = handle_of(path)
    inode = path.stat().st_ino
    forget(mount, handle)
    assert (mount.path / other / "000000.bin").stat().st_ino == inode
    assert is_stale(mount, handle)
    assert (mount.path / other / "000000.bin").read_bytes() == content(f"{other}/000000.bin")


def test_numbers_are_exact_as_doubles(mount: Mount) -> None:
    """As JavaScript has them, whatever the name is."""
    trees = ("1000x20K_d2", "1000x20K_d3", "1000000000x4K_f1000/999999")
    found = [entry.inode() for tree in trees for entry in os.scandir(mount.path / tree)]
    found += [(mount.path / f"{size}K").stat().st_ino for size in range(500)]
    assert len(found) == 3500
    assert len({float(inode) for inode in found}) == len(found)
    assert max(found) < 2**53


def test_overlay(mount: Mount, tmp_path: Path) -> None:
    """A writable file system above the mount; it adds bits to inode numbers."""
    for folder in ("upper", "work", "merged"):
        (tmp_path / folder).mkdir()
    merged = tmp_path / "merged"
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp_path / "upper"], check=True)
    try:
        for folder in ("data", "work"):
            (tmp_path / "upper" / folder).mkdir()
        options = (
            f"lowerdir={mount.path},upperdir={tmp_path}/upper/data,workdir={tmp_path}/upper/work"
        )
        command = ("mount", "-t", "overlay", "overlay", "-o", f"{options},xino=on")
        subprocess.run([*command, merged], check=True)
        try:
            tree = merged / "20x1K+1"
            inodes = {(tree / f"{number:06}.bin").stat().st_ino for number in range(20)}
            assert len(inodes) == 20
            for path in IN_LISTED:
                assert (merged / path).read_bytes() == content(path)
            (merged / IN_LISTED[0]).write_bytes(b"changed")
            assert (merged / IN_LISTED[0]).read_bytes() == b"changed"
            assert (mount.path / IN_LISTED[0]).read_bytes() == content(IN_LISTED[0])
        finally:
            subprocess.run(["umount", merged], check=True)
    finally:
        subprocess.run(["umount", tmp_path / "upper"], check=True)

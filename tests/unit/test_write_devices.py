"""gen --force onto block devices and onto files that store one: not while they are used."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import oracle
import pytest
from mounting import DGENFS
from privileges import AS_ROOT, as_nobody, as_root, block_device
from writing import ignore

from dgenfs import Spec
from dgenfs.api.chunks import Progress
from dgenfs.api.publishing import write_file

NAME = "8M_s1"
SIZE = 8 << 20
DATA = oracle.read(oracle.parse(NAME), 0, 0, SIZE)


def write(path: Path, length: int = SIZE, progress: Progress = ignore) -> None:
    write_file(Spec.parse(NAME).view(0).part(0, length), path, progress, force=True)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A file with a file system in it."""
    path = tmp_path / "image with blanks\n"
    path.write_bytes(bytes(SIZE))
    as_root("mkfs.ext4", "-q", "-F", str(path))
    return path


@pytest.fixture
def device(image: Path) -> Iterator[Path]:
    with block_device(image) as device:
        yield device


@contextmanager
def mounted(device: Path, folder: Path, options: str = "ro,noload") -> Iterator[Path]:
    folder.mkdir()
    as_root("mount", "-o", options, str(device), str(folder))
    try:
        yield folder
    finally:
        as_root("umount", str(folder))


@contextmanager
def mounted_elsewhere(device: Path, folder: Path) -> Iterator[None]:
    """In a mount namespace of its own."""
    folder.mkdir()
    script = 'mount -o ro,noload "$1" "$2" && echo mounted && read end'
    command = [*AS_ROOT, "unshare", "--mount", "sh", "-c", script, "sh", str(device), str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"mounted\n"
            assert str(folder) not in Path("/proc/self/mountinfo").read_text()
            yield
        finally:
            holder.communicate()


@contextmanager
def swapped_to(device: Path, _: Path) -> Iterator[None]:
    as_root("mkswap", str(device))
    as_root("swapon", str(device))
    try:
        yield
    finally:
        as_root("swapoff", str(device))


@contextmanager
def partition_of(
    device: Path, number: int = 1, first: int = 2048, sectors: int = 8192
) -> Iterator[Path]:
    as_root("addpart", str(device), str(number), str(first), str(sectors))
    partition = Path(f"{device}p{number}")
    try:
        as_root("chown", str(os.geteuid()), str(partition))
        yield partition
    finally:
        as_root("delpart", str(device), str(number))


@contextmanager
def partition_mounted(device: Path, folder: Path) -> Iterator[None]:
    with partition_of(device) as partition:
        as_root("mkfs.ext4", "-q", str(partition))
        with mounted(partition, folder):
            yield


@contextmanager
def claimed(device: Path, _: Path) -> Iterator[None]:
    """As md and device mapper claim their members, in the kernel; and as another gen does."""
    descriptor = os.open(device, os.O_RDONLY | os.O_EXCL)
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def in_a_loop(device: Path, _: Path) -> Iterator[None]:
    with block_device(device):
        yield


@contextmanager
def partition_in_a_loop(device: Path, _: Path) -> Iterator[None]:
    with partition_of(device) as partition, block_device(partition):
        yield


User = Callable[[Path, Path], AbstractContextManager[object]]


@pytest.mark.parametrize(
    "user",
    [
        mounted,
        mounted_elsewhere,
        swapped_to,
        partition_mounted,
        claimed,
        in_a_loop,
        partition_in_a_loop,
    ],
)
def test_a_device_in_use(tmp_path: Path, device: Path, user: User) -> None:
    link = tmp_path / "link"
    link.symlink_to(device)
    with user(device, tmp_path / "folder"):
        before = device.read_bytes()
        for path in (device, link):
            with pytest.raises(OSError, match="is in use") as failed:
                write(path)
            assert (failed.value.errno, failed.value.filename) == (errno.EBUSY, str(path))
        assert device.read_bytes() == before
    write(device)
    assert device.read_bytes() == DATA


@pytest.mark.parametrize("user", [mounted, in_a_loop])
def test_a_partition_of_a_device_in_use(tmp_path: Path, device: Path, user: User) -> None:
    with partition_of(device) as partition, user(device, tmp_path / "folder"):
        before = partition.read_bytes()
        with pytest.raises(OSError, match="is in use"):
            write(partition, 4096)
        assert partition.read_bytes() == before


def test_a_partition_beside_one_in_use(device: Path) -> None:
    with partition_of(device) as partition, partition_of(device, 2, 10240, 4096) as other:
        with block_device(other):
            write(partition, 4096)
        assert partition.read_bytes()[:4096] == DATA[:4096]


def test_a_device_is_claimed_while_it_is_written(device: Path, tmp_path: Path) -> None:
    """Nobody mounts it then, and no other gen writes to it."""
    refused = []

    def try_others(_: int) -> None:
        with pytest.raises(OSError, match="is in use"):
            write(device)
        with (
            pytest.raises(AssertionError, match=r"busy|already mounted"),
            mounted(device, tmp_path / "folder"),
        ):
            pass
        refused.append(True)

    write(device, progress=try_others)
    assert refused == [True]
    assert device.read_bytes() == DATA


def test_a_device_that_is_too_small(device: Path) -> None:
    before = device.read_bytes()
    spec = Spec.parse("8M+1")
    with pytest.raises(OSError, match=r"holds 8388608 bytes, .* 8388609") as failed:
        write_file(spec.view(0), device, ignore, force=True)
    assert (failed.value.errno, failed.value.filename) == (errno.ENOSPC, str(device))
    assert device.read_bytes() == before
    write_file(spec.view(0).part(1, SIZE), device, ignore, force=True)
    assert device.read_bytes() == oracle.read(oracle.parse("8M+1"), 0, 1, SIZE)


def test_a_file_that_a_loop_device_stores_in(image: Path) -> None:
    before = image.read_bytes()
    with block_device(image) as device:
        with pytest.raises(OSError, match=f"is in use: {device} ") as failed:
            write(image)
        assert (failed.value.errno, failed.value.filename) == (errno.EBUSY, str(image))
        assert image.read_bytes() == before
    write(image)
    assert image.read_bytes() == DATA


def test_a_swap_file(tmp_path: Path, device: Path) -> None:
    with mounted(device, tmp_path / "folder", "rw") as folder:
        as_root("chown", str(os.geteuid()), str(folder))
        swap = folder / "swap file"
        swap.write_bytes(bytes(1 << 20))
        swap.chmod(0o600)
        with swapped_to(swap, folder):
            before = swap.read_bytes()
            with pytest.raises(OSError, match="is in use: swap ") as failed:
                write(swap, 4096)
            assert (failed.value.errno, failed.value.filename) == (errno.EBUSY, str(swap))
            assert swap.read_bytes() == before
        write(swap, 4096)
        assert swap.read_bytes() == DATA[:4096]


@pytest.mark.parametrize("user", [mounted, in_a_loop])
def test_a_device_of_a_user_without_rights(tmp_path: Path, device: Path, user: User) -> None:
    as_root("chmod", "666", str(device))
    with (
        user(device, tmp_path / "folder"),
        as_nobody(),
        pytest.raises(OSError, match="is in use"),
    ):
        write(device)
    with as_nobody():
        write(device)
    assert device.read_bytes() == DATA


def test_what_the_command_says(tmp_path: Path, device: Path) -> None:
    command = [DGENFS, "gen", "64M", "--length", "8M", "--force", "-o", str(device)]
    with mounted(device, tmp_path / "folder"):
        done = subprocess.run(command, capture_output=True, check=False, text=True)
    told = f"dgenfs: {device}: is in use: mounted, swapped to, or a part of another device\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", told)
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

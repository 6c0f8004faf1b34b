import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from clients import GONE, NAME, advance, clients_of, reference, right
from mounting import DGENFS, END_SECONDS, PLANES, Mount, ended, is_mounted, mounted
from processes import Done, run

from dgenfs.mount.mountpoint import mounted_at

Ending = Callable[[Mount], object]


def killed_by(number: signal.Signals) -> Ending:
    return lambda mount: mount.process.send_signal(number)


def unmounted_by(*command: str, code: int | None = 0) -> Ending:
    return lambda mount: run(*command, mount.path, code=code)


def removed_elsewhere(mount: Mount) -> None:
    """Remove the mountpoint where nothing is mounted on it; the kernel then detaches the mount."""
    run("unshare", "-m", "sh", "-ec", 'umount -l "$1"; rmdir "$1"', "sh", mount.path)
    assert not mount.path.exists()


@contextmanager
def fusectl(folder: Path) -> Iterator[Path]:
    """Where connections can be aborted."""
    usual = Path("/sys/fs/fuse/connections")
    if any(usual.iterdir()):
        yield usual
        return
    folder.mkdir()
    run("mount", "-t", "fusectl", "none", folder)
    try:
        yield folder
    finally:
        run("umount", folder)


def aborted(mount: Mount) -> None:
    """Abort the connection."""
    found = mounted_at(mount.path)
    assert found
    with fusectl(mount.path.with_name("fusectl")) as connections:
        (connections / found.device.partition(":")[2] / "abort").write_text("1")


ENDINGS: dict[str, Ending] = {
    "SIGINT": killed_by(signal.SIGINT),
    "SIGTERM": killed_by(signal.SIGTERM),
    "SIGHUP": killed_by(signal.SIGHUP),
    "umount": unmounted_by("umount"),
    "fusermount3 -u": unmounted_by("fusermount3", "-u"),
    "dgenfs umount": unmounted_by(DGENFS, "umount"),
    "umount -l": unmounted_by("umount", "-l"),
    "umount -f": unmounted_by("umount", "-f"),
    "mountpoint removed": removed_elsewhere,
    "aborted": aborted,
}
ENDINGS_OF_BUSY: dict[str, Ending] = {
    "SIGINT": killed_by(signal.SIGINT),
    "SIGTERM": killed_by(signal.SIGTERM),
    # It says that the target is busy, and aborts the connection.
    "umount -f": unmounted_by("umount", "-f", code=None),
    "aborted": aborted,
}


@pytest.mark.parametrize(
    ("ending", "plane"),
    [
        *((ending, "compiled") for ending in ENDINGS),
        # Signals and unmounts are all alike to the other one.
        *((ending, "pyfuse3") for ending in ("SIGTERM", "umount", "mountpoint removed", "aborted")),
    ],
)
def test_ending_of_an_idle_mount(tmp_path: Path, ending: str, plane: str) -> None:
    with mounted(tmp_path, NAME, f"--data-plane={plane}") as mount:
        right(mount.path / NAME)
        ENDINGS[ending](mount)
        ended(mount)


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("ending", ENDINGS_OF_BUSY)
def test_ending_of_a_busy_mount(tmp_path: Path, ending: str, plane: str) -> None:
    with (
        clients_of(tmp_path) as clients,
        mounted(tmp_path, NAME, f"--data-plane={plane}", "--cache=64M") as mount,
    ):
        fio = clients.fio(mount)
        readers = clients.start(mount.path / NAME, 6)
        ENDINGS_OF_BUSY[ending](mount)
        for reader in readers:
            reader.failed(within=END_SECONDS, of=GONE)
        assert fio.wait(END_SECONDS) != 0
        ended(mount)


def test_a_signal_ends_a_mount_with_open_files(tmp_path: Path) -> None:
    with mounted(tmp_path, NAME) as mount:
        files = [os.open(mount.path / NAME, os.O_RDONLY) for _ in range(20)]
        mount.process.terminate()
        ended(mount)
        for file in files:
            with pytest.raises(OSError, match=r"not connected|connection abort"):
                os.pread(file, 4096, 0)
            with suppress(OSError):  # a FLUSH, which fails as well
                os.close(file)


def test_a_signal_ends_only_its_own_mount(tmp_path: Path) -> None:
    with (
        clients_of(tmp_path) as clients,
        mounted(tmp_path, NAME) as detached,
    ):
        clients.start(detached.path / NAME, 1)
        run("umount", "-l", detached.path)
        with mounted(tmp_path, NAME) as mount:
            detached.process.terminate()
            detached.process.wait(END_SECONDS)
            right(mount.path / NAME)


@pytest.mark.parametrize("plane", PLANES)
def test_a_signal_ends_a_mount_whose_folder_was_renamed(tmp_path: Path, plane: str) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    with mounted(here, NAME, f"--data-plane={plane}") as mount:
        here.rename(there)
        try:
            right(there / "mnt" / NAME)
            mount.process.terminate()
            mount.process.wait(END_SECONDS)
            assert mounted_at(there / "mnt") is None
        finally:
            there.rename(here)
        ended(mount)


def test_a_signal_leaves_what_is_mounted_on_top(tmp_path: Path) -> None:
    expected = ["WARNING .* not unmounted: something else is mounted on it"]
    with mounted(tmp_path, NAME, expected_log=expected) as mount:
        run("mount", "-t", "tmpfs", "none", mount.path)
        try:
            (mount.path / "precious").write_text("kept")
            mount.process.terminate()
            mount.process.wait(END_SECONDS)
            assert (mount.path / "precious").read_text() == "kept"
        finally:
            run("umount", mount.path)
            run("umount", "-l", mount.path)
        ended(mount)


@pytest.mark.parametrize("plane", PLANES)
def test_lazy_unmount_with_open_files(tmp_path: Path, plane: str) -> None:
    with mounted(tmp_path, NAME, f"--data-plane={plane}") as mount, clients_of(tmp_path) as clients:
        files = [os.open(mount.path / NAME, os.O_RDONLY) for _ in range(200)]
        readers = clients.start(mount.path / NAME, 4)
        run("umount", "-l", mount.path)
        assert not is_mounted(mount.path)
        assert list(mount.path.iterdir()) == []
        advance(readers)
        wanted = reference()
        for i, file in enumerate(files):
            offset = i * 4999
            assert os.pread(file, 5000, offset) == wanted[offset : offset + 5000]
            os.close(file)
        with pytest.raises(subprocess.TimeoutExpired):
            mount.process.wait(0.2)
        advance(readers)
        clients.end()
        ended(mount)


def test_unmounting_a_busy_mount_changes_nothing(tmp_path: Path) -> None:
    with mounted(tmp_path, NAME) as mount, clients_of(tmp_path) as clients:
        readers = clients.start(mount.path / NAME, 1)
        for command in ([DGENFS, "umount"], ["umount"], ["fusermount3", "-u"]):
            done = run(*command, mount.path, code=None)
            assert done.code != 0
            assert one_line(done)
            assert "busy" in done.err
        advance(readers)
        clients.end()
        run(DGENFS, "umount", mount.path)
        ended(mount)


def one_line(done: Done) -> bool:
    return done.out == b"" and done.err.count("\n") == 1


def test_ending_twice(tmp_path: Path) -> None:
    with clients_of(tmp_path) as clients, mounted(tmp_path, NAME) as mount:
        clients.start(mount.path / NAME, 2)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            mount.process.send_signal(number)
        ended(mount)

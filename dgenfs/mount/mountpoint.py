"""Where to mount: what must hold of it, and how it is left."""

import errno
import logging
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dgenfs.machine.file_users import unescape
from dgenfs.machine.system_calls import detach_mount

log = logging.getLogger(__name__)

FSTYPE = "fuse.dgenfs"
DEVICE = Path("/dev/fuse")
DESCRIPTORS = 16  # that a mount opens, and some to spare for its end


class MountError(RuntimeError):
    """A mount that cannot be made or ended; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Mounted:
    """What is mounted somewhere.

    Attributes:
        fstype: such as FSTYPE.
        device: major and minor number, ``MAJOR:MINOR``.
    """

    fstype: str
    device: str


def mounted_at(mountpoint: Path) -> Mounted | None:
    """Return what is mounted at an absolute path, without asking it."""
    last = None
    for path, mounted in _mounts():
        if path == mountpoint:
            last = mounted
    return last


def _mounts() -> Iterator[tuple[Path, Mounted]]:
    """Yield all mounts that this process sees, in the order made (proc_pid_mountinfo(5))."""
    # As bytes: the kernel escapes blanks and line ends of ASCII, text has others.
    for line in Path("/proc/self/mountinfo").read_bytes().rstrip().split(b"\n"):
        before, _, behind = line.partition(b" - ")
        _, _, device, _, path, *_ = before.split(b" ")
        fstype = behind.partition(b" ")[0]
        yield Path(os.fsdecode(unescape(path))), Mounted(os.fsdecode(fstype), device.decode())


def prepare(mountpoint: Path) -> Path:
    """Check that a file system can be mounted, after cleaning up what a dead one left.

    Returns:
        The absolute path, without links.

    Raises:
        MountError: it is missing, no directory, not empty or in use, or this machine or user may
            not mount.
    """
    _check_machine()
    path = Path(os.path.realpath(mountpoint))
    mounted = mounted_at(path)
    if mounted is not None and mounted.fstype == FSTYPE:
        if not _is_dead(path):
            raise MountError(f"{mountpoint}: is mounted already: dgenfs umount {mountpoint}")
        unmount(path, lazy=True)
        return prepare(path)
    if mounted is not None:
        raise MountError(f"{mountpoint}: a {mounted.fstype} file system is mounted there")
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise MountError(f"{mountpoint}: {error.strerror}: make the directory first") from error
    if not stat.S_ISDIR(mode):
        raise MountError(f"{mountpoint}: is not a directory")
    try:
        empty = not any(path.iterdir())
    except OSError as error:
        raise MountError(f"{mountpoint}: {error.strerror}") from error
    if not empty:
        raise MountError(f"{mountpoint}: is not empty: take an empty directory")
    return path


def _is_dead(mountpoint: Path) -> bool:
    """Return whether the daemon of what is mounted there died; attributes may still be cached."""
    try:
        os.statvfs(mountpoint)
    except OSError as error:
        return error.errno in (errno.ENOTCONN, errno.ECONNABORTED)
    return False


def _check_machine() -> None:
    if not DEVICE.exists():
        raise MountError(f"{DEVICE} is missing: load the kernel's module (modprobe fuse)")
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        raise MountError(f"{DEVICE}: no permission to open it")
    if os.geteuid() != 0 and shutil.which("fusermount3") is None:
        raise MountError("fusermount3 is missing: install the package fuse3")
    _check_descriptors()


def _check_descriptors() -> None:
    """Find out before there is a mount, which without descriptors could not be unmounted."""
    opened: list[int] = []
    try:
        while len(opened) < DESCRIPTORS:
            opened.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        raise MountError(
            f"{error.strerror}: a mount needs {DESCRIPTORS}: raise the limit (ulimit -n)"
        ) from error
    finally:
        for descriptor in opened:
            os.close(descriptor)


def check_answers(mountpoint: Path) -> None:
    """Let the kernel, not the daemon, say that a new mount answers.

    Raises:
        MountError: it does not, and is unmounted.
    """
    try:
        next(mountpoint.iterdir(), None)
    except OSError as error:
        path = Path(os.path.realpath(mountpoint))
        mounted = mounted_at(path)
        if mounted is not None and mounted.fstype == FSTYPE:
            _detach(path)
        raise MountError(
            f"{mountpoint}: cannot be listed, and is unmounted again: {error.strerror}"
        ) from error


def detach(mountpoint: Path, mounted: Mounted | None, *, connected: bool) -> None:
    """Detach ``mounted`` from ``mountpoint`` if it is still what is mounted there, and topmost.

    Unlike umount(8) this asks the file system nothing, so its own daemon can wait for it.

    Args:
        mountpoint: where it was mounted.
        mounted: what was.
        connected: whether it is known to be alive, so that no other can have its device number
            meanwhile. Then it is detached from wherever it is by now: a directory above may have
            been renamed.
    """
    for path in [path for path, there in _mounts() if there == mounted]:
        if path != mountpoint and not connected:
            continue
        if mounted_at(path) == mounted:
            _detach(path)
        else:
            log.warning("%s: not unmounted: something else is mounted on it", path)


def _detach(mountpoint: Path) -> None:
    if os.geteuid() != 0:
        try:
            unmount(mountpoint, lazy=True)
        except MountError as error:
            log.warning("%s", error)
        return
    try:
        detach_mount(mountpoint)
    except OSError as error:
        # Most likely somebody else was quicker.
        log.warning("%s: not unmounted: %s", mountpoint, error.strerror)


def unmount(mountpoint: Path, *, lazy: bool = False) -> None:
    """Unmount.

    Args:
        mountpoint: where.
        lazy: detach it now, even if it is in use or its daemon is dead.

    Raises:
        MountError: it is busy, or not ours to unmount.
    """
    command = ["umount"] if os.geteuid() == 0 else ["fusermount3", "-u"]
    if lazy:
        command.append("-l" if os.geteuid() == 0 else "-z")
    if shutil.which(command[0]) is None:
        raise MountError(f"{command[0]} is missing: install the package fuse3")
    done = subprocess.run(
        [*command, "--", str(mountpoint)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise MountError(done.stderr.strip() or f"{mountpoint}: cannot be unmounted")

"""Where to mount: what must hold of it, and how it is left."""

import errno
import importlib
import logging
import os
import shutil
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from dgenfs.machine.file_users import unescape
from dgenfs.machine.system_calls import detach_mount, remount_with

log = logging.getLogger(__name__)

FSTYPE = "fuse.dgenfs"
DEVICE = Path("/dev/fuse")
DESCRIPTORS = 16  # that a mount opens, and some to spare for its end
ANSWER_SECONDS = 30  # that libfuse may take for FUSE_INIT, and a mount for an answer
END_SECONDS = 5  # that a daemon gets to end before it is killed


Answer = TypeVar("Answer")


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


def require_pyfuse3() -> None:
    """Raise MountError if pyfuse3 is not there; all but the mount does without."""
    try:
        importlib.import_module("pyfuse3")
    except ImportError as error:
        raise MountError(
            f"pyfuse3 is needed to mount, and cannot be loaded ({error}): install gcc, pkg-config "
            "and the headers of Python and libfuse 3, then pip install 'dgenfs[mount]'"
        ) from error


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


class Mountpoint:
    """An empty directory, held open so that what is mounted on is what was looked at.

    Attributes:
        path: where it is, absolute and without links; its owner may rename it at any time.
    """

    def __init__(self, path: Path) -> None:
        """Open ``path``, whatever it is; OSError if that cannot be done."""
        self._descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        self.path = self._where()

    def _where(self) -> Path:
        return self._held.readlink()

    @property
    def _held(self) -> Path:
        return Path(f"/proc/self/fd/{self._descriptor}")

    def is_directory(self) -> bool:
        """Return whether it is one."""
        return stat.S_ISDIR(os.fstat(self._descriptor).st_mode)

    def is_empty(self) -> bool:
        """Return whether nothing is in it; OSError if that cannot be read."""
        return next(self._held.iterdir(), None) is None

    def target(self) -> Path:
        """Return what to mount on.

        fusermount3 takes a path only, and lets a user mount only on what is theirs.
        """
        return self._held if os.geteuid() == 0 else self.path

    def check_mounted(self) -> Mounted:
        """Return what was mounted here, and let go of the directory.

        Raises:
            MountError: the directory is no longer where it was; what was mounted is unmounted.
        """
        where = self._where()
        self.close()
        mounted = mounted_at(where)
        if where == self.path and mounted is not None and mounted.fstype == FSTYPE:
            return mounted
        landed = where if os.geteuid() == 0 else self.path
        mounted = mounted_at(landed)
        if mounted is not None and mounted.fstype == FSTYPE:
            detach(landed, mounted, connected=True)
        raise MountError(f"{self.path}: was moved while it was mounted on: unmounted again")

    def close(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)


def prepare(mountpoint: Path) -> Mountpoint:
    """Check that a file system can be mounted, after cleaning up what a dead one left.

    Raises:
        MountError: it is missing, no directory, not empty or in use, or this machine or user may
            not mount.
    """
    _check_machine()
    try:
        path = Path(_within_limit(lambda: os.path.realpath(mountpoint)))
        place = Mountpoint(path)
    except TimeoutError as error:
        raise MountError(f"{mountpoint}: {error}: umount -l {mountpoint}") from error
    except OSError as error:
        raise MountError(f"{mountpoint}: {error.strerror}: make the directory first") from error
    try:
        mounted = mounted_at(place.path)
        if mounted is None:
            _check_empty(place, mountpoint)
            return place
        if mounted.fstype != FSTYPE:
            raise MountError(f"{mountpoint}: a {mounted.fstype} file system is mounted there")
        if not _is_dead(place.path):
            raise MountError(f"{mountpoint}: is mounted already: dgenfs umount {mountpoint}")
    except BaseException:
        place.close()
        raise
    place.close()
    unmount(place.path, lazy=True)
    return prepare(place.path)


def _check_empty(place: Mountpoint, mountpoint: Path) -> None:
    try:
        if not place.is_directory():
            raise MountError(f"{mountpoint}: is not a directory")
        if not place.is_empty():
            raise MountError(f"{mountpoint}: is not empty: take an empty directory")
    except OSError as error:
        raise MountError(f"{mountpoint}: {error.strerror}") from error


def _is_dead(mountpoint: Path) -> bool:
    """Return whether the daemon of what is mounted there died; attributes may still be cached."""
    try:
        _within_limit(lambda: os.statvfs(mountpoint))
    except TimeoutError as error:
        raise MountError(
            f"{mountpoint}: is mounted already, and {error}: umount -l {mountpoint}"
        ) from error
    except OSError as error:
        return error.errno in (errno.ENOTCONN, errno.ECONNABORTED)
    return False


def _within_limit(ask: Callable[[], Answer]) -> Answer:
    """Ask a file system, which may not answer, on a thread of its own.

    Raises:
        OSError: it answered with an error.
        TimeoutError: it did not answer.
    """
    answer: Future[Answer] = Future()

    def look() -> None:
        try:
            answer.set_result(ask())
        except OSError as error:
            answer.set_exception(error)

    threading.Thread(target=look, daemon=True).start()
    try:
        return answer.result(ANSWER_SECONDS)
    except TimeoutError as error:
        raise TimeoutError(f"answers nothing for {ANSWER_SECONDS} s") from error


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


def check_answers(mountpoint: Path, daemon: int) -> None:
    """Let the kernel, not the daemon, say that a new mount answers.

    Args:
        mountpoint: where.
        daemon: who mounted, a child of ours.

    Raises:
        MountError: it does not, and is unmounted.
    """
    try:
        _within_limit(lambda: next(mountpoint.iterdir(), None))
    except TimeoutError as error:
        _end(daemon, mountpoint)
        raise MountError(f"{mountpoint}: {error}, and is unmounted again") from error
    except OSError as error:
        _end(daemon, mountpoint)
        reason = error.strerror
        raise MountError(
            f"{mountpoint}: cannot be listed, and is unmounted again: {reason}"
        ) from error
    except BaseException:  # a signal: who gives up wants no mount
        _end(daemon, mountpoint)
        raise
    # What was listed may be the directory below, where the daemon ended meanwhile.
    if not _is_ours(mountpoint) and _wait_for(daemon) not in (0, None):
        raise MountError(f"{mountpoint}: ended at once: dgenfs mount -f says why")


def _end(daemon: int, mountpoint: Path) -> None:
    """End a daemon that is a child of ours, and its mount."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        os.kill(daemon, number)
        if _wait_for(daemon) is not None:
            break
    if _is_ours(mountpoint):
        _detach(Path(os.path.realpath(mountpoint)))


def _is_ours(mountpoint: Path) -> bool:
    mounted = mounted_at(Path(os.path.realpath(mountpoint)))
    return mounted is not None and mounted.fstype == FSTYPE


def _wait_for(child: int) -> int | None:
    """Return a child's exit status, None if it does not end in time."""
    deadline = time.monotonic() + END_SECONDS
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.01)
    return None


def remount(mountpoint: Path, flags: int) -> None:
    """Change how a file system is mounted (mount(2) with MS_REMOUNT).

    Args:
        mountpoint: where.
        flags: of mount(2), all that are to hold.

    Raises:
        MountError: no dgenfs is mounted there, or it takes root.
    """
    if not _is_ours(mountpoint):
        raise MountError(f"{mountpoint}: no dgenfs is mounted there")
    try:
        remount_with(Path(os.path.realpath(mountpoint)), flags)
    except OSError as error:
        raise MountError(f"{mountpoint}: cannot be remounted: {error.strerror}") from error


def detach(mountpoint: Path, mounted: Mounted, *, connected: bool) -> None:
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

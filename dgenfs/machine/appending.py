"""Files to append to, such as logs, in directories where others may have put something."""

import errno
import os
import stat
from pathlib import Path, PurePath

_LOOK = os.O_PATH | os.O_CLOEXEC
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC
_MOST_LINKS = 40  # as in path_resolution(7)


def open_to_append(path: Path) -> int:
    """Open a file to append to; a new one is its owner's only. No FIFO is waited for.

    In a directory that others may write to, such as /tmp, links and files of theirs are refused:
    who put them there would choose what is appended to. That holds for each link on the way, and is
    what fs.protected_symlinks, _regular, _fifos and _hardlinks do where they are on
    (proc_sys_fs(5)).

    Raises:
        OSError: it cannot be opened; EACCES for what others put there.
    """
    left = list(path.absolute().parts[:0:-1])  # the next one last
    links = 0
    directory = os.open("/", _LOOK)
    try:
        while left:
            name = left.pop()
            try:
                step = _look(name, directory)
            except FileNotFoundError:
                if left:
                    raise
                new = os.open(name, _APPEND | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=directory)
                os.set_blocking(new, True)
                return new
            try:
                found = os.fstat(step)
                _check_owner(found, os.fstat(directory))
                if stat.S_ISLNK(found.st_mode):
                    links += 1
                    if links > _MOST_LINKS:
                        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                    target = PurePath(os.readlink("", dir_fd=step))
                    if target.is_absolute():
                        os.close(directory)
                        directory = os.open("/", _LOOK)
                    left += [part for part in target.parts[::-1] if part != "/"]
                elif left:
                    directory, step = step, directory
                else:
                    return _append(step)
            finally:
                os.close(step)
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(directory)


def _look(name: str, directory: int) -> int:
    """Return a descriptor of an entry; links in /proc are followed: what they say leads nowhere."""
    step = os.open(name, _LOOK | os.O_NOFOLLOW, dir_fd=directory)
    in_proc = os.fstat(step).st_dev == Path("/proc").stat().st_dev
    if not in_proc or not stat.S_ISLNK(os.fstat(step).st_mode):
        return step
    os.close(step)
    return os.open(name, _LOOK, dir_fd=directory)


def _check_owner(found: os.stat_result, directory: os.stat_result) -> None:
    trusted = (0, os.geteuid())
    others_may_write = directory.st_mode & 0o022 or directory.st_uid not in trusted
    if not others_may_write or stat.S_ISDIR(found.st_mode):
        return
    what = "link" if stat.S_ISLNK(found.st_mode) else "file"
    if found.st_uid not in trusted:
        raise PermissionError(errno.EACCES, f"another user's {what}, where others may write")
    if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
        raise PermissionError(errno.EACCES, "has other names too, where others may write")


def _append(file: int) -> int:
    descriptor = os.open(f"/proc/self/fd/{file}", _APPEND)
    os.set_blocking(descriptor, True)
    return descriptor

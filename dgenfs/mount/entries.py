"""The kernel's cached entries of a mount, which keep every inode that was ever looked up known.

The kernel forgets an inode when it drops the last entry of it, and drops entries that nobody uses
when it is short of memory, which on a large machine may be never. A timeout of 0 does not make it
drop one; FUSE_NOTIFY_INVAL_ENTRY does, but waits for every lookup in the directory, and so for
ourselves. To reconfigure a file system drops them all, changes nothing else and waits for nobody
(Linux fs/super.c, reconfigure_super).
"""

import ctypes
import os
from pathlib import Path

# Linux include/uapi/asm-generic/unistd.h, include/uapi/linux/mount.h
_FSCONFIG = 431
_FSPICK = 433
_AT_FDCWD = -100
_FSPICK_CLOEXEC = 1
_FSCONFIG_CMD_RECONFIGURE = 7

_libc = ctypes.CDLL(None, use_errno=True)


def drop_entries(mountpoint: Path) -> None:
    """Let the kernel drop the entries that nobody uses of what is mounted at ``mountpoint``.

    It sends a FORGET for each that was the last of its inode.

    Raises:
        OSError: EPERM, only root may; EINVAL, nothing is mounted there.
    """
    descriptor = _call(_FSPICK, _AT_FDCWD, os.fsencode(mountpoint), _FSPICK_CLOEXEC)
    try:
        _call(_FSCONFIG, descriptor, _FSCONFIG_CMD_RECONFIGURE, None, None, 0)
    finally:
        os.close(descriptor)


def _call(number: int, *arguments: int | bytes | None) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result

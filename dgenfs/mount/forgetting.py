"""The kernel's cached entries of a mount, which keep every inode that was ever looked up known.

The kernel forgets an inode when it drops the last entry of it, and drops entries that nobody uses
when it is short of memory, which on a large machine may be never. A timeout of 0 does not make it
drop one; FUSE_NOTIFY_INVAL_ENTRY does, even one in use, but waits for every lookup in the
directory. Two ways drop those that nobody uses, change nothing else and wait for nobody: to
reconfigure the file system (Linux fs/super.c, reconfigure_super), which takes root, and
FUSENOTIFY_PRUNE, which takes Linux 6.18.
"""

import os
import struct
from collections.abc import Collection
from pathlib import Path

from dgenfs.kernels.fuse import NOTIFY_PRUNE, NOTIFY_PRUNE_FORMAT
from dgenfs.machine.system_calls import reconfigure_mount
from dgenfs.mount.seam import fuse_descriptors

_PRUNE = struct.Struct(NOTIFY_PRUNE_FORMAT)


def drop_entries(mountpoint: Path, inodes: Collection[int]) -> None:
    """Let the kernel drop the entries that nobody uses.

    It sends a FORGET for each that was the last of its inode.

    Args:
        mountpoint: where this process's file system is mounted.
        inodes: whose entries, where the file system cannot be reconfigured; else all.

    Raises:
        OSError: EINVAL, nothing is mounted there, or the kernel is older than 6.18 and can do it
            in the first way only.
    """
    try:
        reconfigure_mount(mountpoint)
    except OSError:
        # Not root's, or not there any more: a directory above was renamed.
        descriptors = fuse_descriptors()
        if not descriptors:
            raise
        _prune(min(descriptors), inodes)


def _prune(fuse: int, inodes: Collection[int]) -> None:
    numbers = struct.pack(f"<{len(inodes)}Q", *inodes)
    head = _PRUNE.pack(_PRUNE.size + len(numbers), NOTIFY_PRUNE, 0, len(inodes), 0, 0)
    os.write(fuse, head + numbers)

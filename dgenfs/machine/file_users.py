"""Who uses a file, by what /proc and /sys say."""

import os
import re
import stat
from pathlib import Path

# proc_locks(5)
_LOCK = re.compile(r"^\d+: FLOCK .* (\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) 0 EOF$", re.MULTILINE)


def lock_holder(file: os.stat_result) -> int | None:
    """Return the process that holds a lock by flock(2) on a file, None if that is not known."""
    wanted = (os.major(file.st_dev), os.minor(file.st_dev), file.st_ino)
    for pid, major, minor, inode in _LOCK.findall(Path("/proc/locks").read_text()):
        if (int(major, 16), int(minor, 16), int(inode)) == wanted and int(pid) > 0:
            return int(pid)
    return None


def storage_user(file: os.stat_result) -> str | None:
    """Return what stores its blocks in a file or block device, None if nothing is known to.

    Mounts, swap devices, and members of others claim a device, which O_EXCL tells. These do not:

    Returns:
        "/dev/loopN" or "swap".
    """
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        if _is_same(backing.read_bytes().removesuffix(b"\n"), file):
            return f"/dev/{backing.parts[-3]}"
    _, *swaps = Path("/proc/swaps").read_bytes().splitlines()
    if any(_is_same(unescape(line.split()[0]), file) for line in swaps):
        return "swap"
    return None


def unescape(path: bytes) -> bytes:
    """Return a path as it is; in /proc its blanks and line ends are octal numbers."""
    return re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), path)


def _is_same(path: bytes, file: os.stat_result) -> bool:
    try:
        found = Path(os.fsdecode(path)).stat()
    except OSError:
        return False  # removed, or of another mount namespace
    if stat.S_ISBLK(file.st_mode):
        return stat.S_ISBLK(found.st_mode) and found.st_rdev == file.st_rdev
    return os.path.samestat(found, file)

"""Who uses a file, by what /proc and /sys say."""

import os
import re
import stat
from pathlib import Path

# proc_locks(5)
_LOCK = re.compile(r"^\d+: FLOCK .* (-?\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) 0 EOF$", re.MULTILINE)


def lock_holder(file: os.stat_result) -> int | None:
    """Return the process that holds a lock by flock(2) on a file, None if that is not known."""
    wanted = (os.major(file.st_dev), os.minor(file.st_dev), file.st_ino)
    for pid, major, minor, inode in _LOCK.findall(_read(Path("/proc/locks")).decode()):
        # 0 or -1 for one of another process namespace
        if (int(major, 16), int(minor, 16), int(inode)) == wanted and int(pid) > 0:
            return int(pid)
    return None


def storage_user(file: os.stat_result) -> str | None:
    """Return what keeps its blocks in a file or block device and does not claim that by O_EXCL.

    A device's blocks are its partitions' too. Mounts, swap devices and what is made of several
    devices do claim theirs.

    Returns:
        "/dev/loopN" or "swap", None if nothing is known to.
    """
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        if _is_same(_read(backing).removesuffix(b"\n"), file):
            return f"/dev/{backing.parts[-3]}"
    for line in _read(Path("/proc/swaps")).splitlines()[1:]:
        if _is_same(unescape(line.split()[0]), file):
            return "swap"
    return None


def unescape(path: bytes) -> bytes:
    """Return a path as it is; in /proc its blanks and line ends are octal numbers."""
    return re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # of a kernel that has none, or gone just now


def _is_same(path: bytes, file: os.stat_result) -> bool:
    try:
        found = Path(os.fsdecode(path)).stat()
    except OSError:
        return False  # removed, or of another mount namespace
    if stat.S_ISBLK(file.st_mode):
        return stat.S_ISBLK(found.st_mode) and _share_blocks(found.st_rdev, file.st_rdev)
    return os.path.samestat(found, file)


def _share_blocks(one: int, other: int) -> bool:
    """Return whether devices are the same, or one is a partition of the other."""
    return one == other or _disk(one) == _name(other) or _name(one) == _disk(other)


def _disk(device: int) -> str:
    """Return the name of the disk that a partition is of; of any other device its own."""
    there = Path("/sys/dev/block", _name(device)).resolve()
    if not (there / "partition").exists():
        return _name(device)
    return _read(there.parent / "dev").decode().strip()


def _name(device: int) -> str:
    return f"{os.major(device)}:{os.minor(device)}"

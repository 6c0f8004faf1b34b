"""System calls that Python has no function for, by way of the C library."""

import ctypes
import mmap
import os
from pathlib import Path

# mount(2), Linux include/uapi/linux/mount.h
_MS_REMOUNT = 32
# umount(2)
_MNT_DETACH = 2
_UMOUNT_NOFOLLOW = 8
_RENAME_NOREPLACE = 1  # Linux include/uapi/linux/fs.h
# Linux include/uapi/asm-generic/unistd.h, include/uapi/linux/mount.h
_FSCONFIG = 431
_FSPICK = 433
_AT_FDCWD = -100
_FSPICK_CLOEXEC = 1
_FSCONFIG_CMD_RECONFIGURE = 7

# prctl(2)
_PR_SET_NAME = 15

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (
    *(ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p),
)

_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)

current_cpu = ctypes.PyDLL(None).sched_getcpu  # sched_getcpu(3); the GIL is kept: it takes no time


def sync_file_system(descriptor: int, path: Path) -> None:
    """Bring all files of a file system to the disk (syncfs(2)), in one go however many they are.

    Args:
        descriptor: of any file in it.
        path: that file's, for the error.

    Raises:
        OSError: not all could be written.
    """
    _check(_libc.syncfs(descriptor), path)


def file_system_type(path: Path) -> int:
    """Return the number that tells what kind of file system a path is in (statfs(2), f_type).

    Raises:
        OSError: it cannot be reached.
    """
    found = (ctypes.c_long * 64)()  # struct statfs has 120 bytes or less, of which f_type is first
    _check(_libc.statfs(os.fsencode(path), found), path)
    return found[0] & 0xFFFFFFFF


def rename_new(folder: int, old: str, new: str) -> None:
    """Rename within a directory, unless ``new`` is there (renameat2(2)).

    Args:
        folder: descriptor of the directory.
        old: name in it.
        new: name that it gets.

    Raises:
        FileExistsError: ``new`` is there.
        OSError: with EINVAL, the file system cannot do it so; or it cannot be renamed.
    """
    old_name, new_name = os.fsencode(old), os.fsencode(new)
    done = _libc.renameat2(folder, old_name, folder, new_name, _RENAME_NOREPLACE)
    _check(done, Path(new))


def name_thread(name: str) -> None:
    """Show ``name``, of at most 15 bytes, as the calling thread's in /proc (prctl(2)).

    Python does that by itself from 3.14 on.
    """
    _libc.prctl(_PR_SET_NAME, name.encode())


def use_huge_pages(address: int, length: int) -> None:
    """Ask Linux to back what lies there by huge pages, as NumPy does of its arrays (madvise(2)).

    Args:
        address: of memory that was not written to yet.
        length: bytes of it.
    """
    start = -(-address // mmap.PAGESIZE) * mmap.PAGESIZE
    end = (address + length) // mmap.PAGESIZE * mmap.PAGESIZE
    # Where it cannot, pages are small.
    _libc.madvise(start, max(0, end - start), mmap.MADV_HUGEPAGE)


def detach_mount(mountpoint: Path) -> None:
    """Unmount what is mounted there, in use or not, and ask it nothing (umount(2)).

    Raises:
        OSError: nothing is, or it takes root.
    """
    flags = _MNT_DETACH | _UMOUNT_NOFOLLOW
    _check(_libc.umount2(os.fsencode(mountpoint), flags), mountpoint)


def remount_with(mountpoint: Path, flags: int) -> None:
    """Let ``flags`` hold for what is mounted there, and no others (mount(2)).

    Raises:
        OSError: nothing is, a file is open to write, or it takes root.
    """
    done = _libc.mount(b"none", os.fsencode(mountpoint), None, _MS_REMOUNT | flags, None)
    _check(done, mountpoint)


def reconfigure_mount(mountpoint: Path) -> None:
    """Reconfigure what is mounted there as it is (fspick(2), fsconfig(2)).

    Raises:
        OSError: nothing is, or it takes root.
    """
    path = os.fsencode(mountpoint)
    pick = _libc.syscall(_FSPICK, _AT_FDCWD, path, _FSPICK_CLOEXEC)
    descriptor = _check(pick, mountpoint)
    try:
        done = _libc.syscall(_FSCONFIG, descriptor, _FSCONFIG_CMD_RECONFIGURE, None, None, 0)
        _check(done, mountpoint)
    finally:
        os.close(descriptor)


def _check(result: int, path: Path) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))
    return result

"""Compiled code on disk: loaded only from a folder of the user's own, and only if it is whole.

What is loaded is run. So the folder and each file in it must belong to the user and be closed to
others' writing, which is asked of opened descriptors, not of paths. A file is a SHA-256 and what is
kept. The digest covers all that identifies this, so neither a damaged file nor another one in its
place is loaded. Files are written beside their place, flushed and renamed; each is of use alone, so
any may be removed at any time.
"""

import contextlib
import hashlib
import logging
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)

BOUND = 64 << 20  # bytes of the folder: all kernels of 25 versions

_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # or a FIFO would wait for its writer
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_SUFFIX = ".code"
_NOTED = 24 * 60 * 60  # seconds for which a use is not noted again

_warned = False


def folder() -> Path:
    """Return where compiled code is kept, whether it is there or not.

    Raises:
        RuntimeError: the user has no home.
    """
    for variable in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        place = Path(os.environ.get(variable, ""))
        if place.is_absolute():
            return place / "dgenfs"
    return Path.home() / ".cache" / "dgenfs"


def load(name: str, identity: str) -> bytes | None:
    """Return what was saved, None if it is not there, not whole or could be somebody else's.

    Args:
        name: what it is, as a part of a file's name.
        identity: all that must be the same for it to be of use.
    """
    try:
        with _opened(folder()) as place:
            descriptor = os.open(_file_name(name, identity), _FILE, dir_fd=place)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or _danger(status):
                return None
            digest = file.read(hashlib.sha256().digest_size)
            payload = file.read()
            if status.st_mtime < time.time() - _NOTED:
                with contextlib.suppress(OSError):  # where nothing can be written
                    os.utime(descriptor)
    except (OSError, RuntimeError):
        return None
    return payload if digest == _digest(name, identity, payload) else None


def save(name: str, identity: str, payload: bytes) -> None:
    """Keep ``payload`` for ``load``; the first time that this cannot be, say so in the log.

    Args:
        name: as for load.
        identity: as for load.
        payload: what to keep.
    """
    try:
        with _opened(folder(), make=True) as place:
            content = _digest(name, identity, payload) + payload
            _write(place, _file_name(name, identity), content)
            _remove_unused(place)
    except (OSError, RuntimeError) as error:
        _warn(error)


def _file_name(name: str, identity: str) -> str:
    return f"{name}-{hashlib.sha256(identity.encode()).hexdigest()[:32]}{_SUFFIX}"


def _digest(name: str, identity: str, payload: bytes) -> bytes:
    digest = hashlib.sha256(hashlib.sha256(f"{name}\n{identity}".encode()).digest())
    digest.update(payload)
    return digest.digest()


def _danger(status: os.stat_result) -> str:
    """Return why a folder or file could hold what others wrote, "" if it could not."""
    if status.st_uid != os.geteuid():
        return f"belongs to user {status.st_uid}"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"may be written by others (mode {stat.S_IMODE(status.st_mode):04o})"
    return ""


@contextlib.contextmanager
def _opened(path: Path, *, make: bool = False) -> Iterator[int]:
    """Yield the folder's descriptor; OSError if there is none, or others can write to it."""
    try:
        descriptor = os.open(path, _FOLDER | os.O_NOFOLLOW)
    except FileNotFoundError:
        if not make:
            raise
        _make(path)
        descriptor = os.open(path, _FOLDER | os.O_NOFOLLOW)
    try:
        if danger := _danger(os.fstat(descriptor)):
            raise PermissionError(danger)
        yield descriptor
    finally:
        os.close(descriptor)


def _make(path: Path) -> None:
    """Make a folder for the user alone, whatever the umask, and those above it that are missing.

    Not in another user's folder: root would lock that user out of it.
    """
    if not path.parent.exists():
        _make(path.parent)
    above = os.open(path.parent, _FOLDER)
    try:
        owner = os.fstat(above).st_uid
        if owner not in (0, os.geteuid()):
            raise PermissionError(f"would be made in a folder of user {owner}'s")
        with contextlib.suppress(FileExistsError):  # another process was faster
            os.mkdir(path.name, 0o700, dir_fd=above)
            made = os.open(path.name, _FOLDER | os.O_NOFOLLOW, dir_fd=above)
            try:
                os.fchmod(made, 0o700)
            finally:
                os.close(made)
    finally:
        os.close(above)


def _write(place: int, name: str, content: bytes) -> None:
    """Write a file that is whole after a crash too, or not there."""
    temporary = f"{os.urandom(8).hex()}{_SUFFIX}"
    descriptor = os.open(temporary, _NEW, 0o600, dir_fd=place)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.rename(temporary, name, src_dir_fd=place, dst_dir_fd=place)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=place)
        raise
    os.fsync(place)


def _remove_unused(place: int) -> None:
    """Remove what was used longest ago, until the rest is within the bound."""
    files = []
    with os.scandir(place) as found:
        for entry in found:
            if entry.name.endswith(_SUFFIX):
                with contextlib.suppress(FileNotFoundError):  # another process removes, too
                    status = entry.stat(follow_symlinks=False)
                    files.append((status.st_mtime, status.st_size, entry.name))
    excess = sum(size for _, size, _ in files) - BOUND
    for _, size, name in sorted(files):
        if excess <= 0:
            return
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=place)
        excess -= size


def _warn(error: OSError | RuntimeError) -> None:
    """Say once why nothing is kept, and what to do."""
    global _warned
    if _warned:
        return
    _warned = True
    if isinstance(error, NotADirectoryError):
        reason = "is a link, or no directory"
    else:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
    with contextlib.suppress(RuntimeError):
        reason = f"{folder()}: {reason}"
    log.warning(
        "compiled code is not kept, and each start takes seconds: %s; it is kept in a folder that "
        "belongs to user %d, closed to others (mode 0700): mend this one, or set XDG_CACHE_HOME",
        reason,
        os.geteuid(),
    )

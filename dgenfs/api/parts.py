"""What is being written: it stands beside its target, as PATH.part, until it is whole.

A run holds a lock (flock) on its part. One that nobody holds was left by a run that was killed, and
is replaced. No byte depends on locks: a run writes to what it made and has open, wherever that was
moved to and whatever stands in its place, and nothing else gets the target's name.
"""

import errno
import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dgenfs.machine.file_users import lock_holder
from dgenfs.machine.system_calls import rename_new, sync_file_system

# In the mode of every part, so that nothing of somebody's is taken for one. Folders have the sticky
# bit for its own sake, but none has the other, which means nothing there; mkdir(2) leaves it out.
MARK = stat.S_ISVTX
TREE_MARK = stat.S_ISUID
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
# How a file system says that it has no such rename, link, or way to sync a directory.
NOT_OFFERED = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
NO_LINKS = (*NOT_OFFERED, errno.EPERM)
NO_SYNC = (*NOT_OFFERED, errno.EBADF)  # also of a directory that its user may not read


@contextmanager
def opened(path: Path | str, flags: int, folder: int | None = None) -> Iterator[int]:
    """Yield a descriptor of ``path``, which starts from that of ``folder`` if one is given."""
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o666, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have errors of the system say where: at ``path``."""
    try:
        yield
    except OSError as error:
        if not error.strerror:  # one of our own
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


class Part:
    """A file or a directory that has yet to get its name; a context.

    Nothing is left of it at the context's end unless it is published before.

    Attributes:
        path: where it was made.
        descriptor: of the file, to write; of the directory, to make files in.
    """

    def __init__(self, target: Path, *, tree: bool = False) -> None:
        """Make it.

        Args:
            target: what it is to become.
            tree: whether it is a directory.

        Raises:
            FileExistsError: another run is writing ``target``, or something stands in the way.
            OSError: the directory of ``target`` is not there, or cannot be written to.
        """
        self.path = target.with_name(f"{target.name}.part")
        self._target = target
        self._tree = tree
        self._names = [self.path.name]  # where it is or was
        self._folder = _folder(target.parent)
        try:
            with naming(self.path):
                self.descriptor = self._new()
        except BaseException:
            os.close(self._folder)
            raise

    def __enter__(self) -> "Part":
        """Return it."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Remove it if it was not published, and nothing else."""
        try:
            for name in self._names:
                if kind is not None and self._is_at(name, os.fstat(self.descriptor)):
                    self._remove(name, self.descriptor)
        finally:
            os.close(self.descriptor)
            os.close(self._folder)

    def publish(self, *, over: bool = False, like: os.stat_result | None = None) -> None:
        """Bring it to the disk and give it the target's name.

        Args:
            over: replace a file that is there.
            like: a file whose permissions it takes, and the owner where that is allowed.

        Raises:
            FileExistsError: the target was made meanwhile.
            FileNotFoundError: the part was removed, or something else stands in its place.
            OSError: it cannot be brought to the disk, or not be renamed. If only the directory
                cannot be brought to the disk, the target is there, and a crash may take it away.
        """
        with naming(self.path):
            if not self._is_at(self.path.name, os.fstat(self.descriptor)):
                raise self._lost()
            if self._tree:
                sync_file_system(self.descriptor, self.path)
            else:
                os.fsync(self.descriptor)
            name = self._set_apart()
        with naming(self._target):
            self._set_mode(like)
            self._rename(name, over=over)
            try:
                os.fsync(self.descriptor)
                os.fsync(self._folder)
            except OSError as error:
                if error.errno not in NO_SYNC:
                    raise
                sync_file_system(self.descriptor, self._target)

    def _new(self) -> int:
        """Make it and lock it."""
        name = self.path.name
        try:
            descriptor = self._make(name)
        except FileExistsError:
            self._remove_dead(name)
            descriptor = self._make(name)
        try:
            # Until it is locked, another run may take it for a dead one's. Where there are no locks
            # none does.
            if self._is_locked(descriptor) is False or not self._is_at(name, os.fstat(descriptor)):
                raise self._busy(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _make(self, name: str) -> int:
        if self._tree:
            os.mkdir(name, 0o777 | MARK, dir_fd=self._folder)
            descriptor = os.open(name, DIRECTORY | os.O_CLOEXEC, dir_fd=self._folder)
            try:
                if not _is_new(descriptor):
                    raise self._lost()
                with suppress(OSError):  # of a file system that keeps no modes
                    os.fchmod(descriptor, os.fstat(descriptor).st_mode & 0o7777 | TREE_MARK)
            except BaseException:
                os.close(descriptor)
                raise
            return descriptor
        return os.open(name, NEW | os.O_CLOEXEC, 0o666 | MARK, dir_fd=self._folder)

    def _remove_dead(self, name: str) -> None:
        """Remove a part that no run holds any more; FileExistsError if it is none."""
        try:
            there = os.stat(name, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return  # its run has ended just now
        is_tree = stat.S_ISDIR(there.st_mode)
        is_ours = there.st_mode & MARK and there.st_uid == os.geteuid()
        if not is_ours or not (is_tree or stat.S_ISREG(there.st_mode)):
            raise self._in_the_way()
        flags = DIRECTORY if is_tree else os.O_WRONLY | os.O_NOFOLLOW
        with opened(name, flags, self._folder) as descriptor:
            locked = self._is_locked(descriptor)
            if locked is False:
                raise self._busy(descriptor)
            if locked is None:
                raise FileExistsError(
                    f"{self.path}: is left of a run, or one is writing it: this file system has no "
                    "locks to tell; remove it, or give another path"
                )
            status = os.fstat(descriptor)
            if not self._is_at(name, status):
                return
            if not is_tree or status.st_mode & TREE_MARK:
                self._remove(name, descriptor)
                return
            try:
                os.rmdir(name, dir_fd=self._folder)  # its run was killed before it marked it
            except OSError as error:
                raise self._in_the_way() from error

    def _is_locked(self, descriptor: int) -> bool | None:
        """Lock, and return whether that was done, None where there are no locks."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return None
        return True

    def _busy(self, descriptor: int) -> FileExistsError:
        holder = lock_holder(os.fstat(descriptor))
        process = "" if holder is None else f" (process {holder})"
        return FileExistsError(f"{self.path}: another run is writing it{process}")

    def _in_the_way(self) -> FileExistsError:
        said = "is in the way, and may be no run's of yours; move it, or give another path"
        return FileExistsError(f"{self.path}: {said}")

    def _set_apart(self) -> str:
        """Rename it to what nobody else uses, as what stands at PATH.part may change any time."""
        name = f".dgenfs-{secrets.token_hex(8)}"
        self._names.append(name)
        self._move(self.path.name, name)
        if not self._is_at(name, os.fstat(self.descriptor)):
            with suppress(OSError):
                rename_new(self._folder, name, self.path.name)
            raise self._lost()
        return name

    def _set_mode(self, like: os.stat_result | None) -> None:
        if like is not None:
            with suppress(PermissionError):
                os.fchown(self.descriptor, like.st_uid, like.st_gid)
            os.fchmod(self.descriptor, like.st_mode & 0o777)
            return
        mode = stat.S_IMODE(os.fstat(self.descriptor).st_mode)
        if mode & (MARK | TREE_MARK):  # which not every file system keeps
            os.fchmod(self.descriptor, mode & ~(MARK | TREE_MARK))

    def _rename(self, name: str, *, over: bool) -> None:
        if over:
            self._move(name, self._target.name)
            return
        try:
            self._rename_new(name)
        except FileExistsError as error:
            raise FileExistsError(
                f"{self._target}: is there already, made while its content was written; remove it "
                "or give another path"
            ) from error

    def _rename_new(self, name: str) -> None:
        target = self._target.name
        try:
            rename_new(self._folder, name, target)
            return
        except OSError as error:
            if error.errno not in NOT_OFFERED:
                raise
        if self._tree:
            os.mkdir(target, dir_fd=self._folder)  # which a rename may replace, as it is empty
        elif self._link(name, target):
            return
        else:
            with opened(target, NEW, self._folder):
                pass
        try:
            self._move(name, target)
        except BaseException:
            with suppress(OSError):
                (os.rmdir if self._tree else os.unlink)(target, dir_fd=self._folder)
            raise

    def _link(self, name: str, target: str) -> bool:
        """Rename by link(2); False where there are no links."""
        try:
            os.link(
                name,
                target,
                src_dir_fd=self._folder,
                dst_dir_fd=self._folder,
                follow_symlinks=False,
            )
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            return False
        os.unlink(name, dir_fd=self._folder)
        return True

    def _move(self, name: str, to: str) -> None:
        os.rename(name, to, src_dir_fd=self._folder, dst_dir_fd=self._folder)

    def _lost(self) -> FileNotFoundError:
        said = "was removed or replaced while it was written"
        return FileNotFoundError(errno.ENOENT, said, str(self.path))

    def _is_at(self, name: str, part: os.stat_result) -> bool:
        try:
            there = os.stat(name, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, part)

    def _remove(self, name: str, part: int) -> None:
        """Remove what the descriptor ``part`` is of, and the name of it."""
        if not stat.S_ISDIR(os.fstat(part).st_mode):
            os.unlink(name, dir_fd=self._folder)
            return
        with os.scandir(part) as entries:
            inside = list(entries)
        for entry in inside:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.name, dir_fd=part)
            else:
                os.unlink(entry.name, dir_fd=part)
        os.rmdir(name, dir_fd=self._folder)


def _is_new(directory: int) -> bool:
    """Return whether a directory is ours and empty, and not one that was put in its place."""
    with os.scandir(directory) as entries:
        if any(entries):
            return False
    owner = os.fstat(directory).st_uid
    if owner == os.geteuid():
        return True
    # Where the file system maps owners, what we make has another.
    name = f".dgenfs-{secrets.token_hex(8)}"
    with opened(name, NEW, directory) as file:
        os.unlink(name, dir_fd=directory)
        return os.fstat(file).st_uid == owner


def _folder(path: Path) -> int:
    """Return a descriptor of a directory; one that may not be read can be written to still."""
    flags = os.O_DIRECTORY | os.O_CLOEXEC
    try:
        return os.open(path, flags)
    except PermissionError:
        return os.open(path, flags | os.O_PATH)

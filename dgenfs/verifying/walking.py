"""Directories of any depth, walked by descriptors: paths may be longer than the system takes."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dgenfs.verifying.places import KINDS, Entry, Place
from dgenfs.verifying.reports import Unreadable, reason

_TO_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO must not keep us waiting
_DIRECTORY = os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY

Report = Callable[[Unreadable], None]


class Found(NamedTuple):
    """A file, until the next one is found.

    Attributes:
        names: of the path that was given, and of what is below it down to the file.
        size: bytes.
        directory: descriptor of the file's directory, None for a path that was given.
    """

    names: tuple[str, ...]
    size: int
    directory: int | None

    @property
    def path(self) -> str:
        """Where it is."""
        return "/".join(self.names)

    def open(self) -> int:
        """Return a descriptor to read from; OSError if there is none to be had."""
        if self.directory is None:
            return os.open(self.names[0], _TO_READ)
        return os.open(self.names[-1], _TO_READ | os.O_NOFOLLOW, dir_fd=self.directory)


@dataclass(slots=True)
class _Level:
    """A directory on the way down to where the walk is.

    Attributes:
        name: its own.
        descriptor: -1 where it was closed: only the last two are open.
        identity: device and inode.
        entries: what is left of it, in reverse: name, and whether it is a directory.
    """

    name: str
    descriptor: int
    identity: tuple[int, int]
    entries: list[tuple[str, bool]]


def walk(place: Place, enter: Callable[[Entry], bool]) -> Iterator[tuple[str, Entry]]:
    """Yield what is in a place at any depth: its path there, and what is listed of it.

    Args:
        place: a directory, or a prefix.
        enter: whether to yield what is in a directory, instead of the directory.

    Raises:
        OSError: the place itself cannot be listed; what else cannot is an entry that says why.
    """
    begun = False
    levels = [("", iter(place.entries("")))]
    while levels:
        above, entries = levels[-1]
        try:
            entry = next(entries, None)
            if entry is None:
                levels.pop()
                continue
            begun = True
            inside = f"{above}/{entry.name}" if above else entry.name
            if not (entry.is_directory and enter(entry)):
                yield inside, entry
                continue
            above = inside
            levels.append((inside, iter(place.entries(inside))))
        except OSError as error:
            if not begun:
                raise
            if levels[-1][0] == above:
                levels.pop()
            yield above, Entry(above.rpartition("/")[2], why=reason(error))


def find_files(paths: Iterable[Path], report: Report) -> Iterator[Found]:
    """Yield files and block devices, and all files below directories in the order of their names.

    Args:
        paths: regular files, block devices or directories. Links below them are left out.
        report: called with everything else, and with what cannot be reached or listed.
    """
    for path in paths:
        try:
            status = path.stat()
            if stat.S_ISDIR(status.st_mode):
                yield from _below(path, report)
            elif stat.S_ISREG(status.st_mode):
                yield Found((str(path),), status.st_size, None)
            elif stat.S_ISBLK(status.st_mode):
                with path.open("rb") as device:
                    size = device.seek(0, os.SEEK_END)
                yield Found((str(path),), size, None)
            else:
                report(Unreadable(str(path), "is no regular file, block device or directory"))
        except OSError as error:
            report(Unreadable.of(str(path), error))


def _below(top: Path, report: Report) -> Iterator[Found]:
    levels = [_level(str(top), os.open(top, _DIRECTORY))]
    try:
        while levels:
            level = levels[-1]
            if not level.entries:
                _leave(levels)
                continue
            name, is_directory = level.entries.pop()
            try:
                if is_directory:
                    _enter(levels, name)
                elif found := _file(levels, name, report):
                    yield found
            except OSError as error:
                report(Unreadable.of("/".join([*_names(levels), name]), error))
    except OSError as error:
        # The walk cannot go on from a directory that was moved.
        report(Unreadable.of("/".join(_names(levels)), error))
    finally:
        for level in levels:
            _close(level)


def _file(levels: list[_Level], name: str, report: Report) -> Found | None:
    directory = levels[-1].descriptor
    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    names = (*_names(levels), name)
    if stat.S_ISREG(status.st_mode):
        return Found(names, status.st_size, directory)
    if not stat.S_ISLNK(status.st_mode):
        kind = KINDS.get(stat.S_IFMT(status.st_mode), "no regular file")
        report(Unreadable("/".join(names), f"is {kind}"))
    return None


def _names(levels: list[_Level]) -> list[str]:
    return [level.name for level in levels]


def _level(name: str, descriptor: int) -> _Level:
    """Return a directory's level, which owns ``descriptor`` from now on."""
    try:
        status = os.fstat(descriptor)
        with os.scandir(descriptor) as listing:
            entries = sorted(((one.name, _is_directory(one)) for one in listing), reverse=True)
    except BaseException:
        os.close(descriptor)
        raise
    return _Level(name, descriptor, (status.st_dev, status.st_ino), entries)


def _is_directory(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False  # what is wrong with it is found when it is looked at


def _enter(levels: list[_Level], name: str) -> None:
    """Go down into a directory of the last level, and close the one above that."""
    descriptor = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=levels[-1].descriptor)
    levels.append(_level(name, descriptor))
    if len(levels) > 2:
        _close(levels[-3])


def _leave(levels: list[_Level]) -> None:
    """Go up, and open the level above that again: one that may be listed only has none below it.

    Raises:
        OSError: the directory was moved meanwhile.
    """
    left = levels.pop()
    _close(left)
    if len(levels) < 2 or levels[-2].descriptor >= 0:
        return
    above = levels[-2]
    above.descriptor = os.open("..", _DIRECTORY, dir_fd=levels[-1].descriptor)
    status = os.fstat(above.descriptor)
    if (status.st_dev, status.st_ino) != above.identity:
        raise OSError("was moved while it was read; the rest of what is above it is left out")


def _close(level: _Level) -> None:
    if level.descriptor >= 0:
        with suppress(OSError):
            os.close(level.descriptor)
        level.descriptor = -1

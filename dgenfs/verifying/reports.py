"""What verify reports of files and of trees."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from dgenfs.machine.stores import is_url
from dgenfs.verifying.findings import Extent, Findings, Kind
from dgenfs.verifying.windows import Window

MAX_TREE_EXTENTS = 100_000  # kept of all files of a tree: some 20 MB
MAX_PATHS = 10_000  # kept of each list of a tree

_WILDCARD = re.compile(r"[*?]|\[.*\]", re.DOTALL)

Item = TypeVar("Item")


@dataclass(slots=True)
class FileReport(Findings):
    """What verify found in one file.

    Attributes:
        path: the file, or its URL.
        name: canonical name of what it should hold.
        file: number of the file in a tree, 0 for a plain file.
        expected_size: bytes it should have.
        size: bytes it has.
        changed: whether somebody wrote to it while it was read: it may be different by now.
    """

    path: Path | str
    name: str
    file: int
    expected_size: int
    size: int
    changed: bool = False

    @property
    def identical(self) -> bool:
        """Whether every byte is right, and was so to the end."""
        return not self.totals and not self.changed

    def merge(self, other: Findings) -> None:
        """Add what was found in another part of the same copy.

        Raises:
            ValueError: bytes are in both.
        """
        Findings.merge(self, other)  # as super() finds no class that has slots
        if isinstance(other, FileReport):
            self.changed |= other.changed or other.size != self.size
            self.size = other.size

    def end(self, window: Window, there: int, *, is_device: bool = False) -> None:
        """Add what is missing or in excess at the end, and count offsets from the copy's start.

        Args:
            window: what was compared.
            there: bytes of the copy that were there all the time.
            is_device: whether what is behind is no matter of the copy's.
        """
        # Of a file that became shorter meanwhile, what is known to be wrong stays as it was found.
        end = max(there - window.shift, window.offset, self.last.end if self.last else 0)
        if end < window.end:
            self.add(Extent(end, window.end, Kind.MISSING, window.end - end))
        behind = self.size - window.shift
        if window.ends and behind > window.end and not is_device:
            self.add(Extent(window.end, behind, Kind.EXCESS, behind - window.end))
        if window.length:
            self.ranges = [(window.at, window.at + window.length)]
        if window.shift:
            self.extents = [extent.moved(window.shift) for extent in self.extents]
        if window.ends:
            self.expected_size = window.at + window.length
        elif window.shift:
            self.expected_size = window.length
            self.size = min(max(0, self.size - window.at), window.length)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A path that could not be opened or read.

    Attributes:
        path: where it is; of what is in a tree within it, ``.`` for the tree's own directory.
        reason: what kept it from being read.
    """

    path: str
    reason: str

    @classmethod
    def of(cls, path: str, error: OSError | ValueError) -> "Unreadable":
        """Return what to report of an error at ``path``."""
        return cls(path, reason(error))


def reason(error: OSError | ValueError) -> str:
    """Return what to say of an error where the path is said beside it."""
    said = (isinstance(error, OSError) and error.strerror) or str(error)
    if isinstance(error, FileNotFoundError) and _is_pattern(error.filename):
        said += ": the pattern matched nothing"
    return said


def _is_pattern(path: object) -> bool:
    """Return whether a path that leads to nothing does so for a wildcard of glob(7)."""
    if not isinstance(path, str) or not _WILDCARD.search(path):
        return False
    if is_url(path):
        return "*" in path
    missing = Path(path)
    for above in missing.parents:
        if os.path.lexists(above):
            break
        missing = above
    return _WILDCARD.search(missing.name) is not None


@dataclass(slots=True)
class TreeReport:
    """What verify found in the directory of a tree.

    Attributes:
        path: the directory.
        name: canonical name of the tree.
        files: files the tree should have, and a data set's empty directories that are missing.
        identical_files: files without a wrong byte.
        different: reports of files with wrong bytes, at most MAX_PATHS.
        different_files: number of them all.
        kept_extents: damage in these reports, at most MAX_TREE_EXTENTS, the first files'.
        omitted_extents: damage that is counted only.
        missing: paths within the tree of files that are not there, at most MAX_PATHS.
        missing_files: number of them all.
        unexpected: paths within the tree that should not be there, at most MAX_PATHS.
        unexpected_files: number of them all.
        unreadable: files and directories that could not be opened, at most MAX_PATHS.
        unreadable_paths: number of them all.
        unreadable_bytes: of files that could be opened.
        excluded: paths within the tree that were passed over, at most MAX_PATHS.
        excluded_files: number of them all.
    """

    path: Path | str
    name: str
    files: int
    identical_files: int = 0
    different: list[FileReport] = field(default_factory=list)
    different_files: int = 0
    kept_extents: int = 0
    omitted_extents: int = 0
    missing: list[str] = field(default_factory=list)
    missing_files: int = 0
    unexpected: list[str] = field(default_factory=list)
    unexpected_files: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)
    unreadable_paths: int = 0
    unreadable_bytes: int = 0
    excluded: list[str] = field(default_factory=list)
    excluded_files: int = 0

    @property
    def identical(self) -> bool:
        """Whether all files are there, every byte is right, and nothing else is there."""
        return not (
            self.different_files
            or self.missing_files
            or self.unexpected_files
            or self.unreadable_paths
        )

    @property
    def readable(self) -> bool:
        """Whether every path and every byte could be read."""
        return not (self.unreadable_paths or self.unreadable_bytes)

    @property
    def room(self) -> int:
        """Extents that it can still keep of the next file."""
        return MAX_TREE_EXTENTS - self.kept_extents if len(self.different) < MAX_PATHS else 0

    def merge(self, other: "TreeReport") -> None:
        """Add what was found in another part of the same directory."""
        self.files += other.files
        self.identical_files += other.identical_files
        self.different_files += other.different_files
        self.missing_files += other.missing_files
        self.unexpected_files += other.unexpected_files
        self.unreadable_paths += other.unreadable_paths
        self.unreadable_bytes += other.unreadable_bytes
        self.excluded_files += other.excluded_files
        self.omitted_extents += other.omitted_extents
        for file in other.different:
            self._keep_file(file)
        self.missing = [*self.missing, *other.missing][:MAX_PATHS]
        self.unexpected = [*self.unexpected, *other.unexpected][:MAX_PATHS]
        self.unreadable = [*self.unreadable, *other.unreadable][:MAX_PATHS]
        self.excluded = [*self.excluded, *other.excluded][:MAX_PATHS]

    def add_file(self, file: FileReport) -> None:
        """Count a file; if bytes are wrong, keep its report and the extents that fit in."""
        if file.identical:
            self.identical_files += 1
            return
        self.different_files += 1
        if not file.readable:
            self.unreadable_bytes += file.totals[Kind.UNREADABLE].wrong_bytes
        self.omitted_extents += file.omitted_extents
        self._keep_file(file)

    def _keep_file(self, file: FileReport) -> None:
        """Keep a report, and the extents that fit in; the others' number is counted already."""
        omitted = len(file.extents[self.room :])
        self.omitted_extents += omitted
        del file.extents[self.room :]
        self.kept_extents += len(file.extents)
        _keep(self.different, file)

    def add_missing(self, path: str) -> None:
        """Count a file that is not there."""
        self.missing_files += 1
        _keep(self.missing, path)

    def add_unexpected(self, path: str) -> None:
        """Count a path that should not be there."""
        self.unexpected_files += 1
        _keep(self.unexpected, path)

    def add_excluded(self, path: str) -> None:
        """Count a path that need not be there, and may."""
        self.excluded_files += 1
        _keep(self.excluded, path)

    def add_unreadable(self, unreadable: Unreadable) -> None:
        """Count a file or directory that cannot be read."""
        self.unreadable_paths += 1
        _keep(self.unreadable, unreadable)


@dataclass(slots=True)
class DirectoryReport:
    """What verify found in a directory, or a prefix, of copies that have names of their own.

    Attributes:
        path: the directory.
        reports: of the files and trees that could be checked.
        unchecked: what else is there, by its whole path, at most MAX_PATHS.
        unchecked_paths: number of them all.
        excluded: paths that were passed over, at most MAX_PATHS.
        excluded_paths: number of them all.
        kept_extents: damage in the reports, at most MAX_TREE_EXTENTS and one a file.
    """

    path: Path | str
    reports: list[FileReport | TreeReport] = field(default_factory=list)
    unchecked: list[Unreadable] = field(default_factory=list)
    unchecked_paths: int = 0
    excluded: list[str] = field(default_factory=list)
    excluded_paths: int = 0
    kept_extents: int = 0

    @property
    def identical(self) -> bool:
        """Whether all that is there was checked, and every byte is right."""
        return self.readable and all(report.identical for report in self.reports)

    @property
    def readable(self) -> bool:
        """Whether all that is there was checked, and every byte could be read."""
        return not self.unchecked_paths and all(report.readable for report in self.reports)

    @property
    def room(self) -> int:
        """Extents to keep of the next file."""
        return max(1, MAX_TREE_EXTENTS - self.kept_extents)

    def add(self, report: FileReport | TreeReport) -> None:
        """Add what was found in a file or a tree, with the extents that fit in."""
        if isinstance(report, FileReport):
            del report.extents[self.room :]
            self.kept_extents += len(report.extents)
        self.reports.append(report)

    def add_unchecked(self, unchecked: Unreadable) -> None:
        """Count a path that was not checked."""
        self.unchecked_paths += 1
        _keep(self.unchecked, unchecked)

    def add_excluded(self, path: str) -> None:
        """Count a path that is no matter."""
        self.excluded_paths += 1
        _keep(self.excluded, path)


def _keep(kept: list[Item], item: Item) -> None:
    if len(kept) < MAX_PATHS:
        kept.append(item)

"""What verify finds: damage by kind, in files and in trees."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from dgenfs.kernels.row import SECTOR

MAX_EXTENTS = 10_000  # kept of one file; the totals count all
MAX_TREE_EXTENTS = 100_000  # kept of all files of a tree: some 20 MB
MAX_PATHS = 10_000  # kept of each list of a tree


Item = TypeVar("Item")


class Kind(StrEnum):
    """What an extent of damage is."""

    ZEROS = "zeros"
    MISPLACED = "misplaced"
    OTHER_SEED = "other seed"
    BIT_FLIPS = "bit flips"
    UNKNOWN = "unknown"
    MISSING = "missing tail"
    EXCESS = "excess tail"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Extent:
    """Damage of one kind in adjoining sectors, of one part of the file.

    Attributes:
        start: offset of the first wrong byte in the file.
        end: offset behind the last wrong byte.
        kind: what the bytes are instead.
        wrong_bytes: bytes between that differ; the missing, excess or unreadable bytes.
        wrong_bits: bits between that differ; 0 where no bits were compared.
        belongs_at: for MISPLACED and OTHER_SEED, the offset that the bytes at ``start`` belong at;
            where duplicates leave a choice, the one nearest to ``start``.
        belongs_in: the number of the tree's file that they belong in; 0 for a plain file.
        seed: for OTHER_SEED, the seed of the content they belong to.
        part: what the bytes should be to a reader of the format, such as "header" or "CRC", where
            they are a container's own; None for content.
        region: where in the file the part begins, or the content that stands in one piece there.
    """

    start: int
    end: int
    kind: Kind
    wrong_bytes: int
    wrong_bits: int = 0
    belongs_at: int | None = None
    belongs_in: int | None = None
    seed: int | None = None
    part: str | None = None
    region: int = field(default=0, compare=False)

    def continues(self, before: "Extent") -> bool:
        """Return whether this extent and the one before it are one, cut by a chunk's end."""
        if self.kind is not before.kind or self.seed != before.seed:
            return False
        if self.region != before.region:
            return False
        if self.start // SECTOR > (before.end - 1) // SECTOR + 1:
            return False
        if self.belongs_at is None or before.belongs_at is None:
            return self.belongs_at is before.belongs_at
        return (
            self.belongs_in == before.belongs_in
            and self.belongs_at - self.start == before.belongs_at - before.start
        )


@dataclass(slots=True)
class Total:
    """All extents of one kind, kept or not."""

    extents: int = 0
    wrong_bytes: int = 0
    wrong_bits: int = 0


@dataclass(slots=True)
class FileReport:
    """What verify found in one file.

    Attributes:
        path: the file.
        name: canonical name of what it should hold.
        file: number of the file in a tree, 0 for a plain file.
        expected_size: bytes it should have.
        size: bytes it has.
        wrong_sectors: 512-byte sectors with a wrong byte among those compared.
        extents: damage in order of offset, at most MAX_EXTENTS; fewer in a tree of much damage.
        totals: all damage by kind.
        changed: whether somebody wrote to it while it was read: it may be different by now.
        last: the last extent, kept or not, with which the next one may be one.
    """

    path: Path
    name: str
    file: int
    expected_size: int
    size: int
    wrong_sectors: int = 0
    extents: list[Extent] = field(default_factory=list)
    totals: dict[Kind, Total] = field(default_factory=dict)
    changed: bool = False
    last: Extent | None = None

    @property
    def identical(self) -> bool:
        """Whether every byte is right, and was so to the end."""
        return not self.totals and not self.changed

    @property
    def readable(self) -> bool:
        """Whether every byte could be read."""
        return Kind.UNREADABLE not in self.totals

    @property
    def wrong_bytes(self) -> int:
        """Bytes that differ, are missing, in excess or unreadable."""
        return sum(total.wrong_bytes for total in self.totals.values())

    @property
    def omitted_extents(self) -> int:
        """Extents that are counted in the totals only."""
        return sum(total.extents for total in self.totals.values()) - len(self.extents)

    def add(self, extent: Extent) -> None:
        """Add an extent that starts behind all others."""
        total = self.totals.setdefault(extent.kind, Total())
        total.wrong_bytes += extent.wrong_bytes
        total.wrong_bits += extent.wrong_bits
        before, self.last = self.last, extent
        if before is not None and extent.continues(before):
            self.last = replace(
                before,
                end=extent.end,
                wrong_bytes=before.wrong_bytes + extent.wrong_bytes,
                wrong_bits=before.wrong_bits + extent.wrong_bits,
            )
            if self.extents and self.extents[-1] is before:
                self.extents[-1] = self.last
            return
        total.extents += 1
        if len(self.extents) < MAX_EXTENTS:
            self.extents.append(extent)

    def count(self, kind: Kind, more: Total) -> None:
        """Count extents that start behind all others and are not kept."""
        total = self.totals.setdefault(kind, Total())
        total.extents += more.extents
        total.wrong_bytes += more.wrong_bytes
        total.wrong_bits += more.wrong_bits


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
    return (isinstance(error, OSError) and error.strerror) or str(error)


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

    path: Path
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

    def add_file(self, file: FileReport) -> None:
        """Count a file; if bytes are wrong, keep its report and the extents that fit in."""
        if file.identical:
            self.identical_files += 1
            return
        self.different_files += 1
        if not file.readable:
            self.unreadable_bytes += file.totals[Kind.UNREADABLE].wrong_bytes
        del file.extents[self.room :]
        self.kept_extents += len(file.extents)
        self.omitted_extents += file.omitted_extents
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


def _keep(kept: list[Item], item: Item) -> None:
    if len(kept) < MAX_PATHS:
        kept.append(item)

"""What is wrong in a file's bytes, by kind; of ranges that were compared apart, it merges."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from dgenfs.kernels.row import SECTOR

MAX_EXTENTS = 10_000  # kept of one file; the totals count all


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

    def moved(self, distance: int) -> "Extent":
        """Return it as many bytes further on in the file, where it is and begins."""
        return replace(
            self,
            start=self.start + distance,
            end=self.end + distance,
            region=self.region + distance,
        )

    def joined(self, behind: "Extent") -> "Extent":
        """Return this extent and the one ``behind`` it as one."""
        return replace(
            self,
            end=behind.end,
            wrong_bytes=self.wrong_bytes + behind.wrong_bytes,
            wrong_bits=self.wrong_bits + behind.wrong_bits,
        )


@dataclass(slots=True)
class Total:
    """All extents of one kind, kept or not."""

    extents: int = 0
    wrong_bytes: int = 0
    wrong_bits: int = 0


@dataclass(slots=True, kw_only=True)
class Findings:
    """What is wrong in ranges of one file.

    Attributes:
        ranges: [start, end) of the bytes that were compared, in order and apart.
        wrong_sectors: 512-byte sectors with a wrong byte among those compared.
        extents: damage in order of offset, at most MAX_EXTENTS; fewer in a tree of much damage.
        totals: all damage by kind.
        last: the last extent, kept or not, with which the next one may be one.
    """

    ranges: list[tuple[int, int]] = field(default_factory=list)
    wrong_sectors: int = 0
    extents: list[Extent] = field(default_factory=list)
    totals: dict[Kind, Total] = field(default_factory=dict)
    last: Extent | None = None

    @property
    def identical(self) -> bool:
        """Whether every byte that was compared is right."""
        return not self.totals

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
            self.last = before.joined(extent)
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

    def merge(self, other: "Findings") -> None:
        """Add what was found in other ranges of the file, before, between or behind these.

        Extents that adjoin become one, as if their ranges had been compared together; of those that
        are counted only, and of a sector that two ranges share, each counts.

        Raises:
            ValueError: bytes are in ranges of both.
        """
        self.ranges = merged_ranges(self.ranges, other.ranges)
        self.wrong_sectors += other.wrong_sectors
        for kind, more in other.totals.items():
            self.count(kind, more)
        kept: list[Extent] = []
        for extent in sorted([*self.extents, *other.extents], key=lambda extent: extent.start):
            if kept and extent.continues(kept[-1]) and self._knows(kept[-1].end, extent.start):
                self.totals[extent.kind].extents -= 1
                kept[-1] = kept[-1].joined(extent)
            else:
                kept.append(extent)
        last = (one for one in (self.last, other.last) if one is not None)
        self.last = max([*kept[-1:], *last], key=lambda extent: extent.end, default=None)
        self.extents = kept[:MAX_EXTENTS]

    def _knows(self, start: int, end: int) -> bool:
        """Return whether all between two offsets was compared."""
        index = bisect_right(self.ranges, start, key=lambda one: one[0]) - 1
        return index >= 0 and end <= self.ranges[index][1]


def merged_ranges(
    one: Iterable[tuple[int, int]], other: Iterable[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Return ranges in order, those that adjoin as one.

    Raises:
        ValueError: two overlap.
    """
    merged: list[tuple[int, int]] = []
    for start, end in sorted([*one, *other]):
        before = merged[-1] if merged else (0, 0)
        if start < before[1]:
            both = f"bytes {start} to {min(end, before[1])} are in ranges of both"
            raise ValueError(f"{both}: findings merge that are of other bytes")
        if merged and start == before[1]:
            merged[-1] = (before[0], end)
        elif end > start:
            merged.append((start, end))
    return merged

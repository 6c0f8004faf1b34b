"""Comparing: what is wrong in the bytes of a copy, and where the wrong bytes belong."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dgenfs.content.containers.frames import Container
from dgenfs.content.layout import Layout
from dgenfs.content.view import ContentRange, Failing, FileRange, Piece, View
from dgenfs.kernels import damage
from dgenfs.kernels.digests import until
from dgenfs.kernels.fill import content_offset
from dgenfs.kernels.origins import Others, others_of
from dgenfs.kernels.row import SECTOR
from dgenfs.verifying.findings import Extent, Findings, Kind, Total

CHUNK = 4 << 20  # bytes of one read
LAYOUTS = 8  # that the others are kept of: all files of a tree have one

_KINDS = {
    damage.ZEROS: Kind.ZEROS,
    damage.MISPLACED: Kind.MISPLACED,
    damage.OTHER_SEED: Kind.OTHER_SEED,
    damage.BIT_FLIPS: Kind.BIT_FLIPS,
    damage.UNKNOWN: Kind.UNKNOWN,
}


class Room(threading.local):
    """Each thread's own memory for what is found.

    Attributes:
        extents: int64[sectors that a chunk touches, damage.COLUMNS].
    """

    def __init__(self) -> None:
        """Take the memory, on the thread that first uses it."""
        self.extents: NDArray[np.int64] = np.empty((CHUNK // SECTOR + 2, damage.COLUMNS), np.int64)


class OtherSeeds:
    """Seeds whose content to recognize; for any number of threads.

    Attributes:
        seeds: those of the lowest rank first.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        """Recognize the content of ``seeds``."""
        self.seeds = tuple(seeds)
        self._none = others_of(np.empty(0, np.uint64))
        self._ready: dict[Layout, Others] = {}
        self._lock = threading.Lock()

    def ready(self, layout: Layout) -> Others:
        """Return the others of a content if somebody has asked for them, else none."""
        return self._ready.get(layout, self._none)

    def of(self, layout: Layout) -> Others:
        """Return the others of a content, which takes 1 µs a seed the first time."""
        with self._lock:
            if layout not in self._ready:
                if len(self._ready) == LAYOUTS:
                    self._ready.clear()
                keys = np.fromiter(map(layout.key_of, self.seeds), np.uint64, len(self.seeds))
                self._ready[layout] = others_of(keys)
            return self._ready[layout]


@dataclass(slots=True)
class Damage:
    """What is wrong in a part of a file.

    Attributes:
        length: bytes that were compared.
        wrong_sectors: 512-byte sectors with a wrong byte.
        found: in order of offset.
    """

    length: int
    wrong_sectors: int = 0
    found: list["Extent | Found"] = field(default_factory=list)

    def add_to(self, findings: Findings, room: int) -> None:
        """Add it to what was found before it; keep some ``room`` extents of all, but count all."""
        findings.wrong_sectors += self.wrong_sectors
        for found in self.found:
            if isinstance(found, Extent):
                findings.add(found)
            else:  # the first may go on with the one before it
                found.add_to(findings, max(1, room - len(findings.extents)))


@dataclass(frozen=True, slots=True)
class Found:
    """Damage as the kernel found it: few of very many extents are kept, and cost as much each.

    Attributes:
        rows: int64[:, damage.COLUMNS], at least one.
        layout: the content's that was compared.
        at: offset in the file of what was compared.
        position: the same in the content, over all files in order.
        others: what ``find_damage`` was given.
        seeds: of these, by their ranks.
        container: what stands around the content in the file, None for nothing.
        region: see Extent.
    """

    rows: NDArray[np.int64]
    layout: Layout
    at: int
    position: int
    others: Others
    seeds: Sequence[int]
    container: Container | None
    region: int

    def add_to(self, report: Findings, room: int) -> None:
        """Add what was found to others: ``room`` extents, as which all others are counted."""
        for row in self.rows[:room].tolist():
            report.add(self._extent(row))
        rest = self.rows[room:]
        if len(rest) == 1:  # as of small records
            (row,) = rest.tolist()
            total = Total(1, row[damage.WRONG_BYTES], row[damage.WRONG_BITS])
            report.count(_KINDS[row[damage.KIND]], total)
            report.last = self._extent(row)
            return
        if not len(rest):
            return
        kinds, firsts = np.unique(rest[:, damage.KIND], return_index=True)
        for number in kinds[np.argsort(firsts)].tolist():
            of_kind = rest[rest[:, damage.KIND] == number]
            sums = of_kind[:, [damage.WRONG_BYTES, damage.WRONG_BITS]].sum(axis=0)
            report.count(_KINDS[number], Total(len(of_kind), *sums.tolist()))
        report.last = self._extent(rest[-1].tolist())

    def _extent(self, row: list[int]) -> Extent:
        """Return the extent of a row."""
        layout, at, position, container = self.layout, self.at, self.position, self.container
        kind = _KINDS[row[damage.KIND]]
        start = row[damage.START]
        belongs_in = belongs_at = seed = None
        if kind in (Kind.MISPLACED, Kind.OTHER_SEED):
            shift = row[damage.SHIFT] % (1 << 64)  # a uint64 in an int64's bits
            shown = layout.size if container is None else container.payload
            belongs_in, belongs_at = belongs(layout, position + start, shift, shown)
            if belongs_at is not None:  # an offset of the content's file, for one of the view's
                if container is None:
                    belongs_at += at - position % layout.size
                else:
                    belongs_at = container.offset_of(belongs_at)
        if kind is Kind.OTHER_SEED:
            seed = self.seeds[self.others.ranks[row[damage.OTHER]]]
        return Extent(
            at + start,
            at + row[damage.END],
            kind,
            row[damage.WRONG_BYTES],
            row[damage.WRONG_BITS],
            belongs_at,
            belongs_in,
            seed,
            region=self.region,
        )


class Comparison:
    """A copy's bytes and the view that they should show; for any number of threads."""

    def __init__(self, view: View, others: OtherSeeds, room: Room) -> None:
        """Compare with ``view``.

        Args:
            view: what a copy should hold.
            others: seeds whose content to recognize.
            room: for what is found.
        """
        self._view = view
        self._others = others
        self._room = room
        self._stopped = np.zeros(1, np.uint64)
        self._patience = until(self._stopped)

    def stop(self) -> None:
        """Let calls end soon, without a result."""
        self._stopped[0] = 1

    def compare(self, data: NDArray[np.uint8], at: int) -> Damage:
        """Compare ``data``, uint8[::1] and at most CHUNK bytes, with the view from ``at`` on.

        What is behind the view's end is in excess.

        Raises:
            CancelledError: ``stop`` was called.
        """
        self._check()
        damaged = Damage(data.size)
        end = at + data.size
        if end > self._view.size:
            behind = max(at, self._view.size)
            data = data[: behind - at]
        if self._view.container is None:
            for one in self._view.pieces(at, data.size):
                part = data[one.at - at : one.at - at + one.length]
                damaged.wrong_sectors += self._compare(part, one, damaged)
        elif data.size:
            self._compare_container(data, at, damaged)
        if end > self._view.size:
            damaged.found.append(Extent(behind, end, Kind.EXCESS, end - behind))
        return damaged

    def _check(self) -> None:
        if self._stopped[0]:
            raise CancelledError

    def _compare_container(self, data: NDArray[np.uint8], at: int, damaged: Damage) -> None:
        """Add the damage of a part of a container."""
        files = self._view.files
        assert files is not None
        if files.holds(data, at, self._patience):
            return
        expected = np.empty_like(data)
        files.read_into(expected, at, self._patience)
        wrong = wrong_sectors(data, expected, at)
        damaged.wrong_sectors += int(wrong.sum())
        for one in self._pieces_of(wrong, at, at + data.size):
            self._check()
            part = slice(one.at - at, one.at - at + one.length)
            self._compare(data[part], one, damaged, expected[part])

    def _pieces_of(self, sectors: NDArray[np.bool_], at: int, end: int) -> Iterator[Piece]:
        """Yield those of the pieces from ``at`` to ``end`` that touch sectors, each whole."""
        changes = np.flatnonzero(np.diff(sectors, prepend=False, append=False))
        done = at
        for first, last in (at // SECTOR * SECTOR + changes.reshape(-1, 2) * SECTOR).tolist():
            if last <= done:
                continue
            start, _ = self._view.segment_at(max(first, done))
            done = max(start, done)
            for piece in self._view.pieces(done, end - done):
                if piece.at >= last:
                    break
                yield piece
                done = piece.at + piece.length

    def _compare(
        self,
        data: NDArray[np.uint8],
        piece: Piece,
        damaged: Damage,
        expected: NDArray[np.uint8] | None = None,
    ) -> int:
        """Add a piece's damage, and return its sectors with a wrong byte.

        Args:
            data: the copy's bytes.
            piece: what they should be.
            damaged: what is added to.
            expected: what they should be, if that is known already.
        """
        segment = piece.segment
        if isinstance(segment, ContentRange):
            return self._content(data, piece, segment, damaged)
        if isinstance(segment, Failing):  # which says nothing of its bytes
            return 0
        if expected is None:
            expected = np.empty_like(data)
            segment.read_into(expected, piece.start)
        part = segment.part or None if isinstance(segment, FileRange) else None
        region = piece.at - piece.start
        extents = differences(data, expected, piece.at, part, region)
        damaged.found.extend(extents)
        return len(extents)

    def _content(
        self, data: NDArray[np.uint8], piece: Piece, segment: ContentRange, damaged: Damage
    ) -> int:
        """Add the damage of what should be content and return its sectors with a wrong byte."""
        layout, at, within = segment.layout, piece.at, piece.start
        wrong_sectors = 0
        done = 0
        while done < data.size:
            position = segment.start + within + done
            count = min(data.size - done, layout.size - position % layout.size)
            number, sectors, others = self._find(data[done : done + count], position, layout)
            wrong_sectors += sectors
            if number:
                rows = self._room.extents[:number].copy()
                seeds = self._others.seeds
                container = self._view.container
                damaged.found.append(
                    Found(rows, layout, at + done, position, others, seeds, container, at - within)
                )
            done += count
        return wrong_sectors

    def _find(
        self, data: NDArray[np.uint8], position: int, layout: Layout
    ) -> tuple[int, int, Others]:
        """Find the damage of content, into this thread's buffer.

        Returns:
            Extents; sectors with a wrong byte; the contents that were to be recognized.
        """
        offset = np.uint64(content_offset(np.uint64(position), layout.row))
        extents = self._room.extents
        others = self._others.ready(layout)
        found = damage.find_damage(data, offset, layout.row, others, extents)
        if found[0] and len(others.ranks) < len(self._others.seeds):
            others = self._others.of(layout)
            found = damage.find_damage(data, offset, layout.row, others, extents)
        return *found, others


def belongs(layout: Layout, position: int, shift: int, shown: int) -> tuple[int | None, int | None]:
    """Return the file and the offset nearest to ``position`` whose content is ``shift`` ahead.

    Args:
        layout: the content's.
        position: bytes before the wrong ones, counted over all files in order.
        shift: bytes of content to go on, modulo the period.
        shown: bytes of content that a file shows.

    Returns:
        None twice where no file shows that content.
    """
    file, within = divmod(position, layout.size)
    here = file * layout.stride + within
    nearest = sorted((shift + k * layout.period for k in range(-2, 2)), key=abs)
    for distance in nearest:
        file, offset = divmod(here + distance, layout.stride)
        if 0 <= file < layout.files and offset < shown:
            return file, offset
    return None, None


def wrong_sectors(
    data: NDArray[np.uint8], expected: NDArray[np.uint8], at: int
) -> NDArray[np.bool_]:
    """Return for each sector that ``data`` touches whether a byte is not as ``expected``.

    Args:
        data: uint8[::1], not empty.
        expected: uint8[::1], as long.
        at: offset of the first byte in the file, from whose start sectors are counted.
    """
    wrong = data != expected
    head = -at % SECTOR
    whole = head + (max(0, data.size - head) // SECTOR) * SECTOR
    parts = [wrong[head:whole].reshape(-1, SECTOR).any(axis=1)]
    if head:
        parts.insert(0, wrong[:head].any(keepdims=True))
    if data.size > whole:
        parts.append(wrong[whole:].any(keepdims=True))
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def differences(
    data: NDArray[np.uint8],
    expected: NDArray[np.uint8],
    at: int,
    part: str | None = None,
    region: int = 0,
) -> list[Extent]:
    """Compare bytes that are not content, sector by sector, counted from the file's start.

    Args:
        data: uint8[::1].
        expected: uint8[::1], as long.
        at: offset of the first byte in the file.
        part: see Extent.
        region: see Extent.

    Returns:
        An extent for each sector with a wrong byte.
    """
    extents: list[Extent] = []
    wrong = np.flatnonzero(data != expected)
    if not wrong.size:
        return extents
    # Most are short, and np.split takes ten times as long as the rest.
    one = (at + wrong[0]) // SECTOR == (at + wrong[-1]) // SECTOR
    starts = () if one else np.flatnonzero(np.diff((at + wrong) // SECTOR)) + 1
    for places in (wrong,) if one else np.split(wrong, starts):
        bits = int(np.bitwise_count(data[places] ^ expected[places]).sum())
        kind = Kind.UNKNOWN
        if not data[places].any() and bits > places.size:
            kind = Kind.ZEROS
        elif bits <= max(damage.FEW_BITS, damage.BITS_OF_A_BYTE * places.size):
            kind = Kind.BIT_FLIPS
        start, end = at + int(places[0]), at + int(places[-1]) + 1
        extent = Extent(start, end, kind, places.size, bits, part=part, region=region)
        extents.append(extent)
    return extents

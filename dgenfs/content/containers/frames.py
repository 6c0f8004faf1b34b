"""What a container is made of: the format's own bytes around the payload, in runs that repeat.

A file of 10^7 records is a run or two, so any byte of it is found at once. Nothing here depends on
the file's number in a tree, so files that repeat stay the same whole.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from itertools import accumulate

PAGE = 4096  # bytes; what large records start at a multiple of
LARGE = 64 << 10  # bytes of the records that do
RECORD = 128 << 10  # bytes of a record, where nobody says it and one of all payload would not do
LONG = 64 << 20  # bytes of payload that take long enough for a CRC of them to be seen to before


class ContainerError(ValueError):
    """A file that its format has no room for; says which limit it passes."""


class Encoding(IntEnum):
    """How a number is written in so many bytes, as kernels.frames knows it."""

    DECIMAL = 0  # digits, with leading zeros
    SPACED = 1  # digits, with leading spaces
    VARINT = 2  # seven bits a byte, the lowest first; all but the last byte have bit 7 set
    TAR_CHECKSUM = 3  # octal: ``more`` and the sum of the number's decimal digits


@dataclass(frozen=True, slots=True)
class Number:
    """A number that stands in a run's own bytes: ``base + k * step`` in repetition k.

    Attributes:
        at: bytes of the repetition before it.
        width: its bytes.
        encoding: how it is written.
        base: its value in the first repetition.
        step: what it grows by.
        more: of a TAR_CHECKSUM, the sum of all other bytes.
    """

    at: int
    width: int
    encoding: Encoding
    base: int
    step: int = 0
    more: int = 0


class CrcKind(IntEnum):
    """Which CRC, and how it is written: four bytes, the lowest first."""

    CRC_32 = 0  # of zip: ISO 3309, ITU-T V.42
    CRC_32C_MASKED = 1  # of TFRecord: Castagnoli's, rotated, with a constant added


@dataclass(frozen=True, slots=True)
class Crc:
    """A CRC that stands in a run's own bytes.

    Attributes:
        at: bytes of the repetition before it.
        kind: which.
        before: bytes that it covers ahead of the payload.
        length: bytes of payload, or of zeros, that it covers.
        payload: where in the payload these start in the first repetition; None for zeros.
        step: payload bytes from there to where they start in the next.
    """

    at: int
    kind: CrcKind
    before: bytes
    length: int = 0
    payload: int | None = None
    step: int = 0

    @property
    def width(self) -> int:
        """Bytes."""
        return 4


@dataclass(frozen=True, slots=True)
class Run:
    """Repetitions of a head, a hole and a tail.

    Attributes:
        part: what it is to a reader of the format, such as "header" or "index".
        head: the format's own bytes ahead of the hole.
        hole: bytes between the two.
        tail: the format's own bytes behind the hole.
        payload: where in the payload the first hole starts, and each other where the one before it
            ends; None for a hole that is padding.
        filler: the byte that padding consists of.
        count: repetitions.
        fields: what in head and tail is not the same in all repetitions, or follows from the
            payload; each within the head, or within the tail.
    """

    part: str
    head: bytes = b""
    hole: int = 0
    tail: bytes = b""
    payload: int | None = None
    filler: int = 0
    count: int = 1
    fields: tuple[Number | Crc, ...] = ()

    @property
    def stride(self) -> int:
        """Bytes of a repetition."""
        return len(self.head) + self.hole + len(self.tail)

    @property
    def size(self) -> int:
        """Bytes of all repetitions."""
        return self.count * self.stride


@dataclass(frozen=True)
class Container:
    """A file of a format.

    Attributes:
        runs: one after the other; none is empty.
        record: bytes of a record.
        records: how many there are.
        last: bytes of the last record.
        rest: bytes of payload behind the last record, which readers of the format do not see.
    """

    runs: tuple[Run, ...]
    record: int
    records: int
    last: int
    rest: int = 0

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Where each run starts, bytes."""
        return (0, *accumulate(run.size for run in self.runs[:-1]))

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return sum(run.size for run in self.runs)

    @property
    def payload(self) -> int:
        """Bytes of content."""
        return sum(run.count * run.hole for run in self.runs if run.payload is not None)

    @property
    def first(self) -> int:
        """Where the payload starts, bytes."""
        return next(
            start + len(run.head)
            for start, run in zip(self.starts, self.runs, strict=True)
            if run.payload is not None
        )

    @cached_property
    def _holes(self) -> tuple[tuple[int, ...], tuple[tuple[int, Run], ...]]:
        """Where the payload of each run starts, in the payload; where the run does, and it."""
        holes = [
            (run.payload, (start, run))
            for start, run in zip(self.starts, self.runs, strict=True)
            if run.payload is not None
        ]
        return tuple(payload for payload, _ in holes), tuple(run for _, run in holes)

    def offset_of(self, position: int) -> int:
        """Return where in the file byte ``position`` of the payload stands."""
        payloads, runs = self._holes
        index = bisect_right(payloads, position) - 1
        start, run = runs[index]
        repetition, within = divmod(position - payloads[index], run.hole)
        return start + repetition * run.stride + len(run.head) + within

    @cached_property
    def long_crcs(self) -> tuple[tuple[int, Crc], ...]:
        """CRCs of most of the file: where in it they stand, and they."""
        return tuple(
            (start + field.at, field)
            for start, run in zip(self.starts, self.runs, strict=True)
            for field in run.fields
            if run.count == 1
            and isinstance(field, Crc)
            and field.payload is not None
            and field.length > LONG
        )


def runs_of(*runs: Run) -> tuple[Run, ...]:
    """Return those of the runs that have bytes."""
    return tuple(run for run in runs if run.size)


def varint(value: int, width: int = 1) -> bytes:
    """Return a number in seven bits a byte, the lowest first, in ``width`` bytes or as it needs.

    Readers take one that is longer than it need be.
    """
    width = max(width, -(-value.bit_length() // 7))
    septets = [value >> 7 * index & 127 for index in range(width)]
    return bytes([*(septet | 128 for septet in septets[:-1]), septets[-1]])


def round_up(value: int, multiple: int) -> int:
    """Return the least multiple that is not below ``value``."""
    return -(-value // multiple) * multiple


def stride_of(record: int, own: int, step: int, *, repeats: bool) -> int:
    """Return the bytes from one record to the next, so that their payload stands on pages.

    Where units of content repeat and records are no whole pages, the format's own bytes are: a
    page of payload then starts where pages do, but for those that a record's end cuts.

    Args:
        record: bytes of payload.
        own: the fewest bytes of the format's own for each record.
        step: bytes that the stride is to be a multiple of, a divisor of PAGE.
        repeats: whether units of the content repeat.
    """
    if record < LARGE:
        return round_up(record + own, step)
    if repeats and record % step == 0:
        return record + round_up(own, PAGE)
    return round_up(record + own, PAGE)


def most_records(end: Callable[[int], int], size: int) -> int:
    """Return how many records fit into ``size`` bytes, at least 1.

    Args:
        end: returns the bytes of a file of so many whole records; it grows with them.
        size: bytes of the file.
    """
    low, high = 1, size + 1  # a record has a byte, so more do not fit
    least, most = end(1), end(high)
    while high - low > 1:
        # As much as linear, so a straight line finds it; halves, where it is not.
        for middle in (low + (high - low) * (size - least) // (most - least), (low + high) // 2):
            middle = min(high - 1, max(low + 1, middle))
            found = end(middle)
            if found <= size:
                low, least = middle, found
            else:
                high, most = middle, found
            if high - low <= 1:
                break
    return low

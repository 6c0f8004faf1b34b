"""What stands where in a container's file, asked for at many places at once."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dgenfs.content.containers.frames import Container, Crc, Number, Run

Places = NDArray[np.int64]  # bytes from a file's start


class _Located(NamedTuple):
    """Places as runs count them, int64[n] each: the run, its repetition, bytes within that."""

    run: Places
    repetition: Places
    within: Places


def _crcs(run: Run) -> list[Crc]:
    """Return the CRCs of payload in a run."""
    return [one for one in run.fields if isinstance(one, Crc) and one.payload is not None]


def _head(run: Run) -> object:
    """Return what stands ahead of a hole, and what its CRCs cover besides payload."""
    covered = [(one.before, one.length) for one in _crcs(run) if one.at < len(run.head)]
    return run.head, tuple(covered)


def _tail(run: Run) -> object:
    """Return the same of what stands behind a hole."""
    covered = [(one.before, one.length) for one in _crcs(run) if one.at >= len(run.head)]
    return run.tail, tuple(covered)


class Marks:
    """Counts bytes of one kind, such as payload, that stand ahead of a place."""

    def __init__(self, counts: Places, marks: Sequence[Sequence[tuple[int, int]]]) -> None:
        """Take, for each run, its repetitions and where and how long the bytes are in each."""
        most = max(map(len, marks))
        padded = [[*of_run, *[(0, 0)] * (most - len(of_run))] for of_run in marks]
        table = np.array(padded, np.int64).reshape(len(marks), most, 2)
        self._ats, self._widths = table[:, :, 0].T, table[:, :, 1].T
        self._each = self._widths.sum(0)
        self._ahead = np.concatenate([[0], np.cumsum(counts * self._each)[:-1]])

    def before(self, located: _Located) -> Places:
        """Return the bytes ahead of each place, int64[n]."""
        run, repetition, within = located
        total: Places = self._ahead[run] + repetition * self._each[run]
        for at, width in zip(self._ats, self._widths, strict=True):
            total += np.clip(within - at[run], 0, width[run])
        return total


class Found(NamedTuple):
    """What is at places of a file, arrays of one length.

    A gap is what stands between two holes of payload, ahead of the first, or behind the last.
    Gaps of one kind have the same bytes, but for their numbers and CRCs.

    Attributes:
        in_payload: whether the place is in payload, not in a gap.
        padding: int64, which padding it is in, without other bytes between; 0 for none.
        blank: whether it is in a gap, and there are but zeros from payload up to there.
        kind: int64, of the last gap that starts there or before; within a tail, of that.
        next_kind: int64, of the gap that it is in; in payload, of the next; within a head, of that.
        left: int64, bytes to the end of what it is in, payload or gap.
        gaps: int64, gaps that start there or before.
    """

    in_payload: NDArray[np.bool_]
    padding: Places
    blank: NDArray[np.bool_]
    kind: Places
    next_kind: Places
    left: Places
    gaps: Places


class Framing:
    """A container's runs as arrays, one number a run.

    Attributes:
        container: the file.
        payload: counts bytes of content.
        numbers: counts bytes of numbers, which are the same in no two repetitions.
        crcs: counts bytes of CRCs of payload.
        fillers: int64, the byte that padding consists of, by its number; at 0, of none.
    """

    def __init__(self, container: Container) -> None:
        self.container = container
        runs = container.runs
        self._starts = np.array(container.starts, np.int64)
        self._counts = np.array([run.count for run in runs], np.int64)
        self._strides = np.array([run.stride for run in runs], np.int64)
        self._heads = np.array([len(run.head) for run in runs], np.int64)
        self._hole_ends = self._heads + np.array([run.hole for run in runs], np.int64)
        self._shows = np.array([run.payload is not None for run in runs])
        holes = np.where(self._shows, self._counts, 0)
        self._holes_ahead = np.cumsum(holes) - holes
        self._kinds: dict[object, int] = {}
        gaps = np.array([self._gaps_of(run) for run in range(len(runs))], np.int64)
        self._kind_before, self._kind_within, self._kind_behind, self._gap_ends = gaps.T

        self._name_padding()
        self._head_kinds = np.array([self._kind_of(_head(run)) for run in runs], np.int64)
        self._tail_kinds = np.array([self._kind_of(_tail(run)) for run in runs], np.int64)
        shown = [[(len(run.head), run.hole)] if run.payload is not None else [] for run in runs]
        numbers = [[one for one in run.fields if isinstance(one, Number)] for run in runs]
        self.payload = Marks(self._counts, shown)
        self.numbers = self._marks(numbers)
        self.crcs = self._marks([_crcs(run) for run in runs])

    def _name_padding(self) -> None:
        """Number padding, what goes on in the next run as one; find zeros that follow payload."""
        runs = self.container.runs
        paddings = [1]
        blank = [False]
        for before, run in pairwise(runs):
            alike = before.payload is None and before.filler == run.filler
            joined = not before.tail + run.head and before.hole > 0 and before.count == 1
            paddings.append(paddings[-1] + (not (alike and joined)))
            after_payload = before.payload is not None
            blank.append(joined and run.filler == 0 and (after_payload or (alike and blank[-1])))
        self.fillers = np.array([0] * (1 + paddings[-1]), np.int64)
        self.fillers[paddings] = [run.filler for run in runs]
        self._paddings, self._blank = np.array(paddings, np.int64), np.array(blank)
        zeros = []
        for run in runs:
            behind = [one.at - len(run.head) - run.hole for one in run.fields]
            end = min((at for at in behind if at >= 0), default=len(run.tail))
            zeros.append(end - len(run.tail[:end].lstrip(b"\0")))
        self._zeros = np.array(zeros, np.int64)

    def _marks(self, fields: Sequence[Sequence[Number | Crc]]) -> Marks:
        return Marks(self._counts, [[(one.at, one.width) for one in of_run] for of_run in fields])

    def _gaps_of(self, index: int) -> tuple[int, int, int, int]:
        """Return the kinds of the gaps ahead of, within and behind a run, and where the last ends.

        A run without payload is within a gap, of one kind.
        """
        runs = self.container.runs
        ahead = next((i for i in range(index - 1, -1, -1) if self._shows[i]), None)
        before = self._gap_behind(ahead)
        if not self._shows[index]:
            return before[0], before[0], *before
        within = self._kind_of(_tail(runs[index]), _head(runs[index]))
        return before[0], within, *self._gap_behind(index)

    def _gap_behind(self, index: int | None) -> tuple[int, int]:
        """Return the kind of the gap behind a run, None for the file's first, and where it ends."""
        runs = self.container.runs
        tail, start = (None, 0) if index is None else (_tail(runs[index]), index + 1)
        following = next((i for i in range(start, len(runs)) if self._shows[i]), None)
        between = runs[start:following]
        if following is None:
            return self._kind_of(tail, *between, None), self.container.size
        end = self.container.starts[following] + len(runs[following].head)
        return self._kind_of(tail, *between, _head(runs[following])), end

    def _kind_of(self, *gap: object) -> int:
        return self._kinds.setdefault(gap, len(self._kinds))

    def locate(self, places: Places) -> _Located:
        """Return where ``places``, int64[n], each from 0 to the file's size, are in the runs."""
        run = np.searchsorted(self._starts, places, "right") - 1
        within = places - self._starts[run]
        repetition = within // self._strides[run]
        return _Located(run, repetition, within - repetition * self._strides[run])

    def find(self, places: Places, located: _Located) -> Found:
        """Return what is at places, each below the file's size."""
        run, repetition, within = located
        shows, head, hole_end = self._shows[run], self._heads[run], self._hole_ends[run]
        in_hole = (within >= head) & (within < hole_end)
        in_payload = shows & in_hole
        behind = shows & (within >= hole_end)
        ahead_kind = np.where(repetition > 0, self._kind_within[run], self._kind_before[run])
        is_last = repetition == self._counts[run] - 1
        behind_kind = np.where(is_last, self._kind_behind[run], self._kind_within[run])
        to_end = np.where(
            shows & ~(behind & is_last),
            np.where(behind, self._strides[run] + head, np.where(in_hole, hole_end, head)) - within,
            self._gap_ends[run] - places,
        )
        return Found(
            in_payload,
            np.where(in_hole & ~shows, self._paddings[run], 0),
            np.where(behind, within < hole_end + self._zeros[run], in_hole & self._blank[run]),
            np.where(behind, self._tail_kinds[run], ahead_kind),
            np.where(
                behind | in_payload, behind_kind, np.where(shows, self._head_kinds[run], ahead_kind)
            ),
            to_end,
            self._holes_ahead[run] + np.where(shows, repetition + behind, 0),
        )

"""What is measured together."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.rounds import Case, Timing

Timings = Mapping[str, Timing]


@dataclass(frozen=True, slots=True)
class Target:
    """What the project promises about two timings.

    Attributes:
        text: the promise.
        value: what was measured.
        least: what it must come to.
    """

    text: str
    value: float
    least: float

    @property
    def met(self) -> bool:
        """Whether the promise was kept in this run."""
        return self.value >= self.least


@dataclass(frozen=True, slots=True)
class Series:
    """Cases that differ in one number, for a plot.

    Attributes:
        title: what is measured.
        axis: what the number is, with its unit.
        lines: for each line its points: the number and its case.
        logarithmic: whether the numbers are spread over orders of magnitude.
    """

    title: str
    axis: str
    lines: Mapping[str, Sequence[tuple[float, Case]]]
    logarithmic: bool = False

    def flatness(self, line: str, timings: Timings) -> float:
        """Return the speed at the slowest point of a line, as a share of that at the fastest."""
        medians = [timings[case.name].median for _, case in self.lines[line]]
        return min(medians) / max(medians)


@dataclass(frozen=True, slots=True)
class Suite:
    """Cases that take turns, and what is promised of them.

    Attributes:
        title: of the tables.
        rounds: turns of each case, unless told otherwise.
        others: cases of no series; the names of all cases differ.
        targets: tells from the timings what was promised and what was measured.
        series: what to plot.
    """

    title: str
    rounds: int
    others: Sequence[Case]
    targets: Callable[[Timings], Iterable[Target]]
    series: Sequence[Series] = ()

    @property
    def cases(self) -> list[Case]:
        """All that take turns."""
        plotted = [
            case for one in self.series for points in one.lines.values() for _, case in points
        ]
        return [*self.others, *plotted]

"""Rounds: all cases take turns, so that what disturbs the machine disturbs them all alike."""

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

TURN = 0.02  # seconds, the least that one turn of a case lasts


@dataclass(frozen=True, slots=True)
class Case:
    """Something to measure.

    Attributes:
        name: what the table calls it.
        turn: measures the case once; returns the seconds of one call, or of one I/O.
        size: bytes that one call moves, 0 to show the time of a call instead of the speed.
    """

    name: str
    turn: Callable[[], float]
    size: int = 0


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds that one call of a case took.

    Attributes:
        case: what was called.
        median: over all rounds, of the mean of a turn's calls.
        best: the lower quartile.
        worst: the upper quartile.
    """

    case: Case
    median: float
    best: float
    worst: float

    @property
    def speed(self) -> float:
        """GB/s (10^9), of a case that moves bytes."""
        return self.case.size / self.median / 1e9

    @property
    def spread(self) -> float:
        """Half of what lies between the quartiles, as a share of the median."""
        return (self.worst - self.best) / 2 / self.median


def measure(cases: Sequence[Case], rounds: int) -> dict[str, Timing]:
    """Let all cases take turns, in another order each round.

    Args:
        cases: with names that differ.
        rounds: 3 or more; a first one, not counted, warms up.

    Returns:
        The timing of each case, by its name.
    """
    seconds: dict[str, list[float]] = {case.name: [] for case in cases}
    order = list(cases)
    for case in order:
        case.turn()
    shuffle = random.Random(1).shuffle
    for _ in range(rounds):
        shuffle(order)
        for case in order:
            seconds[case.name].append(case.turn())
    timings = {}
    for case in cases:
        best, median, worst = statistics.quantiles(seconds[case.name], n=4)
        timings[case.name] = Timing(case, median, best, worst)
    return timings


def repeated(call: Callable[[], object], least: float = TURN) -> Callable[[], float]:
    """Return a turn of as many calls as take ``least`` seconds, which the first turn finds out."""
    calls = 0

    def turn() -> float:
        nonlocal calls
        if calls == 0:
            call()
            start = time.perf_counter()
            while time.perf_counter() - start < least:
                call()
                calls += 1
        start = time.perf_counter()
        for _ in range(calls):
            call()
        return (time.perf_counter() - start) / calls

    return turn

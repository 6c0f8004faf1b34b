"""What speed must not depend on: the size of a file, and how many files are open."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from holders import held_open

from benchmarks import mounts
from benchmarks.clients import open_and_close, random_reads
from benchmarks.rounds import Case, repeated
from benchmarks.suite import Series, Suite, Target, Timings
from dgenfs import Spec

TURN = 0.1  # seconds; short, and many rounds, as waking a thread takes now this long and now that
FILE = 1 << 40  # bytes
SIZES = ("1M", "1G", "1T", "1P", "8E-1")
HANDLES = (1, 100, 10_000, 100_000)
FLAT = 0.8  # the slowest point, as a share of the fastest


@contextmanager
def flatness() -> Iterator[Suite]:
    """What speed must not depend on: the size of a file, and how many files are open."""
    with ExitStack() as stack:
        series = [_file_sizes(stack), *_open_handles(stack)]

        def targets(timings: Timings) -> Iterator[Target]:
            for one in series:
                for line in one.lines:
                    text = f"{one.title}: slowest x fastest"
                    yield Target(text, one.flatness(line, timings), FLAT)

        yield Suite("flatness", 31, [], targets, series)


def _file_sizes(stack: ExitStack) -> Series:
    ours = stack.enter_context(mounts.dgenfs()).path
    points = []
    for name in SIZES:
        size = Spec.parse(name).size
        read = stack.enter_context(random_reads(ours / name, size))
        case = Case(f"4 KiB random of {name}", repeated(read, TURN))
        points.append((float(size), case))
    return Series("4 KiB random, by file size", "file size, bytes", {"dgenfs": points}, True)


def _open_handles(stack: ExitStack) -> Iterator[Series]:
    """Yield what reading, and opening one more, takes; the handles stay open, a mount for each."""
    reads, opens = [], []
    for number in HANDLES:
        file = stack.enter_context(mounts.dgenfs()).path / "1T"
        stack.enter_context(held_open([str(file)] * number))
        read = stack.enter_context(random_reads(file, FILE))
        case = Case(f"4 KiB random, {number} open handles", repeated(read, TURN))
        reads.append((float(number), case))
        case = Case(f"open and close, {number} open handles", repeated(open_and_close(file), TURN))
        opens.append((float(number), case))
    yield Series("4 KiB random, by open handles", "open handles", {"dgenfs": reads}, True)
    yield Series("Open and close, by open handles", "open handles", {"dgenfs": opens}, True)

"""What each byte of a container is to a reader of its format, slow and obvious."""

from collections.abc import Iterator
from typing import NamedTuple

from dgenfs.content.containers.frames import Container, Crc, Run


class Region(NamedTuple):
    """Bytes [start, end) of a file: of ``part``, or the payload from ``payload`` on."""

    start: int
    end: int
    part: str | None
    payload: int | None


def regions(container: Container) -> list[Region]:
    """All of a file, in order."""
    found: list[Region] = []
    start = 0
    for run in container.runs:
        for k in range(run.count):
            found += of_repetition(run, k, start)
            start += run.stride
    return [one for one in found if one.start < one.end]


def of_repetition(run: Run, k: int, start: int) -> Iterator[Region]:
    head = len(run.head)
    behind = head + run.hole
    yield from of_own(run, start, 0, head)
    if run.payload is None:
        yield Region(start + head, start + behind, run.part, None)
    else:
        yield Region(start + head, start + behind, None, run.payload + k * run.hole)
    yield from of_own(run, start, behind, behind + len(run.tail))


def of_own(run: Run, start: int, begin: int, end: int) -> Iterator[Region]:
    for at in sorted(one.at for one in run.fields if isinstance(one, Crc)):
        if begin <= at < end:
            yield Region(start + begin, start + at, run.part, None)
            yield Region(start + at, start + at + 4, "CRC", None)
            begin = at + 4
    yield Region(start + begin, start + end, run.part, None)

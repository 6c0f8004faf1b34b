"""What containers are filled with."""

import random

import oracle

SAMPLE = random.Random(7).randbytes(1_200_000)


def named(name: str) -> tuple[int, int | None, bool, bytes]:
    """Size, record, whether units repeat, and content of a container's name."""
    said = oracle.parse(name)
    content = oracle.read_content(said, 0, 0, said.size)
    return said.size, said.record, said.d_milli > 1000, content

"""What containers are filled with."""

import random
import re

import oracle

SAMPLE = random.Random(7).randbytes(1_200_000)


def named(name: str) -> tuple[int, int | None, bool, bytes]:
    """Size, record, whether units repeat, and content of a container's name."""
    stem = name.rsplit(".", 1)[0]
    record = re.search("_r([^_]+)", stem)
    content = oracle.parse(stem.replace(record[0], "") if record else stem)
    return (
        content.size,
        oracle.size_of(record[1]) if record else None,
        content.d_milli > 1000,
        oracle.read(content, 0, 0, content.size),
    )

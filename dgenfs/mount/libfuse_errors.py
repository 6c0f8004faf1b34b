"""What libfuse and fusermount3 print to standard error, which is all they say of a failed mount."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def captured() -> Iterator[list[str]]:
    """Keep from standard error what is printed to it; the list has the lines after the block."""
    lines: list[str] = []
    if sys.stderr:  # None where it was closed
        sys.stderr.flush()
    with os.fdopen(os.memfd_create("dgenfs-stderr"), "rb") as memory:
        usual = os.dup(2)
        os.dup2(memory.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(usual, 2)
            os.close(usual)
            memory.seek(0)
            lines += memory.read().decode(errors="replace").splitlines()

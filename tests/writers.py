"""Threads that still write to a buffer that a fill was to give back."""

import os
import time
from functools import cache

import numpy as np
from numpy.typing import NDArray

from dgenfs import DataGenerator

SIZE = 32 << 20
NAME = f"{SIZE}_d2"  # without zero words
TRIALS = 24
LAST = 0.006  # seconds, some more than a fill takes


@cache
def content() -> NDArray[np.uint8]:
    """What ``NAME`` holds, by one thread."""
    out = np.zeros(SIZE, np.uint8)
    DataGenerator(NAME, threads=1).fill_chunk(out)
    return out


def clear_then_look_for_writers(buffer: NDArray[np.uint8]) -> None:
    """Clear a byte of each page of a buffer that was given back; they must stay clear."""
    one_of_each_page = buffer[::4096]
    one_of_each_page[:] = 0
    end = time.perf_counter() + 0.003  # longer than what is left of a fill takes
    while time.perf_counter() < end:
        assert not one_of_each_page.any(), "something writes to a buffer that was given back"
        os.sched_yield()

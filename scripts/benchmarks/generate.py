"""Generation into a buffer: one and two threads, small ranges, and the same by others."""

import ctypes
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import dgen_py
import numpy as np

from benchmarks.c_loop import c_loop
from benchmarks.rounds import Case, repeated
from benchmarks.suite import Suite, Target, Timings
from dgenfs import DataGenerator

VALUE = 0xA5  # any but 0: lines of zeros were written at twice the speed, without being sent
LARGE = {"1 MiB": 1 << 20, "32 MiB": 32 << 20}
SMALL = 4096  # bytes
CALLS = 2048  # of each of two callers, until they wait for each other
STREAM = 1 << 40  # bytes; dgen-py keeps 8 in memory for each MiB of its stream
KINDS = {"d1c1": (1, 1), "d1c2": (1, 2)}
LOOP = "the same loop in C, d1c1 1 MiB"
# What is aimed at, times memset: where a buffer fits the caches, arithmetic is the limit.
OF_MEMSET = {"1 MiB": 0.36, "32 MiB": 0.7}
OF_LOOP = 0.9
TWO_THREADS = 1.5  # times one; two in C come to 1.5 to 1.75, and need not be woken


@contextmanager
def generate() -> Iterator[Suite]:
    """Generation into a buffer, with dgen-py, memset and a loop in C as peers."""
    yield Suite("generate", 21, list(_cases()), _targets)


def _cases() -> Iterator[Case]:
    for label, size in LARGE.items():
        # One buffer for all: what is measured is who writes to it, not where it is.
        buffer = np.zeros(size, np.uint8)
        yield Case(f"memset {label}", _memset(buffer, VALUE), size)
        yield Case(f"memset of zeros {label}", _memset(buffer, 0), size)
        for kind in KINDS:
            yield Case(f"dgenfs {kind} {label}", _stream(kind, buffer, threads=1), size)
            yield Case(f"dgen-py {kind} {label}", _dgen_py(kind, buffer), size)
        if label == "1 MiB":
            yield Case(LOOP, repeated(c_loop(_name("d1c1"), buffer)), size)
        if size == max(LARGE.values()):
            for kind in KINDS:
                two = _stream(kind, buffer, threads=2)
                yield Case(f"dgenfs {kind} {label}, two threads", two, size)
    for kind in KINDS:
        case = f"dgenfs {kind} 1 MiB, two callers"
        yield Case(case, _two_callers(kind), 2 * CALLS * LARGE["1 MiB"])
    small = np.zeros(SMALL, np.uint8)
    for kind in KINDS:
        yield Case(f"dgenfs {kind} 4 KiB, random offsets", _random(kind, small))
        yield Case(f"dgen-py {kind} 4 KiB, in order", _dgen_py(kind, small))
    last = DataGenerator("8E-1", threads=1)
    byte = bytearray(1)
    yield Case("dgenfs 1 byte at 0", repeated(lambda: last.read_into(byte, 0)))
    yield Case("dgenfs 1 byte at 8 EiB - 2", repeated(lambda: last.read_into(byte, last.size - 1)))


def _memset(buffer: np.ndarray, value: int) -> Callable[[], float]:
    return repeated(partial(ctypes.memset, buffer.ctypes.data, value, buffer.size))


def _name(kind: str) -> str:
    dedup, compress = KINDS[kind]
    return f"{STREAM}_d{dedup}_c{compress}"


def _stream(kind: str, buffer: np.ndarray, threads: int) -> Callable[[], float]:
    generator = DataGenerator(_name(kind), threads=threads)
    return repeated(lambda: generator.fill_chunk(buffer))


def _two_callers(kind: str) -> Callable[[], float]:
    """Two threads that share nothing: what is left to share is the GIL and the machine."""
    pool = ThreadPoolExecutor(2)
    fills = [
        partial(DataGenerator(_name(kind), threads=1).fill_chunk, np.zeros(size, np.uint8))
        for size in 2 * [LARGE["1 MiB"]]
    ]

    def call(fill: Callable[[], int]) -> None:
        for _ in range(CALLS):
            fill()

    return repeated(lambda: list(pool.map(call, fills)))


def _random(kind: str, buffer: np.ndarray) -> Callable[[], float]:
    generator = DataGenerator(_name(kind), threads=1)
    source = random.Random(1)
    offsets = [source.randrange(generator.size - SMALL) for _ in range(1 << 16)]
    return repeated(lambda: generator.read_into(buffer, offsets[source.getrandbits(16)]))


def _dgen_py(kind: str, buffer: np.ndarray) -> Callable[[], float]:
    dedup, compress = KINDS[kind]
    generator = dgen_py.Generator(
        size=STREAM, dedup_ratio=dedup, compress_ratio=compress, max_threads=1, seed=1
    )
    return repeated(lambda: generator.fill_chunk(buffer))


def _targets(timings: Timings) -> Iterator[Target]:
    def times(fast: str, slow: str) -> float:
        return timings[slow].median / timings[fast].median

    for label in LARGE:
        for kind in KINDS:
            ours = f"dgenfs {kind} {label}"
            yield Target(f"{ours}: x dgen-py", times(ours, f"dgen-py {kind} {label}"), 3)
            yield Target(f"{ours}: x memset", times(ours, f"memset {label}"), OF_MEMSET[label])
            zeros = times(ours, f"memset of zeros {label}")
            yield Target(f"{ours}: x memset of zeros", zeros, OF_MEMSET[label])
    ours = "dgenfs d1c1 1 MiB"
    yield Target(f"{ours}: x the same loop in C", times(ours, LOOP), OF_LOOP)
    for kind in KINDS:
        ours = f"dgenfs {kind} 32 MiB"
        two = times(f"{ours}, two threads", ours)
        yield Target(f"{ours}, two threads: x one", two, TWO_THREADS)
        ours = f"dgenfs {kind} 1 MiB"
        two = timings[f"{ours}, two callers"].speed / timings[ours].speed
        yield Target(f"{ours}, two callers: x one", two, TWO_THREADS)
    for kind in KINDS:
        ours = f"dgenfs {kind} 4 KiB, random offsets"
        yield Target(f"{ours}: x dgen-py", times(ours, f"dgen-py {kind} 4 KiB, in order"), 20)
    byte = times("dgenfs 1 byte at 8 EiB - 2", "dgenfs 1 byte at 0")
    yield Target("1 byte at 8 EiB - 2: x speed of 1 byte at 0", byte, 0.8)

"""Reads through the kernel, with mock-large-files-fuse and our own Python data plane as peers."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import memory, mounts
from benchmarks.fio import Workload, turn
from benchmarks.rounds import Case
from benchmarks.suite import Suite, Target, Timings

MIB = 1 << 20
FILE = 1 << 40  # bytes
COPY = 8 << 30  # bytes

SEQUENTIAL = ("--rw=read", "--ioengine=psync")
RANDOM = ("--rw=randread", "--ioengine=psync")
QUEUED = ("--ioengine=io_uring",)


@dataclass(frozen=True, slots=True)
class Promise:
    """How many times as fast as its peers dgenfs must be at a workload; 0 for no promise."""

    workload: Workload
    mock: float
    python: float = 0


PROMISES = (
    Promise(Workload("1 MiB in order", MIB, SEQUENTIAL), 1.3),
    Promise(Workload("1 MiB in order, qd 8", MIB, ("--rw=read", *QUEUED, "--iodepth=8")), 1.5, 2),
    Promise(Workload("128 KiB in order", 128 << 10, SEQUENTIAL), 1.1),
    Promise(Workload("4 KiB random", 4096, RANDOM), 1.0),
    Promise(
        Workload("4 KiB random, qd 16", 4096, ("--rw=randread", *QUEUED, "--iodepth=16")), 1.2, 6
    ),
    # Both spend their time on switching between client and daemon.
    Promise(Workload("4 KiB random, 2 jobs", 4096, (*RANDOM, "--numjobs=2")), 0.95),
)


@contextmanager
def mount() -> Iterator[Suite]:
    """Reads and copies from a mount, with mock-large-files-fuse and the Python plane as peers."""
    with ExitStack() as stack:
        ours = stack.enter_context(mounts.dgenfs()).path
        python = stack.enter_context(mounts.dgenfs("--data-plane", "pyfuse3")).path
        mock = stack.enter_context(mounts.mock_large_files(FILE))
        small_mock = stack.enter_context(mounts.mock_large_files(COPY))
        folder = stack.enter_context(memory.folder(COPY))
        cases = [*_reads(ours, python, mock), *_copies(ours, small_mock, folder)]
        yield Suite("mount", 5, cases, _targets)


def _reads(ours: Path, python: Path, mock: Path) -> Iterator[Case]:
    for promise in PROMISES:
        workload = promise.workload
        servers = {
            "dgenfs d1c1": ours / f"{FILE}_d1_c1",
            "dgenfs d4c2": ours / f"{FILE}_d4_c2",
            "mock": mock,
        }
        if promise.python:
            servers["dgenfs --data-plane pyfuse3"] = python / f"{FILE}_d1_c1"
        for server, file in servers.items():
            size = workload.block if workload.block >= MIB // 8 else 0
            yield Case(f"{server}: {workload.name}", turn(workload, file), size)


def _copies(ours: Path, mock: Path, folder: Path) -> Iterator[Case]:
    yield Case("dgenfs d1c1: cp of 8 GiB", _copy(ours / f"{COPY}_d1_c1", folder), COPY)
    yield Case("mock: cp of 8 GiB", _copy(mock, folder), COPY)


def _copy(file: Path, folder: Path) -> Callable[[], float]:
    def copy() -> float:
        target = folder / "copy"
        start = time.perf_counter()
        subprocess.run(["cp", file, target], check=True)
        seconds = time.perf_counter() - start
        target.unlink()
        return seconds

    return copy


def _targets(timings: Timings) -> Iterator[Target]:
    def times(of: str, peer: str) -> float:
        ours = timings[f"dgenfs d1c1: {of}"].median
        return timings[f"{peer}: {of}"].median / ours

    for promise in PROMISES:
        name = promise.workload.name
        yield Target(f"{name}: x mock", times(name, "mock"), promise.mock)
        if promise.python:
            peer = "dgenfs --data-plane pyfuse3"
            yield Target(f"{name}: x the Python data plane", times(name, peer), promise.python)
    yield Target("cp of 8 GiB: x mock", times("cp of 8 GiB", "mock"), 1.0)

"""What the block cache of the default size costs, and what it gives, beside none."""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import mounts
from benchmarks.fio import Workload, turn
from benchmarks.mount import PROMISES
from benchmarks.rounds import Case
from benchmarks.scaling import FILE, HOT, HOT_SMALL
from benchmarks.suite import Suite, Target, Timings

# Code for a processor without AVX, as it is compiled there; numba.readthedocs.io, reference manual,
# environment variables.
OLD = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": ""}
PLANES = {
    "compiled": ((), {}),
    "pyfuse3": (("--data-plane", "pyfuse3"), {}),
    "compiled, no AVX": ((), OLD),
}
CACHES: dict[str, tuple[str, ...]] = {"default cache": (), "no cache": ("--cache", "0")}
# Of each kind, taking turns: where its memory lies makes one up to a tenth faster than another.
DAEMONS = 4
HOT_SETS = (HOT[0], HOT_SMALL)
WORKLOADS = (*HOT, HOT_SMALL, *(promise.workload for promise in PROMISES))


@contextmanager
def cache() -> Iterator[Suite]:
    """The block cache of the default size, beside none."""
    with ExitStack() as stack:
        cases = []
        for plane, (options, environment) in PLANES.items():
            for name, size in CACHES.items():
                files = [
                    stack.enter_context(
                        mounts.dgenfs(*options, *size, environment=environment)
                    ).path
                    / f"{FILE}_d1_c1"
                    for _ in range(DAEMONS)
                ]
                cases += [_case(plane, workload, name, files) for workload in _workloads(plane)]
        yield Suite("cache", 11, cases, _targets)


def _workloads(plane: str) -> tuple[Workload, ...]:
    return HOT_SETS if "AVX" in plane else WORKLOADS


def _case(plane: str, workload: Workload, cache: str, files: list[Path]) -> Case:
    size = workload.block if workload.block >= 1 << 17 else 0
    turns = itertools.cycle([turn(workload, file) for file in files])
    return Case(f"{plane}: {workload.name}, {cache}", lambda: next(turns)(), size)


def _targets(timings: Timings) -> Iterator[Target]:
    with_cache, without = CACHES
    for plane in PLANES:
        for workload in _workloads(plane):
            name = f"{plane}: {workload.name}"
            value = timings[f"{name}, {without}"].median / timings[f"{name}, {with_cache}"].median
            least = 1.0 if "AVX" in plane else 0.97
            yield Target(f"{name}: x no cache", value, least)

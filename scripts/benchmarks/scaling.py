"""How speed depends on readers, cache, duplicates and ratio."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import mounts
from benchmarks.fio import Workload, turn
from benchmarks.rounds import Case, repeated
from benchmarks.suite import Series, Suite
from dgenfs import DataGenerator, Spec

MIB = 1 << 20
FILE = 1 << 40  # bytes
READERS = (1, 2, 4, 8, 16)
CACHES = ("0", "16M", "64M", "1G")
DUPLICATES = (1, 4, 16, 100, 1000)
DUPLICATED = "8GiB"  # of its content, a cache of 64 MiB holds all from d1000 on
RATIOS = (1, 1.5, 2, 4, 8, 20)

IN_ORDER = ("--rw=read", "--ioengine=psync")
AT_RANDOM = ("--rw=randread", "--ioengine=psync")
HOT = (
    Workload("1 MiB in order in 8 MiB", MIB, IN_ORDER, 8 * MIB),
    Workload("1 MiB in order in 256 MiB", MIB, IN_ORDER, 256 * MIB),
    Workload("1 MiB in order in 1 TiB", MIB, IN_ORDER),
)
HOT_SMALL = Workload("4 KiB random in 8 MiB", 4096, AT_RANDOM, 8 * MIB)


@contextmanager
def scaling() -> Iterator[Suite]:
    """How speed depends on readers, cache, duplicates and ratio."""
    with ExitStack() as stack:
        ours = stack.enter_context(mounts.dgenfs()).path
        mock = stack.enter_context(mounts.mock_large_files(FILE))
        cached = {
            cache: stack.enter_context(mounts.dgenfs("--cache", cache)).path for cache in CACHES
        }
        series = [
            *_readers(ours, mock),
            *_caches(cached),
            _duplicates(cached),
            *_ratios(ours),
        ]

        yield Suite("scaling", 3, [], lambda _: (), series)


def _readers(ours: Path, mock: Path) -> Iterator[Series]:
    servers = {"dgenfs": ours / f"{FILE}_d1_c1", "mock-large-files-fuse": mock}
    for name, block, options in (
        ("4 KiB random", 4096, AT_RANDOM),
        ("1 MiB in order", MIB, IN_ORDER),
    ):
        yield Series(
            f"{name}, by readers",
            "readers",
            {
                server: [
                    (
                        n,
                        _fio(
                            f"{server}: {name}, {n} readers",
                            Workload(name, block, (*options, f"--numjobs={n}")),
                            file,
                        ),
                    )
                    for n in READERS
                ]
                for server, file in servers.items()
            },
        )


def _caches(cached: dict[str, Path]) -> Iterator[Series]:
    for title, workloads in (("1 MiB reads", HOT), ("4 KiB reads", (HOT_SMALL,))):
        lines = {}
        for workload in workloads:
            lines[workload.name] = [
                (
                    Spec.parse(cache).size / MIB,
                    _fio(f"{workload.name}, cache {cache}", workload, folder / f"{FILE}_d1_c1"),
                )
                for cache, folder in cached.items()
            ]
        yield Series(f"{title}, by cache", "cache, MiB", lines)


def _duplicates(cached: dict[str, Path]) -> Series:
    workload = Workload(f"1 MiB in order in {DUPLICATED}", MIB, IN_ORDER)
    return Series(
        f"{workload.name}, by dedup ratio",
        "dedup ratio",
        {
            f"cache {cache}": [
                (
                    float(dedup),
                    _fio(
                        f"{workload.name}, d{dedup}, cache {cache}",
                        workload,
                        cached[cache] / f"{DUPLICATED}_d{dedup}_c1",
                    ),
                )
                for dedup in DUPLICATES
            ]
            for cache in ("0", "64M", "1G")
        },
        True,
    )


def _ratios(ours: Path) -> Iterator[Series]:
    buffer = np.zeros(MIB, np.uint8)
    filled, read = [], []
    for ratio in RATIOS:
        generator = DataGenerator(f"1T_c{ratio}", threads=1)
        case = Case(
            f"generate 1 MiB, c{ratio}", repeated(partial(generator.fill_chunk, buffer)), MIB
        )
        filled.append((float(ratio), case))
        workload = Workload("1 MiB in order", MIB, IN_ORDER)
        read.append(
            (float(ratio), _fio(f"{workload.name}, c{ratio}", workload, ours / f"1T_c{ratio}"))
        )
    lines = {"generate, one thread": filled, "read from the mount": read}
    yield Series("1 MiB, by compression ratio", "compression ratio", lines)


def _fio(name: str, workload: Workload, file: Path) -> Case:
    return Case(name, turn(workload, file), workload.block if workload.block >= MIB else 0)

"""Verification of right and of damaged files in memory and a tree on a disk, and plain reads."""

import itertools
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from mounting import DGENFS

from benchmarks import memory
from benchmarks.commands import TAR, timed
from benchmarks.rounds import Case, repeated
from benchmarks.suite import Suite, Target, Timings
from dgenfs import DataGenerator, Spec
from dgenfs.api.publishing import write_file, write_tree
from dgenfs.kernels.row import SECTOR
from dgenfs.names.catalog import File
from dgenfs.verifying.verifier import Verifier

NAMES = ("4G_d1_c1", "4G_d4_c2")
COPY = "512M_d1_c1"  # that is damaged in all ways
OTHER_SEED = "another seed, among 1,000"
# How much of the speed of right bytes verification of wrong ones must have.
DAMAGE = {
    "zeros": 0.3,
    "random bytes": 0.05,
    "other content": 0.05,
    "a bit in each sector": 0.05,
    "sectors in any order": 0.05,
    OTHER_SEED: 0.05,
}
READ = 4 << 20  # bytes
TREE = "30000x4K_d1_c1_f1000"
VERIFY = "dgenfs verify, 30,000 files of 4 KiB on a disk, nothing cached"
PLAIN = "tar of them, nothing cached"
DROP_CACHES = Path("/proc/sys/vm/drop_caches")  # takes root
DISK = Path("/var/tmp")


@contextmanager
def verify() -> Iterator[Suite]:
    """Verification of a 4 GiB file in memory and a tree on a disk, with plain reads as peers."""
    size = sum(Spec.parse(name).size for name in (*NAMES, *(1 + len(DAMAGE)) * [COPY]))
    with ExitStack() as stack:
        folder = stack.enter_context(memory.folder(size))
        verifier = stack.enter_context(Verifier())
        cases = [case for name in NAMES for case in _cases(folder, name, verifier)]
        with_seeds = stack.enter_context(Verifier(seeds=range(1000)))
        cases += _damaged(folder, verifier, with_seeds)
        if os.access(DROP_CACHES, os.W_OK):
            disk = stack.enter_context(tempfile.TemporaryDirectory(dir=DISK))
            cases += _with_nothing_cached(Path(disk))
        yield Suite("verify", 7, cases, _targets)


def _targets(timings: Timings) -> Iterator[Target]:
    for name in NAMES:
        yield Target(f"verify {name}: GB/s", timings[f"verify {name}"].speed, 2)
    right = timings[f"verify {COPY}"].speed
    for damage, least in DAMAGE.items():
        yield Target(f"verify {damage} / {COPY}", timings[f"verify {damage}"].speed / right, least)
    if VERIFY in timings:
        yield Target(f"{VERIFY}: {PLAIN} / time", timings[PLAIN].median / timings[VERIFY].median, 1)


def _cases(folder: Path, name: str, verifier: Verifier) -> Iterator[Case]:
    spec = Spec.parse(name)
    path = folder / name
    write_file(spec.view(0), path, lambda _: None)

    def check() -> None:
        if not verifier.verify_file(path, File(spec)).identical:
            raise AssertionError(f"{path} is not what its name says")

    yield Case(f"verify {name}", repeated(check), spec.size)
    yield Case(f"read {name}, one thread", repeated(lambda: _read(path)), spec.size)


def _damaged(folder: Path, verifier: Verifier, with_seeds: Verifier) -> Iterator[Case]:
    """Yield verification of a right copy and of copies that are wrong in every sector."""
    spec = Spec.parse(COPY)
    right = np.empty(spec.size, np.uint8)
    DataGenerator(COPY).read_into(right, 0)
    source = np.random.default_rng(1)
    for what in (COPY, *DAMAGE):
        path = folder / f"copy of {what}"
        copy = right.copy()
        sectors = copy.reshape(-1, SECTOR)
        if what == "zeros":
            copy[:] = 0
        elif what == "random bytes":
            copy[:] = source.integers(0, 256, copy.size, np.uint8)
        elif what == "other content":
            DataGenerator("1G_d1_c1").read_into(copy, 0)
        elif what == OTHER_SEED:
            DataGenerator(f"{COPY}_s999").read_into(copy, 0)
        elif what == "a bit in each sector":
            sectors[np.arange(len(sectors)), source.integers(0, SECTOR, len(sectors))] ^= 1
        elif what == "sectors in any order":
            source.shuffle(sectors)
        path.write_bytes(copy.data)
        one = with_seeds if what == OTHER_SEED else verifier

        def check(path: Path = path, verifier: Verifier = one, right: bool = what == COPY) -> None:
            if verifier.verify_file(path, File(spec)).identical is not right:
                raise AssertionError(f"{path}: verify is wrong")

        yield Case(f"verify {what}", repeated(check), spec.size)


def _with_nothing_cached(disk: Path) -> Iterator[Case]:
    tree = disk / TREE
    write_tree(Spec.parse(TREE), tree, lambda _: None)

    def drop_caches() -> None:
        DROP_CACHES.write_text("3")
        # dgenfs itself is not on the disk that is measured.
        subprocess.run([DGENFS, "explain", "1K"], stdout=subprocess.DEVNULL, check=True)

    yield Case(VERIFY, timed((DGENFS, "verify", str(tree)), disk, before=drop_caches))
    yield Case(PLAIN, timed(TAR, disk, itertools.repeat(tree), drop_caches))


def _read(path: Path) -> None:
    buffer = bytearray(READ)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        while os.readv(descriptor, [buffer]):
            pass
    finally:
        os.close(descriptor)

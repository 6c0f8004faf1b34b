"""Verification of a file in memory-backed storage, and a plain read of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import memory
from benchmarks.rounds import Case, repeated
from benchmarks.suite import Suite, Target, Timings
from dgenfs import Spec
from dgenfs.api.publishing import write_file
from dgenfs.verifying.verifier import Verifier

NAMES = ("4G_d1_c1", "4G_d4_c2")
READ = 4 << 20  # bytes


@contextmanager
def verify() -> Iterator[Suite]:
    """Verification of a 4 GiB file in memory, with a plain read as peer."""
    size = sum(Spec.parse(name).size for name in NAMES)
    with memory.folder(size) as folder, Verifier() as verifier:
        cases = [case for name in NAMES for case in _cases(folder, name, verifier)]
        yield Suite("verify", 7, cases, _targets)


def _targets(timings: Timings) -> Iterator[Target]:
    for name in NAMES:
        yield Target(f"verify {name}: GB/s", timings[f"verify {name}"].speed, 2)


def _cases(folder: Path, name: str, verifier: Verifier) -> Iterator[Case]:
    spec = Spec.parse(name)
    path = folder / name
    write_file(spec.view(0), path, lambda _: None)

    def check() -> None:
        if not verifier.verify_file(path, spec).identical:
            raise AssertionError(f"{path} is not what its name says")

    yield Case(f"verify {name}", repeated(check), spec.size)
    yield Case(f"read {name}, one thread", repeated(lambda: _read(path)), spec.size)


def _read(path: Path) -> None:
    buffer = bytearray(READ)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        while os.readv(descriptor, [buffer]):
            pass
    finally:
        os.close(descriptor)

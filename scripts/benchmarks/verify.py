"""Verification of a file in memory-backed storage, and a plain read of it."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.results import Target, show, speed
from benchmarks.rounds import Case, measure, repeated
from dgenfs import Spec
from dgenfs.verify import Verifier
from dgenfs.write import Range, write_file

NAMES = ("4G_d1_c1", "4G_d4_c2")
MEMORY = Path("/dev/shm")
READ = 4 << 20  # bytes


def verify(rounds: int, *, as_json: bool) -> None:
    """Measure and print; the files are removed afterwards."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, Verifier() as verifier:
        cases = [case for name in NAMES for case in _cases(Path(folder), name, verifier)]
        timings = measure(cases, rounds)
    targets = [
        Target(f"verify {name}: GB/s", speed(timings[f"verify {name}"]), 2) for name in NAMES
    ]
    show("verify", timings.values(), targets, rounds, as_json=as_json)


def _cases(folder: Path, name: str, verifier: Verifier) -> Iterator[Case]:
    spec = Spec.parse(name)
    path = folder / name
    write_file(Range(spec, 0, 0, spec.size), path, lambda _: None)

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

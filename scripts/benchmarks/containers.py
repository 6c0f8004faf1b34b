"""Container files through the mount, against raw ones; a whole npz in memory, against its peers."""

import functools
import io
import itertools
import mmap
import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import s3dlio
from numpy.typing import NDArray

from benchmarks import memory, mounts
from benchmarks.commands import timed
from benchmarks.rounds import Case, repeated
from benchmarks.suite import Suite, Target, Timings
from dgenfs import DataGenerator, Spec
from dgenfs.content.containers import EXTENSIONS

RAW = "bin"
FORMATS = tuple(extension for extension in EXTENSIONS if extension != "h5")  # which is hdf5
FILES = {"140 MiB": "140M_d1_c1.1", "100 GiB": "100G_d1_c1.1"}
READS = {"1 MiB in order": (1 << 20, True), "128 KiB at random": (128 << 10, False)}
OF_RAW = 0.85
FIRST = "first 4 KiB of a file never seen"
TURN = 0.1  # seconds
# As MLPerf's unet3d: x of 140 MiB, of uint8, and y.
SAMPLE = 146_600_628  # bytes
NPZ, AGAIN = "npz of 140 MiB in fresh memory", "npz of 140 MiB in a buffer used again"
S3DLIO, SAVEZ = "the same by s3dlio, in fresh memory", "the same by numpy.savez, in fresh memory"
TREE = "1000x140M_d1_c1.1"
COPIED = 8  # files of it that a turn copies; all in 125 turns


@contextmanager
def containers() -> Iterator[Suite]:
    """Reads of containers, npz files in memory, and copies of a tree of them."""
    with (
        mounts.dgenfs() as mount,
        memory.folder(COPIED * (150 << 20)) as folder,
        ExitStack() as stack,
    ):
        cases = []
        for extension in (RAW, *FORMATS):
            for size, name in FILES.items():
                path = mount.path / f"{name}.{extension}"
                for how, (length, ordered) in READS.items():
                    read = stack.enter_context(_reads(path, length, ordered=ordered))
                    cases.append(Case(f"{extension} {size}, {how}", repeated(read, TURN), length))
            cases.append(Case(f"{extension}, {FIRST}", repeated(_first(mount.path, extension))))
        cases += [
            Case(NPZ, repeated(_npz(lambda size: np.empty(size, np.uint8))), SAMPLE),
            Case(
                AGAIN,
                repeated(_npz(functools.cache(lambda size: np.zeros(size, np.uint8)))),
                SAMPLE,
            ),
            Case(S3DLIO, repeated(lambda: s3dlio.generate_npz_bytes([SAMPLE], "|u1", 1)), SAMPLE),
            Case(SAVEZ, repeated(_savez()), SAMPLE),
        ]
        cases += [Case(_copy(one), _copies(mount.path, one, folder)) for one in (RAW, "npz")]
        yield Suite("containers", 9, cases, _targets)


@contextmanager
def _reads(file: Path, length: int, *, ordered: bool) -> Iterator[Callable[[], object]]:
    """Open ``file`` and yield a read of ``length`` bytes: the next ones, or any."""
    descriptor = os.open(file, os.O_RDONLY)
    places = os.fstat(descriptor).st_size // length
    source = random.Random(1)
    offsets = itertools.cycle(
        number * length if ordered else source.randrange(places) * length
        for number in range(min(places, 1 << 14))
    )
    buffers = [mmap.mmap(-1, length)]

    def read() -> None:
        if os.preadv(descriptor, buffers, next(offsets)) != length:
            raise AssertionError(f"{file}: a short read")

    try:
        yield read
    finally:
        os.close(descriptor)


def _first(folder: Path, extension: str) -> Callable[[], object]:
    buffers = [bytearray(4096)]

    def read() -> None:
        name = f"{FILES['140 MiB']}_s{next(mounts.SEEDS)}.{extension}"
        descriptor = os.open(folder / name, os.O_RDONLY)
        if os.preadv(descriptor, buffers, 0) != len(buffers[0]):
            raise AssertionError(f"{name}: a short read")
        os.close(descriptor)

    return read


def _npz(buffer: Callable[[int], NDArray[np.uint8]]) -> Callable[[], object]:
    """Return what generates a file that was never seen, so that no CRC of it is known."""

    def generate() -> None:
        generator = DataGenerator(f"{SAMPLE}_d1_c1.1_s{next(mounts.SEEDS)}.npz")
        generator.fill_chunk(buffer(generator.size))

    return generate


def _savez() -> Callable[[], object]:
    x = np.random.default_rng(1).integers(0, 256, SAMPLE, np.uint8)
    y = np.zeros(1, np.int64)
    return lambda: np.savez(io.BytesIO(), x=x, y=y)


def _copy(extension: str) -> str:
    return f"cp of {COPIED} files of {TREE}.{extension}"


def _copies(mount: Path, extension: str, folder: Path) -> Callable[[], float]:
    """Return a turn that copies the next files of a tree into memory."""
    spec = Spec.parse(f"{TREE}.{extension}")
    files = itertools.cycle(str(mount / spec.name / spec.path(i)) for i in range(spec.files))
    command = ("sh", "-c", 'mkdir "$0" && cp "$@" "$0"', "{copy}")

    def turn() -> float:
        return timed((*command, *itertools.islice(files, COPIED)), folder)()

    return turn


def _targets(timings: Timings) -> Iterator[Target]:
    def of(case: str, other: str) -> float:
        return timings[other].median / timings[case].median

    for extension in FORMATS:
        for size, how in itertools.product(FILES, READS):
            case = f"{size}, {how}"
            ours = of(f"{extension} {case}", f"{RAW} {case}")
            yield Target(f"{extension} {case}: x raw", ours, OF_RAW)
        first = of(f"{extension}, {FIRST}", f"{RAW}, {FIRST}")
        yield Target(f"{extension}, {FIRST}: 2 x raw / time", 2 * first, 1)
    for npz in (NPZ, AGAIN):
        yield Target(f"{npz}: x s3dlio", of(npz, S3DLIO), 2)
        yield Target(f"{npz}: x numpy.savez", of(npz, SAVEZ), 10)
    yield Target(f"{_copy('npz')}: x raw", of(_copy("npz"), _copy(RAW)), 0.9)

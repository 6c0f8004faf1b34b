"""Trees copied out of the mount, verified and generated, each against the same of a local copy."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mounting import DGENFS

from benchmarks import memory, mounts
from benchmarks.commands import TAR, timed
from benchmarks.rounds import Case
from benchmarks.suite import Target, Timings
from dgenfs import Spec
from dgenfs.api.publishing import write_tree


@dataclass(frozen=True, slots=True)
class Shape:
    """Trees that are copied.

    Attributes:
        tree: name, to which a seed is added.
        size: of a file, as the tables have it.
        most: times that a copy out of the mount may take of a local one.
    """

    tree: str
    size: str
    most: float


SHAPES = (
    Shape("20000x4K_d1_c1_f1000", "4 KiB", 4),
    Shape("5000x64K_d1_c1_f1000", "64 KiB", 2.5),
    Shape("500x1M_d1_c1", "1 MiB", 1.5),
)
COMMANDS = {
    "cp -r": ("cp", "-r", "{tree}", "{copy}"),
    "rsync -a": ("rsync", "-a", "{tree}/", "{copy}"),
    "tar cf - | cat": TAR,
}
MANY = "100000x4K_d1_c1_f1000"
VERIFY, DIFF = "dgenfs verify, 100,000 files of 4 KiB", "diff -r of two copies of them"
GEN, COPY = "dgenfs gen, 100,000 files of 4 KiB", "cp -r of a copy of them"
PEERS = {VERIFY: DIFF, GEN: COPY}


@contextmanager
def copies(mount: Path) -> Iterator[list[Case]]:
    """Yield what copies trees out of ``mount``, and the commands that verify and generate them."""
    trees = (*(shape.tree for shape in SHAPES), MANY)
    size = 3 * sum(Spec.parse(tree).layout.total_size for tree in trees)
    with memory.folder(size) as folder:
        cases = [case for shape in SHAPES for case in _copied(shape, mount, folder)]
        yield [*cases, *_verified_and_generated(folder)]


def targets(timings: Timings) -> Iterator[Target]:
    """Say how each command does against the same of a local copy."""
    for shape in SHAPES:
        for command in COMMANDS:
            case = _name(command, shape)
            local = timings[f"{case}, local"].median / timings[f"{case}, mount"].median
            yield Target(f"{case}: {shape.most:g} x local / mount", shape.most * local, 1)
    for ours, peer in PEERS.items():
        yield Target(f"{ours}: {peer} / time", timings[peer].median / timings[ours].median, 1)


def _name(command: str, shape: Shape) -> str:
    return f"{command}, {Spec.parse(shape.tree).files:,} files of {shape.size}"


def _copied(shape: Shape, mount: Path, folder: Path) -> Iterator[Case]:
    """Yield each command, out of the mount and out of a copy of such a tree."""
    local = folder / shape.tree
    write_tree(Spec.parse(shape.tree), local, lambda _: None)
    unknown = mounts.unknown(mount, shape.tree)
    for name, command in COMMANDS.items():
        case = _name(name, shape)
        yield Case(f"{case}, mount", timed(command, folder, unknown))
        yield Case(f"{case}, local", timed(command, folder, itertools.repeat(local)))


def _verified_and_generated(folder: Path) -> Iterator[Case]:
    tree, second = folder / MANY, folder / "second"
    for path in (tree, second):
        write_tree(Spec.parse(MANY), path, lambda _: None)
    yield Case(VERIFY, timed((DGENFS, "verify", str(tree)), folder))
    yield Case(DIFF, timed(("diff", "-r", str(tree), str(second)), folder))
    yield Case(GEN, timed((DGENFS, "gen", MANY, "-o", "{copy}"), folder))
    yield Case(COPY, timed(("cp", "-r", str(tree), "{copy}"), folder))

"""Trees copied out of the mount, verified and generated, each against the same of a local copy."""

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import memory
from benchmarks.rounds import Case
from benchmarks.suite import Target, Timings
from dgenfs import Spec
from dgenfs.api.publishing import write_tree

DGENFS = str(Path(sys.executable).with_name("dgenfs"))
DROP_CACHES = Path("/proc/sys/vm/drop_caches")  # takes root
DISK = Path("/var/tmp")


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
    "tar cf - | cat": ("sh", "-c", 'tar cf - -C "$1" . | cat > /dev/null', "sh", "{tree}"),
}
MANY = "100000x4K_d1_c1_f1000"
COLD = "30000x4K_d1_c1_f1000"
VERIFY, DIFF = "dgenfs verify, 100,000 files of 4 KiB", "diff -r of two copies of them"
GEN, COPY = "dgenfs gen, 100,000 files of 4 KiB", "cp -r of a copy of them"
VERIFY_COLD = "dgenfs verify, 30,000 files of 4 KiB on a disk, nothing cached"
TAR_COLD = "tar of them, nothing cached"
PEERS = {VERIFY: DIFF, GEN: COPY, VERIFY_COLD: TAR_COLD}


@contextmanager
def copies(mount: Path) -> Iterator[list[Case]]:
    """Yield what copies trees out of ``mount``, and the commands that verify and generate them."""
    trees = (*(shape.tree for shape in SHAPES), MANY)
    size = 3 * sum(Spec.parse(tree).layout.total_size for tree in trees)
    with ExitStack() as stack:
        folder = stack.enter_context(memory.folder(size))
        cases = [case for shape in SHAPES for case in _copied(shape, mount, folder)]
        cases += _verified_and_generated(folder)
        if os.access(DROP_CACHES, os.W_OK):
            disk = stack.enter_context(tempfile.TemporaryDirectory(dir=DISK))
            cases += _with_nothing_cached(Path(disk))
        yield cases


def targets(timings: Timings) -> Iterator[Target]:
    """Say how each command does against the same of a local copy."""
    for shape in SHAPES:
        for command in COMMANDS:
            case = _name(command, shape)
            local = timings[f"{case}, local"].median / timings[f"{case}, mount"].median
            yield Target(f"{case}: {shape.most:g} x local / mount", shape.most * local, 1)
    for ours, peer in PEERS.items():
        if ours in timings:
            yield Target(f"{ours}: {peer} / time", timings[peer].median / timings[ours].median, 1)


def _name(command: str, shape: Shape) -> str:
    return f"{command}, {Spec.parse(shape.tree).files:,} files of {shape.size}"


def _copied(shape: Shape, mount: Path, folder: Path) -> Iterator[Case]:
    """Yield each command, out of the mount and out of a copy of such a tree."""
    local = folder / shape.tree
    write_tree(Spec.parse(shape.tree), local, lambda _: None)
    # One that the kernel does not know yet, each time.
    unknown = (mount / f"{shape.tree}_s{seed}" for seed in itertools.count(1))
    for name, command in COMMANDS.items():
        case = _name(name, shape)
        yield Case(f"{case}, mount", _turn(command, folder, unknown))
        yield Case(f"{case}, local", _turn(command, folder, itertools.repeat(local)))


def _verified_and_generated(folder: Path) -> Iterator[Case]:
    tree, second = folder / MANY, folder / "second"
    for path in (tree, second):
        write_tree(Spec.parse(MANY), path, lambda _: None)
    yield Case(VERIFY, _turn((DGENFS, "verify", str(tree)), folder))
    yield Case(DIFF, _turn(("diff", "-r", str(tree), str(second)), folder))
    yield Case(GEN, _turn((DGENFS, "gen", MANY, "-o", "{copy}"), folder))
    yield Case(COPY, _turn(("cp", "-r", str(tree), "{copy}"), folder))


def _with_nothing_cached(disk: Path) -> Iterator[Case]:
    tree = disk / COLD
    write_tree(Spec.parse(COLD), tree, lambda _: None)

    def drop_caches() -> None:
        DROP_CACHES.write_text("3")
        subprocess.run([DGENFS, "--version"], stdout=subprocess.DEVNULL, check=True)

    verify = (DGENFS, "verify", str(tree))
    yield Case(VERIFY_COLD, _turn(verify, disk, before=drop_caches))
    tar = COMMANDS["tar cf - | cat"]
    yield Case(TAR_COLD, _turn(tar, disk, itertools.repeat(tree), drop_caches))


def _turn(
    command: Sequence[str],
    folder: Path,
    trees: Iterator[Path] | None = None,
    before: Callable[[], object] = lambda: None,
) -> Callable[[], float]:
    """Return what times a command, and removes what it made.

    Args:
        command: with places for a tree and for a new copy.
        folder: where the copy goes.
        trees: the tree of each turn.
        before: called ahead of each turn.
    """
    copy = folder / "copy"

    def turn() -> float:
        places = {"copy": copy, "tree": next(trees) if trees is not None else ""}
        arguments = [argument.format(**places) for argument in command]
        before()
        start = time.perf_counter()
        subprocess.run(arguments, stdout=subprocess.DEVNULL, check=True)
        seconds = time.perf_counter() - start
        shutil.rmtree(copy, ignore_errors=True)
        return seconds

    return turn

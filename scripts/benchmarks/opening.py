"""Trees copied and read in each way that the kernel can be made to read data files."""

import itertools
import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import memory, mounts
from benchmarks.commands import TAR, timed
from benchmarks.rounds import Case
from benchmarks.suite import Suite, Target, Timings
from dgenfs import Spec
from dgenfs.api.publishing import write_tree

TREES = ("4000x4K", "2000x16K", "1000x64K", "500x128K", "250x256K", "125x512K", "64x1M", "16x4M")
WAYS = ("auto", "direct", "cached")
LOCAL = "local copy"
OPEN = """
import os, sys
for file in os.scandir(sys.argv[1]):
    with open(file, "rb") as opened:
        opened.read()
"""
ONE_BUFFER = """
import os, sys
buffers = [bytearray(4 << 20)]
for file in os.scandir(sys.argv[1]):
    opened = os.open(file, os.O_RDONLY)
    os.preadv(opened, buffers, 0)
    os.close(opened)
"""
CLIENTS = {
    "cp -r": ("cp", "-r", "{tree}", "{copy}"),
    "cat": ("sh", "-c", 'find "$1" -type f -exec cat {{}} + > /dev/null', "sh", "{tree}"),
    "tar": TAR,
    "rsync -a": ("rsync", "-a", "{tree}/", "{copy}"),
    "Python's open()": (sys.executable, "-c", OPEN, "{tree}"),
    "one buffer": (sys.executable, "-c", ONE_BUFFER, "{tree}"),
}
LEAST = 0.7


@contextmanager
def opening() -> Iterator[Suite]:
    """Each client on files of each size, by --io auto, direct and cached."""
    size = 2 * sum(Spec.parse(tree).layout.total_size for tree in TREES)
    with ExitStack() as stack:
        folder = stack.enter_context(memory.folder(size))
        places = {way: stack.enter_context(mounts.dgenfs("--io", way)).path for way in WAYS}
        cases = [
            case
            for tree in TREES
            for client in CLIENTS
            for case in _cases(tree, client, places, folder)
        ]
        yield Suite("opening", 5, cases, _targets)


def _targets(timings: Timings) -> Iterator[Target]:
    for tree in TREES:
        ratios = []
        for client in CLIENTS:
            auto, *others = (timings[_name(tree, client, way)].median for way in WAYS)
            ratios.append(min(auto, *others) / auto)
        mean = statistics.geometric_mean(ratios)
        yield Target(f"{tree}, mean of all clients: the fastest way / auto", mean, LEAST)


def _name(tree: str, client: str, place: str) -> str:
    return f"{tree}, {client}, {place}"


def _cases(tree: str, client: str, places: dict[str, Path], folder: Path) -> Iterator[Case]:
    local = folder / tree
    if not local.exists():
        write_tree(Spec.parse(tree), local, lambda _: None)
    for way, path in places.items():
        unknown = mounts.unknown(path, tree)
        yield Case(_name(tree, client, way), timed(CLIENTS[client], folder, unknown))
    same = itertools.repeat(local)
    yield Case(_name(tree, client, LOCAL), timed(CLIENTS[client], folder, same))

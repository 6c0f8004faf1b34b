"""Clients that check every byte and every number they get, each a process of its own.

    python -m endurance.clients KIND MOUNTPOINT SECONDS

Ends with 0 and one line of JSON (``steps``, ``bytes`` that were checked), with 3 at what is wrong,
with 1 when a call fails.
"""

import functools
import itertools
import json
import mmap
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray
from reading import LAST_MAPPED, opened

from dgenfs.kernels.compare import compare
from dgenfs.kernels.fill import content_offset
from dgenfs.names.catalog import find_file
from dgenfs.names.spec import Spec

WRONG = 3
LISTED = ("1G_d1_c1.bin", "1T_d2_c1.5.bin", "10M_d2.5_c3_s42.bin", "4M+1_d1_c1.5.bin", "1.bin")
LARGEST = ("8E-1.bin", "8E-1_d1000_c20_s18446744073709551615_b4K.bin")
TREES = ("1000000x100K_d2_c1.5_f1000", "5000x4K_d4_c2", "1000000000x5000_d3_c2_f10000")
LENGTHS = (1, 512, 4096, 4096, 65_536, 100_000, 1 << 20, (3 << 20) + 7)  # bytes
LARGEST_CACHE = 64 << 20  # bytes, that the mount is tuned to

Steps = Iterator[int]
Client = Callable[[Path, random.Random], Steps]


class WrongError(Exception):
    """Something that the mount said is not so."""


class Expected:
    """What a file of the mount must hold.

    Attributes:
        name: below the mountpoint.
        size: bytes.
    """

    def __init__(self, name: str) -> None:
        """Expect what ``name`` says."""
        found = find_file(PurePath(name))
        layout = found.spec.layout
        self.name = name
        self.size = layout.size
        self._row = layout.row
        self._start = found.number * layout.size

    def check(self, data: NDArray[np.uint8], offset: int) -> int:
        """Return the length of ``data``, read at ``offset``; WrongError if a byte is wrong."""
        start = content_offset(np.uint64(self._start + offset), self._row)
        first, count, _ = compare(data, np.uint64(start), self._row)
        if first >= 0:
            raise WrongError(f"{self.name}: {count} wrong bytes from {offset + first} on")
        return data.size

    def piece(self, source: random.Random) -> tuple[int, int]:
        """Return a random offset in the file, its end more often, and a length."""
        length = source.choice(LENGTHS)
        last = max(0, self.size - 1)
        return source.choice((source.randint(0, last), max(0, self.size - length))), length


def listed(source: random.Random) -> str:
    """Return a name that ls shows."""
    return source.choice(LISTED)


def largest(source: random.Random) -> str:
    """Return the name of a file of 8 EiB - 1."""
    return source.choice(LARGEST)


def unlisted(source: random.Random) -> str:
    """Return a name that nobody has used before."""
    size = source.getrandbits(source.randint(1, 62))
    dedup, compress = source.uniform(1, 20), source.uniform(1, 8)
    return f"{size}_d{dedup:.3f}_c{compress:.3f}_s{source.getrandbits(64)}.dat"


@functools.cache
def tree(name: str) -> Spec:
    """Return what a tree's name says."""
    return Spec.parse(name)


def in_a_tree(source: random.Random) -> str:
    """Return the name of a file in one of the trees."""
    name = source.choice(TREES)
    return f"{name}/{tree(name).path(source.randrange(tree(name).files))}"


@contextmanager
def opened_in_memory() -> Iterator[int]:
    """Open a new file in memory for writing and reading."""
    descriptor = os.memfd_create("copy")
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def reads(
    mountpoint: Path,
    source: random.Random,
    names: Callable[[random.Random], str],
    *,
    flags: int = 0,
    vectors: int = 1,
    each: int = 50,
) -> Steps:
    """Read and check ``each`` pieces of a file, into so many ``vectors``, then of another."""
    memory = mmap.mmap(-1, max(LENGTHS))  # page aligned
    view = memoryview(memory)
    array = np.frombuffer(memory, np.uint8)
    while True:
        expected = Expected(names(source))
        with opened(mountpoint / expected.name, flags) as file:
            for _ in range(each):
                offset, length = expected.piece(source)
                cuts = [length * i // vectors for i in range(vectors + 1)]
                parts = [view[start:end] for start, end in itertools.pairwise(cuts)]
                count = os.preadv(file, parts, offset)
                if count != min(length, expected.size - offset):
                    raise WrongError(f"{expected.name}: {count} of {length} bytes at {offset}")
                yield expected.check(array[:count], offset)


def maps(mountpoint: Path, source: random.Random) -> Steps:
    """Map pieces of files, shared, and check them."""
    while True:
        expected = Expected(source.choice((listed, largest))(source))
        with opened(mountpoint / expected.name) as file:
            for _ in range(20):
                offset, length = expected.piece(source)
                offset -= offset % mmap.PAGESIZE
                length = min(length, expected.size - offset, LAST_MAPPED - offset)
                if length <= 0:
                    continue
                mapping = mmap.mmap(file, length, mmap.MAP_SHARED, mmap.PROT_READ, offset=offset)
                yield expected.check(np.frombuffer(mapping, np.uint8), offset)


def mixed(mountpoint: Path, source: random.Random) -> Steps:
    """Read one file in every way in turns, at places that overlap, as fsx(8) does."""
    while True:
        expected = Expected(source.choice((listed, largest))(source))
        path = mountpoint / expected.name
        with opened(path) as file, opened(path, os.O_DIRECT) as direct, opened_in_memory() as copy:
            mapped = [_map(file, expected, source) for _ in range(4)]
            for _ in range(200):
                offset, length = expected.piece(source)
                length = min(length, expected.size - offset)
                data: bytes | mmap.mmap = b""
                match source.randrange(7):
                    case 0:
                        data = os.pread(file, length, offset)
                    case 1:
                        data = os.pread(direct, length, offset)
                    case 2:
                        os.lseek(file, offset, os.SEEK_SET)
                        data = os.read(file, length)
                    case 3:
                        offset, data = source.choice(mapped)
                        length = len(data)
                    case 4:
                        offset, data = source.choice(mapped)
                        length = len(data)
                        data.madvise(mmap.MADV_DONTNEED)
                    case 5:
                        os.lseek(copy, 0, os.SEEK_SET)
                        length = min(length, os.sendfile(copy, file, offset, length))
                        data = os.pread(copy, length, 0)
                    case _:
                        advice = source.choice((os.POSIX_FADV_DONTNEED, os.POSIX_FADV_WILLNEED))
                        os.posix_fadvise(file, offset, length, advice)
                        length = 0
                if len(data) != length:
                    raise WrongError(f"{expected.name}: {len(data)} of {length} bytes at {offset}")
                yield expected.check(np.frombuffer(data, np.uint8), offset)


def _map(file: int, expected: Expected, source: random.Random) -> tuple[int, mmap.mmap]:
    offset, length = expected.piece(source)
    offset = min(offset, LAST_MAPPED - mmap.PAGESIZE) // mmap.PAGESIZE * mmap.PAGESIZE
    length = min(length, expected.size - offset, LAST_MAPPED - offset)
    kind = source.choice((mmap.MAP_SHARED, mmap.MAP_PRIVATE))
    return offset, mmap.mmap(file, length, kind, mmap.PROT_READ, offset=offset)


def opens(mountpoint: Path, source: random.Random) -> Steps:
    """Open and close, some hundred files at a time."""
    files: list[int] = []
    try:
        while True:
            if len(files) == 500:
                os.close(files.pop(source.randrange(len(files))))
            names = source.choice((listed, unlisted, in_a_tree))
            files.append(os.open(mountpoint / names(source), os.O_RDONLY))
            yield 0
    finally:
        for file in files:
            os.close(file)


def stats(mountpoint: Path, source: random.Random) -> Steps:
    """Ask for attributes of what is there and of what is not."""
    inodes: dict[str, int] = {}
    while True:
        expected = Expected(source.choice((listed, unlisted, in_a_tree))(source))
        found = (mountpoint / expected.name).stat()
        if found.st_size != expected.size:
            raise WrongError(f"{expected.name}: {found.st_size} bytes, not {expected.size}")
        if len(inodes) < 1000:
            inodes[expected.name] = found.st_ino
        if inodes.get(expected.name, found.st_ino) != found.st_ino:
            raise WrongError(f"{expected.name}: another inode than before")
        if (mountpoint / f"no name {source.getrandbits(32)}").exists():
            raise WrongError("there is what is no name")
        yield 0


def tunes(mountpoint: Path, source: random.Random) -> Steps:
    """Give the mount other numbers of workers and other caches."""
    file = mountpoint / ".topology"
    while True:
        settings = {
            "workers_per_node": source.randint(1, 8),
            "cache_bytes": source.randrange(0, LARGEST_CACHE + 1, 4 << 20),
        }
        if source.getrandbits(1):
            del settings[source.choice(list(settings))]
        file.write_text(json.dumps(settings))
        found = json.loads(file.read_bytes())
        for name, value in settings.items():
            if found[name] != value:
                raise WrongError(f"{name} is {found[name]}, not {value}")
        time.sleep(source.uniform(0, 0.5))
        yield 0


def counters(mountpoint: Path, _source: random.Random) -> Steps:
    """Read what the mount counts; no counter ever goes back."""
    before: dict[str, float] = {}
    while True:
        found = json.loads((mountpoint / ".stats").read_bytes())
        now = {f".stats {name}": float(n) for name, n in found["requests"].items()}
        now |= {f".stats {name}": found[name] for name in ("read_bytes", "read_seconds")}
        for line in (mountpoint / ".metrics").read_text().splitlines():
            name, _, value = line.rpartition(" ")
            if not line.startswith("#") and ("_total" in name or "_seconds_" in name):
                now[f".metrics {name}"] = float(value)
        for name, count in before.items():
            if now.get(name, -1) < count:
                raise WrongError(f"{name} went from {count} to {now.get(name)}")
        before = now
        time.sleep(0.02)
        yield 0


CLIENTS: dict[str, Client] = {
    "pread": functools.partial(reads, names=listed),
    "direct": functools.partial(reads, names=listed, flags=os.O_DIRECT),
    "readv": functools.partial(reads, names=listed, vectors=3),
    "largest": functools.partial(reads, names=largest),
    "unlisted": functools.partial(reads, names=unlisted, each=3),
    "trees": functools.partial(reads, names=in_a_tree, each=1),
    "maps": maps,
    "mixed": mixed,
    "opens": opens,
    "stats": stats,
    "tunes": tunes,
    "counters": counters,
}


def main(kind: str, mountpoint: str, seconds: str) -> int:
    """Be a client for so many seconds."""
    end = time.monotonic() + float(seconds)
    done = {"steps": 0, "bytes": 0}
    steps = CLIENTS[kind](Path(mountpoint), random.Random())
    try:
        while time.monotonic() < end:
            done["bytes"] += next(steps)
            done["steps"] += 1
    except WrongError as error:
        print(error)
        return WRONG
    print(json.dumps(done))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""Files written by several threads, a chunk at a time."""

import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from dgenfs.api.parts import NEW, naming, opened
from dgenfs.content.view import View
from dgenfs.kernels.digests import Patience, until
from dgenfs.machine import topology
from dgenfs.machine.gate import CLOSED, FORKS, Gate, wait_until_left
from dgenfs.machine.threads import in_order

CHUNK = 8 << 20  # bytes of one write

Progress = Callable[[int], None]
Item = TypeVar("Item")


class Chunk(NamedTuple):
    """One write.

    Attributes:
        opened: opens the file for it. Only the first write to a file of a tree makes it: one that
            was removed meanwhile would come back with a hole.
        path: the file's, for errors.
        source: the bytes, at most CHUNK.
        at: where in the file they go.
    """

    opened: Callable[[], AbstractContextManager[int]]
    path: Path
    source: View
    at: int


def new_file(name: str, source: View, folder: Path, descriptor: int) -> Iterator[Chunk]:
    """Yield the chunks of a file that is not there, and is made.

    Args:
        name: its path in the directory.
        source: what to write.
        folder: the directory's path, for errors.
        descriptor: the directory's.
    """
    path = folder / name
    make = functools.partial(opened, name, NEW, descriptor)
    if source.size <= CHUNK:
        # The thread that writes it makes it too: a file more to open takes a small one's time.
        yield Chunk(make, path, source, 0)
    else:
        with naming(path), make():
            pass
        again = functools.partial(opened, name, os.O_WRONLY | os.O_NOFOLLOW, descriptor)
        yield from chunks_of(source, path, again)


def chunks_of(
    source: View, path: Path, file: int | Callable[[], AbstractContextManager[int]]
) -> Iterator[Chunk]:
    """Yield the chunks of a file that is there, by its descriptor or by what opens it."""
    opener = (lambda: nullcontext(file)) if isinstance(file, int) else file
    for start in range(0, max(1, source.size), CHUNK):
        yield Chunk(opener, path, source.part(start, min(CHUNK, source.size - start)), start)


def write_chunks(chunks: Iterator[Chunk], progress: Progress) -> None:
    """Write chunks; nothing is written any more once this has returned or raised.

    Args:
        chunks: taken one by one, on the caller's thread.
        progress: called with the number of bytes written since the last call.

    Raises:
        OSError: one cannot be written.
    """

    def write(chunk: Chunk, buffer: NDArray[np.uint8], patience: Patience) -> int:
        data = buffer[: chunk.source.size]
        chunk.source.read_into(data, 0, patience)
        rest, at = data.data, chunk.at
        with naming(chunk.path), chunk.opened() as descriptor:
            while rest:
                written = os.pwrite(descriptor, rest, at)
                rest = rest[written:]
                at += written
        return chunk.source.size

    on_threads(write, chunks, progress)


def on_threads(
    write: Callable[[Item, NDArray[np.uint8], Patience], int],
    items: Iterable[Item],
    progress: Progress,
) -> None:
    """Call ``write`` with each item on a thread a CPU; it returns the bytes that it wrote.

    Nothing is written any more once this has returned or raised, whatever raised.

    Args:
        write: called with an item, its thread's own buffer, uint8[CHUNK], and a patience that ends
            once nothing is to be written any more.
        items: taken one by one.
        progress: called with the number of bytes written since the last call.
    """
    own = threading.local()
    gate = Gate()
    patience = until(gate.words[CLOSED:])

    def close() -> None:
        gate.words[CLOSED] = 1

    def with_buffer(item: Item) -> int:
        if not gate.enter():
            return 0
        try:
            if not hasattr(own, "buffer"):
                own.buffer = np.empty(CHUNK, np.uint8)
            return write(item, own.buffer, patience)
        finally:
            gate.leave()

    threads = len(topology.detect().cpus)
    with ThreadPoolExecutor(threads, thread_name_prefix="dgenfs-write") as pool:
        results = in_order(pool, 2 * threads, with_buffer, items, close)
        try:
            for length in results:
                progress(length)
        finally:
            gate.words[CLOSED] = 1
            if gate.forks == FORKS[0]:
                wait_until_left(gate.address)

"""Generated content written out: to a file, a directory of files, or a pipe."""

import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dgenfs import topology
from dgenfs.generator import DataGenerator
from dgenfs.parallel import in_order
from dgenfs.spec import Spec

CHUNK = 8 << 20  # bytes of one write

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Range:
    """Part of one file's content.

    Attributes:
        spec: what it is content of.
        file: number of the file in a tree.
        offset: first byte.
        length: bytes.
    """

    spec: Spec
    file: int
    offset: int
    length: int


def write_stream(source: Range, descriptor: int, progress: Progress) -> None:
    """Write to a pipe, a terminal or whatever else takes bytes in order only.

    Args:
        source: what to write.
        descriptor: open for writing.
        progress: called with the number of bytes written since the last call.

    Raises:
        OSError: the reader went away, or the device is full.
    """
    generator = DataGenerator(source.spec, file=source.file)
    buffer = memoryview(bytearray(min(CHUNK, source.length)))
    for start in range(0, source.length, CHUNK):
        chunk = buffer[: source.length - start]
        generator.read_into(chunk, source.offset + start)
        while chunk:
            written = os.write(descriptor, chunk)
            progress(written)
            chunk = chunk[written:]


def write_file(source: Range, path: Path, progress: Progress, *, force: bool = False) -> None:
    """Write to a file, which appears under its name only when it is whole.

    A block device is written in place; a FIFO or a character device gets a stream.

    Args:
        source: what to write; its first byte becomes the file's first.
        path: the file; its directory must exist.
        progress: called with the number of bytes written since the last call.
        force: write over a file that is there, or a block device.

    Raises:
        FileExistsError: ``path`` is there and ``force`` is not given.
        OSError: the file cannot be written; nothing is left of it.
    """
    mode = path.stat().st_mode if path.exists() else None
    if mode is not None and (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        with path.open("wb", buffering=0) as out:
            write_stream(source, out.fileno(), progress)
    elif mode is not None and not force:
        raise FileExistsError(f"{path}: is there already; --force writes over it")
    elif mode is not None and stat.S_ISBLK(mode):
        _write(_chunks(source, path), progress)
    else:
        part = _part(path)
        part.touch(exist_ok=False)
        try:
            _write(_chunks(source, part), progress)
            part.replace(path)
        except BaseException:
            part.unlink()
            raise


def write_tree(spec: Spec, path: Path, progress: Progress) -> None:
    """Write a tree to a directory, which appears under its name only when it is whole.

    Args:
        spec: a tree's.
        path: the directory; the one that holds it must exist.
        progress: called with the number of bytes written since the last call.

    Raises:
        FileExistsError: ``path`` is there.
        OSError: a file cannot be written; nothing is left of the tree.
    """
    if path.exists():
        raise FileExistsError(f"{path}: is there already; remove it or give another path")
    part = _part(path)
    part.mkdir()
    try:
        for directory in range(spec.directories):
            (part / spec.directory_name(directory)).mkdir()
        files = (Range(spec, file, 0, spec.size) for file in range(spec.files))
        _write(
            (chunk for file in files for chunk in _chunks(file, part / spec.path(file.file))),
            progress,
        )
        part.rename(path)
    except BaseException:
        shutil.rmtree(part)
        raise


def _part(path: Path) -> Path:
    part = path.with_name(f"{path.name}.part")
    if part.exists():
        raise FileExistsError(f"{part}: is left from an earlier run; remove it")
    return part


def _chunks(source: Range, path: Path) -> Iterator[tuple[Path, Range, int]]:
    """Yield a path, a range of at most CHUNK bytes and where in the file it goes."""
    for start in range(0, max(1, source.length), CHUNK):
        length = min(CHUNK, source.length - start)
        yield path, Range(source.spec, source.file, source.offset + start, length), start


def _write(chunks: Iterator[tuple[Path, Range, int]], progress: Progress) -> None:
    buffers = threading.local()

    def write(chunk: tuple[Path, Range, int]) -> int:
        path, source, at = chunk
        if not hasattr(buffers, "buffer"):
            buffers.buffer = np.empty(CHUNK, np.uint8)
        rest = memoryview(buffers.buffer)[: source.length]
        DataGenerator(source.spec, file=source.file, threads=1).read_into(rest, source.offset)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            while rest:
                written = os.pwrite(descriptor, rest, at)
                rest = rest[written:]
                at += written
        finally:
            os.close(descriptor)
        return source.length

    threads = len(topology.detect().cpus)
    with ThreadPoolExecutor(threads, thread_name_prefix="dgenfs-write") as pool:
        for length in in_order(pool, 2 * threads, write, chunks):
            progress(length)

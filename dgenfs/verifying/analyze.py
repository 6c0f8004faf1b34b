"""Measured dedup and compression ratios of any files, by libraries that know nothing of ours."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dgenfs.verifying.codecs import codecs, library

DEDUP_CHUNKS = (512, 4 << 10, 128 << 10, 1 << 20, 4 << 20)  # bytes
COMPRESS_CHUNKS = (4 << 10, 128 << 10, 1 << 20)  # bytes
READ = max(DEDUP_CHUNKS)  # bytes; each chunk size divides it
SAMPLE = 64 << 20  # bytes that are compressed, in reads spread evenly over all files
MERGE = 1 << 20  # hashes collected before they are sorted into the distinct ones

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class DedupRatio:
    """Duplicates among chunks of one size, each file's cut from its start on.

    Attributes:
        chunk: bytes.
        chunks: chunks of all files; a file's last one may be shorter.
        distinct: chunks that differ from all others, by 64-bit xxHash.
        zero: chunks that are all zero.
        ratio: bytes of all chunks for one byte of distinct chunks.
    """

    chunk: int
    chunks: int
    distinct: int
    zero: int
    ratio: float


@dataclass(frozen=True, slots=True)
class CompressRatio:
    """How one codec does on chunks of one size, each compressed alone.

    Attributes:
        codec: with its level.
        chunk: bytes.
        ratio: bytes in for one byte out; a chunk that grows counts as its own size.
    """

    codec: str
    chunk: int
    ratio: float


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was measured over all files together.

    Attributes:
        files: number of files.
        size: bytes of all files.
        sampled: bytes that were compressed.
        dedup: one for each of DEDUP_CHUNKS.
        compress: one for each codec and each of COMPRESS_CHUNKS.
    """

    files: int
    size: int
    sampled: int
    dedup: list[DedupRatio]
    compress: list[CompressRatio]


def find_files(paths: Iterable[Path]) -> Iterator[tuple[Path, int]]:
    """Yield files, and all files below directories, with their sizes in bytes.

    Args:
        paths: regular files, block devices or directories. Within a directory, symbolic links and
            what is neither file nor directory are left out.

    Raises:
        ValueError: a path is no regular file, block device or directory.
        OSError: a path is not there, or a directory cannot be read.
    """
    for path in paths:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            inside = (inner for inner in sorted(path.iterdir()) if not inner.is_symlink())
            yield from find_files(inner for inner in inside if inner.is_dir() or inner.is_file())
        elif stat.S_ISREG(status.st_mode):
            yield path, status.st_size
        elif stat.S_ISBLK(status.st_mode):
            with path.open("rb") as device:
                yield path, device.seek(0, os.SEEK_END)
        else:
            raise ValueError(f"{path}: is no regular file, block device or directory")


def analyze(files: Sequence[tuple[Path, int]], progress: Progress | None = None) -> Analysis:
    """Measure files together, as one store would see them.

    Args:
        files: paths and sizes in bytes, as ``find_files`` yields them.
        progress: called with the number of bytes read since the last call.

    Raises:
        MissingLibraryError: the ``analyze`` extra is not installed.
        OSError: a file cannot be read.
    """
    coders = codecs()
    size = sum(length for _, length in files)
    dedup = {chunk: _DedupCount(chunk) for chunk in DEDUP_CHUNKS}
    compressed = {(codec, chunk): 0 for codec in coders for chunk in COMPRESS_CHUNKS}
    sampled = 0
    seen = 0
    for block in _blocks(files):
        for count in dedup.values():
            count.add(block)
        # Behind its share of the bytes so far: the sample is spread evenly over all files.
        if sampled * size <= SAMPLE * seen or size <= SAMPLE:
            sampled += len(block)
            for (codec, chunk), total in compressed.items():
                compressed[codec, chunk] = total + _compressed_size(coders[codec], chunk, block)
        seen += len(block)
        if progress is not None:
            progress(len(block))
    return Analysis(
        files=len(files),
        size=seen,
        sampled=sampled,
        dedup=[count.result() for count in dedup.values()],
        compress=[
            CompressRatio(codec, chunk, sampled / total if total else 1.0)
            for (codec, chunk), total in compressed.items()
        ],
    )


class _DedupCount:
    """The chunks of one size seen so far: 8 bytes for each distinct one."""

    def __init__(self, chunk: int) -> None:
        self._hash = library("xxhash").xxh3_64_intdigest
        self._chunk = chunk
        self._chunks = 0
        self._bytes = 0
        self._zero = 0
        self._distinct = np.empty(0, np.uint64)
        self._pending: list[NDArray[np.uint64]] = []
        self._pending_chunks = 0
        self._tails: dict[int, int] = {}  # shorter last chunks of files: hash and bytes

    def add(self, block: memoryview) -> None:
        chunk = self._chunk
        whole = len(block) // chunk
        words = np.frombuffer(block, np.uint64, whole * chunk // 8).reshape(whole, chunk // 8)
        self._zero += whole - int(words.any(axis=1).sum())
        hashes = (self._hash(block[at : at + chunk]) for at in range(0, whole * chunk, chunk))
        self._pending.append(np.fromiter(hashes, np.uint64, whole))
        self._pending_chunks += whole
        if self._pending_chunks > max(MERGE, self._distinct.size):
            self._merge()
        if tail := block[whole * chunk :]:
            self._tails[self._hash(tail)] = len(tail)
            self._zero += not any(tail)
        self._chunks += whole + bool(tail)
        self._bytes += len(block)

    def _merge(self) -> None:
        self._distinct = np.unique(np.concatenate([self._distinct, *self._pending]))
        self._pending.clear()
        self._pending_chunks = 0

    def result(self) -> DedupRatio:
        self._merge()
        distinct_bytes = self._distinct.size * self._chunk + sum(self._tails.values())
        return DedupRatio(
            chunk=self._chunk,
            chunks=self._chunks,
            distinct=self._distinct.size + len(self._tails),
            zero=self._zero,
            ratio=self._bytes / distinct_bytes if distinct_bytes else 1.0,
        )


def _compressed_size(codec: Callable[[memoryview], bytes], chunk: int, block: memoryview) -> int:
    parts = (block[start : start + chunk] for start in range(0, len(block), chunk))
    return sum(min(len(part), len(codec(part))) for part in parts)


def _blocks(files: Sequence[tuple[Path, int]]) -> Iterator[memoryview]:
    """Yield all files in blocks of READ bytes, each file from its start on."""
    buffer = memoryview(bytearray(READ))
    for path, _ in files:
        with path.open("rb") as file:
            # Buffered reads are whole but at the end, and past their buffer when this large.
            while length := file.readinto(buffer):
                yield buffer[:length]

"""Measured dedup and compression ratios of any files, by libraries that know nothing of ours."""

import errno
import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dgenfs.machine.stores import is_url, local_path
from dgenfs.verifying.codecs import codecs, library
from dgenfs.verifying.object_blocks import FoundObject, find_objects, read_objects
from dgenfs.verifying.reports import MAX_PATHS, Unreadable
from dgenfs.verifying.walking import Found, Report, find_files

DEDUP_CHUNKS = (512, 4 << 10, 128 << 10, 1 << 20, 4 << 20)  # bytes
COMPRESS_CHUNKS = (4 << 10, 128 << 10, 1 << 20)  # bytes
READ = max(DEDUP_CHUNKS)  # bytes; each chunk size divides it
SAMPLE = 64 << 20  # bytes that are compressed, in reads spread evenly over all files
MERGE = 1 << 20  # hashes collected before they are sorted into the distinct ones

Progress = Callable[[int], None]
Codec = Callable[[memoryview], bytes]


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
        files: number of files that were opened.
        size: bytes of all files.
        sampled: bytes that were compressed.
        dedup: one for each of DEDUP_CHUNKS.
        compress: one for each codec and each of COMPRESS_CHUNKS.
        holes: bytes of ``size`` that are in holes of files, which count as zeros.
        unreadable: what could not be read, or only in part, at most MAX_PATHS.
        unreadable_paths: number of them all.
    """

    files: int
    size: int
    sampled: int
    dedup: list[DedupRatio]
    compress: list[CompressRatio]
    holes: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)
    unreadable_paths: int = 0


def total_size(paths: Sequence[Path | str]) -> int:
    """Return the bytes of all files that ``analyze`` would read, by their sizes."""
    return sum(found.size for path in paths for found in _found(path, lambda _: None))


def _found(path: Path | str, report: Report) -> Iterator[Found | FoundObject]:
    url = _url(path)
    return find_files([_local(path)], report) if url is None else find_objects(url, report)


def _url(path: Path | str) -> str | None:
    """Return a URL of a store; None for a path, and for the URL of one."""
    is_one = isinstance(path, str) and is_url(path) and local_path(path) is None
    return str(path) if is_one else None


def _local(path: Path | str) -> Path:
    return Path(path if isinstance(path, Path) else local_path(path) or path)


def analyze(
    paths: Sequence[Path | str],
    size: int,
    progress: Progress | None = None,
    report: Report | None = None,
) -> Analysis:
    """Measure files together, as one store would see them.

    What cannot be read is left out, from where that begins, and hides no other file. Nothing is
    kept of a file but 8 bytes for each chunk that differs from all others, 12 where it is shorter.

    Args:
        paths: regular files, block devices or directories of files, and URLs of objects or of what
            their keys begin with.
        size: ``total_size`` of them, for the sample to be spread over.
        progress: called with the number of bytes read since the last call.
        report: called with what cannot be read.

    Raises:
        MissingLibraryError: the ``analyze`` extra is not installed.
    """
    measurement = _Measurement(size, progress or (lambda _: None))
    kept: list[Unreadable] = []
    failed = 0

    def fail(what: Unreadable) -> None:
        nonlocal failed
        failed += 1
        if len(kept) < MAX_PATHS:
            kept.append(what)
        if report is not None:
            report(what)

    for path in paths:
        if (url := _url(path)) is not None:
            measurement.add_objects(find_objects(url, fail), fail)
        else:
            measurement.add_files(find_files([_local(path)], fail), fail)
    return Analysis(
        files=measurement.files,
        size=measurement.seen,
        sampled=measurement.sampled,
        dedup=[count.result() for count in measurement.dedup],
        compress=[
            CompressRatio(codec, chunk, measurement.sampled / total if total else 1.0)
            for (codec, chunk), total in measurement.compressed.items()
        ],
        holes=measurement.holes,
        unreadable=kept,
        unreadable_paths=failed,
    )


class _Measurement:
    """What was read so far.

    Attributes:
        files: that were opened.
        seen: bytes.
        holes: bytes of them in holes of files.
        sampled: bytes that were compressed.
        dedup: one for each of DEDUP_CHUNKS.
        compressed: bytes that came out, by codec and chunk.
    """

    def __init__(self, size: int, progress: Progress) -> None:
        self._size = size
        self._progress = progress
        self._codecs = codecs()
        self._buffer = memoryview(bytearray(READ))
        self.files = self.seen = self.holes = self.sampled = 0
        self.dedup = [_DedupCount(chunk) for chunk in DEDUP_CHUNKS]
        self.compressed = {(codec, chunk): 0 for codec in self._codecs for chunk in COMPRESS_CHUNKS}

    def add_files(self, files: Iterable[Found], fail: Report) -> None:
        """Read files, one after the other."""
        for found in files:
            try:
                descriptor = found.open()
            except OSError as error:
                fail(Unreadable.of(found.path, error))
                continue
            try:
                self.files += 1
                self._add_file(descriptor, found)
            except OSError as error:
                fail(Unreadable.of(found.path, error))
            finally:
                os.close(descriptor)

    def add_objects(self, objects: Iterable[FoundObject], fail: Report) -> None:
        """Read objects, several blocks ahead."""
        broken = None  # what cannot be read on
        for block in read_objects(objects, READ):
            if isinstance(block.data, OSError):
                if block.url != broken:
                    fail(Unreadable.of(block.url, block.data))
                broken = block.url
            elif block.url != broken:
                self.files += block.start == 0
                if block.data.size:
                    self._add(block.data.data)
                if block.data.size < block.length:
                    ends = block.start + block.data.size
                    fail(Unreadable(block.url, f"ends at {ends} B, before the size that is told"))
                    broken = block.url

    def _add_file(self, descriptor: int, found: Found) -> None:
        """Read a file, each block of READ bytes from its start on; OSError if that fails."""
        offset = 0
        size = os.fstat(descriptor).st_size or found.size  # a device's is 0 here
        data = _Data(descriptor, size)
        try:
            # A size of 0 says nothing: files of procfs have it, and bytes.
            while not size or offset < size:
                if blocks := data.hole_behind(offset) // READ:
                    self._add_zeros(blocks)
                    offset += blocks * READ
                    continue
                length = _read(descriptor, self._buffer, offset)
                if not length:
                    break
                self._add(self._buffer[:length])
                offset += length
            data.hole_behind(size - 1)  # looks at the rest
        finally:
            self.holes += data.holes

    def _add(self, block: memoryview) -> None:
        for count in self.dedup:
            count.add(block)
        # Behind its share of the bytes so far: the sample is spread evenly over all files.
        if self.sampled * self._size <= SAMPLE * self.seen or self._size <= SAMPLE:
            self._sample(block)
        self.seen += len(block)
        self._progress(len(block))

    def _add_zeros(self, blocks: int) -> None:
        """Add ``blocks`` blocks of READ zeros as ``_add`` would, in the time of those sampled."""
        for count in self.dedup:
            count.add_zeros(blocks * READ)
        end = self.seen + blocks * READ
        while self.seen < end:
            if self._size > SAMPLE:
                due = -(-self.sampled * self._size // SAMPLE)  # to be seen before the next sample
                skipped = max(0, -(-(due - self.seen) // READ)) * READ
                self.seen = min(end, self.seen + skipped)
            if self.seen < end:
                self._sample(memoryview(bytes(READ)))
                self.seen += READ
        self._progress(blocks * READ)

    def _sample(self, block: memoryview) -> None:
        self.sampled += len(block)
        for (codec, chunk), total in self.compressed.items():
            size = _compressed_size(self._codecs[codec], chunk, block)
            self.compressed[codec, chunk] = total + size


class _DedupCount:
    """The chunks of one size seen so far: 8 bytes for each distinct one, 12 for files' last ones.

    Those are apart, as they are shorter.
    """

    def __init__(self, chunk: int) -> None:
        self._hash = library("xxhash").xxh3_64_intdigest
        self._chunk = chunk
        self._chunks = 0
        self._bytes = 0
        self._zero = 0
        self._distinct = np.empty(0, np.uint64)
        self._pending = array("Q")
        self._tails = np.empty(0, np.uint64)
        self._tail_bytes = np.empty(0, np.uint32)
        self._pending_tails = array("Q")
        self._pending_tail_bytes = array("I")

    def add(self, block: memoryview) -> None:
        chunk = self._chunk
        whole = len(block) // chunk
        words = np.frombuffer(block, np.uint64, whole * chunk // 8).reshape(whole, chunk // 8)
        self._zero += whole - int(words.any(axis=1).sum())
        self._pending.extend(
            self._hash(block[at : at + chunk]) for at in range(0, whole * chunk, chunk)
        )
        if len(self._pending) > max(MERGE, self._distinct.size):
            self._merge()
        if tail := block[whole * chunk :]:
            self._pending_tails.append(self._hash(tail))
            self._pending_tail_bytes.append(len(tail))
            self._zero += not np.frombuffer(tail, np.uint8).any()
            if len(self._pending_tails) > max(MERGE, self._tails.size):
                self._merge_tails()
        self._chunks += whole + bool(tail)
        self._bytes += len(block)

    def add_zeros(self, length: int) -> None:
        """Add ``length`` zeros, whole chunks of them and at least one."""
        self._pending.append(self._hash(bytes(self._chunk)))
        self._zero += length // self._chunk
        self._chunks += length // self._chunk
        self._bytes += length

    def _merge(self) -> None:
        pending = np.frombuffer(self._pending, np.uint64)
        self._distinct = np.unique(np.concatenate([self._distinct, pending]))
        self._pending = array("Q")

    def _merge_tails(self) -> None:
        hashes = np.concatenate([self._tails, np.frombuffer(self._pending_tails, np.uint64)])
        lengths = np.frombuffer(self._pending_tail_bytes, np.uint32)
        self._tails, first = np.unique(hashes, return_index=True)
        self._tail_bytes = np.concatenate([self._tail_bytes, lengths])[first]
        self._pending_tails, self._pending_tail_bytes = array("Q"), array("I")

    def result(self) -> DedupRatio:
        self._merge()
        self._merge_tails()
        distinct_bytes = self._distinct.size * self._chunk + int(self._tail_bytes.sum(dtype=int))
        return DedupRatio(
            chunk=self._chunk,
            chunks=self._chunks,
            distinct=self._distinct.size + self._tails.size,
            zero=self._zero,
            ratio=self._bytes / distinct_bytes if distinct_bytes else 1.0,
        )


class _Data:
    """Where a file has data, from its start on (lseek(2), SEEK_DATA and SEEK_HOLE).

    Attributes:
        holes: bytes in holes before the data that was last looked at.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._size = size
        self._start = self._end = 0
        self.holes = 0

    def hole_behind(self, offset: int) -> int:
        """Return the bytes of a hole from ``offset`` on; offsets ascend."""
        while self._end <= offset < self._size:
            start = self._seek(self._end, os.SEEK_DATA)
            self.holes += start - self._end
            self._start = start
            self._end = self._seek(start, os.SEEK_HOLE) if start < self._size else self._size + 1
        return max(0, self._start - offset)

    def _seek(self, offset: int, whence: int) -> int:
        try:
            found = os.lseek(self._descriptor, offset, whence)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return self._size  # nothing but a hole, or nothing at all
            # It cannot tell, as a device cannot: all is data.
            found = offset if whence == os.SEEK_DATA else self._size
        # A file that is written to meanwhile may say anything.
        return max(offset + (whence == os.SEEK_HOLE), min(found, self._size))


def _compressed_size(codec: Codec, chunk: int, block: memoryview) -> int:
    parts = (block[start : start + chunk] for start in range(0, len(block), chunk))
    return sum(min(len(part), len(codec(part))) for part in parts)


def _read(descriptor: int, buffer: memoryview, offset: int) -> int:
    """Fill ``buffer`` from ``offset`` on; return the bytes read, fewer at the end."""
    length = 0
    while length < len(buffer):
        count = os.preadv(descriptor, [buffer[length:]], offset + length)
        if not count:
            break
        length += count
    return length

"""Verification: files, devices and trees compared with what their names say."""

import fnmatch
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from functools import partial
from itertools import groupby, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dgenfs.content.view import View
from dgenfs.kernels.names import find_unknown
from dgenfs.kernels.trees import find_different
from dgenfs.machine import topology
from dgenfs.machine.directories import is_directory
from dgenfs.machine.threads import in_order
from dgenfs.names.data_set import ProfileDirectory
from dgenfs.names.file_set import ProfileFile
from dgenfs.names.grammar import INDEX
from dgenfs.names.spec import Spec
from dgenfs.verifying.comparing import CHUNK, Buffers, Comparison, Damage, OtherSeeds
from dgenfs.verifying.data_sets import missing_directories, others_in
from dgenfs.verifying.reading import NotAFileError, opened
from dgenfs.verifying.reports import (
    MAX_EXTENTS,
    Extent,
    FileReport,
    Kind,
    TreeReport,
    Unreadable,
)

LISTED = 1024  # names of a directory that are looked at together
MIN_THREADS = 16  # reads in flight on a machine of fewer CPUs, to keep a device's queue filled

log = logging.getLogger(__name__)

Progress = Callable[[int], None]


class Verifier:
    """Compares files with what their names say.

    One verifier keeps its threads and buffers for all files given to it; close it when done, or
    use it as a context manager. For one caller at a time.
    """

    def __init__(
        self,
        *,
        seeds: Sequence[int] = (),
        direct: bool = False,
        threads: int | None = None,
        exclude: Sequence[str] = (),
    ) -> None:
        """Start the reading threads.

        Args:
            seeds: other seeds whose content to recognize.
            direct: refuse to read through the page cache instead of doing so where a file cannot
                be read around it.
            threads: reads in flight, None for one a CPU and at least MIN_THREADS.
            exclude: patterns, as ``fnmatch`` has them, of names that may stand in a tree's
                directories besides its own.
        """
        self._others = OtherSeeds(seeds)
        self._direct = direct
        self._excluded = re.compile("|".join(map(fnmatch.translate, exclude)) or "(?!)")
        self._threads = threads or max(MIN_THREADS, len(topology.detect().cpus))
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="dgenfs-verify")
        self._buffers = Buffers()

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> "Verifier":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def verify_file(
        self, path: Path, spec: Spec, file: int = 0, progress: Progress | None = None
    ) -> FileReport:
        """Compare one file, or the start of a block device, with what it should hold.

        Args:
            path: a regular file or a block device.
            spec: what it should hold.
            file: number of the file in a tree.
            progress: called with the number of bytes compared since the last call.

        Raises:
            NotAFileError: ``path`` is neither.
            ValueError: it cannot be read around the page cache and must be.
            OSError: it cannot be opened; what cannot be read of it is damage.
        """
        return self._compared(path, spec.view(file), (spec.name, file), progress, MAX_EXTENTS)

    def verify_profile_file(
        self, path: Path, file: ProfileFile, progress: Progress | None = None
    ) -> FileReport:
        """Compare one file with one of a data set; see ``verify_file``."""
        name = (file.content_name, 0)
        return self._compared(path, file.view(), name, progress, MAX_EXTENTS)

    def _compared(
        self, path: Path, view: View, name: tuple[str, int], progress: Progress | None, room: int
    ) -> FileReport:
        """Do what ``verify_file`` does; keep no more than ``room`` extents, but count all."""
        with opened(path, direct=self._direct) as source:
            size = source.size
            report = FileReport(path, *name, view.size, size)
            log.debug("%s: %d bytes as %s, O_DIRECT %s", path, size, name, source.around_cache)
            comparison = Comparison(source, view, self._others, self._buffers)
            compared = min(size, view.size)
            chunks = ((at, min(CHUNK, compared - at)) for at in range(0, compared, CHUNK))
            window = 2 * self._threads
            view.compute_digests(0, compared, partial(in_order, self._pool, window))
            results: Iterator[Damage]
            if compared <= CHUNK:
                # Another thread would cost a small file more than it saves.
                results = map(comparison.chunk, chunks)
            else:
                results = in_order(self._pool, window, comparison.chunk, chunks, comparison.stop)
            for damage in results:
                report.wrong_sectors += damage.wrong_sectors
                for found in damage.found:
                    if isinstance(found, Extent):
                        report.add(found)
                    else:  # the first may go on with the one before it
                        found.add_to(report, max(1, room - len(report.extents)))
                if progress is not None:
                    progress(damage.length)
            report.changed = source.changed()
            report.size = source.size
        # Of a file that became shorter meanwhile, what is known to be wrong stays as it was found.
        end = max(min(size, report.size), report.last.end if report.last else 0)
        if end < view.size:
            report.add(Extent(end, view.size, Kind.MISSING, view.size - end))
        if report.size > view.size and not source.is_device:
            report.add(Extent(view.size, report.size, Kind.EXCESS, report.size - view.size))
        return report

    def verify_tree(self, path: Path, spec: Spec, progress: Progress | None = None) -> TreeReport:
        """Compare a directory with the tree it should hold.

        Files and directories in it that cannot be opened are in the report, and hide no others.

        Args:
            path: the tree's directory, whatever it is called.
            spec: a tree's.
            progress: called with the number of bytes compared since the last call.

        Raises:
            NotADirectoryError: ``path`` is not a directory.
            OSError: it cannot be reached.
        """
        if not is_directory(path):
            raise NotADirectoryError(f"{path}: is not a directory, and {spec.name} is a tree")
        report = TreeReport(path, spec.name, spec.files)
        for identical, results in self._files(path, spec, report, progress):
            report.identical_files += identical
            for result in results:
                _add(report, result)
        self._add_others(report, (self._beside(path, spec, one) for one in _others(path, spec)))
        return report

    def _beside(
        self, path: Path, spec: Spec, other: str | Unreadable
    ) -> FileReport | Unreadable | str:
        """Return the report of an index beside a tree's file, the path of anything else."""
        if isinstance(other, Unreadable):
            return other
        file = None
        if spec.has_indexes and other.endswith(f".{INDEX}"):
            file = spec.index(other.removesuffix(f".{INDEX}"))
        if file is None:
            return other
        report = self._file(path, other, spec.index_of_a_file, 0, None, MAX_EXTENTS)
        if isinstance(report, FileReport):
            report.file = file
        return report

    def verify_data_set(
        self, path: Path, data_set: ProfileDirectory, progress: Progress | None = None
    ) -> TreeReport:
        """Compare a directory with the data set that it should hold; see ``verify_tree``.

        Args:
            path: the directory, whatever it is called.
            data_set: its top, or a directory in it.
            progress: called with the number of bytes compared since the last call.

        Raises:
            NotADirectoryError: ``path`` is not a directory.
            OSError: it cannot be reached.
        """
        if not is_directory(path):
            raise NotADirectoryError(f"{path}: is not a directory, and {data_set} is one")
        report = TreeReport(path, str(data_set), data_set.files)

        def verify(file: ProfileFile) -> tuple[int, FileReport | Unreadable | str]:
            room = min(MAX_EXTENTS, max(1, report.room))
            return file.size, self._profile_file(path, data_set, file, None, room)

        files = (node for node in data_set.walk() if isinstance(node, ProfileFile))
        for small, some in groupby(files, lambda file: file.size <= CHUNK):
            if small:
                for size, result in in_order(self._pool, 2 * self._threads, verify, some):
                    _add(report, result)
                    if progress is not None:
                        progress(size)
            else:
                # The threads share the chunks of one file.
                for file in some:
                    _add(report, self._profile_file(path, data_set, file, progress, MAX_EXTENTS))
        for empty in missing_directories(path, data_set):
            report.files += 1
            report.add_missing(empty)
        self._add_others(report, others_in(path, data_set))
        return report

    def _profile_file(
        self,
        path: Path,
        data_set: ProfileDirectory,
        file: ProfileFile,
        progress: Progress | None,
        room: int,
    ) -> FileReport | Unreadable | str:
        """Return the report of a data set's file; its path in it if it is not there."""
        inside = data_set.path_of(file)
        return self._found(path, inside, file.view(), (file.content_name, 0), progress, room)

    def _add_others(
        self, report: TreeReport, others: Iterator[FileReport | Unreadable | str]
    ) -> None:
        for other in others:
            if isinstance(other, Unreadable):
                report.add_unreadable(other)
            elif isinstance(other, FileReport):
                if not other.identical:  # which is none of those that are counted
                    report.add_file(other)
            elif self._excluded.fullmatch(other.rpartition("/")[2]):
                report.add_excluded(other)
            else:
                report.add_unexpected(other)

    def _files(
        self, path: Path, spec: Spec, report: TreeReport, progress: Progress | None
    ) -> Iterator[tuple[int, list[FileReport | Unreadable | str]]]:
        """Yield, for batches of a tree's files in order, what was found.

        Yields:
            How many are identical, and what each other one is: the path within the tree of one
            that is not there.
        """
        if spec.size > CHUNK:
            # The threads share the chunks of one file.
            for file in range(spec.files):
                yield 0, [self._file(path, spec.path(file), spec, file, progress, MAX_EXTENTS)]
            return

        def verify(files: range) -> tuple[int, list[FileReport | Unreadable | str]]:
            different = self._different(folder, spec, files, stop)
            # The room only shrinks, so nothing is left out that the report will keep.
            room = min(MAX_EXTENTS, max(1, report.room))
            results = []
            for file in different:
                if stop[0]:
                    raise CancelledError
                results.append(self._file(path, spec.path(file), spec, file, None, room))
            return len(files) - len(different), results

        stop = np.zeros(1, np.int64)
        batches = spec.batches(CHUNK)
        folder = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for result in in_order(
                self._pool, 2 * self._threads, verify, batches, lambda: stop.fill(1)
            ):
                if progress is not None:
                    identical, results = result
                    progress((identical + len(results)) * spec.size)
                yield result
        finally:
            os.close(folder)

    def _different(
        self, folder: int, spec: Spec, files: range, stop: NDArray[np.int64]
    ) -> Sequence[int]:
        """Return the files that are not identical, or that only Python can compare.

        Args:
            folder: descriptor of the tree's directory.
            spec: the tree's.
            files: their numbers; none is larger than CHUNK.
            stop: as ``find_different`` takes it.
        """
        if not spec.is_compiled or spec.size == 0:  # of no bytes are many that are no files
            return files
        different = np.zeros(len(files), np.uint8)
        buffer = np.frombuffer(self._buffers.data, np.uint8)
        first = np.uint64(files.start)
        find_different(folder, first, different, buffer, spec.row, self._direct, stop)
        return [files[i] for i in np.flatnonzero(different)]

    def _file(
        self,
        path: Path,
        inside: str,
        spec: Spec,
        file: int,
        progress: Progress | None,
        room: int,
    ) -> FileReport | Unreadable | str:
        """Return the report of a file ``inside`` a tree; its path if it is not there."""
        name = (spec.name, file)
        return self._found(path, inside, spec.view(file), name, progress, room)

    def _found(
        self,
        path: Path,
        inside: str,
        view: View,
        name: tuple[str, int],
        progress: Progress | None,
        room: int,
    ) -> FileReport | Unreadable | str:
        try:
            return self._compared(path / inside, view, name, progress, room)
        except (FileNotFoundError, NotADirectoryError, NotAFileError):
            return inside
        except (OSError, ValueError) as error:
            return Unreadable.of(inside, error)


def _add(report: TreeReport, result: FileReport | Unreadable | str) -> None:
    if isinstance(result, str):
        report.add_missing(result)
    elif isinstance(result, Unreadable):
        report.add_unreadable(result)
    else:
        report.add_file(result)


def _others(path: Path, spec: Spec, directory: int | None = None) -> Iterator[str | Unreadable]:
    """Yield the paths within the tree at ``path`` that are not its own, and unreadable directories.

    Args:
        path: the tree's directory.
        spec: the tree's.
        directory: which of its directories, None for the tree itself.
    """
    inside = "" if directory is None else f"{spec.directory_name(directory)}/"
    try:
        with os.scandir(path / inside) as entries:
            names = (entry.name for entry in entries)
            while some := list(islice(names, LISTED)):
                for name in _unknown(some, spec, directory):
                    number = spec.directory_index(name) if directory is None else None
                    if number is None:
                        yield inside + name
                    else:
                        yield from _others(path, spec, number)
    except OSError as error:
        no_directory = isinstance(error, FileNotFoundError | NotADirectoryError)
        other = inside and no_directory
        yield inside[:-1] if other else Unreadable.of(inside[:-1] or ".", error)


def _unknown(names: list[str], spec: Spec, directory: int | None) -> list[str]:
    """Return those of the names in a tree's directory that are no file's that belongs there."""
    text = np.frombuffer(os.fsencode("\0".join([*names, ""])), np.uint8)
    unknown = np.empty(len(names), np.uint8)
    find_unknown(text, np.int64(-1 if directory is None else directory), unknown, spec.row)
    return [names[i] for i in np.flatnonzero(unknown)]

"""Verification: files, devices and trees compared with what their names say."""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

from dgenfs.machine import topology
from dgenfs.machine.directories import is_directory
from dgenfs.machine.threads import in_order
from dgenfs.names.spec import Spec
from dgenfs.verifying.comparing import CHUNK, Buffers, Comparison, rows_of
from dgenfs.verifying.reading import NotAFileError, opened
from dgenfs.verifying.reports import Extent, FileReport, Kind, TreeReport, Unreadable

MIN_THREADS = 4  # reads in flight on a machine of fewer CPUs, to keep a device's queue filled

log = logging.getLogger(__name__)

Progress = Callable[[int], None]


class Verifier:
    """Compares files with what their names say.

    One verifier keeps its threads and buffers for all files given to it; close it when done, or
    use it as a context manager. For one caller at a time.
    """

    def __init__(
        self, *, seeds: Sequence[int] = (), direct: bool = False, threads: int | None = None
    ) -> None:
        """Start the reading threads.

        Args:
            seeds: other seeds whose content to recognize.
            direct: refuse to read through the page cache instead of doing so where a file cannot
                be read around it.
            threads: reads in flight, None for one a CPU and at least MIN_THREADS.
        """
        self._seeds = tuple(seeds)
        self._direct = direct
        self._threads = threads or max(MIN_THREADS, len(topology.detect().cpus))
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="dgenfs-verify")
        self._buffers = Buffers()
        # A tree's files are all of one layout.
        self._rows = lru_cache(maxsize=8)(lambda layout: rows_of(layout, self._seeds))

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
        view = spec.view(file)
        with opened(path, direct=self._direct) as source:
            size = source.size
            report = FileReport(path, spec.name, file, view.size, size)
            log.debug("%s: %d bytes as %s, O_DIRECT %s", path, size, spec, source.around_cache)
            comparison = Comparison(source, view, self._seeds, self._rows, self._buffers)
            compared = min(size, view.size)
            chunks = ((at, min(CHUNK, compared - at)) for at in range(0, compared, CHUNK))
            results: Iterator[tuple[int, int, list[Extent]]]
            if compared <= CHUNK:
                # Another thread would cost a small file more than it saves.
                results = map(comparison.chunk, chunks)
            else:
                results = in_order(self._pool, 2 * self._threads, comparison.chunk, chunks)
            for length, wrong_sectors, extents in results:
                report.wrong_sectors += wrong_sectors
                for extent in extents:
                    report.add(extent)
                if progress is not None:
                    progress(length)
        if size < view.size:
            report.add(Extent(size, view.size, Kind.MISSING, view.size - size))
        if size > view.size and not source.is_device:
            report.add(Extent(view.size, size, Kind.EXCESS, size - view.size))
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
        for file, result in enumerate(self._files(path, spec, progress)):
            if result is None:
                report.add_missing(spec.path(file))
            elif isinstance(result, Unreadable):
                report.add_unreadable(result)
            else:
                report.add_file(result)
        for other in _others(path, spec):
            if isinstance(other, Unreadable):
                report.add_unreadable(other)
            else:
                report.add_unexpected(other)
        return report

    def _files(
        self, path: Path, spec: Spec, progress: Progress | None
    ) -> Iterator[FileReport | Unreadable | None]:
        """Yield the report of each file of a tree in order, None for one that is not there."""

        def verify(file: int) -> FileReport | Unreadable | None:
            inner = progress if spec.size > CHUNK else None
            inside = spec.path(file)
            try:
                return self.verify_file(path / inside, spec, file, inner)
            except (FileNotFoundError, NotADirectoryError, NotAFileError):
                return None
            except (OSError, ValueError) as error:
                return Unreadable(inside, _reason(error))

        files = range(spec.files)
        if spec.size > CHUNK:
            # The threads share the chunks of one file.
            yield from map(verify, files)
            return
        for result in in_order(self._pool, 2 * self._threads, verify, files):
            if progress is not None:
                progress(spec.size)
            yield result


def _others(path: Path, spec: Spec, directory: str = "") -> Iterator[str | Unreadable]:
    """Yield the paths within the tree at ``path`` that are not its own, and unreadable directories.

    Args:
        path: the tree's directory.
        spec: the tree's.
        directory: which of its directories, ``""`` for the tree itself.
    """
    try:
        names = [entry.name for entry in (path / directory).iterdir()]
    except OSError as error:
        no_directory = isinstance(error, FileNotFoundError | NotADirectoryError)
        other = directory and no_directory
        yield directory if other else Unreadable(directory or ".", _reason(error))
        return
    for name in names:
        if not directory and spec.directory_index(name) is not None:
            yield from _others(path, spec, name)
        elif spec.index(inside := f"{directory}/{name}" if directory else name) is None:
            yield inside


def _reason(error: OSError | ValueError) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)

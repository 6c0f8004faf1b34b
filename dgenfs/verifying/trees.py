"""Directories and prefixes compared with the trees, or the data sets, that they should hold."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import replace
from itertools import islice, repeat

import numpy as np
from numpy.typing import NDArray

from dgenfs.kernels.names import find_unknown
from dgenfs.kernels.trees import find_different
from dgenfs.machine.threads import in_order
from dgenfs.names.catalog import Directory, File, Member
from dgenfs.names.data_set import ProfileDirectory
from dgenfs.names.file_set import ProfileFile
from dgenfs.names.grammar import INDEX
from dgenfs.names.share import Share
from dgenfs.names.spec import Spec
from dgenfs.verifying.comparing import CHUNK
from dgenfs.verifying.copies import Content, Copies, Progress, Result
from dgenfs.verifying.findings import MAX_EXTENTS
from dgenfs.verifying.places import Folder, Place
from dgenfs.verifying.reading import Caching
from dgenfs.verifying.reports import FileReport, TreeReport, Unreadable

LISTED = 1024  # names of a directory that are looked at together


class TreeCheck:
    """One directory, or prefix, that is compared with what it should hold."""

    def __init__(
        self, copies: Copies, place: Place, report: TreeReport, progress: Progress
    ) -> None:
        """Compare what is at ``place``, with the threads of ``copies``, and add to ``report``."""
        self._copies = copies
        self._place = place
        self._report = report
        self._progress = progress

    def files(self, node: Directory | ProfileDirectory, share: Share) -> None:
        """Compare the files of what should be there, those in a share."""
        place = self._place
        if isinstance(node, Directory) and isinstance(place, Folder) and node.spec.size <= CHUNK:
            numbers = node.files
            some = share.of(len(numbers))
            self._small_files(place, node, numbers[some.start : some.stop])
        else:
            self._members(node.members(share))

    def _members(self, members: Iterable[Member]) -> None:
        results = self._copies.found_all(self._place, members, self._room, self._progress)
        for _, result in results:
            self._add(result)

    def _room(self) -> int:
        # It only shrinks, so nothing is left out that the report will keep.
        return min(MAX_EXTENTS, max(1, self._report.room))

    def _small_files(self, place: Folder, directory: Directory, files: range) -> None:
        """Compare small files of a tree; what is identical costs no Python."""
        spec = directory.spec
        # Of the same content, with paths in the directory.
        there = spec if directory.number is None else replace(spec, per_directory=None)

        def verify(batch: range) -> tuple[int, list[Result]]:
            different = _different(folder, place, there, batch, stop)
            results = []
            for file in different:
                if stop[0]:
                    raise CancelledError
                inside, content = there.path(file), Content.of(File(spec, file))
                room = self._room()
                result = self._copies.found(self._place, inside, content, room, self._progress)
                results.append(result)
            return len(batch) - len(different), results

        copies = self._copies
        stop = np.zeros(1, np.int64)
        folder = os.open(place.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for identical, results in in_order(
                copies.pool,
                copies.ahead,
                verify,
                spec.batches(CHUNK, files),
                lambda: stop.fill(1),
            ):
                self._progress(identical * spec.size)
                self._report.identical_files += identical
                for result in results:
                    self._add(result)
        finally:
            os.close(folder)

    def _add(self, result: Result) -> None:
        if isinstance(result, str):
            self._report.add_missing(result)
        elif isinstance(result, Unreadable):
            self._report.add_unreadable(result)
        else:
            self._report.add_file(result)

    def others(self, node: Directory | ProfileDirectory, excluded: re.Pattern[str]) -> None:
        """Add what should not be there, but for names that are ``excluded``."""
        if isinstance(node, Directory):
            others = self._others_of_tree(node)
        else:
            others = self._others_of_data_set(node)
        for other in others:
            if isinstance(other, Unreadable):
                self._report.add_unreadable(other)
            elif isinstance(other, FileReport):
                if not other.identical:  # which is none of those that are counted
                    self._report.add_file(other)
            elif excluded.fullmatch(other.rstrip("/").rpartition("/")[2]):
                self._report.add_excluded(other)
            else:
                self._report.add_unexpected(other)

    def _others_of_tree(self, directory: Directory, inside: str = "") -> Iterator[Result]:
        """Yield what is in a tree's place that is not its own, and directories that are unreadable.

        Of an index that stands beside a tree's file, what is found in it.

        Args:
            directory: the tree, or one of its directories.
            inside: where that is in the place.
        """
        spec = directory.spec
        try:
            for names, kinds in self._listed(inside):
                strange = _unknown(names, spec, directory.number)
                unknown = set(strange)
                # In a file system names that are known cost no Python, be they a million.
                for name, is_directory in kinds or zip(strange, repeat(None)):
                    other = f"{inside}/{name}" if inside else name
                    number = None
                    if name in unknown and directory.number is None:
                        number = spec.directory_index(name)
                    if is_directory and number is None:
                        yield other if name in unknown else f"{other}/"
                    elif name not in unknown:
                        continue
                    elif number is None:
                        yield self._beside(directory, name, other)
                    elif is_directory is False:
                        yield other
                    else:
                        yield from self._others_of_tree(Directory(spec, number), other)
        except OSError as error:
            no_directory = isinstance(error, FileNotFoundError | NotADirectoryError)
            yield inside if inside and no_directory else Unreadable.of(inside or ".", error)

    def _listed(self, inside: str) -> Iterator[tuple[list[str], list[tuple[str, bool | None]]]]:
        """Yield LISTED names at a time, and of a store's whether each is a directory's.

        There an object ``000001.bin`` stands beside others whose keys begin with ``000001.bin/``,
        and either may be one too many. Where nothing else can have the same name it is None.
        """
        if isinstance(self._place, Folder):
            names = self._place.names(inside)
            while some := list(islice(names, LISTED)):
                yield some, []
            return
        entries = self._place.entries(inside)
        while found := list(islice(entries, LISTED)):
            yield (
                [one.name for one in found],
                [
                    (one.name, one.is_directory or (None if one.size is None else False))
                    for one in found
                ],
            )

    def _beside(self, directory: Directory, name: str, other: str) -> Result:
        """Return what is found in an index beside a tree's file, the path of anything else."""
        file = None
        spec = directory.spec
        if spec.has_indexes and name.endswith(f".{INDEX}"):
            file = spec.index(directory.inside + name.removesuffix(f".{INDEX}"))
        if file is None:
            return other
        content = Content.of(File(spec.index_of_a_file))._replace(file=file)
        return self._copies.found(self._place, other, content, MAX_EXTENTS, self._progress)

    def _others_of_data_set(self, data_set: ProfileDirectory) -> Iterator[Result]:
        """Yield what is not a data set's own, and its directories that are unreadable."""
        for directory in (data_set, *data_set.below()):
            inside = data_set.path_of(directory) if directory != data_set else ""
            try:
                for names, kinds in self._listed(inside):
                    for name, is_directory in kinds or zip(names, repeat(None)):
                        other = f"{inside}/{name}" if inside else name
                        child = directory.get(name)
                        if child is None:
                            yield other
                        elif is_directory is isinstance(child, ProfileFile):
                            yield f"{other}/" if is_directory else other
            except FileNotFoundError:
                continue
            except NotADirectoryError:
                if isinstance(self._place, Folder):  # else the listing above it has told
                    yield inside
            except OSError as error:
                yield Unreadable.of(inside or ".", error)

    def missing_directories(self, data_set: ProfileDirectory) -> None:
        """Add the directories with nothing in them, which no missing file tells of."""
        if not isinstance(self._place, Folder):
            return  # a store has none
        for directory in data_set.below():
            inside = data_set.path_of(directory)
            if directory.count == 0 and not os.path.lexists(self._place.path / inside):
                self._report.files += 1
                self._report.add_missing(f"{inside}/")


def compared_tree(
    copies: Copies,
    place: Place,
    node: Directory | ProfileDirectory,
    excluded: re.Pattern[str],
    progress: Progress,
    share: Share,
) -> TreeReport:
    """Compare what should be a directory of the catalog; see ``Verifier.verify_tree``.

    Args:
        copies: whose threads compare.
        place: where it is.
        node: what should be there.
        excluded: names that may be there too.
        progress: called with the number of bytes compared since the last call.
        share: the part of its files to compare.
    """
    if isinstance(node, Directory):
        kind = "a tree" if node.number is None else "a directory of one"
        files = len(node.files)
    else:
        kind = "one"
        files = node.files
    place.require_directory(f"{node} is {kind}")
    report = TreeReport(place.path, str(node), len(share.of(files)))
    check = TreeCheck(copies, place, report, progress)
    check.files(node, share)
    if share.first:
        if isinstance(node, ProfileDirectory):
            check.missing_directories(node)
        check.others(node, excluded)
    return report


def _different(
    folder: int, place: Folder, spec: Spec, files: range, stop: NDArray[np.int64]
) -> Sequence[int]:
    """Return the files that are not identical, or that only Python can compare.

    Args:
        folder: descriptor of the tree's directory.
        place: the same, and how it is read.
        spec: the tree's.
        files: their numbers; none is larger than CHUNK.
        stop: as ``find_different`` takes it.
    """
    if not spec.is_compiled or spec.size == 0:  # of no bytes are many that are no files
        return files
    different = np.zeros(len(files), np.uint8)
    buffer = np.frombuffer(place.buffers.data, np.uint8)
    first = np.uint64(files.start)
    direct = place.caching is Caching.DIRECT
    buffered = place.caching is Caching.THROUGH
    find_different(folder, first, different, buffer, spec.row, direct, buffered, stop)
    return [files[i] for i in np.flatnonzero(different)]


def _unknown(names: list[str], spec: Spec, directory: int | None) -> list[str]:
    """Return those of the names in a tree's directory that are no file's that belongs there."""
    text = np.frombuffer(os.fsencode("\0".join([*names, ""])), np.uint8)
    unknown = np.empty(len(names), np.uint8)
    find_unknown(text, np.int64(-1 if directory is None else directory), unknown, spec.row)
    return [names[i] for i in np.flatnonzero(unknown)]

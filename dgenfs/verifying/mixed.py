"""Directories and prefixes of anything, compared by what the names of files and trees in it say."""

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import PurePath
from typing import NamedTuple

from dgenfs.names.catalog import ROOT, Directory, File
from dgenfs.names.grammar import SpecError
from dgenfs.names.share import Share
from dgenfs.names.tree_files import file_of_copy, is_number
from dgenfs.verifying.copies import Copies, Progress
from dgenfs.verifying.findings import MAX_EXTENTS
from dgenfs.verifying.places import Entry, Place
from dgenfs.verifying.reports import DirectoryReport, FileReport, Unreadable, reason
from dgenfs.verifying.trees import compared_tree
from dgenfs.verifying.walking import walk


class Named(NamedTuple):
    """A copy that is known by its name.

    Attributes:
        inside: its path in the directory.
        node: what its name says.
    """

    inside: str
    node: File | Directory


class Mixed:
    """A directory, or a prefix, whose own name is no tree's."""

    def __init__(self, place: Place, names: PurePath, excluded: re.Pattern[str]) -> None:
        """Look at what is in ``place``.

        Args:
            place: where it is.
            names: its path from the root, or its bucket, as a tree may be above.
            excluded: names that are no matter.
        """
        self._place = place
        self._names = names
        self._excluded = excluded

    def size(self) -> int | None:
        """Return the bytes of all that is known by its name, None if nothing is.

        Raises:
            OSError: it cannot be listed.
        """
        found = [one.node.size for one in self._found(DirectoryReport(self._place.path))]
        return sum(found) if found else None

    def compared(self, copies: Copies, share: Share, progress: Progress) -> DirectoryReport:
        """Compare what is known by its name.

        Raises:
            OSError: it cannot be listed.
        """
        report = DirectoryReport(self._place.path)
        place = self._place

        def room() -> int:
            return min(MAX_EXTENTS, report.room)

        for is_file, some in groupby(self._found(report), lambda one: isinstance(one.node, File)):
            if not is_file:
                for inside, node in some:
                    assert isinstance(node, Directory)
                    below = place.below(inside)
                    try:
                        report.add(
                            compared_tree(copies, below, node, self._excluded, progress, share)
                        )
                    except OSError as error:
                        why = reason(error).removeprefix(f"{below.path}: ")
                        self._add_unchecked(report, Unreadable(inside, why))
                continue
            files = ((inside, node) for inside, node in some if isinstance(node, File))
            for _, result in copies.found_all(place, files, room, progress, share):
                if isinstance(result, FileReport):
                    report.add(result)
                    continue
                if isinstance(result, str):
                    result = Unreadable(result, "is gone, or no file any more")
                self._add_unchecked(report, result)
        return report

    def _found(self, report: DirectoryReport) -> Iterator[Named]:
        """Yield what is known by its name; add to the report what else is there."""
        for inside, entry in walk(self._place, self._enters):
            if self._excluded.fullmatch(entry.name):
                report.add_excluded(str(self._place.at(inside)))
                continue
            try:
                yield self._named(inside, entry)
            except (OSError, ValueError) as error:
                self._add_unchecked(report, Unreadable.of(inside, error))

    def _add_unchecked(self, report: DirectoryReport, what: Unreadable) -> None:
        report.add_unchecked(Unreadable(str(self._place.at(what.path)), what.reason))

    def _enters(self, entry: Entry) -> bool:
        return not self._excluded.fullmatch(entry.name) and tree_of(entry.name) is None

    def _named(self, inside: str, entry: Entry) -> Named:
        """Return whose copy an entry is; ValueError if it is none's."""
        if entry.why:
            raise ValueError(entry.why)
        if entry.is_directory:
            tree = tree_of(entry.name)
            assert tree is not None
            return Named(inside, tree)
        size = entry.size
        if size is None and is_number(entry.name):
            with self._place.opened(inside, 0) as source:
                size = source.size
        return Named(inside, file_of_copy(self._names / inside, size))


def tree_of(name: str) -> Directory | None:
    """Return the tree of a name; None if it is no tree's."""
    try:
        node = ROOT.child(name)
    except SpecError:
        return None
    return node if isinstance(node, Directory) else None

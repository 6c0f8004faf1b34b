"""What verify does with the paths it is given: one that cannot be checked hides no other."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from dgenfs.cli import render
from dgenfs.cli.arguments import (
    Range,
    UnnamedError,
    expected,
    expected_as,
    expected_by_profile,
    expected_of_url,
    part_of_data_set,
)
from dgenfs.cli.terminal import print_error, print_json, print_text, progress
from dgenfs.machine.directories import absolute
from dgenfs.machine.stores import is_url, local_path, path_of
from dgenfs.names.catalog import Directory, File
from dgenfs.names.data_set import DataSet, ProfileDirectory
from dgenfs.names.file_set import ProfileFile
from dgenfs.names.share import WHOLE, Share
from dgenfs.names.tree_files import hint, tree_file
from dgenfs.verifying.reports import DirectoryReport, FileReport, TreeReport, Unreadable, reason

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from dgenfs.verifying.verifier import Verifier


class OwnNames(NamedTuple):
    """A directory, or a prefix, of copies that have names of their own.

    Attributes:
        size: bytes of them.
        unnamed: what to say of it where none has a name.
    """

    size: int
    unnamed: UnnamedError


Expected = File | Directory | ProfileFile | ProfileDirectory | OwnNames
Report = FileReport | TreeReport | DirectoryReport

Item = TypeVar("Item")
Result = TypeVar("Result")

STDIN = "-"
_IN_ORDER = "comes in order, and is read whole: leave out --part and --dask"
_OF_ONE_FILE = "--offset, --length and --at are of one file, no tree"


@dataclass(frozen=True, slots=True)
class Options:
    """How copies are checked.

    Attributes:
        as_name: what they hold, None for what their names say.
        seeds: others whose content to recognize.
        direct: whether to refuse reads through the page cache.
        exclude: patterns of names that may stand in a tree's directory besides its own.
        data_set: what a profile describes, whose copies they are; None for names' copies.
        share: the part of each that is checked.
        range: what of their content they hold, and where; None for all.
        buffered: whether to read through the page cache.
        threads: reads in flight, None for the verifier's choice.
        dask: the cluster that checks them, None for this process.

    Raises:
        ValueError: two of them exclude each other.
    """

    as_name: str | None
    seeds: Sequence[int]
    direct: bool
    exclude: Sequence[str]
    data_set: DataSet | None = None
    share: Share = WHOLE
    range: Range | None = None
    buffered: bool = False
    threads: int | None = None
    dask: str | None = None

    def __post_init__(self) -> None:
        if self.dask is not None and (self.share != WHOLE or self.range is not None):
            raise ValueError("--dask: checks all of a copy, without --part, --offset and --length")
        if self.direct and self.buffered:
            raise ValueError("--direct and --buffered: are opposites; leave out one")
        if self.range is not None and self.share != WHOLE:
            raise ValueError(f"--part {self.share}: is of all, not of --offset and --length")


class Verification:
    """Copies checked one after the other.

    Attributes:
        unchecked: paths that were given and could not be checked.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._found: list[Report] = []
        self.unchecked: list[Unreadable] = []

    def check(self, paths: Sequence[str]) -> None:
        """Check each path; say at once why one cannot be."""
        work = self._tried(self._expected, [(path, path) for path in paths])
        if not work:
            return
        with self._verifier() as verifier:
            work = self._tried(partial(self._gone_into, verifier), work)
            with progress("verify", sum(self._size(node) for _, node in work)) as advance:
                done = self._tried(partial(self._report, verifier, advance), work)
        self._found += [report for _, report in done]

    def _verifier(self) -> "AbstractContextManager[Verifier]":
        from dgenfs.verifying.verifier import Verifier  # here, as it loads a compiler

        options = self._options
        settings: dict[str, Any] = {
            "seeds": options.seeds,
            "direct": options.direct,
            "buffered": options.buffered,
            "threads": options.threads,
            "exclude": options.exclude,
        }
        if options.dask is None:
            return Verifier(**settings)
        from dgenfs.distributed.verifying import verifier_on

        return verifier_on(options.dask, **settings)

    def _tried(
        self, call: Callable[[str, Item], Result], items: Iterable[tuple[str, Item]]
    ) -> list[tuple[str, Result]]:
        """Return what ``call`` gives of each path; say at once why one cannot be checked."""
        given = []
        for path, item in items:
            try:
                given.append((path, call(path, item)))
            except (OSError, ValueError, MemoryError) as error:
                self._add_unchecked(path, error)
        return given

    def _gone_into(self, verifier: "Verifier", path: str, node: Expected) -> Expected:
        """Return what is expected, of a directory without a name that there are names in it."""
        if not isinstance(node, OwnNames):
            return node
        if self._options.range is not None:
            raise ValueError(f"{path}: {_OF_ONE_FILE}")
        if path == STDIN:
            return node  # an archive, maybe
        from dgenfs.verifying.objects import is_object

        try:
            size = verifier.size_by_names(path)
        except OSError:
            if is_url(path) and is_object(path):
                raise node.unnamed from None
            raise
        if size is None:
            raise node.unnamed
        return OwnNames(size, node.unnamed)

    def _expected(self, path: str, _: str) -> Expected:
        try:
            return self._said(path)
        except UnnamedError as error:
            return OwnNames(0, error)

    def _said(self, path: str) -> Expected:
        """Return what options, or a path's own name, say that it holds."""
        options = self._options
        if path == STDIN and options.as_name is None:
            unnamed = UnnamedError("standard input has no name: say what it holds: --as NAME")
            if options.data_set is not None or os.isatty(0):
                raise ValueError(str(unnamed))
            raise unnamed
        if options.data_set is not None:
            if path == STDIN or is_url(path):
                name = (options.as_name or "").rstrip("/")  # none is all of it
                return options.data_set.top.find(name.split("/") if name else ())
            return expected_by_profile(Path(path), options.as_name, options.data_set)
        if path == STDIN:
            return expected_as(path, options.as_name or "", directory=False)
        local = local_path(path)
        if is_url(path) and local is None:
            return expected_of_url(path, options.as_name)
        return expected(Path(local or path), options.as_name)

    def _size(self, node: Expected) -> int:
        """Return the bytes to read, an estimate."""
        options = self._options
        if options.range is not None:
            return min(node.size, options.range.length or node.size)
        return node.size // options.share.count

    def _report(
        self, verifier: "Verifier", advance: Callable[[int], None], path: str, node: Expected
    ) -> Report:
        """Return what is found in a path that should hold ``node``."""
        share = self._options.share
        if isinstance(node, OwnNames):
            if path == STDIN:
                return self._archive(verifier, advance, node)
            return verifier.verify_directory(path, advance, share=share)
        if isinstance(node, Directory | ProfileDirectory):
            if self._options.range is not None:
                raise ValueError(f"{path}: {_OF_ONE_FILE}")
            return verifier.verify_tree(path, node, advance, share=share)
        window = self._options.range and self._options.range.window(node.size, str(node.spec))
        if path == STDIN or (not is_url(path) and Path(path).is_fifo()):
            if share != WHOLE or self._options.dask is not None:
                raise ValueError(f"{path}: {_IN_ORDER}")
            from dgenfs.verifying.streams import opened_stream

            with opened_stream(None if path == STDIN else path) as stream:
                return verifier.verify_stream(stream, path, node, advance, window=window)
        return verifier.verify_file(path, node, advance, share=share, window=window)

    def _archive(
        self, verifier: "Verifier", advance: Callable[[int], None], node: OwnNames
    ) -> DirectoryReport:
        """Return what is found in a tar archive that standard input is, maybe."""
        if self._options.share != WHOLE or self._options.dask is not None:
            raise ValueError(f"{STDIN}: {_IN_ORDER}")
        from dgenfs.verifying.archives import NotAnArchiveError
        from dgenfs.verifying.streams import opened_stream

        try:
            with opened_stream() as stream:
                return verifier.verify_archive(stream, STDIN, advance)
        except NotAnArchiveError:
            raise node.unnamed from None

    def _add_unchecked(self, path: str, error: OSError | ValueError | MemoryError) -> None:
        why = "out of memory" if isinstance(error, MemoryError) else reason(error)
        why = why.removeprefix(f"{path}: ")
        print_error(f"{path}: {why}")
        self.unchecked.append(Unreadable(str(path), why))

    @property
    def reports(self) -> list[FileReport | TreeReport]:
        """Reports of what could be checked, in directories of anything too."""
        return [
            one
            for report in self._found
            for one in (report.reports if isinstance(report, DirectoryReport) else [report])
        ]

    @property
    def _directories(self) -> list[DirectoryReport]:
        return [report for report in self._found if isinstance(report, DirectoryReport)]

    @property
    def code(self) -> int:
        """The exit code, by the worst that was found."""
        below = [one for report in self._directories for one in report.unchecked]
        return render.code(self.reports, [*self.unchecked, *below])

    def print(self, *, as_json: bool) -> None:
        """Print what was found; OSError if that fails."""
        if as_json:
            self._print_json()
            return
        for one in self._found:
            each = one.reports if isinstance(one, DirectoryReport) else [one]
            print_text(*(render.as_text(report, self._hint(report)) for report in each))
            if isinstance(one, DirectoryReport):
                print_text(render.rest_as_text(one))

    def _print_json(self) -> None:
        share = self._options.share
        below = self._directories
        unchecked = [*self.unchecked, *(one for report in below for one in report.unchecked)]
        print_json(
            {
                "identical": self.code == render.IDENTICAL,
                **({} if share == WHOLE else {"part": asdict(share)}),
                "reports": [render.as_json(report) for report in self.reports],
                "unchecked": [render.unreadable_as_json(one) for one in unchecked],
                "unchecked_paths": len(self.unchecked) + sum(one.unchecked_paths for one in below),
                "excluded": [path for report in below for path in report.excluded],
                "excluded_paths": sum(report.excluded_paths for report in below),
            }
        )

    def _hint(self, report: FileReport | TreeReport) -> str | None:
        """Return what to say instead, where a path's own name is not likely to be what it holds."""
        options = self._options
        if isinstance(report, TreeReport):
            if options.data_set is None or options.as_name is not None or report.identical_files:
                return None
            directory = part_of_data_set(Path(report.path), options.data_set)
            return directory and f"if it is a copy of {directory}, say --as {directory}"
        if options.as_name is not None or options.data_set:
            return None
        path = str(report.path)
        whole = path_of(path) if is_url(path) else absolute(Path(path))
        if report.size == report.expected_size and whole.name[0] != "0":
            return None
        name = tree_file(whole)
        return name and hint(name)

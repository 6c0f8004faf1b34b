"""What verify does with the paths it is given: one that cannot be checked hides no other."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from dgenfs.cli import render
from dgenfs.cli.arguments import (
    Range,
    expected,
    expected_by_profile,
    expected_of_url,
    part_of_data_set,
    tree_file,
)
from dgenfs.cli.terminal import print_error, print_json, print_text, progress
from dgenfs.machine.stores import is_url
from dgenfs.names.catalog import Directory, File, find_file
from dgenfs.names.data_set import DataSet, ProfileDirectory
from dgenfs.names.file_set import ProfileFile
from dgenfs.names.share import WHOLE, Share
from dgenfs.verifying.reports import FileReport, TreeReport, Unreadable, reason

if TYPE_CHECKING:
    from dgenfs.verifying.verifier import Verifier

Expected = File | Directory | ProfileFile | ProfileDirectory

STDIN = "-"


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

    def __post_init__(self) -> None:
        if self.direct and self.buffered:
            raise ValueError("--direct and --buffered: are opposites; leave out one")
        if self.range is not None and self.share != WHOLE:
            raise ValueError(f"--part {self.share}: is of all, not of --offset and --length")


class Verification:
    """Copies checked one after the other.

    Attributes:
        reports: of what could be checked.
        unchecked: the other paths.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self.reports: list[FileReport | TreeReport] = []
        self.unchecked: list[Unreadable] = []

    def check(self, paths: Sequence[str]) -> None:
        """Check each path; say at once why one cannot be."""
        work = []
        for path in paths:
            try:
                work.append((path, self._expected(path)))
            except (OSError, ValueError) as error:
                self._add_unchecked(path, error)
        if not work:
            return
        from dgenfs.verifying.verifier import Verifier  # here, as it loads a compiler

        options = self._options
        with (
            Verifier(
                seeds=options.seeds,
                direct=options.direct,
                buffered=options.buffered,
                threads=options.threads,
                exclude=options.exclude,
            ) as verifier,
            progress("verify", sum(self._size(node) for _, node in work)) as advance,
        ):
            for path, node in work:
                try:
                    self.reports.append(self._report(verifier, path, node, advance))
                except (OSError, ValueError, MemoryError) as error:
                    self._add_unchecked(path, error)

    def _expected(self, path: str) -> Expected:
        options = self._options
        if path == STDIN and options.as_name is None:
            raise ValueError("standard input has no name: say what it holds: --as NAME")
        if options.data_set is not None:
            if path == STDIN or is_url(path):
                return options.data_set.top.find((options.as_name or "").split("/"))
            return expected_by_profile(Path(path), options.as_name, options.data_set)
        if path == STDIN:
            return find_file(PurePath(options.as_name or ""))
        if is_url(path):
            return expected_of_url(path, options.as_name)
        return expected(Path(path), options.as_name)

    def _size(self, node: Expected) -> int:
        """Return the bytes to read, an estimate."""
        options = self._options
        if options.range is not None:
            return min(node.size, options.range.length or node.size)
        return node.size // options.share.count

    def _report(
        self, verifier: "Verifier", path: str, node: Expected, advance: Callable[[int], None]
    ) -> FileReport | TreeReport:
        """Return what is found in a path that should hold ``node``."""
        share = self._options.share
        if isinstance(node, Directory | ProfileDirectory):
            if self._options.range is not None:
                raise ValueError(f"{path}: --offset, --length and --at are of one file, no tree")
            if isinstance(node, Directory):
                return verifier.verify_tree(path, node.spec, advance, share=share)
            return verifier.verify_data_set(path, node, advance, share=share)
        window = self._options.range and self._options.range.window(node.size, str(node.spec))
        if path == STDIN or (not is_url(path) and Path(path).is_fifo()):
            if share != WHOLE:
                raise ValueError(f"{path}: comes in order, and is read whole: leave out --part")
            from dgenfs.verifying.streams import opened_stream

            with opened_stream(path) as stream:
                return verifier.verify_stream(stream, path, node, advance, window=window)
        if isinstance(node, ProfileFile):
            return verifier.verify_profile_file(path, node, advance, share=share, window=window)
        return verifier.verify_file(
            path, node.spec, node.number, advance, share=share, window=window
        )

    def _add_unchecked(self, path: str, error: OSError | ValueError | MemoryError) -> None:
        why = "out of memory" if isinstance(error, MemoryError) else reason(error)
        why = why.removeprefix(f"{path}: ")
        print_error(f"{path}: {why}")
        self.unchecked.append(Unreadable(str(path), why))

    @property
    def code(self) -> int:
        """The exit code, by the worst that was found."""
        return render.code(self.reports, self.unchecked)

    def print(self, *, as_json: bool) -> None:
        """Print what was found; OSError if that fails."""
        if not as_json:
            print_text(*(render.as_text(one, self._hint(one)) for one in self.reports))
            return
        share = self._options.share
        print_json(
            {
                "identical": self.code == render.IDENTICAL,
                **({} if share == WHOLE else {"part": asdict(share)}),
                "reports": [render.as_json(report) for report in self.reports],
                "unchecked": [render.unreadable_as_json(one) for one in self.unchecked],
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
        if report.size == report.expected_size:
            return None
        name = tree_file(Path(report.path))
        return name and f"if it is a file of a tree, say --as {name}"

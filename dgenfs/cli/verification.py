"""What verify does with the paths it is given: one that cannot be checked hides no other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dgenfs.cli import render
from dgenfs.cli.arguments import expected, expected_by_profile, part_of_data_set, tree_file
from dgenfs.cli.terminal import UNREAD, print_error, print_json, print_text, progress
from dgenfs.names.catalog import Directory, File
from dgenfs.names.data_set import DataSet, ProfileDirectory
from dgenfs.names.file_set import ProfileFile
from dgenfs.verifying.reports import FileReport, TreeReport, Unreadable, reason

if TYPE_CHECKING:
    from dgenfs.verifying.verifier import Verifier

Expected = File | Directory | ProfileFile | ProfileDirectory

IDENTICAL = 0
DIFFERENT = 1


@dataclass(frozen=True, slots=True)
class Options:
    """How copies are checked.

    Attributes:
        as_name: what they hold, None for what their names say.
        seeds: others whose content to recognize.
        direct: whether to refuse reads through the page cache.
        exclude: patterns of names that may stand in a tree's directory besides its own.
        data_set: what a profile describes, whose copies they are; None for names' copies.
    """

    as_name: str | None
    seeds: Sequence[int]
    direct: bool
    exclude: Sequence[str]
    data_set: DataSet | None = None


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

    def check(self, paths: Sequence[Path]) -> None:
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
                seeds=options.seeds, direct=options.direct, exclude=options.exclude
            ) as verifier,
            progress("verify", sum(node.size for _, node in work)) as advance,
        ):
            for path, node in work:
                try:
                    self.reports.append(_report(verifier, path, node, advance))
                except (OSError, ValueError, MemoryError) as error:
                    self._add_unchecked(path, error)

    def _expected(self, path: Path) -> Expected:
        options = self._options
        if options.data_set is None:
            return expected(path, options.as_name)
        return expected_by_profile(path, options.as_name, options.data_set)

    def _add_unchecked(self, path: Path, error: OSError | ValueError | MemoryError) -> None:
        why = "out of memory" if isinstance(error, MemoryError) else reason(error)
        why = why.removeprefix(f"{path}: ")
        print_error(f"{path}: {why}")
        self.unchecked.append(Unreadable(str(path), why))

    @property
    def code(self) -> int:
        """The exit code, by the worst that was found."""
        if self.unchecked or not all(report.readable for report in self.reports):
            return UNREAD
        return IDENTICAL if all(report.identical for report in self.reports) else DIFFERENT

    def print(self, *, as_json: bool) -> None:
        """Print what was found; OSError if that fails."""
        if not as_json:
            print_text(*(render.as_text(one, self._hint(one)) for one in self.reports))
            return
        print_json(
            {
                "identical": self.code == IDENTICAL,
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
            directory = part_of_data_set(report.path, options.data_set)
            return directory and f"if it is a copy of {directory}, say --as {directory}"
        if options.as_name is not None or options.data_set:
            return None
        if report.size == report.expected_size:
            return None
        name = tree_file(report.path)
        return name and f"if it is a file of a tree, say --as {name}"


def _report(
    verifier: "Verifier", path: Path, node: Expected, advance: Callable[[int], None]
) -> FileReport | TreeReport:
    """Return what is found in a path that should hold ``node``."""
    match node:
        case Directory():
            return verifier.verify_tree(path, node.spec, advance)
        case ProfileDirectory():
            return verifier.verify_data_set(path, node, advance)
        case ProfileFile():
            return verifier.verify_profile_file(path, node, advance)
    return verifier.verify_file(path, node.spec, node.number, advance)

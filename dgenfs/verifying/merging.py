"""Reports of parts, made one: what several hosts found in the same copies."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from dgenfs.names.share import MAX_COUNT, WHOLE, Share
from dgenfs.verifying.findings import Extent, Kind, Total
from dgenfs.verifying.reports import FileReport, TreeReport, Unreadable

Report = FileReport | TreeReport


@dataclass(frozen=True, slots=True)
class PartReport:
    """What one host reports.

    Attributes:
        source: where the report is from, for errors.
        share: the part that was checked; WHOLE for all.
        reports: of what could be checked.
        unchecked: the other paths.
    """

    source: str
    share: Share
    reports: Sequence[Report]
    unchecked: Sequence[Unreadable]

    @staticmethod
    def parse(text: str, source: str) -> "PartReport":
        """Read what ``dgenfs verify --json`` printed.

        Raises:
            ValueError: it is something else.
        """
        try:
            document = json.loads(text)
            if "parts" in document:
                raise ValueError("merge made it: give the reports of the parts themselves")
            if not (document["reports"] or document["unchecked"]):
                raise ValueError("it reports on nothing")
            part = document.get("part", {"number": 1, "count": 1})
            share = Share(int(part["number"]), int(part["count"]))
            if not 1 <= share.number <= share.count <= MAX_COUNT:
                raise ValueError(f"part {share}")
            reports = [_report(values) for values in document["reports"]]
            unchecked = [Unreadable(one["path"], one["reason"]) for one in document["unchecked"]]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            why = f"{type(error).__name__}: {error}"
            raise ValueError(f"{source}: is no report of dgenfs verify --json ({why})") from error
        return PartReport(source, share, reports, unchecked)


@dataclass(slots=True)
class Merged:
    """What all parts found together.

    Attributes:
        reports: of each copy, from all parts that reported on it.
        unchecked: paths that a part could not check.
        count: parts that there are.
        missing: numbers of those that have not reported.
    """

    reports: list[Report] = field(default_factory=list)
    unchecked: list[Unreadable] = field(default_factory=list)
    count: int = 1
    missing: list[int] = field(default_factory=list)


def merged(parts: Iterable[PartReport]) -> Merged:
    """Merge reports of the parts of one run, in any order; those of whole runs stand side by side.

    Raises:
        ValueError: a part reported twice, or two are parts of different runs.
    """
    by_number: dict[int, PartReport] = {}
    result = Merged()
    for part in parts:
        if part.share == WHOLE:
            result.reports += part.reports
            _add_unchecked(result, part.unchecked)
            continue
        first = next(iter(by_number.values()), part)
        if part.share.count != first.share.count:
            raise ValueError(
                f"{part.source}: is part {part.share}, and {first.source} part {first.share}: "
                "merge parts of one run"
            )
        if part.share.number in by_number:
            before = by_number[part.share.number].source
            raise ValueError(f"{part.source}: is part {part.share}, as {before} is: give one")
        by_number[part.share.number] = part
        result.count = part.share.count
    if by_number:
        numbers = range(1, result.count + 1)
        result.missing = [number for number in numbers if number not in by_number]
        _merge_parts([by_number[number] for number in sorted(by_number)], result)
    return result


def _merge_parts(parts: Sequence[PartReport], result: Merged) -> None:
    """Add what parts found, in order of their numbers."""
    found: dict[tuple[object, ...], list[tuple[Share, Report]]] = {}
    for part in parts:
        _add_unchecked(result, part.unchecked)
        for report in part.reports:
            key = (type(report), str(report.path), report.name, getattr(report, "file", 0))
            found.setdefault(key, []).append((part.share, report))
    for told in found.values():
        (_, whole), *others = told
        for _, report in others:
            whole.merge(report)  # type: ignore[arg-type]  # of one type, as the key says
        result.reports.append(whole)
        shares = [share for share, _ in told]
        silent = [str(part.share) for part in parts if part.share not in shares]
        if silent:
            why = f"part {', '.join(silent)} has no report of it: did it check other paths?"
            _add_unchecked(result, [Unreadable(str(whole.path), why)])


def _add_unchecked(result: Merged, unchecked: Iterable[Unreadable]) -> None:
    result.unchecked = list(dict.fromkeys([*result.unchecked, *unchecked]))


def _report(values: dict[str, Any]) -> Report:
    """Return the report that was printed as ``values``."""
    if "files" in values:
        tree = TreeReport(**_known(TreeReport, values))
        tree.different = [_file_report(one) for one in values["different"]]
        tree.unreadable = [Unreadable(one["path"], one["reason"]) for one in values["unreadable"]]
        return tree
    return _file_report(values)


def _file_report(values: dict[str, Any]) -> FileReport:
    report = FileReport(**_known(FileReport, values))
    report.ranges = [(int(start), int(end)) for start, end in values["ranges"]]
    report.extents = [
        Extent(**{**_known(Extent, one), "kind": Kind(one["kind"])}) for one in values["extents"]
    ]
    report.totals = {
        Kind(kind): Total(**_known(Total, total)) for kind, total in values["totals"].items()
    }
    return report


def _known(kind: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Return those of the values that a dataclass has, which are more in a document."""
    return {one.name: values[one.name] for one in fields(kind) if one.name in values}

"""Reports of parts, made one: what several hosts found in the same copies."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from types import UnionType
from typing import Any, cast, get_args, get_origin

from dgenfs.names.catalog import Directory, find
from dgenfs.names.grammar import SpecError
from dgenfs.names.share import MAX_COUNT, WHOLE, Share
from dgenfs.verifying.findings import Kind
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
    def parse(text: str | bytes, source: str) -> "PartReport":
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
            share = _typed(Share, document.get("part", {"number": 1, "count": 1}))
            if not 1 <= share.number <= share.count <= MAX_COUNT:
                raise ValueError(f"part {share}")
            reports = [_report(values) for values in document["reports"]]
            unchecked = _typed(list[Unreadable], document["unchecked"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
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
        ValueError: a part reported twice, two are parts of different runs, or of the same bytes.
    """
    return merged_in_order(sorted(parts, key=lambda part: part.share.number))


def merged_in_order(parts: Iterable[PartReport]) -> Merged:
    """Merge reports in order of the parts' numbers, each as it comes; see ``merged``."""
    result = Merged()
    unchecked: dict[Unreadable, None] = {}  # in order, each once
    given: dict[int, PartReport] = {}  # without their reports
    found: dict[tuple[object, ...], tuple[Report, set[int]]] = {}
    for part in parts:
        unchecked |= dict.fromkeys(part.unchecked)
        if part.share == WHOLE:
            result.reports += part.reports
            continue
        first = next(iter(given.values()), part)
        if part.share.count != first.share.count:
            raise ValueError(
                f"{part.source}: is part {part.share}, and {first.source} part {first.share}: "
                "merge parts of one run"
            )
        if part.share.number in given:
            before = given[part.share.number].source
            raise ValueError(f"{part.source}: is part {part.share}, as {before} is: give one")
        given[part.share.number] = replace(part, reports=(), unchecked=())
        result.count = part.share.count
        for report in part.reports:
            _merge(found, part, report)
    if given:
        result.missing = [n for n in range(1, result.count + 1) if n not in given]
    for whole, numbers in found.values():
        result.reports.append(whole)
        silent = [str(part.share) for number, part in given.items() if number not in numbers]
        why = "" if result.missing else _left_out(whole)
        if silent:
            told = ", ".join(silent)
            why = f"no report of it by part {told}: did it check another path, or another name?"
        if why:
            unchecked[Unreadable(str(whole.path), why)] = None
    result.unchecked = list(unchecked)
    return result


def _merge(
    found: dict[tuple[object, ...], tuple[Report, set[int]]], part: PartReport, report: Report
) -> None:
    """Add a part's report to that of the same copy."""
    key = (type(report), str(report.path), report.name, getattr(report, "file", 0))
    if key not in found:
        found[key] = (report, {part.share.number})
        return
    whole, numbers = found[key]
    numbers.add(part.share.number)
    try:
        whole.merge(report)  # type: ignore[arg-type]  # of one type, as the key says
    except ValueError as error:
        raise ValueError(f"{part.source}: {whole.path}: {error}") from error


def _left_out(report: Report) -> str:
    """Return what reports of all parts leave out together, nothing if they are of the whole."""
    if isinstance(report, FileReport):
        compared = sum(end - start for start, end in report.ranges)
        whole = [(0, report.expected_size)] if report.expected_size else []
        if report.ranges == whole:
            return ""
        return f"the parts compared {compared} of {report.expected_size} B: verify it again"
    try:
        node = find(report.name)
    except SpecError:
        return ""  # a data set, of which only its profile knows how many files it has
    if not isinstance(node, Directory) or str(node) != report.name:
        return ""  # a data set's too
    if report.files == len(node.files):
        return ""
    return f"the parts compared {report.files} of {len(node.files)} files: verify it again"


def _report(values: Any) -> Report:
    """Return the report that was printed as ``values``."""
    return cast("Report", _typed(TreeReport if "files" in values else FileReport, values))


def _typed(kind: Any, value: Any) -> Any:
    """Return what JSON has as a value of a type, a dataclass or a list of them.

    Raises:
        TypeError, ValueError, KeyError: it is none, or a field of it is not there.
    """
    if is_dataclass(kind):
        known = [one for one in fields(kind) if one.name != "last"]  # which is not printed
        return kind(**{one.name: _typed(one.type, value[one.name]) for one in known})  # type: ignore[operator]
    inner = get_args(kind)
    if isinstance(kind, UnionType):  # what has no type in JSON, or another
        kind = next(one for one in inner if one in (int, str))
        return None if value is None and type(None) in inner else _typed(kind, value)
    outer = get_origin(kind)
    if outer is dict:
        return {_typed(inner[0], key): _typed(inner[1], one) for key, one in value.items()}
    if outer is not None and not isinstance(value, list):
        raise TypeError(f"{value!r:.40} is no list")
    if outer is list:
        return [_typed(inner[0], one) for one in value]
    if outer is tuple:
        return tuple(_typed(one, each) for one, each in zip(inner, value, strict=True))
    if kind is Kind:
        return Kind(value)
    if type(value) is not kind or (kind is int and value < 0):
        raise TypeError(f"{value!r:.40} is no {kind.__name__} that verify prints")
    return value

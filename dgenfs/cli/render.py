"""What the commands report, as text for people and as JSON for programs."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dgenfs.cli.terminal import UNREAD
from dgenfs.cli.units import count, size
from dgenfs.escapes import escaped
from dgenfs.kernels.row import SECTOR
from dgenfs.verifying.findings import Extent, Kind
from dgenfs.verifying.reports import DirectoryReport, FileReport, TreeReport, Unreadable

if TYPE_CHECKING:
    from dgenfs.verifying.analyze import Analysis

_NOT_COMPARED = {
    Kind.UNREADABLE: "unreadable",
    Kind.MISSING: "missing at the end",
    Kind.EXCESS: "in excess at the end",
}

IDENTICAL = 0
DIFFERENT = 1

SHOWN = 20  # extents, or paths of a list, in a text; JSON has all that were kept


def code(reports: Sequence[FileReport | TreeReport], unchecked: Sequence[object]) -> int:
    """Return the exit code, by the worst of what was found, or could not be."""
    if unchecked or not all(report.readable for report in reports):
        return UNREAD
    return IDENTICAL if all(report.identical for report in reports) else DIFFERENT


def as_json(report: FileReport | TreeReport) -> dict[str, Any]:
    """Return a report of verify as what json.dumps takes."""
    values = asdict(report)
    values["path"] = str(report.path)
    values["identical"] = report.identical
    if isinstance(report, TreeReport):
        values["different"] = [as_json(file) for file in report.different]
    else:
        del values["last"]
        values["wrong_bytes"] = report.wrong_bytes
        values["omitted_extents"] = report.omitted_extents
    return values


def unreadable_as_json(path: Unreadable) -> dict[str, Any]:
    """Return a path that could not be checked as what json.dumps takes."""
    return asdict(path)


def as_text(report: FileReport | TreeReport, hint: str | None = None) -> RenderableType:
    """Return a report of verify for a terminal.

    Args:
        report: what was found.
        hint: what to do about a path that is different.
    """
    return _tree(report, hint) if isinstance(report, TreeReport) else _file(report, hint)


def _file(report: FileReport, hint: str | None = None) -> RenderableType:
    path = escaped(str(report.path))
    if report.identical:
        return Text(f"{path}: identical, {_compared(report)}", "green")
    head = Text(f"{path}: different, {', '.join(_damage(report))}", "red")
    cut = report.totals.keys() & {Kind.MISSING, Kind.EXCESS}
    if cut and report.size != report.expected_size:
        head.append(f"; the file has {report.size} B instead of {report.expected_size} B")
    if report.changed:
        head.append("; it changed while it was read: verify it again")
    if hint is not None:
        head.append(f"; {escaped(hint)}")
    lines: list[RenderableType] = [head]
    if report.extents:
        lines.append(_extents(report))
    hidden = len(report.extents[SHOWN:])
    if hidden or report.omitted_extents:
        more = count(hidden + report.omitted_extents, "more extent")
        lines.append(Text(f"and {more}; --json has more" if hidden else f"and {more}"))
    totals = ", ".join(
        f"{kind}: {count(total.extents, 'extent')}, {size(total.wrong_bytes)}"
        for kind, total in report.totals.items()
    )
    return Group(*lines, Text(totals))


def _compared(report: FileReport) -> str:
    """Return the bytes that were compared, and of how many if these are more."""
    compared = _length(report)
    whole = size(report.expected_size)
    return whole if compared == report.expected_size else f"{size(compared)} of {whole}"


def _length(report: FileReport) -> int:
    return sum(end - start for start, end in report.ranges)


def _extents(report: FileReport) -> Table:
    shown = report.extents[:SHOWN]
    has_parts = any(extent.part for extent in shown)
    table = Table("offset", "end", "kind", "wrong", "where it belongs", box=None)
    if has_parts:
        table.add_column("part")
    for extent in shown:
        table.add_row(
            str(extent.start),
            str(extent.end),
            str(extent.kind),
            _wrong(extent),
            _belongs(extent, report.file),
            *[extent.part or "content"] * has_parts,
        )
    return table


def _damage(report: FileReport) -> Iterator[str]:
    """Yield what is wrong with a file: what differs, what is not there and what cannot be read."""
    elsewhere = {
        kind: total.wrong_bytes for kind in _NOT_COMPARED if (total := report.totals.get(kind))
    }
    if wrong := report.wrong_bytes - sum(elsewhere.values()):
        sectors = count(report.wrong_sectors, "sector")
        yield f"{size(wrong)} wrong of {size(report.expected_size)} in {sectors} of {SECTOR} B"
    for kind, length in elsewhere.items():
        yield f"{size(length)} {_NOT_COMPARED[kind]}"
    rest = min(report.size, report.expected_size) > elsewhere.get(Kind.UNREADABLE, 0)
    if rest and not wrong and _length(report) == report.expected_size:
        yield "the rest is identical"


def _wrong(extent: Extent) -> str:
    if extent.kind is Kind.BIT_FLIPS:
        return count(extent.wrong_bits, "bit")
    return size(extent.wrong_bytes)


def _belongs(extent: Extent, file: int) -> str:
    if extent.belongs_at is None:
        return ""
    where = f"at {extent.belongs_at} ({extent.belongs_at - extent.start:+d})"
    if extent.belongs_in != file:
        where = f"at {extent.belongs_at} in file {extent.belongs_in}"
    return where if extent.seed is None else f"{where} of seed {extent.seed}"


def _tree(report: TreeReport, hint: str | None) -> RenderableType:
    style = "green" if report.identical else "red"
    head = Text(
        f"{escaped(str(report.path))}: {report.identical_files} of {report.files} files identical,"
        f" {report.different_files} different, {report.missing_files} missing,"
        f" {report.unexpected_files} unexpected",
        style,
    )
    if report.unreadable_paths:
        head.append(f", {report.unreadable_paths} unreadable")
    if report.excluded_files:
        head.append(f", {report.excluded_files} excluded")
    if hint is not None:
        head.append(f"; {escaped(hint)}")
    lines: list[RenderableType] = [head]
    lines += [_file(file) for file in report.different[:SHOWN]]
    if report.omitted_extents:
        lines.append(Text(f"{count(report.omitted_extents, 'extent')} counted only"))
    for what, paths, number in (
        ("missing", report.missing, report.missing_files),
        ("unexpected", report.unexpected, report.unexpected_files),
        (
            "unreadable",
            [f"{one.path}: {one.reason}" for one in report.unreadable],
            report.unreadable_paths,
        ),
    ):
        lines += [Text(f"{what}: {escaped(path)}") for path in paths[:SHOWN]]
        if number > SHOWN:
            lines.append(Text(f"and {number - SHOWN} more {what}"))
    return Group(*lines)


def rest_as_text(report: DirectoryReport) -> RenderableType:
    """Return what is in a directory besides what could be checked, and how much there is of all."""
    lines = [
        Text(f"not checked: {escaped(one.path)}: {escaped(one.reason)}", "yellow")
        for one in report.unchecked
    ]
    if hidden := report.unchecked_paths - len(lines):
        lines.append(Text(f"and {hidden} more not checked"))
    identical = sum(one.identical for one in report.reports)
    unread = sum(not one.readable for one in report.reports)
    parts = [f"{identical} identical", f"{len(report.reports) - identical - unread} different"]
    if unread:
        parts.append(f"{unread} not all readable")
    parts.append(f"{report.unchecked_paths} not checked")
    if report.excluded_paths:
        parts.append(f"{report.excluded_paths} excluded")
    style = "green" if report.identical else "red"
    lines.append(Text(f"{escaped(str(report.path))}: {', '.join(parts)}", style))
    return Group(*lines)


def analysis_as_json(analysis: "Analysis") -> dict[str, Any]:
    """Return an analysis as what json.dumps takes."""
    return asdict(analysis)


def analysis_as_text(analysis: "Analysis") -> RenderableType:
    """Return an analysis for a terminal."""
    holes = f", {size(analysis.holes)} of it in holes" if analysis.holes else ""
    head = Text(f"{count(analysis.files, 'file')}, {size(analysis.size)}{holes}")
    dedup = Table("chunk", "chunks", "distinct", "dedup", "all zero", box=None)
    for one in analysis.dedup:
        dedup.add_row(
            size(one.chunk),
            str(one.chunks),
            str(one.distinct),
            f"{one.ratio:.3f}:1",
            f"{100 * one.zero / max(1, one.chunks):.2f} %",
        )
    codecs = list(dict.fromkeys(one.codec for one in analysis.compress))
    compress = Table("chunk", *codecs, box=None)
    for chunk in dict.fromkeys(one.chunk for one in analysis.compress):
        ratios = (one.ratio for one in analysis.compress if one.chunk == chunk)
        compress.add_row(size(chunk), *(f"{ratio:.3f}:1" for ratio in ratios))
    return Group(head, dedup, Text(f"compression of {size(analysis.sampled)}"), compress)

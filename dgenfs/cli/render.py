"""What the commands found, as text for people and as JSON for programs."""

from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dgenfs.cli.units import count, size
from dgenfs.kernels.row import SECTOR
from dgenfs.verifying.analyze import Analysis
from dgenfs.verifying.reports import Extent, FileReport, Kind, TreeReport

SHOWN = 20  # extents, or paths of a list, in a text; JSON has all that were kept


def as_json(found: FileReport | TreeReport) -> dict[str, Any]:
    """Return a report of verify as what json.dumps takes."""
    values = asdict(found)
    values["path"] = str(found.path)
    values["identical"] = found.identical
    if isinstance(found, TreeReport):
        values["different"] = [as_json(file) for file in found.different]
    else:
        values["wrong_bytes"] = found.wrong_bytes
        values["omitted_extents"] = found.omitted_extents
    return values


def as_text(found: FileReport | TreeReport) -> RenderableType:
    """Return a report of verify for a terminal."""
    return _tree(found) if isinstance(found, TreeReport) else _file(found)


def _file(found: FileReport) -> RenderableType:
    if found.identical:
        return Text(f"{found.path}: identical, {size(found.expected_size)}", "green")
    head = Text(
        f"{found.path}: different, {size(found.wrong_bytes)} wrong of {size(found.expected_size)}"
        f" in {count(found.wrong_sectors, 'sector')} of {SECTOR} B",
        "red",
    )
    if found.size != found.expected_size:
        head.append(f"; the file has {found.size} B instead of {found.expected_size} B")
    lines: list[RenderableType] = [head]
    if found.extents:
        lines.append(table := Table("offset", "end", "kind", "wrong", "where it belongs", box=None))
    for extent in found.extents[:SHOWN]:
        table.add_row(
            str(extent.start),
            str(extent.end),
            str(extent.kind),
            _wrong(extent),
            _belongs(extent, found.file),
        )
    hidden = len(found.extents[SHOWN:])
    if hidden or found.omitted_extents:
        more = count(hidden + found.omitted_extents, "more extent")
        lines.append(Text(f"and {more}; --json has more" if hidden else f"and {more}"))
    totals = ", ".join(
        f"{kind}: {count(total.extents, 'extent')}, {size(total.wrong_bytes)}"
        for kind, total in found.totals.items()
    )
    return Group(*lines, Text(totals))


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


def _tree(found: TreeReport) -> RenderableType:
    style = "green" if found.identical else "red"
    head = Text(
        f"{found.path}: {found.identical_files} of {found.files} files identical,"
        f" {found.different_files} different, {found.missing_files} missing,"
        f" {found.unexpected_files} unexpected",
        style,
    )
    if found.unreadable_paths:
        head.append(f", {found.unreadable_paths} unreadable")
    lines: list[RenderableType] = [head]
    lines += [_file(file) for file in found.different[:SHOWN]]
    if found.omitted_extents:
        lines.append(Text(f"{count(found.omitted_extents, 'extent')} counted only"))
    for what, paths, number in (
        ("missing", found.missing, found.missing_files),
        ("unexpected", found.unexpected, found.unexpected_files),
        (
            "unreadable",
            [f"{one.path}: {one.reason}" for one in found.unreadable],
            found.unreadable_paths,
        ),
    ):
        lines += [Text(f"{what}: {path}") for path in paths[:SHOWN]]
        if number > SHOWN:
            lines.append(Text(f"and {number - SHOWN} more {what}"))
    return Group(*lines)


def analysis_as_json(analysis: Analysis) -> dict[str, Any]:
    """Return an analysis as what json.dumps takes."""
    return asdict(analysis)


def analysis_as_text(analysis: Analysis) -> RenderableType:
    """Return an analysis for a terminal."""
    head = Text(f"{count(analysis.files, 'file')}, {size(analysis.size)}")
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

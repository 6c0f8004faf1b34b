"""A folder with all that was measured: report.json, report.md and a plot of each series."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from benchmarks.results import Result, machine
from benchmarks.suite import Series, Timings


def write(folder: Path, results: Sequence[Result]) -> None:
    """Write the report, over what an earlier one left.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    values = {"machine": machine(), "suites": [result.values() for result in results]}
    (folder / "report.json").write_text(json.dumps(values, indent=2) + "\n")
    for result in results:
        for series in result.suite.series:
            _plot(folder / _file(series), series, result.timings)
    (folder / "report.md").write_text("\n".join(_lines(results)) + "\n")


def _lines(results: Sequence[Result]) -> Iterator[str]:
    yield "# dgenfs, measured"
    yield ""
    yield ", ".join(f"{what} {value}" for what, value in machine().items()) + "."
    yield "Medians of interleaved rounds, and half of what lies between the quartiles."
    for result in results:
        for title, heads, rows in result.tables():
            yield f"\n## {title}\n"
            yield f"| {' | '.join(heads)} |"
            yield "|---" * len(heads) + "|"
            for row in rows:
                yield f"| {' | '.join(row)} |"
        for series in result.suite.series:
            yield f"\n![{series.title}]({_file(series)})"


def _file(series: Series) -> str:
    return "".join(c if c.isalnum() else "-" for c in series.title) + ".svg"


def _plot(path: Path, series: Series, timings: Timings) -> None:
    """Draw medians, and the quartiles as bars."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    moves = 0
    for label, points in series.lines.items():
        found = [timings[case.name] for _, case in points]
        moves = found[0].case.size
        middle, low, high = (
            [moves / seconds / 1e9 if moves else seconds * 1e6 for seconds in column]
            for column in zip(*((t.median, t.best, t.worst) for t in found), strict=True)
        )
        bars = [
            [abs(m - min(a, b)) for m, a, b in zip(middle, low, high, strict=True)],
            [abs(max(a, b) - m) for m, a, b in zip(middle, low, high, strict=True)],
        ]
        numbers = [number for number, _ in points]
        axes.errorbar(numbers, middle, yerr=bars, marker="o", capsize=3, label=label)
    if series.logarithmic:
        axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set(title=series.title, xlabel=series.axis, ylabel="GB/s" if moves else "µs")
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.savefig(path)

"""What was measured, as tables and as values for JSON."""

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.rounds import Timing
from benchmarks.suite import Suite, Target, Timings
from dgenfs.machine import topology


@dataclass(frozen=True, slots=True)
class Result:
    """A suite that was measured.

    Attributes:
        suite: what was measured.
        rounds: turns that each case took.
        timings: by the case's name.
        targets: what was promised.
    """

    suite: Suite
    rounds: int
    timings: Timings
    targets: Sequence[Target]

    def tables(self) -> Iterator[tuple[str, list[str], list[list[str]]]]:
        """Yield title, heads and rows of each table."""
        yield (
            f"{self.suite.title}, {self.rounds} rounds",
            ["case", "median", "quartiles"],
            [
                [timing.case.name, median(timing), f"± {100 * timing.spread:.0f} %"]
                for timing in self.timings.values()
            ],
        )
        yield (
            f"{self.suite.title}, what is aimed at",
            ["target", "least", "measured", ""],
            [
                [
                    target.text,
                    f"{target.least:g}",
                    f"{target.value:.2f}",
                    "met" if target.met else "missed",
                ]
                for target in self.targets
            ],
        )

    def values(self) -> dict[str, Any]:
        """Return everything, for JSON."""
        return {
            "title": self.suite.title,
            "rounds": self.rounds,
            "timings": [
                {
                    "case": timing.case.name,
                    "bytes": timing.case.size,
                    "median_seconds": timing.median,
                    "lower_quartile_seconds": timing.best,
                    "upper_quartile_seconds": timing.worst,
                }
                for timing in self.timings.values()
            ],
            "targets": [
                {
                    "target": target.text,
                    "least": target.least,
                    "measured": target.value,
                    "met": target.met,
                }
                for target in self.targets
            ],
        }


def median(timing: Timing) -> str:
    """Return the speed of a case that moves bytes, the time of one that does not."""
    if timing.case.size:
        return f"{timing.speed:.2f} GB/s"
    if timing.median >= 0.1:
        return f"{timing.median:.2f} s"
    return f"{timing.median * 1e6:.2f} µs"


def machine() -> dict[str, str]:
    """Return what the figures depend on."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    models = [line.split(":")[1].strip() for line in cpuinfo.splitlines() if "model name" in line]
    nodes = topology.detect().nodes
    return {
        "processor": models[0] if models else platform.machine(),
        "CPUs": f"{sum(len(node.cpus) for node in nodes)} on {len(nodes)} NUMA node(s)",
        "memory": f"{psutil.virtual_memory().total / (1 << 30):.1f} GiB",
        "kernel": platform.release(),
        "Python": platform.python_version(),
        "numba": numba.__version__,
        "numpy": np.__version__,
    }


def show(result: Result) -> None:
    """Print the tables."""
    console = Console()
    for title, heads, rows in result.tables():
        table = Table(*heads, title=title, box=None, title_justify="left")
        for row in rows:
            style = {"met": "green", "missed": "red"}.get(row[-1])
            table.add_row(*row, style=style)
        console.print(table)

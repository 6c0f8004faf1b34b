"""What was measured, as tables and as JSON."""

import json
import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.rounds import Timing
from dgenfs import topology


@dataclass(frozen=True, slots=True)
class Target:
    """What the project promises about two timings.

    Attributes:
        text: the promise.
        value: what was measured.
        least: what it must come to.
    """

    text: str
    value: float
    least: float

    @property
    def met(self) -> bool:
        """Whether the promise was kept in this run."""
        return self.value >= self.least


def speed(timing: Timing) -> float:
    """Return GB/s (10^9) of a case that moves bytes."""
    return timing.case.size / timing.median / 1e9


def machine() -> dict[str, str]:
    """Return what the figures depend on."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    models = [line.split(":")[1].strip() for line in cpuinfo.splitlines() if "model name" in line]
    nodes = topology.detect().nodes
    return {
        "processor": models[0] if models else platform.machine(),
        "CPUs": f"{sum(len(node.cpus) for node in nodes)} on {len(nodes)} NUMA node(s)",
        "kernel": platform.release(),
        "Python": platform.python_version(),
        "numba": numba.__version__,
        "numpy": np.__version__,
    }


def show(
    title: str, timings: Iterable[Timing], targets: Iterable[Target], rounds: int, *, as_json: bool
) -> None:
    """Print the machine, every timing and every target."""
    timings, targets = list(timings), list(targets)
    if as_json:
        sys.stdout.write(json.dumps(_values(title, timings, targets, rounds), indent=2) + "\n")
        return
    console = Console()
    console.print(", ".join(f"{what} {value}" for what, value in machine().items()), style="dim")
    table = Table("case", "median", "quartiles", title=f"{title}, {rounds} rounds", box=None)
    for timing in timings:
        table.add_row(timing.case.name, _median(timing), f"± {100 * timing.spread:.0f} %")
    console.print(table)
    promises = Table("target", "least", "measured", "", box=None)
    for target in targets:
        verdict = "[green]met[/]" if target.met else "[red]missed[/]"
        promises.add_row(target.text, f"{target.least:g}", f"{target.value:.2f}", verdict)
    console.print(promises)


def _median(timing: Timing) -> str:
    if timing.case.size:
        return f"{speed(timing):.2f} GB/s"
    return f"{timing.median * 1e6:.2f} µs"


def _values(
    title: str, timings: list[Timing], targets: list[Target], rounds: int
) -> dict[str, Any]:
    return {
        "title": title,
        "machine": machine(),
        "rounds": rounds,
        "timings": [
            {
                "case": timing.case.name,
                "bytes": timing.case.size,
                "median_seconds": timing.median,
                "lower_quartile_seconds": timing.best,
                "upper_quartile_seconds": timing.worst,
            }
            for timing in timings
        ],
        "targets": [
            {
                "target": target.text,
                "least": target.least,
                "measured": target.value,
                "met": target.met,
            }
            for target in targets
        ],
    }

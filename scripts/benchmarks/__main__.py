"""Measure dgenfs against its peers: all suites, or those named."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import report
from benchmarks.cache import cache
from benchmarks.containers import containers
from benchmarks.flatness import flatness
from benchmarks.generate import generate
from benchmarks.mount import mount
from benchmarks.object_reads import object_reads
from benchmarks.objects import objects
from benchmarks.opening import opening
from benchmarks.results import Result, machine, show
from benchmarks.rounds import measure
from benchmarks.scaling import scaling
from benchmarks.trees import trees
from benchmarks.verify import verify


class SuiteName(StrEnum):
    """What can be measured alone."""

    GENERATE = "generate"
    VERIFY = "verify"
    MOUNT = "mount"
    TREES = "trees"
    OPENING = "opening"
    CACHE = "cache"
    CONTAINERS = "containers"
    OBJECTS = "objects"
    OBJECT_READS = "object-reads"
    FLATNESS = "flatness"
    SCALING = "scaling"


SUITES = {
    SuiteName.GENERATE: generate,
    SuiteName.VERIFY: verify,
    SuiteName.MOUNT: mount,
    SuiteName.TREES: trees,
    SuiteName.OPENING: opening,
    SuiteName.CACHE: cache,
    SuiteName.CONTAINERS: containers,
    SuiteName.OBJECTS: objects,
    SuiteName.OBJECT_READS: object_reads,
    SuiteName.FLATNESS: flatness,
    SuiteName.SCALING: scaling,
}


def bench(
    suites: Annotated[
        list[SuiteName] | None, typer.Argument(help="What to measure. Default: all.")
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=3, help="Turns of each case. Default: each suite's own.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder for report.json, report.md and plots."),
    ] = None,
) -> None:
    """Measure dgenfs against its peers; nothing else should run meanwhile."""
    print(", ".join(f"{what} {value}" for what, value in machine().items()))
    results = []
    for name in suites or list(SuiteName):
        with SUITES[name]() as suite:
            timings = measure(suite.cases, rounds or suite.rounds)
            targets = list(suite.targets(timings))
            results.append(Result(suite, rounds or suite.rounds, timings, targets))
        show(results[-1])
        if output is not None:
            report.write(output, results)


app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
app.command()(bench)
app(prog_name="scripts/bench")

"""What a soak showed, as tables."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from endurance.crowd import Outcome
from endurance.handles import Figures
from endurance.watch import Sample

MIB = 1 << 20
SHOWN = 5  # texts of each broken invariant


@dataclass(frozen=True, slots=True)
class Invariant:
    """Something that must hold.

    Attributes:
        text: what is looked at.
        limit: what it must be.
        measured: what it was.
        holds: whether that is within the limit.
        details: what broke it.
    """

    text: str
    limit: str
    measured: str
    holds: bool
    details: list[str] = field(default_factory=list)


def show(
    title: str,
    outcomes: Sequence[Outcome],
    samples: Sequence[Sample],
    numbers: Sequence[Figures],
    invariants: Sequence[Invariant],
) -> None:
    """Print what was done, what was seen and whether every invariant holds."""
    console = Console()
    work = Table("clients", "runs", "steps", "GiB checked", title=title, box=None)
    for one in outcomes:
        name = f"{one.scenario.clients} x {one.scenario.name}"
        work.add_row(name, str(one.runs), f"{one.steps:,}", f"{one.bytes / (1 << 30):.1f}")
    console.print(work)
    if samples:
        console.print(_seen(samples))
    if numbers:
        console.print(_handles(numbers))
    table = Table("invariant", "limit", "measured", "", box=None)
    for invariant in invariants:
        verdict = "[green]holds[/]" if invariant.holds else "[red]broken[/]"
        table.add_row(invariant.text, invariant.limit, invariant.measured, verdict)
    console.print(table)
    for invariant in invariants:
        for detail in invariant.details[:SHOWN]:
            console.print(f"{invariant.text}: {detail}", style="red", markup=False)


def _seen(samples: Sequence[Sample]) -> Table:
    table = Table(f"daemon, {len(samples)} samples", "first", "last", "most", box=None)
    for name, values in (
        ("memory, MiB", [sample.memory // MIB for sample in samples]),
        ("threads", [sample.threads for sample in samples]),
        ("descriptors", [sample.descriptors for sample in samples]),
        ("processors", [round(sample.cpu, 2) for sample in samples]),
        ("4 KiB read, ms", [round(sample.latency * 1e3, 2) for sample in samples]),
    ):
        table.add_row(name, str(values[0]), str(values[-1]), str(max(values)))
    return table


def _handles(numbers: Sequence[Figures]) -> Table:
    table = Table("open handles", "to open one", "4 KiB read", "open and close", "memory", box=None)
    for one in numbers:
        seconds = (one.opening, one.read, one.open_and_close)
        table.add_row(
            f"{one.handles:,}", *(f"{s * 1e6:.1f} µs" for s in seconds), f"{one.memory // MIB} MiB"
        )
    return table

"""A soak: mounts one after the other, a crowd on each, and what must hold at the end."""

import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mounting import RETUNED, Mount, mounted
from processes import eventually

from endurance.clients import LARGEST_CACHE, LISTED
from endurance.crowd import Crowd, Outcome
from endurance.handles import Figures, figures
from endurance.results import Invariant, show
from endurance.scenarios import SCENARIOS
from endurance.watch import Watch

MIB = 1 << 20
MEMORY = 300 * MIB  # bytes that a mount may take beside its cache
GROWTH = 64 * MIB  # bytes: names that the kernel knows, and what the allocator keeps
LATENCY = 2.0  # seconds; here every processor has ten clients
QUIET = 15  # seconds; the thread pool keeps an idle thread for ten
IDLE = 2.0  # seconds without a client


@dataclass(frozen=True, slots=True)
class Leg:
    """One mount of a soak.

    Attributes:
        name: what tables call it.
        options: of ``dgenfs mount``.
        share: of the time.
    """

    name: str
    options: tuple[str, ...]
    share: float


LEGS = (
    Leg("default options", (), 0.6),
    Leg("--cache 64M", ("--cache=64M",), 0.2),
    Leg("--io cached", ("--io=cached",), 0.2),
)


def soak(minutes: float) -> bool:
    """Soak for so many minutes and print what came of it; return whether all invariants hold."""
    good = True
    for leg in LEGS:
        with tempfile.TemporaryDirectory(prefix="dgenfs-soak-") as folder:
            outcomes, watch, invariants, numbers = _endure(leg, Path(folder), 60 * minutes)
        show(leg.name, outcomes, watch.samples, numbers, invariants)
        good = good and all(invariant.holds for invariant in invariants)
    return good


def _endure(
    leg: Leg, folder: Path, seconds: float
) -> tuple[list[Outcome], Watch, list[Invariant], list[Figures]]:
    seconds *= leg.share
    # Exit code and log are for the table.
    with mounted(
        folder,
        *LISTED,
        *leg.options,
        *RETUNED,
        environment={"DGENFS_LOG": "warning"},
        limit=seconds + 300,
        checked=False,
    ) as mount:
        (mount.path / LISTED[0]).open("rb").read(1)
        before = mount.topology()
        daemon = mount.daemon
        threads, files, memory = daemon.num_threads(), daemon.num_fds(), mount.rss()
        with Watch(mount) as watch, Crowd(SCENARIOS, mount.path, seconds) as crowd:
            crowd.wait()
        numbers = figures(mount) if leg is LEGS[0] else []
        invariants = list(_of_clients(crowd.outcomes, watch))
        if mount.process.poll() is None:
            invariants += _afterwards(mount, before, threads, files, memory)
    invariants += _of_the_end(mount)
    return crowd.outcomes, watch, invariants, numbers


def _of_clients(outcomes: list[Outcome], watch: Watch) -> Iterator[Invariant]:
    for name, found in (
        ("clients with an error", [text for one in outcomes for text in one.errors]),
        ("clients with a wrong byte or number", [text for one in outcomes for text in one.wrong]),
        ("clients that hang", [text for one in outcomes for text in one.hung]),
        ("scenarios that never ended well", [o.scenario.name for o in outcomes if not o.runs]),
    ):
        yield Invariant(name, "0", str(len(found)), not found, found)
    worst = max((sample.latency for sample in watch.samples), default=LATENCY)
    median = statistics.median([sample.latency for sample in watch.samples] or [0])
    measured = f"{worst * 1e3:.1f} ms, median {median * 1e3:.1f}"
    limit = f"≤ {LATENCY * 1e3:.0f} ms"
    holds = bool(watch.samples) and worst <= LATENCY
    yield Invariant("worst latency of a 4 KiB read", limit, measured, holds)


def _afterwards(
    mount: Mount, before: dict[str, int], threads: int, files: int, memory: int
) -> list[Invariant]:
    """Look at what is left when all clients are gone and the settings are those of the start."""
    settings = {name: before[name] for name in ("workers_per_node", "cache_bytes")}
    (mount.path / ".topology").write_text(json.dumps(settings))
    daemon = mount.daemon
    with suppress(AssertionError):  # the table says what did not happen in time
        eventually(lambda: bool(daemon.num_threads() <= threads), QUIET)
    with suppress(AssertionError):
        mount.settled()
    handles = mount.stats()["open_handles"]
    cpu = mount.cpu_seconds()
    time.sleep(IDLE)
    cpu = mount.cpu_seconds() - cpu
    peak, budget = mount.peak_rss(), LARGEST_CACHE + MEMORY
    now_threads, now_files = daemon.num_threads(), daemon.num_fds()
    growth = mount.rss() - memory
    return [
        Invariant("open handles at the end", "0", str(handles), handles == 0),
        Invariant("threads at the end", f"≤ {threads}", str(now_threads), now_threads <= threads),
        Invariant("descriptors at the end", f"= {files}", str(now_files), now_files == files),
        Invariant(
            "most memory",
            f"≤ cache of {LARGEST_CACHE // MIB} + {MEMORY // MIB} MiB",
            f"{peak // MIB} MiB",
            peak <= budget,
        ),
        Invariant(
            "memory since the start, all caches empty",
            f"≤ + {GROWTH // MIB} MiB",
            f"+ {growth // MIB} MiB",
            growth <= GROWTH,
        ),
        Invariant(
            f"processor time in {IDLE:.0f} s without clients", "0 s", f"{cpu:.2f} s", cpu < 0.02
        ),
    ]


def _of_the_end(mount: Mount) -> Iterator[Invariant]:
    lines = mount.faults
    yield Invariant("warnings and errors logged", "0", str(len(lines)), not lines, lines)
    code = mount.process.returncode
    yield Invariant("exit code", "0", str(code), code == 0)
    left = mount.is_mounted
    yield Invariant("mount left", "no", "yes" if left else "no", not left)

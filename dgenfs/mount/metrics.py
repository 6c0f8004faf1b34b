"""Counters of a mount, collected without a lock: workers never wait for a reader of them."""

import dataclasses
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

import dgenfs
from dgenfs.kernels import cache, counters
from dgenfs.kernels.cache import BLOCK, EXTENT, Cache
from dgenfs.kernels.fuse import Opcode
from dgenfs.mount.workers import Workers


class Definition(NamedTuple):
    """One metric.

    Attributes:
        name: in `.metrics` behind ``dgenfs_``, and by the conventions there. In `.stats` the same,
            but for those of caches, which stand below ``cache``.
        kind: "counter", which never decreases, "gauge" or "histogram".
        unit: of its values.
        text: what it says.
        label: what it is told apart by, "" for nothing.
        word: of the counters (kernels.counters) that it shows, None for more than one word.
    """

    name: str
    kind: str
    unit: str
    text: str
    label: str = ""
    word: int | None = None

    @property
    def help(self) -> str:
        """What it says, with its unit."""
        return f"{self.text} Unit: {self.unit}."


LATENCY = Definition(
    "read_latency_seconds", "histogram", "s", "From the request read to the reply written."
)
METRICS = (
    Definition("uptime_seconds", "gauge", "s", "Since the mount."),
    Definition("open_handles", "gauge", "handles", "Open files."),
    Definition("requests", "counter", "requests", "Answered, by FUSE opcode.", "opcode"),
    Definition("read_bytes", "counter", "B", "Read of data files.", word=counters.BYTES),
    Definition(
        *("stored_bytes", "counter", "B", "Of small files, handed over when they are opened."),
        word=counters.STORED_BYTES,
    ),
    Definition("read_errors", "counter", "reads", "Answered with an error.", word=counters.ERRORS),
    Definition(
        *("refused_replies", "counter", "replies", "Not taken by the kernel."),
        word=counters.REFUSED,
    ),
    Definition(
        *("faults", "counter", "requests", "Met an error of dgenfs's own; the log has each."),
        word=counters.FAULTS,
    ),
    Definition("cache_capacity_bytes", "gauge", "B", "Most that a block cache holds.", "node"),
    Definition("cache_resident_bytes", "gauge", "B", "What it holds, whole extents.", "node"),
    Definition("cache_hits", "counter", "pieces", "Of reads, that it had whole.", "node"),
    Definition("cache_misses", "counter", "pieces", "Of reads, that it had not.", "node"),
    Definition("cache_evictions", "counter", "blocks", "That made room for others.", "node"),
    LATENCY,
)

# Upper bounds of the latency buckets but the last, which has none, µs.
LATENCY_BOUNDS_US = [1 << i for i in range(counters.LATENCIES - 1)]


@dataclass(frozen=True, slots=True)
class CacheStats:
    """One node's cache.

    Attributes:
        capacity_bytes: most it may hold.
        resident_bytes: what it holds, in whole extents.
        hits: pieces of reads, at most a block each, that it had whole.
        misses: pieces that it had not.
        evictions: blocks that made room for others.
    """

    capacity_bytes: int
    resident_bytes: int
    hits: int
    misses: int
    evictions: int


def cache_stats(of: Cache) -> CacheStats:
    """Return what a cache has counted."""
    return CacheStats(
        capacity_bytes=of.slots.shape[0] * BLOCK,
        resident_bytes=int(np.bitwise_count(of.slots[:, cache.FILLED]).sum()) * EXTENT,
        hits=int(of.state[cache.HITS]),
        misses=int(of.state[cache.MISSES]),
        evictions=int(of.state[cache.EVICTIONS]),
    )


class Stats:
    """What a mount has done since it was made."""

    def __init__(self, workers: Workers, own: NDArray[np.uint64]) -> None:
        """Collect from ``workers`` and from what the control plane counts, uint64[COUNTERS]."""
        self._workers = workers
        self._own = own
        self._version = dgenfs.__version__  # now, as it is read from a file
        self._started = time.monotonic()
        self._registry = CollectorRegistry()
        self._registry.register(_Metrics(self))

    def prometheus(self) -> bytes:
        """Return everything in the Prometheus text format."""
        return generate_latest(self._registry)

    def collect(self) -> dict[str, Any]:
        """Return everything, as `.stats` shows it."""
        counted = (self._own + self._workers.counters()).tolist()
        latencies = counted[counters.LATENCY : counters.LATENCY + counters.LATENCIES]
        return {
            "version": self._version,
            "uptime_seconds": round(time.monotonic() - self._started, 3),
            # A worker counts an open after its reply, when the file may be closed again.
            "open_handles": max(0, counted[counters.OPENED] - counted[counters.RELEASED]),
            "requests": {
                opcode.name: counted[counters.REQUESTS + opcode]
                for opcode in Opcode
                if counted[counters.REQUESTS + opcode]
            },
            **{one.name: counted[one.word] for one in METRICS if one.word is not None},
            "read_seconds": counted[counters.NANOSECONDS] / 1e9,
            "read_latency_us": {
                **{f"<{bound}": n for bound, n in zip(LATENCY_BOUNDS_US, latencies, strict=False)},
                f">={LATENCY_BOUNDS_US[-1]}": latencies[-1],
            },
            "cache": {
                str(node.node.index): dataclasses.asdict(cache_stats(node.cache))
                for node in self._workers.nodes
            },
        }


class _Metrics(Collector):
    """Gives `.stats` to the Prometheus client, by the table."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats

    def collect(self) -> Iterable[Metric]:
        stats = self._stats.collect()
        for metric in METRICS:
            if metric is LATENCY:
                yield _histogram(stats)
                continue
            kind = GaugeMetricFamily if metric.kind == "gauge" else CounterMetricFamily
            name = f"dgenfs_{metric.name}"
            if not metric.label:
                yield kind(name, metric.help, stats[metric.name])
                continue
            family = kind(name, metric.help, labels=[metric.label])
            for label, value in _labelled(metric, stats):
                family.add_metric([label], value)
            yield family


def _labelled(metric: Definition, stats: dict[str, Any]) -> Iterator[tuple[str, float]]:
    if metric.label == "opcode":
        for opcode, count in stats[metric.name].items():
            yield opcode.lower(), count
    else:
        for node, values in stats["cache"].items():
            yield node, values[metric.name.removeprefix("cache_")]


def _histogram(stats: dict[str, Any]) -> HistogramMetricFamily:
    total = 0
    buckets = []
    bounds = [*(bound / 1e6 for bound in LATENCY_BOUNDS_US), float("inf")]
    for bound, count in zip(bounds, stats["read_latency_us"].values(), strict=True):
        total += count
        buckets.append(("+Inf" if bound == float("inf") else repr(bound), total))
    return HistogramMetricFamily(
        f"dgenfs_{LATENCY.name}", LATENCY.help, buckets=buckets, sum_value=stats["read_seconds"]
    )

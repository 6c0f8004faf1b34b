"""Counters of a mount, collected without a lock: workers never wait for a reader of them."""

import dataclasses
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

import dgenfs
from dgenfs.kernels import cache, requests
from dgenfs.kernels.cache import BLOCK, EXTENT, Cache
from dgenfs.mount.protocol import Opcode
from dgenfs.mount.workers import Workers

# Upper bounds of the latency buckets but the last, which has none, µs.
LATENCY_BOUNDS_US = [1 << i for i in range(requests.LATENCIES - 1)]


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

    def __init__(self, workers: Workers, counters: NDArray[np.uint64]) -> None:
        """Collect from ``workers`` and from what the control plane counts in ``counters``."""
        self._workers = workers
        self._counters = counters
        self._started = time.monotonic()
        self._registry = CollectorRegistry()
        self._registry.register(_Metrics(self))

    def prometheus(self) -> bytes:
        """Return everything in the Prometheus text format."""
        return generate_latest(self._registry)

    def collect(self) -> dict[str, Any]:
        """Return everything, as `.stats` shows it."""
        counted = self._counters + self._workers.counters()
        latencies = counted[requests.LATENCY : requests.LATENCY + requests.LATENCIES].tolist()
        return {
            "version": dgenfs.__version__,
            "uptime_seconds": round(time.monotonic() - self._started, 3),
            "open_handles": int(counted[requests.OPENED]) - int(counted[requests.RELEASED]),
            "requests": {
                opcode.name: int(counted[requests.REQUESTS + opcode])
                for opcode in Opcode
                if counted[requests.REQUESTS + opcode]
            },
            "read_bytes": int(counted[requests.BYTES]),
            "read_errors": int(counted[requests.ERRORS]),
            "refused_replies": int(counted[requests.REFUSED]),
            "read_seconds": int(counted[requests.NANOSECONDS]) / 1e9,
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
    def __init__(self, stats: Stats) -> None:
        self._stats = stats

    def collect(self) -> Iterable[Metric]:
        found = self._stats.collect()
        uptime = found["uptime_seconds"]
        yield GaugeMetricFamily("dgenfs_uptime_seconds", "Since the mount.", uptime)
        yield GaugeMetricFamily("dgenfs_open_handles", "Open files.", found["open_handles"])
        by_opcode = CounterMetricFamily(
            "dgenfs_requests", "Requests answered, by FUSE opcode.", labels=["opcode"]
        )
        for opcode, count in found["requests"].items():
            by_opcode.add_metric([opcode.lower()], count)
        yield by_opcode
        for name, text in (
            ("read_bytes", "Bytes of data files read."),
            ("read_errors", "Reads answered with an error."),
            ("refused_replies", "Replies that the kernel did not take."),
        ):
            yield CounterMetricFamily(f"dgenfs_{name}", text, found[name])
        total = 0
        buckets = []
        bounds = [*(bound / 1e6 for bound in LATENCY_BOUNDS_US), float("inf")]
        for bound, count in zip(bounds, found["read_latency_us"].values(), strict=True):
            total += count
            buckets.append(("+Inf" if bound == float("inf") else repr(bound), total))
        yield HistogramMetricFamily(
            "dgenfs_read_latency_seconds",
            "From the request read to the reply written.",
            buckets=buckets,
            sum_value=found["read_seconds"],
        )
        for name in CacheStats.__dataclass_fields__:
            kind = GaugeMetricFamily if name.endswith("bytes") else CounterMetricFamily
            metric = kind(f"dgenfs_cache_{name}", f"Block cache: {name}.", labels=["node"])
            for node, values in found["cache"].items():
                metric.add_metric([node], values[name])
            yield metric

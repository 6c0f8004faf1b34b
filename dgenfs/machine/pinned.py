"""A thread pinned to each CPU, which all generators of the process share."""

import functools
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from dgenfs.machine import topology

log = logging.getLogger(__name__)


@functools.cache
def usable() -> topology.Topology:
    """Return the NUMA nodes and CPUs that this process may use, as they were at the first call."""
    return topology.detect()


class PinnedWorker(NamedTuple):
    """A thread of one CPU.

    Attributes:
        node: the NUMA node's index.
        pool: of the one thread.
    """

    node: int
    pool: ThreadPoolExecutor


@functools.cache
def workers() -> dict[int, PinnedWorker]:
    """Return a worker for each CPU, the nodes taking turns.

    Each is pinned to its CPU: a thread that is free to run anywhere was woken on the CPU of its
    busy caller in 7 of 8 fills, and two were no faster than one.
    """
    turns = sorted(
        (place, node.index, cpu) for node in usable().nodes for place, cpu in enumerate(node.cpus)
    )
    return {
        cpu: PinnedWorker(node, ThreadPoolExecutor(1, f"dgenfs-cpu{cpu}", _pin, (cpu,)))
        for _, node, cpu in turns
    }


def node_of(cpu: int) -> int:
    """Return the index of a CPU's NUMA node, the first node's for one that is not ours to use."""
    worker = workers().get(cpu)
    return usable().nodes[0].index if worker is None else worker.node


def _pin(cpu: int) -> None:
    try:
        topology.pin_thread([cpu])
    except OSError as error:
        log.warning("CPU %d: its thread runs on any: %s", cpu, error)


# A forked child, such as a data loader's worker, has the pools but none of their threads.
os.register_at_fork(after_in_child=workers.cache_clear)

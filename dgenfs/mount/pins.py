"""Workers stay on the CPUs of their nodes, whatever becomes of these while a mount lives.

The kernel lets a thread run anywhere, for good, when the last CPU that it is pinned to goes offline
(Linux kernel/sched/core.c, select_fallback_rq), and before 6.2 at any change of its cpuset. Nobody
is told, so this is looked at from time to time.
"""

import logging
from dataclasses import replace

from dgenfs.kernels.cache import KEEPS_LARGE, new_cache
from dgenfs.machine import topology
from dgenfs.mount.worker import NodeWorkers, Worker
from dgenfs.mount.workers import Workers

log = logging.getLogger(__name__)

SECONDS = 2  # from one look to the next; it takes a system call a thread


def renew(workers: Workers) -> None:
    """Take in nodes and CPUs that came or went, and pin threads again that are not as they were.

    It does not wait: where ``workers`` are being changed, nothing is done.
    """
    if not workers.changing.acquire(blocking=False):
        return
    try:
        if topology.usable_cpus() != set(workers.topology.cpus):
            adopt(workers, topology.detect())
        if len(workers.nodes) > 1:
            for node in workers.nodes:
                for worker in (*node.workers, *node.waiting):
                    _pin(worker, node.node.cpus)
    finally:
        workers.changing.release()


def adopt(workers: Workers, machine: topology.Topology) -> None:
    """Go on with the nodes and CPUs of ``machine``; ``workers.changing`` must be held.

    A node without CPUs now keeps its cache and threads, which the kernel runs anywhere. One that is
    new gets its own.
    """
    workers.topology = machine
    found = {node.index: node for node in machine.nodes}
    for of in workers.nodes:
        of.node = found.pop(of.node.index, replace(of.node, cpus=()))
    keeps_large = bool(workers.nodes[0].cache.state[KEEPS_LARGE])
    for node in found.values():
        try:
            of = NodeWorkers(node, new_cache(workers.cache_bytes, keeps_large=keeps_large))
            workers.nodes = sorted((*workers.nodes, of), key=lambda of: of.node.index)
            workers.start_node(of)
        except (MemoryError, OSError) as error:
            log.warning("node %d: not all of its threads or no cache: %s", node.index, error)


def _pin(worker: Worker, cpus: tuple[int, ...]) -> None:
    before = worker.cpus
    if not cpus or not before or before == cpus:
        return
    try:
        topology.pin_thread(cpus, worker.native_id or 0)
    except OSError as error:
        log.debug("%s: not pinned to CPUs %s: %s", worker.name, cpus, error)
    if worker.cpus != before:
        log.info("%s: pinned again to CPUs %s, ran on %s", worker.name, cpus, before)

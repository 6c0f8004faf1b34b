"""A thread pinned to each CPU, which all generators of the process share."""

import logging
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import NamedTuple

from dgenfs.machine import topology
from dgenfs.machine.system_calls import name_thread

log = logging.getLogger(__name__)


class PinnedWorker:
    """A thread of one CPU, started by the first call for it.

    It belongs to no executor, as those take nothing any more once the main thread has ended, and
    it ends with the process.

    Attributes:
        cpu: the CPU.
        node: the NUMA node's index.
    """

    def __init__(self, cpu: int, node: int) -> None:
        """Start nothing yet."""
        self.cpu = cpu
        self.node = node
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._serving = threading.Lock()  # held by the thread; nobody ever waits for it

    def call(self, function: Callable[[], None]) -> None:
        """Have the thread call ``function``, or nobody if no thread can be started."""
        if not self._serving.locked():
            name = f"dgenfs-cpu{self.cpu}"
            try:
                threading.Thread(target=self._serve, name=name, daemon=True).start()
            except RuntimeError as error:
                # At the limit of threads, or at the end of Python 3.12 and later.
                log.debug("CPU %d: no thread: %s", self.cpu, error)
                return
        self._calls.put(function)

    def pin_again(self) -> None:
        """Pin the thread, if there is one: who changed the process's CPUs may have changed its."""
        if self._serving.locked():
            self._calls.put(self._pin)

    def _serve(self) -> None:
        if not self._serving.acquire(blocking=False):
            return  # two callers started a thread at once
        name_thread(threading.current_thread().name)
        self._pin()
        while True:
            try:
                self._calls.get()()
            except Exception:
                log.exception("CPU %d: a call failed", self.cpu)

    def _pin(self) -> None:
        try:
            topology.pin_thread([self.cpu])
        except OSError as error:
            log.warning("CPU %d: its thread runs on any: %s", self.cpu, error)


class Plan(NamedTuple):
    """The CPUs that the process may use.

    Attributes:
        affinity: as the system tells them.
        workers: one for each CPU, the nodes taking turns.
        first_node: index of the first NUMA node.
    """

    affinity: set[int]
    workers: dict[int, PinnedWorker]
    first_node: int

    def node_of(self, cpu: int) -> int:
        """Return the index of a CPU's NUMA node, the first node's for one that is not ours."""
        worker = self.workers.get(cpu)
        return self.first_node if worker is None else worker.node


_workers: dict[tuple[int, int], PinnedWorker] = {}  # by CPU and node
_plan: Plan | None = None


def plan() -> Plan:
    """Return the plan for the CPUs that the process's main thread may use now.

    Each worker is pinned to its CPU: a thread that is free to run anywhere was woken on the CPU of
    its busy caller in 7 of 8 fills, and two were no faster than one.
    """
    global _plan
    # One system call, 1 µs. No lock: a signal's handler may call this in the midst of this.
    affinity = topology.usable_cpus()
    current = _plan
    if current is None or current.affinity != affinity:
        current = _plan = _new_plan(affinity)
    return current


def _new_plan(affinity: set[int]) -> Plan:
    nodes = topology.detect(affinity=affinity).nodes
    turns = sorted(
        (place, node.index, cpu) for node in nodes for place, cpu in enumerate(node.cpus)
    )
    workers = {
        cpu: _workers.setdefault((cpu, node), PinnedWorker(cpu, node)) for _, node, cpu in turns
    }
    for worker in workers.values():
        worker.pin_again()
    return Plan(affinity, workers, nodes[0].index)


def _forget() -> None:
    global _plan
    _plan = None
    _workers.clear()


# A forked child, such as a data loader's worker, has none of the threads.
os.register_at_fork(after_in_child=_forget)

"""A thread that answers the kernel's requests, and those of a NUMA node."""

import logging
import os
import threading
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dgenfs.kernels import counters as counts
from dgenfs.kernels.cache import Cache
from dgenfs.kernels.duties import Duty
from dgenfs.machine import topology

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Worker:
    """One thread.

    Attributes:
        name: of the thread, as the kernel knows it too: at most 15 bytes.
        counters: uint64[COUNTERS], see kernels.counters.
        ended: set when the thread has left the request loop for good.
        joinable: set when nobody will signal the thread any more; it exits only then.
        duty: which requests it answers.
        given_up: whether it has failed so often that it is not replaced any more.
        thread: the thread, once started.
    """

    name: str
    duty: Duty
    counters: NDArray[np.uint64] = field(
        default_factory=lambda: np.zeros(counts.COUNTERS, np.uint64)
    )
    ended: threading.Event = field(default_factory=threading.Event)
    joinable: threading.Event = field(default_factory=threading.Event)
    given_up: bool = False
    thread: threading.Thread | None = None

    @property
    def native_id(self) -> int | None:
        """The kernel's id of the thread, None before it is started."""
        return self.thread.native_id if self.thread else None

    @property
    def cpus(self) -> tuple[int, ...]:
        """What the kernel lets the thread run on, none if it has ended (sched_getaffinity(2))."""
        try:
            return tuple(sorted(os.sched_getaffinity(self.native_id or -1)))
        except OSError:
            return ()


@dataclass(slots=True)
class NodeWorkers:
    """One NUMA node.

    Attributes:
        node: which.
        cache: shared by its workers.
        workers: its threads; replaced whole, so that readers need no lock.
        waiting: its threads for reads that wait for a long CRC.
    """

    node: topology.Node
    cache: Cache
    workers: list[Worker] = field(default_factory=list)
    waiting: list[Worker] = field(default_factory=list)


def wake_without_preempting(name: str) -> None:
    """Let the thread wake without preempting who runs (SCHED_BATCH, sched(7)).

    A worker is woken for each request, though the one that runs takes the next as soon as it has
    answered: preempting that one, or the client, cost a fifth of the 4 KiB IOPS at queue depth 16.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except OSError as error:
        log.info("%s: usual scheduling: %s", name, error.strerror)

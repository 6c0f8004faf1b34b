"""The data plane: a cache for each NUMA node and threads that answer the kernel's requests."""

import errno
import fcntl
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
import psutil
from numpy.typing import NDArray

from dgenfs.content.layout import MAX_UNIT, Layout
from dgenfs.kernels import counters as counts
from dgenfs.kernels.cache import BLOCK, COUNTED, Cache, new_cache
from dgenfs.kernels.digests import MOST, UNLIMITED
from dgenfs.kernels.duties import GIVEN_UP, NOBODY, Duty
from dgenfs.kernels.fill import fill
from dgenfs.kernels.fuse import ENTRY_WORDS, READ_REQUEST
from dgenfs.kernels.opening import Opening
from dgenfs.kernels.scratch import REQUEST_BYTES, Scratch, new_scratch
from dgenfs.kernels.serve import serve
from dgenfs.machine import topology
from dgenfs.machine.caches import last_level_share
from dgenfs.machine.system_calls import name_thread
from dgenfs.mount.init_reply import error_reply
from dgenfs.mount.options import MAX_WORKERS
from dgenfs.mount.rows import Rows
from dgenfs.mount.worker import NodeWorkers, Worker, wake_without_preempting

log = logging.getLogger(__name__)

KICK = signal.SIGUSR2  # ends a worker's blocking call; its handler does nothing
MEMORY = psutil.virtual_memory().total  # bytes
# Bytes a second that the kernel copies to a client from the last-level cache, about: on two cores
# of an EPYC 9004 a read of 1 MiB took 250 µs so, and 190 µs when it was generated, at 36 GB/s.
COPY_SPEED = 12e9
DEFAULT_CACHE = 16 << 20  # bytes, where the processor does not tell of its caches

_DISCONNECTED = (errno.ENODEV, errno.ECONNABORTED)
_CONTROL_PLANE_GONE = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN)
_RETRY_SECONDS = 0.1
WAITING = 2  # threads on each node for reads that wait for a long CRC
_PIPE = 1 << 20  # bytes of requests that wait, 13,056; the most that all users may have
_MOST_FAILURES = 10  # of a thread in a row, with no request answered in between


class Workers:
    """The caches and threads of all NUMA nodes.

    Without a connection there are caches only, for the data plane in Python.

    Attributes:
        nodes: one for each NUMA node that has CPUs, or had; replaced whole.
        topology: the machine as it was seen last.
        changing: held while nodes or threads change.
        workers_per_node: threads on each node.
    """

    def __init__(
        self,
        rows: Rows,
        opening: Opening,
        machine: topology.Topology,
        workers_per_node: int,
        cache: int | None,
    ) -> None:
        """Make the caches.

        Args:
            rows: what can be read.
            opening: how it is opened.
            machine: where threads may run.
            workers_per_node: threads on each node, 0 for one a CPU and one more.
            cache: bytes of each node's cache, None for half its share of the last-level caches; the
                other half is for what clients read into. Then large reads use it only where that
                is faster than to generate them.
        """
        self._rows = rows
        rows.requests = self._requests
        self._opening = opening
        self.topology = machine
        # One more than CPUs: with one reader, a fifth more 4 KiB and 128 KiB reads.
        most = max(len(node.cpus) for node in machine.nodes) + 1
        self.workers_per_node = workers_per_node or min(most, MAX_WORKERS)
        keeps_large = True
        if cache is None:
            share = min(last_level_share(node.cpus) for node in machine.nodes)
            cache = share // 2 or DEFAULT_CACHE
            keeps_large = generation_speed() < COPY_SPEED
        self.nodes = [
            NodeWorkers(node, new_cache(cache, keeps_large=keeps_large)) for node in machine.nodes
        ]
        # Of ended threads all in one, then of the others. Replaced whole, so readers need no lock.
        self._counters: tuple[NDArray[np.uint64], ...] = (np.zeros(counts.COUNTERS, np.uint64),)
        self.changing = threading.Lock()
        self._stop = np.zeros(1, np.int64)
        self._fuse = self._control = -1
        self._queue: tuple[int, ...] = ()  # a pipe's ends, with reads that wait for a long CRC
        self._given_up: NDArray[np.uint64] = np.full(GIVEN_UP, NOBODY)
        self._entry: NDArray[np.uint64] = np.zeros(ENTRY_WORDS, np.uint64)
        self._on_disconnect: Callable[[], None] = lambda: None
        self._on_failure: Callable[[str], None] = lambda _: None

    @property
    def cache_bytes(self) -> int:
        """Capacity of each node's cache, whole blocks."""
        return len(self.nodes[0].cache.slots) * BLOCK

    def connect(
        self,
        fuse: int,
        control: int,
        entry: NDArray[np.uint64],
        on_disconnect: Callable[[], None],
        on_failure: Callable[[str], None],
    ) -> None:
        """Start the threads.

        Args:
            fuse: descriptor of /dev/fuse.
            control: socket to the control plane.
            entry: uint64[ENTRY_WORDS], attributes that all files of trees have.
            on_disconnect: called on a worker's thread when the file system is no longer mounted.
            on_failure: called with what went wrong when no thread is left that could answer.

        Raises:
            OSError: EAGAIN, not all of them could be started; ``stop`` ends those that were.
        """
        self._fuse, self._control = fuse, control
        self._queue = _pipe()
        self._entry = entry
        self._on_disconnect = on_disconnect
        self._on_failure = on_failure
        self._start()

    def counters(self) -> NDArray[np.uint64]:
        """Return the sum over all threads, ended ones too: uint64[COUNTERS]; it never decreases."""
        total: NDArray[np.uint64] = np.sum(self._counters, axis=0, dtype=np.uint64)
        return total

    def _requests(self) -> frozenset[int]:
        """Return the kernel's numbers of the requests that threads are busy with."""
        return frozenset(int(of[counts.BUSY_WITH]) for of in self._counters[1:]) - {0}

    def stop(self) -> None:
        """End the threads for good; requests that nobody has read yet stay with the kernel."""
        with self.changing:
            self._end_threads()
            for end in self._queue:
                os.close(end)
            self._queue = ()

    def _end_threads(self) -> None:
        self._stop[0] = 1
        for node in self.nodes:
            for worker in (*node.workers, *node.waiting):
                assert worker.thread is not None
                assert worker.thread.ident is not None
                # More than once: a signal between the look at `stop` and the read is lost.
                while not worker.ended.is_set():
                    signal.pthread_kill(worker.thread.ident, KICK)
                    worker.ended.wait(0.01)
                worker.joinable.set()
                worker.thread.join()
            node.workers, node.waiting = [], []
        self._counters = (self.counters(),)
        self._stop[0] = 0

    def retune(self, workers_per_node: int | None, cache_bytes: int | None) -> None:
        """Go on with other numbers, None for the same; a new cache starts empty but counts on.

        Requests wait with the kernel for the milliseconds that this takes.

        Raises:
            ValueError: a number is outside its range.
            MemoryError: there is no address space for the cache.
            OSError: EAGAIN, so many threads could not be started; it goes on as before.
        """
        if workers_per_node is not None and not 1 <= workers_per_node <= MAX_WORKERS:
            raise ValueError(f"workers_per_node {workers_per_node}: must be 1 to {MAX_WORKERS}")
        with self.changing:
            caches = None
            if cache_bytes is not None:
                check_cache(cache_bytes, len(self.nodes))
                caches = [new_cache(cache_bytes) for _ in self.nodes]
            self._end_threads()
            threads, used = self.workers_per_node, [node.cache for node in self.nodes]
            if caches is not None:
                for cache, before in zip(caches, used, strict=True):
                    cache.state[COUNTED] = before.state[COUNTED]
            self._set(workers_per_node or threads, caches or used)
            try:
                self._start()
            except OSError:
                self._end_threads()
                for cache, before in zip(caches or used, used, strict=True):
                    before.state[COUNTED] = cache.state[COUNTED]
                self._set(threads, used)
                self._start_what_can_be()
                raise

    def _set(self, workers_per_node: int, caches: Sequence[Cache]) -> None:
        self.workers_per_node = workers_per_node
        for node, cache in zip(self.nodes, caches, strict=True):
            node.cache = cache

    def _start_what_can_be(self) -> None:
        """Start the threads, or as many as can be; without any the mount ends, not hangs."""
        try:
            self._start()
        except OSError as error:
            log.error("%s", error.strerror)
            if not any(node.workers for node in self.nodes):
                self._on_failure(f"no thread can be started: {error.strerror}")

    def _start(self) -> None:
        for node in self.nodes:
            self.start_node(node)

    def start_node(self, node: NodeWorkers) -> None:
        """Start the threads of a node, if there is a connection; ``changing`` must be held.

        Raises:
            OSError: EAGAIN, not all of them could be started.
        """
        if self._fuse < 0:
            return
        taken, waiting = map(np.int32, self._queue)
        room = np.uint64(REQUEST_BYTES)
        answering = Duty(np.int32(self._fuse), room, waiting, np.uint64(MOST), self._given_up)
        computing = Duty(taken, np.uint64(READ_REQUEST), waiting, UNLIMITED, self._given_up)
        name = f"dgenfs-{node.node.index}"
        for i in range(self.workers_per_node + WAITING):
            try:
                if i < self.workers_per_node:
                    worker = self._start_one(node, Worker(f"{name}-{i}", answering))
                    node.workers = [*node.workers, worker]
                else:
                    crc = f"{name}-crc-{i - self.workers_per_node}"
                    node.waiting.append(self._start_one(node, Worker(crc, computing)))
            except (RuntimeError, OSError) as error:  # RuntimeError: threading's for EAGAIN
                reason = f"only {i} of {self.workers_per_node + WAITING} threads started: {error}"
                raise OSError(errno.EAGAIN, reason) from error

    def _start_one(self, node: NodeWorkers, worker: Worker) -> Worker:
        name = worker.name
        cpus = node.node.cpus if len(self.nodes) > 1 else ()
        worker.thread = threading.Thread(
            target=self._run, args=(worker, node.cache, cpus, new_scratch()), name=name, daemon=True
        )
        self._counters = (*self._counters, worker.counters)  # before it is busy with anything
        worker.thread.start()
        return worker

    def _run(self, worker: Worker, cache: Cache, cpus: tuple[int, ...], scratch: Scratch) -> None:
        try:
            self._work(worker, cache, cpus, scratch)
        except Exception:
            log.exception("%s: ended", worker.name)
            worker.given_up = True
        finally:
            worker.ended.set()
            everybody = [one for of in self.nodes for one in (*of.workers, *of.waiting)]
            alike = [one for one in everybody if one.duty.requests == worker.duty.requests]
            if worker.given_up and all(one.given_up for one in alike):
                self._on_failure("all threads that answer requests failed")
            worker.joinable.wait()

    def _work(self, worker: Worker, cache: Cache, cpus: tuple[int, ...], scratch: Scratch) -> None:
        name_thread(worker.name)
        try:
            if cpus:
                topology.pin_thread(cpus)
        except OSError as error:
            log.warning("%s: runs on any CPU: %s", worker.name, error)
        wake_without_preempting(worker.name)
        failures, answered = 0, 0
        while not self._stop[0]:
            try:
                number = self._serve(worker, cache, scratch)
                reason = os.strerror(number)
            except Exception:
                log.exception("%s: failed", worker.name)
                number, reason = 0, "see above"
            if self._stop[0]:
                # Only one that could not be passed on, as the control plane was too far behind.
                self._fail_request(worker)
                break
            if number in _DISCONNECTED:
                self._on_disconnect()
                break
            if number not in _CONTROL_PLANE_GONE:
                before, answered = answered, int(worker.counters[: counts.OPCODES].sum())
                failures = failures + 1 if answered == before else 1
                if failures == _MOST_FAILURES:
                    log.error("%s: ended (%s), not replaced any more", worker.name, reason)
                    self._fail_request(worker)
                    worker.given_up = True
                    break
                log.error("%s: ended (%s), replaced", worker.name, reason)
                time.sleep(_RETRY_SECONDS)
            self._fail_request(worker)

    def _serve(self, worker: Worker, cache: Cache, scratch: Scratch) -> int:
        return int(
            serve(
                self._fuse,
                self._control,
                worker.duty,
                self._stop,
                self._opening,
                self._entry,
                self._rows.hints,
                self._rows.table,
                cache,
                scratch,
                worker.counters,
            )
        )

    def _fail_request(self, worker: Worker) -> None:
        """End the request that a worker left unanswered, so that its client does not hang."""
        unique = int(worker.counters[counts.BUSY_WITH])
        if unique:
            try:
                os.write(self._fuse, error_reply(unique, errno.EIO))
            except OSError as error:
                log.debug("%s: request %d was answered already: %s", worker.name, unique, error)
            else:
                log.info("%s: request %d ended with an error", worker.name, unique)
                worker.counters[counts.FAULTS] += 1
            worker.counters[counts.BUSY_WITH] = 0


def _pipe() -> tuple[int, int]:
    """Return a pipe's ends, to read from and to write to without waiting for room."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE)
    except OSError as error:
        log.info("room for fewer reads that wait for a long CRC: %s", error.strerror)
    return reading, writing


def generation_speed() -> float:
    """Return how fast one thread generates large reads here, bytes a second.

    It takes 10 ms, nearly all of it Numba's for the first call of a kernel from Python.
    """
    row = Layout(1, 1 << 40, 1000, 1000, 0, MAX_UNIT).row
    out = np.empty(1 << 20, np.uint8)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        fill(out, np.uint64(0), row)
        seconds.append(time.perf_counter() - started)
    return out.size / min(seconds)


def check_cache(size: int, nodes: int) -> None:
    """Raise ValueError if there cannot be a cache of ``size`` bytes on each of so many nodes."""
    if not 0 <= size <= 1 << 44:
        raise ValueError(f"cache_bytes {size}: must be 0 to 16 TiB")
    if size * nodes > MEMORY:
        raise ValueError(
            f"cache_bytes {size} on {nodes} node(s): must fit into the machine's {MEMORY} bytes"
        )

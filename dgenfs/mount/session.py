"""The life of a mount: made, served until it is unmounted or told to end, and cleaned up."""

import contextlib
import functools
import logging
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np
import pyfuse3
import trio

from dgenfs.kernels.counters import COUNTERS
from dgenfs.kernels.jit import warm_up
from dgenfs.kernels.opening import Opening
from dgenfs.machine import topology
from dgenfs.machine.endings import ending_signals
from dgenfs.mount import libfuse_errors, pins
from dgenfs.mount import mountpoint as mountpoints
from dgenfs.mount.attributes import Attributes
from dgenfs.mount.control import ReportFile, TopologyFile, as_json
from dgenfs.mount.inodes import Inodes
from dgenfs.mount.io_mode import Io
from dgenfs.mount.metrics import Stats
from dgenfs.mount.mountpoint import Mounted, MountError, Mountpoint
from dgenfs.mount.opening import keeps_pages, opening_of, suit
from dgenfs.mount.operations import Operations
from dgenfs.mount.python_plane import Reader
from dgenfs.mount.seam import Seam, fuse_descriptors
from dgenfs.mount.workers import KICK, Workers, check_cache
from dgenfs.names.data_set import DataSet
from dgenfs.names.grammar import METRICS, STATS

log = logging.getLogger(__name__)

EXAMPLES = ("1G_d1_c1.bin", "10G_d4_c2.bin", "1T_d2_c1.5.bin", "1000x1M_d2_c2")
READ_AHEAD_KIB = 4096  # of a mount that keeps pages
_MOST_TASKS = 10_000  # of the data plane in Python; a read that waits for a long CRC has one
_LOOK_SECONDS = 0.25  # from one look at the connection to the next


@dataclass(frozen=True)
class MountConfig:
    """How to mount.

    Attributes:
        mountpoint: an empty directory.
        names: what a listing shows.
        data_set: what a profile puts into the root, None for nothing.
        allow_other: whether other users may read.
        workers_per_node: threads on each NUMA node, 0 for one a CPU and one more.
        cache_bytes: of each NUMA node, None for half its share of the last-level caches.
        io: how the kernel reads data files.
        compiled: whether the compiled loop answers reads, or Python.
        read_only: whether Linux itself refuses to write, to ``.topology`` too.
        options: for libfuse, beside ours.
    """

    mountpoint: Path
    names: tuple[str, ...] = EXAMPLES
    data_set: DataSet | None = None
    allow_other: bool = False
    workers_per_node: int = 0
    cache_bytes: int | None = None
    io: Io = Io.AUTO
    compiled: bool = True
    read_only: bool = True
    options: tuple[str, ...] = ()


def run(config: MountConfig, ready: Callable[[], None]) -> None:
    """Mount and serve until unmounted or ended by SIGINT, SIGTERM or SIGHUP.

    Call it on the main thread of a process that does nothing else: pyfuse3 has one session.

    Args:
        config: how to mount.
        ready: called once requests are answered.

    Raises:
        MountError: it cannot be mounted.
        SpecError: a listed name is not valid.
        ValueError: a number is outside its range.
    """
    machine = topology.detect()
    if config.cache_bytes is not None:
        check_cache(config.cache_bytes, len(machine.nodes))
    if numba.config.DISABLE_JIT:
        raise MountError("NUMBA_DISABLE_JIT is set: a mount needs compiled code: unset it")
    warm_up()
    inodes = Inodes(config.names, config.data_set)
    place = mountpoints.prepare(config.mountpoint)
    path = place.path
    opening = opening_of(config.io)
    workers = Workers(inodes.rows, opening, machine, config.workers_per_node, config.cache_bytes)
    operations = _operations(inodes, opening, workers, path)
    signal.signal(KICK, lambda *_: None)
    # From here on nothing but the loop ends the process, which would leave a dead mount: signals
    # before it are kept for it, and those that come while it ends change nothing.
    early: list[int] = []
    ending = ending_signals()
    for number in ending:
        signal.signal(number, lambda number, _: early.append(number))
    descriptor = _mount(operations, place, config)
    mounted = place.check_mounted()
    leave = functools.partial(mountpoints.detach, path, mounted)
    try:
        session = _Session(descriptor, workers, opening, config, mounted, leave)
        trio.run(session.serve, ready, ending, early)
    except (ExceptionGroup, MountError) as error:
        raise MountError(f"{path}: {_first(error)}") from error
    finally:
        leave(connected=False)
        # The interpreter's end would put the default back, which kills, for any other handler.
        for number in ending:
            signal.signal(number, signal.SIG_IGN)


def _operations(inodes: Inodes, opening: Opening, workers: Workers, path: Path) -> Operations:
    counters = np.zeros(COUNTERS, np.uint64)
    stats = Stats(workers, counters)
    files = (
        TopologyFile(workers),
        ReportFile(STATS.encode(), lambda: as_json(stats.collect())),
        ReportFile(METRICS.encode(), stats.prometheus),
    )
    reader = Reader(workers, counters)
    return Operations(inodes, files, reader, opening, counters, path)


def _first(error: Exception) -> Exception:
    """Return the first error of what trio gathered."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


class _Session:
    """One mounted session of pyfuse3, from its first request to the last."""

    def __init__(
        self,
        descriptor: int,
        workers: Workers,
        opening: Opening,
        config: MountConfig,
        mounted: Mounted,
        leave: Callable[..., None],
    ) -> None:
        self._descriptor = descriptor
        self._workers = workers
        self._opening = opening
        self._config = config
        self._mounted = mounted
        self._seam = Seam(descriptor)
        self._leave = leave
        self._greeted = trio.Event()  # INIT is answered
        self._terminated = trio.Event()
        self._closed = False
        self._failure: str | None = None

    async def serve(
        self, ready: Callable[[], None], ending: Sequence[signal.Signals], early: list[int]
    ) -> None:
        """Serve to the end; what was mounted is unmounted then, and no thread is left.

        Args:
            ready: called once requests are answered.
            ending: signals that end it.
            early: signals that are not to wait for.
        """
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._end_on_signals, ending, early)
                nursery.start_soon(self._renew_pins)
                await self._serve_requests(ready)
                nursery.cancel_scope.cancel()
            if self._failure is not None:
                raise MountError(self._failure)
        finally:
            self._closed = True
            # Each whatever becomes of those before, the last first. Clients see the mount go before
            # the threads that answered them. Not by pyfuse3, which would unmount whatever is there
            # by now, and nothing after an abort.
            with contextlib.ExitStack() as stack:
                stack.callback(self._seam.close)
                stack.callback(self._workers.stop)
                stack.callback(pyfuse3.close, unmount=False)
                stack.callback(lambda: self._leave(connected=self._seam.is_connected()))

    async def _serve_requests(self, ready: Callable[[], None]) -> None:
        compiled = self._config.compiled
        async with trio.open_nursery() as nursery:
            # One task only, which must not wait again for the descriptor that is taken away.
            nursery.start_soon(pyfuse3.main, 1, 99 if compiled else 1)
            offer = await trio.to_thread.run_sync(self._seam.handshake)
            suit(self._opening, self._config.io, offer)
            self._greeted.set()
            if keeps_pages(self._opening):
                # Not earlier: the reply to INIT sets it.
                _raise_read_ahead(self._mounted.device)
            if compiled:
                token = trio.lowlevel.current_trio_token()

                def fail(reason: str) -> None:
                    token.run_sync_soon(self._fail, reason)

                self._seam.start_pump(fail)
                self._workers.connect(
                    self._seam.fuse,
                    self._seam.control.fileno(),
                    Attributes(os.getuid(), os.getgid()).entry_of_a_file(),
                    lambda: token.run_sync_soon(self._terminate),
                    fail,
                )
                ready()
            else:
                trio.lowlevel.notify_closing(self._descriptor)
        if not compiled:
            self._seam.undo()
            ready()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._leave_reads, nursery.cancel_scope)
                await pyfuse3.main(1, _MOST_TASKS)
                nursery.cancel_scope.cancel()

    async def _leave_reads(self, scope: trio.CancelScope) -> None:
        """End reads that wait for a long CRC with the session, which would wait for them."""
        while self._seam.is_connected() and not self._terminated.is_set():
            with trio.move_on_after(_LOOK_SECONDS):
                await self._terminated.wait()
        await trio.sleep(_LOOK_SECONDS)  # others have an answer sooner
        scope.cancel()

    async def _renew_pins(self) -> None:
        while True:
            await trio.sleep(pins.SECONDS)
            pins.renew(self._workers)

    async def _end_on_signals(self, ending: Sequence[signal.Signals], early: list[int]) -> None:
        with trio.open_signal_receiver(*ending) as signals:
            await self._greeted.wait()  # before, nobody would answer INIT
            for number in early:
                self._end_on(number)
            async for number in signals:
                self._end_on(number)

    def _end_on(self, number: int) -> None:
        log.info("ended by %s", signal.Signals(number).name)
        self._terminate()

    def _fail(self, reason: str) -> None:
        """End the loop with an error: clients get one, and wait no longer."""
        if not self._closed:
            log.error("ended: %s", reason)
            self._failure = f"ended: {reason}"
            self._terminate()

    def _terminate(self) -> None:
        """End the loop; every worker asks for it, and pyfuse3 crashes once its session is gone."""
        if not self._closed:
            self._terminated.set()
            pyfuse3.terminate()


def _mount(operations: Operations, place: Mountpoint, config: MountConfig) -> int:
    """Mount and return the session's descriptor."""
    # In order, as the last of two that contradict each other holds; a set's order is by chance.
    options = ["fsname=dgenfs", "subtype=dgenfs", "ro", *config.options]
    if config.allow_other:
        options.append("allow_other")
    if config.read_only:
        # Not else, as Linux then lets root write to anything: access(2) is answered by Operations.
        options.append("default_permissions")
    given = ",".join(options)
    before = fuse_descriptors()
    try:
        with libfuse_errors.captured() as lines:
            pyfuse3.init(operations, str(place.target()), {given})
    except RuntimeError as error:
        reason = "; ".join(lines) or error
        raise MountError(f"{place.path}: cannot be mounted with {given}: {reason}") from error
    for line in lines:
        log.warning("%s", line)
    (session,) = fuse_descriptors() - before
    return session


def _raise_read_ahead(device: str) -> None:
    setting = Path(f"/sys/class/bdi/{device}/read_ahead_kb")
    try:
        setting.write_text(str(READ_AHEAD_KIB))
    except OSError as error:
        log.info("%s: read-ahead stays as it is: %s", setting, error.strerror)

"""Worker threads on sockets that stand in for the kernel and for the control plane."""

import errno
import os
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from processes import eventually

from dgenfs.kernels.cache import Cache, new_cache
from dgenfs.kernels.counters import BUSY_WITH, REQUESTS
from dgenfs.kernels.fuse import ENTRY_WORDS, Opcode
from dgenfs.kernels.ids import CONTROL
from dgenfs.kernels.opening import new_opening
from dgenfs.machine.topology import Node, Topology
from dgenfs.mount import workers as data_plane
from dgenfs.mount.options import MAX_WORKERS
from dgenfs.mount.pins import adopt, renew
from dgenfs.mount.rows import Rows
from dgenfs.mount.workers import KICK, MEMORY, Workers, check_cache

UNIQUE = 0x8000_0000_0000_0002


@pytest.fixture(autouse=True)
def _kick() -> Iterator[None]:
    before = signal.signal(KICK, lambda *_: None)
    yield
    signal.signal(KICK, before)


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
    found = [end for pair in pairs for end in pair]
    for end in found:
        end.settimeout(10)
    yield found
    for end in found:
        end.close()


MACHINE = Topology((Node(0, (0,), 0),))


def started(sockets: list[socket.socket], threads: int, machine: Topology = MACHINE) -> Workers:
    _, device, control, _ = sockets
    for end in (device, control):
        end.setblocking(True)
    workers = Workers(Rows(), new_opening(0, 0), machine, threads, 0)
    entry = np.zeros(ENTRY_WORDS, np.uint64)
    workers.connect(device.fileno(), control.fileno(), entry, lambda: None, print)
    return workers


def request(opcode: int, unique: int, payload: bytes = b"") -> bytes:
    return struct.pack("<IIQQ16x", 40 + len(payload), opcode, unique, 1) + payload


def test_what_is_not_theirs_is_passed_on(sockets: list[socket.socket]) -> None:
    kernel, _, _, plane = sockets
    workers = started(sockets, 2)
    try:
        for opcode in (Opcode.LOOKUP, Opcode.GETATTR, Opcode.STATFS, 4711):
            message = request(opcode, UNIQUE, b"name\0")
            kernel.send(message)
            assert plane.recv(1 << 16) == message
    finally:
        workers.stop()


def test_a_handle_that_is_none(sockets: list[socket.socket]) -> None:
    kernel, *_ = sockets
    workers = started(sockets, 1)
    try:
        for fh in (0, 1 << 30, CONTROL - 1):
            payload = struct.pack("<QQII16x", fh, 0, 4096, 0)
            kernel.send(request(Opcode.READ, UNIQUE, payload))
            assert kernel.recv(1 << 16) == struct.pack("<IiQ", 16, -errno.EBADF, UNIQUE)
        kernel.send(request(Opcode.READ, UNIQUE))
        assert kernel.recv(1 << 16) == struct.pack("<IiQ", 16, -errno.EINVAL, UNIQUE)
    finally:
        workers.stop()


def test_stopped_with_a_request_that_cannot_be_passed_on(sockets: list[socket.socket]) -> None:
    """Its client gets an error, where it would wait for ever."""
    kernel, _, control, _ = sockets
    control.setblocking(False)
    with suppress(BlockingIOError):
        while control.send(bytes(1000)):
            pass
    workers = started(sockets, 1)
    kernel.send(request(Opcode.LOOKUP, UNIQUE, b"1G\0"))
    (worker,) = workers.nodes[0].workers
    eventually(lambda: int(worker.counters[BUSY_WITH]) == UNIQUE)
    workers.stop()
    assert kernel.recv(1 << 16) == struct.pack("<IiQ", 16, -errno.EIO, UNIQUE)


@pytest.mark.parametrize("threads", [1, 5])
def test_stopped_and_started_again(sockets: list[socket.socket], threads: int) -> None:
    """Requests that nobody has read wait; counters go on."""
    kernel, _, _, plane = sockets
    workers = started(sockets, threads)
    try:
        for turn in range(1, 6):
            kernel.send(request(Opcode.FLUSH, UNIQUE))
            assert kernel.recv(1 << 16) == struct.pack("<IiQ", 16, 0, UNIQUE)
            workers.retune(threads, None)
            assert int(workers.counters()[REQUESTS + Opcode.FLUSH]) == turn
            assert len(workers.nodes[0].workers) == threads
            kernel.send(request(Opcode.STATFS, UNIQUE))
            assert plane.recv(1 << 16) == request(Opcode.STATFS, UNIQUE)
    finally:
        workers.stop()
    kernel.send(request(Opcode.STATFS, UNIQUE))
    plane.settimeout(0.05)
    with pytest.raises(TimeoutError):
        plane.recv(1 << 16)


def test_counters_do_not_wait_for_a_retune(sockets: list[socket.socket]) -> None:
    """One that takes long, as a thread must end its request first."""
    kernel, *_ = sockets
    workers = started(sockets, 2)
    try:
        kernel.send(request(Opcode.FLUSH, UNIQUE))
        assert kernel.recv(1 << 16) == struct.pack("<IiQ", 16, 0, UNIQUE)
        with workers.changing:
            # What a worker counts, it counts after its reply.
            eventually(lambda: int(workers.counters()[REQUESTS + Opcode.FLUSH]) == 1)
    finally:
        workers.stop()
    assert int(workers.counters()[REQUESTS + Opcode.FLUSH]) == 1


def test_nodes_that_come_and_go(sockets: list[socket.socket]) -> None:
    """A new one gets a cache and threads; one without CPUs keeps its own; counters go on."""
    kernel, *_ = sockets
    first, last = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))
    one, two = Node(0, (first,), 1), Node(3, (last,), 2)
    workers = started(sockets, 2)
    try:
        for turn in range(3):
            with workers.changing:
                adopt(workers, Topology((one, two)))
            with workers.changing:
                adopt(workers, Topology((one,), (Node(3, (), 2),)))
            assert [of.node for of in workers.nodes] == [one, Node(3, (), 2)]
            assert [len(of.workers) for of in workers.nodes] == [2, 2]
            kernel.send(request(Opcode.FLUSH, UNIQUE))
            assert kernel.recv(1 << 16) == struct.pack("<IiQ", 16, 0, UNIQUE)
            eventually(lambda turn=turn: int(workers.counters()[REQUESTS + Opcode.FLUSH]) > turn)  # type: ignore[misc]
    finally:
        workers.stop()


def test_a_node_that_comes_amid_a_retune(
    sockets: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits, and all nodes have threads and caches afterwards."""
    first, last = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))
    both = Topology((Node(0, (first,), 1), Node(3, (last,), 2)))
    workers = started(sockets, 2)
    real = new_cache

    def new_cache_as_a_node_comes(size: int) -> Cache:
        if workers.changing.acquire(blocking=False):  # as renew does
            adopt(workers, both)
            workers.changing.release()
        return real(size)

    monkeypatch.setattr(data_plane, "new_cache", new_cache_as_a_node_comes)
    try:
        workers.retune(1, 4 << 20)
        with workers.changing:
            adopt(workers, both)
        assert [len(of.workers) for of in workers.nodes] == [1, 1]
        assert [len(of.cache.slots) for of in workers.nodes] == [1, 1]
    finally:
        workers.stop()


def test_pins_are_not_renewed_while_workers_change(sockets: list[socket.socket]) -> None:
    workers = started(sockets, 1)
    try:
        with workers.changing:
            renew(workers)  # it does not wait either
        assert workers.topology == MACHINE
    finally:
        workers.stop()


def test_names_of_threads_are_what_the_kernel_takes(sockets: list[socket.socket]) -> None:
    workers = started(sockets, MAX_WORKERS, Topology((Node(1023, (0,), 0),)))
    try:
        for worker in workers.nodes[0].workers:
            comm = Path(f"/proc/self/task/{worker.native_id}/comm")
            eventually(lambda name=worker.name, comm=comm: comm.read_text() == f"{name}\n")  # type: ignore[misc]
    finally:
        workers.stop()


def test_a_cache_must_fit_into_the_machine() -> None:
    check_cache(MEMORY // 2, 2)
    for size, nodes in ((MEMORY, 2), (MEMORY + 1, 1), (-1, 1), ((16 << 40) + 1, 1)):
        with pytest.raises(ValueError, match=r"must be 0 to 16 TiB|must fit into"):
            check_cache(size, nodes)

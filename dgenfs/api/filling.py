"""Fills by several threads, and in a thread of their own: when they end, nobody writes any more."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from dgenfs.content.view import FileRange, View
from dgenfs.kernels.files import SLICE, fill_slices
from dgenfs.machine import pinned
from dgenfs.machine.gate import CLOSED, FORKS, Gate, wait_until_left
from dgenfs.machine.system_calls import current_cpu

# Bytes of a buffer for each thread, at the least. Waking one takes 50 µs on a virtual machine: two
# threads were 1.15 times as fast as one at 8 MiB and 1.5 times at 16 MiB.
SHARE = 8 << 20


def fill(view: View, out: NDArray[np.uint8], offset: int, threads: int | None) -> None:
    """Fill ``out`` (uint8[::1]) with the bytes from ``offset`` on, which must all be there.

    Whatever a signal's handler raises meanwhile is raised when no thread writes to ``out`` any
    more.

    Args:
        view: whose bytes.
        out: filled whole.
        offset: bytes.
        threads: most threads, None for one a CPU.

    Raises:
        OSError: a segment of the view cannot be read.
    """
    view.compute_digests(offset, out.size)
    if threads == 1 or out.size < 2 * SHARE:
        view.read_into(out, offset)
        return
    gate = Gate()
    try:
        _fill(gate, view, out, offset, threads)
    finally:
        gate.words[CLOSED] = 1
        if gate.forks == FORKS[0]:
            wait_until_left(gate.address)
        gate.held.clear()


def fill_inside(gate: Gate, view: View, offset: int, threads: int | None) -> None:
    """Fill the only array that ``gate`` holds as ``fill`` does, from any thread.

    It is not whole if the gate is closed meanwhile, nor before it is closed and all have left.
    """
    if gate.enter():
        try:
            _fill(gate, view, gate.held[0], offset, threads)
        finally:
            gate.leave()


def _fill(gate: Gate, view: View, out: NDArray[np.uint8], offset: int, threads: int | None) -> None:
    if view.files is not None:
        _fill_on_all_cpus(gate, view.files, out, offset, threads)
        return
    for at, segment, start, length in view.pieces(offset, out.size):
        if not gate.words[CLOSED]:
            segment.read_into(out[at - offset : at - offset + length], start)


def _fill_on_all_cpus(
    gate: Gate, files: FileRange, out: NDArray[np.uint8], offset: int, threads: int | None
) -> None:
    here = current_cpu()
    plan = pinned.plan()
    wanted = min(threads or len(plan.workers), out.size // SHARE)
    others = [worker for cpu, worker in plan.workers.items() if cpu != here][: max(0, wanted - 1)]
    nodes = sorted({worker.node for worker in others} | {plan.node_of(here)})
    # Each node has a part of its own, so that a buffer filled again and again stays in reach.
    size = -(-out.size // (len(nodes) * SLICE)) * SLICE
    parts = [
        (
            out[start : start + size],
            np.zeros(1, np.int64),
            np.uint64(files.start + offset + start),
        )
        for start in range(0, out.size, size)
    ]
    job = len(gate.held)
    gate.held.append((parts, files.row))
    for worker in others:
        worker.call(partial(_help, gate, job, nodes.index(worker.node)))
    _take_slices(gate, job, nodes.index(plan.node_of(here)))


def _help(gate: Gate, job: int, own: int) -> None:
    if gate.enter():
        try:
            _take_slices(gate, job, own)
        finally:
            gate.leave()


def _take_slices(gate: Gate, job: int, own: int) -> None:
    parts, row = gate.held[job]
    # Whoever is free takes the next slice, as waking a thread takes as long as some slices.
    for out, taken, position in (*parts[own:], *parts[:own]):
        fill_slices(out, taken, gate.words[CLOSED:], position, row)

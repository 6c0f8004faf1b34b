"""dgenfs with one fault built in, for what cannot be provoked from outside.

python -m life.faults FAULT -- mount ...
"""

import errno
import os
import re
import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyfuse3
import segmented
import trio

from dgenfs.cli.main import main
from dgenfs.kernels.counters import BUSY_WITH
from dgenfs.kernels.fuse import DIRECT_IO_ALLOW_MMAP_2, INIT_FLAGS_2, Opcode
from dgenfs.machine import topology
from dgenfs.machine.topology import Node, Topology
from dgenfs.mount import forgetting, mountpoint, operations, seam, workers
from dgenfs.mount.inodes import Inodes
from dgenfs.mount.operations import Operations
from dgenfs.mount.python_plane import Reader
from dgenfs.names.spec import Spec

BAD_OFFSET = 123_456  # of a read that fails
# Names whose lookup raises, by extension.
EXCEPTIONS: dict[str, Callable[[], Exception]] = {
    "runtime": lambda: RuntimeError("built-in fault"),
    "memory": MemoryError,
    "type": lambda: TypeError("built-in fault"),
    "assert": AssertionError,
    "struct": lambda: struct.error("built-in fault"),
    "oserror": OSError,
}


def with_fault(name: str, *arguments: object) -> tuple[str, ...]:
    """The command that runs dgenfs with a fault."""
    return (sys.executable, "-m", "life.faults", name, *map(str, arguments), "--")


def handlers() -> None:
    """Handlers that raise: lookup of EXCEPTIONS, all of extended attributes, read at BAD_OFFSET."""
    lookup, read = Inodes.lookup, Reader.read

    def failing_lookup(self: Inodes, parent: int, name: bytes) -> int | None:
        extension = name.decode().rpartition(".")[2]
        if extension in EXCEPTIONS:
            raise EXCEPTIONS[extension]()
        return lookup(self, parent, name)

    def failing_xattrs(_self: Operations, inode: int) -> dict[bytes, bytes]:
        raise RuntimeError(f"built-in fault of {inode}")

    async def failing_read(self: Reader, row: Any, file: int, offset: int, size: int) -> bytes:
        if offset == BAD_OFFSET:
            raise RuntimeError("built-in fault")
        return await read(self, row, file, offset, size)

    Inodes.lookup = failing_lookup  # type: ignore[method-assign]
    Operations._xattrs = failing_xattrs  # type: ignore[assignment, method-assign]
    Reader.read = failing_read  # type: ignore[method-assign]


def forget() -> None:
    """Names are forgotten at once, and that raises."""

    def failing_forget(_self: Inodes, inode: int, _lookups: int) -> None:
        raise RuntimeError(f"built-in fault of {inode}")

    operations.KEPT = 0  # type: ignore[attr-defined]
    Inodes.forget = failing_forget  # type: ignore[assignment, method-assign]


def unprivileged() -> None:
    """The file system cannot be reconfigured."""

    def failing_reconfigure(mountpoint: Path) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), mountpoint)

    forgetting.reconfigure_mount = failing_reconfigure  # type: ignore[attr-defined]


def listing() -> None:
    """Nothing can be listed."""

    async def failing_opendir(_self: Operations, _inode: int, _context: Any) -> int:
        raise pyfuse3.FUSEError(errno.EIO)

    Operations.opendir = failing_opendir  # type: ignore[assignment, method-assign]


def worker(how: str) -> None:
    """Each worker fails at its first read at BAD_OFFSET; until then the control plane reads."""
    serve = workers.serve  # type: ignore[attr-defined]
    tried = set()

    def failing_serve(*arguments: Any) -> int:
        fuse, control, duty, counters = *arguments[:3], arguments[-1]
        if id(counters) in tried or duty.requests != fuse:
            return int(serve(*arguments))
        tried.add(id(counters))
        while True:
            try:
                request = os.read(fuse, 1 << 14)
            except OSError as error:
                return error.errno or errno.EIO
            opcode, unique = struct.unpack_from("<IQ", request, 4)
            if opcode == Opcode.READ and struct.unpack_from("<Q", request, 48)[0] == BAD_OFFSET:
                counters[BUSY_WITH] = unique
                if how == "raises":
                    raise RuntimeError("built-in fault")
                return errno.EBADF
            os.write(control, request)

    workers.serve = failing_serve  # type: ignore[attr-defined]


def workers_that_fail(when: str) -> None:
    """All workers fail for good, at once or after the first read at BAD_OFFSET."""
    serve = workers.serve  # type: ignore[attr-defined]
    failing = when == "at once"

    def failing_serve(*arguments: Any) -> int:
        nonlocal failing
        fuse, control, duty, counters = *arguments[:3], arguments[-1]
        if duty.requests != fuse:
            return int(serve(*arguments))
        while not failing:
            try:
                request = os.read(fuse, 1 << 14)
            except OSError as error:
                return error.errno or errno.EIO
            opcode, unique = struct.unpack_from("<IQ", request, 4)
            counters[BUSY_WITH] = unique
            failing |= opcode == Opcode.READ and struct.unpack_from("<Q", request, 48)[0] == (
                BAD_OFFSET
            )
            if not failing:
                os.write(control, request)
        raise RuntimeError("built-in fault")

    workers.serve = failing_serve  # type: ignore[attr-defined]


def silence(of: str, seconds: str) -> None:
    """No request is answered by workers, or FUSE_INIT not by libfuse; who waits, how long."""
    mountpoint.ANSWER_SECONDS = int(seconds)

    def silent_serve(fuse: int, *_: Any) -> int:
        while True:
            try:
                os.read(fuse, 1 << 14)
            except OSError as error:
                return error.errno or errno.EIO

    async def silent_main(*_: int) -> None:
        await trio.sleep_forever()

    if of == "workers":
        workers.serve = silent_serve  # type: ignore[attr-defined]
    else:
        pyfuse3.main = silent_main  # type: ignore[assignment]


def swapped(mountpoint: str) -> None:
    """Its parent's owner puts another directory in the mountpoint's place just before it mounts."""
    init = pyfuse3.init

    def late_init(*arguments: Any) -> None:
        Path(mountpoint).rename(f"{mountpoint}-moved")
        Path(f"{mountpoint}-other").rename(mountpoint)
        init(*arguments)

    pyfuse3.init = late_init  # type: ignore[assignment]


def pump() -> None:
    """The thread that carries replies fails."""

    def failing_pump(*_: Any) -> int:
        raise RuntimeError("built-in fault")

    seam.pump = failing_pump  # type: ignore[attr-defined]


def nodes() -> None:
    """Two NUMA nodes, of the first and of the last CPU, while they are there."""
    cpus = topology.usable_cpus()
    made_up = (Node(0, (min(cpus),), 1 << 30), Node(1, (max(cpus),), 1 << 30))

    def detect(*_: object) -> Topology:
        return Topology(tuple(n for n in made_up if topology.usable_cpus().issuperset(n.cpus)))

    topology.detect = detect  # type: ignore[assignment]


def threads(most: str) -> None:
    """No more than so many workers can be started, as where the user may have no more threads."""
    start = threading.Thread.start

    def is_worker(thread: threading.Thread) -> bool:
        return re.fullmatch("dgenfs-[0-9]+-[0-9]+", thread.name) is not None

    def failing_start(self: threading.Thread) -> None:
        workers = [thread for thread in threading.enumerate() if is_worker(thread)]
        if is_worker(self) and len(workers) >= int(most):
            raise RuntimeError("can't start new thread")
        start(self)

    threading.Thread.start = failing_start  # type: ignore[method-assign]


def no_direct_mmap() -> None:
    """The kernel offers no shared mappings of files in direct I/O, as before Linux 6.6."""
    amend, offer = seam.amend_init, seam.offer_of  # type: ignore[attr-defined]

    def masked(request: bytes) -> bytes:
        upper = struct.unpack_from("<I", request, INIT_FLAGS_2)[0] & ~DIRECT_IO_ALLOW_MMAP_2
        return request[:INIT_FLAGS_2] + struct.pack("<I", upper) + request[INIT_FLAGS_2 + 4 :]

    seam.amend_init = lambda request, reply: amend(masked(request), reply)  # type: ignore[attr-defined]
    seam.offer_of = lambda request: offer(masked(request))  # type: ignore[attr-defined]


def slow_start() -> None:
    """A second passes before it mounts."""
    detect = topology.detect

    def slow_detect() -> Topology:
        time.sleep(1)
        return detect()

    topology.detect = slow_detect  # type: ignore[assignment]


def views() -> None:
    """Not a fault: files of some names are segments of all kinds."""
    Spec.view = segmented.view  # type: ignore[assignment, method-assign]


FAULTS: dict[str, Callable[..., None]] = {
    "handlers": handlers,
    "views": views,
    "forget": forget,
    "listing": listing,
    "unprivileged": unprivileged,
    "worker": worker,
    "workers_that_fail": workers_that_fail,
    "silence": silence,
    "pump": pump,
    "swapped": swapped,
    "nodes": nodes,
    "no_direct_mmap": no_direct_mmap,
    "slow_start": slow_start,
    "threads": threads,
}

if __name__ == "__main__":
    at = sys.argv.index("--")
    FAULTS[sys.argv[1]](*sys.argv[2:at])
    sys.argv[1:] = sys.argv[at + 1 :]
    main()

import errno
import fcntl
import mmap
import os
import struct
import sys
from pathlib import Path

from mounting import environment_of
from processes import eventually, run

from dgenfs.kernels.counters import BUSY_WITH, REFUSED
from dgenfs.kernels.fuse import NOTIFY_INVAL_INODE, NOTIFY_STORE, READ_REQUEST, Opcode
from dgenfs.mount.inodes import ROOT, Inodes
from life.fuzz_loop import COMPUTING, Loop
from life.fuzz_messages import Requests

GETATTR = 3
REQUESTS = int(os.environ.get("DGENFS_FUZZ_REQUESTS", "200000"))


def fuzz(count: int, seed: int, *variables: str) -> None:
    """Run the fuzzer in a process of its own, whose crash is then no more than a failure."""
    command = (sys.executable, "-X", "faulthandler", "-m", "life.fuzz_requests")
    path = f"PYTHONPATH={environment_of()['PYTHONPATH']}"
    options = (f"--count={count}", f"--seed={seed}")
    done = run("env", path, *variables, *command, *options, seconds=60 + count / 1000)
    assert done.out.startswith(f"{count} requests".encode()), done
    assert all(
        f"notice {code} ".encode() in done.out for code in (NOTIFY_STORE, NOTIFY_INVAL_INODE)
    )


def test_random_requests() -> None:
    fuzz(REQUESTS, seed=os.getpid())


def test_random_requests_with_bounds_checked(tmp_path: Path) -> None:
    fuzz(REQUESTS // 10, os.getpid(), "NUMBA_BOUNDSCHECK=1", f"NUMBA_CACHE_DIR={tmp_path}")


def read_request(unique: int, fh: int, offset: int, size: int) -> bytes:
    header = struct.pack("<IIQQ16x", 80, Opcode.READ, unique, 0)
    return header + struct.pack("<QQI20x", fh, offset, size)


def interrupt_request(unique: int) -> bytes:
    return struct.pack("<IIQQ16xQ", 48, Opcode.INTERRUPT, unique | 1, 0, unique)


def getattr_request(unique: int) -> bytes:
    return struct.pack("<IIQQ16x16x", 56, GETATTR, unique, ROOT)


def test_a_reply_that_is_not_taken_is_an_error() -> None:
    """A reply too long for the socket stands for one that the kernel refuses."""
    requests = Requests(seed=1, workers=1)
    loop = requests.loop
    fh = requests.handle_of("9M-1_c1.5_b4K")
    loop.limit_replies(64 << 10)
    loop.kernel.send(read_request(22, fh, 0, 1 << 20))
    assert loop.kernel.recv(1 << 20) == struct.pack("<IiQ", 16, -errno.EIO, 22)
    loop.kernel.send(read_request(24, fh, 5, 1000))
    assert len(loop.kernel.recv(1 << 20)) == 1016
    assert int(loop.counters[0][REFUSED]) == 1
    loop.close()
    assert loop.ends == [0] * len(loop.counters)


def test_without_a_control_plane_a_worker_ends_and_says_whose_request_is_left() -> None:
    loop = Loop(Inodes(["1M"]), 1)
    loop.control.close()
    loop.kernel.send(getattr_request(77))
    loop.close()
    assert loop.ends == [errno.EPIPE, *[0] * COMPUTING]
    assert int(loop.counters[0][BUSY_WITH]) == 77


def test_reads_that_wait_for_a_crc_are_left_and_never_more_than_there_is_room_for() -> None:
    """One whose client leaves ends; one too many is to come again; nobody else waits."""
    inodes = Inodes(["4E.npz"])
    loop = Loop(inodes, 1)
    (inode,) = inodes.listed
    row = inodes.row(inode)
    assert row is not None
    fh = inodes.rows.handle(row, 0)
    room = fcntl.fcntl(loop.waiting[0], fcntl.F_GETPIPE_SZ) // mmap.PAGESIZE
    room *= mmap.PAGESIZE // READ_REQUEST  # none is in two pages
    refused = 9
    for i in range(COMPUTING + room + refused):
        loop.kernel.send(read_request(2 + 2 * i, fh, (1 << 62) - 4096, 4096))
        if i == COMPUTING - 1:  # until they are computed
            eventually(lambda: all(own[BUSY_WITH] != 0 for own in loop.counters[1:]))
    for i in range(COMPUTING + room, COMPUTING + room + refused):
        assert loop.kernel.recv(100) == struct.pack("<IiQ", 16, -errno.EAGAIN, 2 + 2 * i)
    loop.kernel.send(read_request(1 << 20, fh, 0, 4096))
    assert len(loop.kernel.recv(1 << 20)) == 16 + 4096
    # Those that are computed, and then those that take their place.
    for unique in (2, 4, 2 * room):
        loop.kernel.send(interrupt_request(unique))
        if unique <= 2 * COMPUTING:
            assert loop.kernel.recv(100) == struct.pack("<IiQ", 16, -errno.EINTR, unique)
    for unique in range(6, 2 * room, 2):
        loop.kernel.send(interrupt_request(unique))
    left = {loop.kernel.recv(100) for _ in range(6, 2 * room + 2, 2)}
    assert left == {struct.pack("<IiQ", 16, -errno.EINTR, i) for i in range(6, 2 * room + 2, 2)}
    # The last are put off when a worker is to stop, not lost.
    loop.stop[0] = 1
    eventually(lambda: loop.ends == [0] * COMPUTING)
    put_off = os.read(loop.waiting[0], 1000)
    assert len(put_off) == COMPUTING * READ_REQUEST
    uniques = {struct.unpack_from("<Q", put_off, 8 + i * READ_REQUEST)[0] for i in range(COMPUTING)}
    assert uniques == {2 * room + 2, 2 * room + 4}
    loop.close()
    assert loop.ends == [0] * len(loop.counters)

"""The compiled request loop on sockets in place of /dev/fuse and of the control plane.

Its memory lies between pages that may not be touched.
"""

import errno
import os
import socket
import struct
import threading
import time
from collections.abc import Callable

import numpy as np
from guarded import guarded
from numpy.typing import NDArray

from dgenfs.kernels import cache, counters, duties, fuse, opening
from dgenfs.kernels.digests import UNLIMITED
from dgenfs.kernels.scratch import SCRATCH_BYTES, scratch_of
from dgenfs.kernels.serve import serve
from dgenfs.mount.inodes import Inodes
from life.fuzz_model import Expected, Wrong, error_of

REQUEST_BYTES = 16 << 10  # of a worker's buffer; a socket cuts off what is longer
CACHE_BYTES = 32 << 20
SOCKET_BUFFER = 8 << 20
SO_SNDBUFFORCE = 32  # asm-generic/socket.h
ANSWER_SECONDS = 20
LONG = 5000  # bytes of a CRC for which a read is put off
COMPUTING = 2  # threads that such reads wait for
CACHED = 1 << 20  # bytes of the largest file that is read through the page cache
STORED = 96 << 10  # of the largest one that is stored there


def open_flags(size: int) -> int:
    """What OPEN answers: keep pages, no FLUSH, and for a large file direct reads."""
    return 0x22 | (size > CACHED)


class Loop:
    """Workers as the mount starts them, with sockets at both ends."""

    def __init__(self, inodes: Inodes, workers: int) -> None:
        self.kernel, self._fuse = pair()
        self.control, self._control = pair()
        self.stop = np.zeros(1, np.int64)
        self.entry = np.random.default_rng(1).integers(1, 2**63, fuse.ENTRY_WORDS, np.uint64)
        self.cache = cache.new_cache(CACHE_BYTES)
        data = guarded(self.cache.data.size, np.uint8)
        self.cache = self.cache._replace(data=data)
        self._rows = inodes.rows
        for attribute in ("table", "hints"):
            before = getattr(self._rows, attribute)
            within = guarded(before.size, before.dtype.type).reshape(before.shape)
            used = np.flatnonzero(before.reshape(len(before), -1).any(axis=1))
            within[used] = before[used]
            setattr(self._rows, attribute, within)
        given_up = guarded(duties.GIVEN_UP, np.uint64)
        given_up[:] = duties.NOBODY
        taken, put_off = os.pipe()
        os.set_blocking(put_off, False)
        self.waiting = [taken, put_off]  # reads that wait for a CRC of more than LONG bytes
        requests, room, waiting = np.int32(self._fuse.fileno()), REQUEST_BYTES, np.int32(put_off)
        answering = duties.Duty(requests, np.uint64(room), waiting, np.uint64(LONG), given_up)
        computing = duties.Duty(
            np.int32(taken), np.uint64(fuse.READ_REQUEST), waiting, UNLIMITED, given_up
        )
        all_duties = [answering] * workers + [computing] * COMPUTING
        self._opening = opening.new_opening(CACHED, STORED)
        self._opening.limits[opening.STORES_TAILS] = 1
        self.notice: Callable[[bytes], None] = no_notice
        self.counters = [guarded(counters.COUNTERS, np.uint64) for _ in all_duties]
        self.ends: list[object] = []
        self._threads = [
            threading.Thread(target=self._run, args=given, daemon=True)
            for given in zip(all_duties, self.counters, strict=True)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, duty: duties.Duty, own: NDArray[np.uint64]) -> None:
        scratch = scratch_of(guarded(SCRATCH_BYTES, np.uint8))
        try:
            end: object = serve(
                self._fuse.fileno(),
                self._control.fileno(),
                duty,
                self.stop,
                self._opening,
                self.entry,
                self._rows.hints,
                self._rows.table,
                self.cache,
                scratch,
                own,
            )
        except Exception as error:
            end = error
        self.ends.append(end)
        if end != 0:
            self.kernel.shutdown(socket.SHUT_RDWR)  # nobody is to wait for an answer

    def limit_replies(self, size: int) -> None:
        """Refuse replies of more than about ``size`` bytes from now on."""
        self._fuse.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)

    def receive(self, expected: Expected) -> None:
        """Take what comes; either way of a request that may go both ways comes last."""
        kernel, control = self.kernel, self.control
        while expected.replies:
            self._answered(expected, self._recv(kernel, (1 << 20) + 100))
        while expected.forwarded:
            self._forwarded(expected, self._recv(control, REQUEST_BYTES + 100))
        deadline = time.monotonic() + ANSWER_SECONDS
        while expected.either:
            if time.monotonic() > deadline:
                raise Wrong(f"no answer to {expected.either}")
            for end, take in ((kernel, self._answered), (control, self._forwarded)):
                end.setblocking(False)
                try:
                    take(expected, end.recv((1 << 20) + 100))
                except BlockingIOError:
                    pass
                finally:
                    end.settimeout(ANSWER_SECONDS)

    def _recv(self, end: socket.socket, most: int) -> bytes:
        try:
            message = end.recv(most)
        except TimeoutError:
            raise Wrong(f"no answer in {ANSWER_SECONDS} s; workers: {self.ends}") from None
        if not message:
            raise Wrong(f"the loop ended: {self.ends}")
        return message

    def _answered(self, expected: Expected, reply: bytes) -> None:
        if len(reply) < 16:
            raise Wrong(f"a reply of {len(reply)} B")
        _, error, unique = struct.unpack_from("<IiQ", reply)
        if error > 0:
            self.notice(reply)
            return
        if unique in expected.either:
            del expected.either[unique]
            error_of(errno.ENODATA)(reply)
            return
        check = expected.replies.pop(unique, None)
        if check is None:
            raise Wrong(f"a reply to {unique:#x}, which nobody asked: {reply[:64].hex()}")
        check(reply)

    def _forwarded(self, expected: Expected, message: bytes) -> None:
        if message in expected.forwarded:
            expected.forwarded[message] -= 1
            if not expected.forwarded[message]:
                del expected.forwarded[message]
            return
        unique = struct.unpack_from("<Q", message.ljust(16, b"\0"), 8)[0]
        if expected.either.pop(unique, None) != message:
            raise Wrong(f"passed on what was not to be, or changed: {message[:128].hex()}")

    def close(self) -> None:
        """End the workers."""
        self.kernel.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            if thread is self._threads[-COMPUTING]:
                os.close(self.waiting.pop())
            thread.join(ANSWER_SECONDS)
            if thread.is_alive():
                raise Wrong("a worker does not end")
        for end in (self.kernel, self._fuse, self.control, self._control):
            end.close()
        os.close(self.waiting.pop())


def no_notice(message: bytes) -> None:
    """Refuse a notification."""
    raise Wrong(f"a notification {message[:64].hex()}")


def pair() -> tuple[socket.socket, socket.socket]:
    """Sockets that keep message boundaries, with room for a batch."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        try:
            end.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER)
        except PermissionError:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
    ends[0].settimeout(ANSWER_SECONDS)
    return ends

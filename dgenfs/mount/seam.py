"""Where the planes meet: pyfuse3's session reads a socket that stands in for /dev/fuse.

libfuse reads and writes whole messages on its session descriptor and cannot tell a SOCK_SEQPACKET
socket from /dev/fuse. So workers read the device, answer what they can and pass the rest on, and a
thread carries the replies back.
"""

import contextlib
import errno
import fcntl
import logging
import os
import select
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dgenfs.kernels.scratch import REQUEST_BYTES
from dgenfs.kernels.serve import pump
from dgenfs.machine.system_calls import name_thread
from dgenfs.mount import mountpoint
from dgenfs.mount.init_reply import MAX_REPLY, Offer, ProtocolError, amend_init, offer_of

log = logging.getLogger(__name__)

_BUFFER = 4 << 20  # bytes of messages under way; a listing's reply may be 1 MiB
_SO_SNDBUFFORCE = 32  # asm-generic/socket.h; needs CAP_NET_ADMIN


def fuse_descriptors() -> set[int]:
    """Return this process's descriptors of /dev/fuse."""
    descriptors = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            if str(link.readlink()) == "/dev/fuse":
                descriptors.add(int(link.name))
        except FileNotFoundError:
            # The descriptor that listed the folder.
            continue
    return descriptors


class Seam:
    """A session's descriptor, taken over.

    Attributes:
        fuse: descriptor of /dev/fuse.
        control: socket to the control plane.
    """

    def __init__(self, session: int) -> None:
        """Put a socket in the place of descriptor ``session``."""
        self._session = session
        self._pump: threading.Thread | None = None
        self.fuse = fcntl.fcntl(session, fcntl.F_DUPFD_CLOEXEC, 0)
        self.control, stand_in = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self.control, stand_in):
            try:
                end.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _BUFFER)
            except PermissionError:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        os.dup2(stand_in.fileno(), session, inheritable=False)
        stand_in.close()

    def handshake(self) -> Offer:
        """Carry the first request, FUSE_INIT, and its reply, amended; the session must be served.

        Returns:
            What the kernel can do.

        Raises:
            ProtocolError: that was not what was exchanged.
            OSError: the file system is no longer mounted.
        """
        request = os.read(self.fuse, REQUEST_BYTES)
        self.control.settimeout(mountpoint.ANSWER_SECONDS)
        try:
            self.control.send(request)
            reply = self.control.recv(MAX_REPLY)
        except TimeoutError as error:
            raise ProtocolError(
                f"libfuse answers nothing for {mountpoint.ANSWER_SECONDS} s"
            ) from error
        self.control.settimeout(None)
        os.write(self.fuse, amend_init(request, reply))
        return offer_of(request)

    def start_pump(self, on_failure: Callable[[str], None]) -> None:
        """Carry replies from now on.

        Args:
            on_failure: called on the pump's thread with what went wrong, if it cannot go on.
        """
        self._pump = threading.Thread(
            target=self._carry, args=(on_failure,), name="dgenfs-pump", daemon=True
        )
        self._pump.start()

    def _carry(self, on_failure: Callable[[str], None]) -> None:
        name_thread(threading.current_thread().name)
        message = np.empty(MAX_REPLY, np.uint8)
        try:
            error = pump(self.control.fileno(), self.fuse, message)
            reason = os.strerror(error) if error else "end of the session"
        except Exception as fault:
            log.exception("pump failed")
            error, reason = errno.EIO, str(fault)
        log.debug("pump ended: %s", reason)
        if error:
            on_failure(f"no reply reaches the kernel any more: {reason}")

    def undo(self) -> None:
        """Give the session its descriptor back; nothing may be under way."""
        os.dup2(self.fuse, self._session, inheritable=False)
        self.close()

    def is_connected(self) -> bool:
        """Return whether it is mounted somewhere or in use (Linux fs/fuse/dev.c, fuse_dev_poll)."""
        errors = select.poll()
        errors.register(self._session if self.fuse < 0 else self.fuse, 0)
        return not errors.poll(0)

    def close(self) -> None:
        """End the pump and leave /dev/fuse, which aborts the connection if it is still there."""
        if self.fuse < 0:
            return
        with contextlib.suppress(OSError):  # the session has closed its end
            self.control.shutdown(socket.SHUT_RDWR)
        if self._pump is not None:
            self._pump.join()
        self.control.close()
        os.close(self.fuse)
        self.fuse = -1

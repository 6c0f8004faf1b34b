"""A process that goes to the background once it does its work."""

import contextlib
import logging
import os
import signal
from collections.abc import Callable

from dgenfs.escapes import escaped
from dgenfs.mount.mountpoint import MountError

log = logging.getLogger(__name__)

_READY = b"\0"


def run_in_background(work: Callable[[Callable[[], None]], None]) -> int:
    """Run ``work`` in a child and return when it is ready; the child goes on, without a terminal.

    Call it before any thread is started: a fork takes none along.

    Args:
        work: gets a function to call when it is ready. What it raises before ends up here.

    Returns:
        The child's process id.

    Raises:
        MountError: the child ended before it was ready; the message is its error's.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_the_child(work, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        try:
            message = pipe.read()
        except BaseException:  # a signal: who gives up wants no mount
            os.kill(child, signal.SIGTERM)
            raise
    if message != _READY:
        os.waitpid(child, 0)
        raise MountError(message.decode() or "ended before it was ready")
    return child


def _be_the_child(work: Callable[[Callable[[], None]], None], writing: int) -> None:
    """Do the work and end the process."""
    waited_for = True

    def ready() -> None:
        nonlocal waited_for
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nothing, standard)
        os.close(nothing)
        os.write(writing, _READY)
        os.close(writing)
        waited_for = False

    status = 1
    try:
        os.setsid()
        os.chdir("/")
        work(ready)
        status = 0
    except Exception as error:
        log.debug("failed", exc_info=error)
        message = str(error) or type(error).__name__
        if waited_for:
            with contextlib.suppress(BrokenPipeError):  # the launcher is gone
                os.write(writing, escaped(message).encode())
        else:
            log.error("ended: %s", message)
    finally:
        logging.shutdown()
        os._exit(status)

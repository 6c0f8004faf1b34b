"""Interruption: a command ends soon after a signal, whatever its threads are in the midst of.

What Python does about a signal, it does on the main thread when that gets to it. Until then the
thread may wait for threads that read, or be in a call of the system itself: where storage hangs, as
a mount does whose server is gone, no signal ends the call but one that ends the process. So another
thread looks after the main one. It is told of a signal by the C part of Python's handlers, and asks
for one that reached nobody.
"""

import os
import select
import signal
import threading
import time

from dgenfs.machine.endings import ending_signals

TO_STOP = 0.5  # seconds from a signal to the end of a command whose storage hangs
TO_CLEAN_UP = 5.0  # the same of one that removes first what it wrote, or ends other processes
LOOK = 0.2  # seconds between two looks for a signal that reached nobody

_SHOW_CURSOR = b"\r\x1b[K\x1b[?25h"  # which a bar hides; ECMA-48, and DECTCEM of terminals


_grace = 0.0  # seconds


def allow(grace: float) -> None:
    """Give the main thread so many seconds to end by itself once there is a signal."""
    global _grace
    _grace = grace


def end_when_signaled(grace: float) -> None:
    """Have the process end by SIGINT, SIGTERM and SIGHUP, with 128 and the signal's number.

    Args:
        grace: seconds that the main thread has to end by itself, after at most LOOK; see ``allow``.
    """
    allow(grace)
    heeded = set(ending_signals())
    told, tell = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    try:
        threading.Thread(target=_watch, args=(heeded, told), daemon=True).start()
    except RuntimeError:  # no thread can be started, so few commands have others to wait for
        signal.set_wakeup_fd(-1)
        os.close(told)
        os.close(tell)


def _watch(signals: set[signal.Signals], told: int) -> None:
    # Those that no thread took are pending for one that blocks them, too.
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    came: set[int] = set()
    while not came:
        if select.select([told], [], [], LOOK)[0]:
            came.update(signals.intersection(os.read(told, 64)))
        else:
            came.update(signals & signal.sigpending())
    time.sleep(_grace)
    try:
        # A terminal that is stopped would keep us for ever.
        if os.isatty(2) and select.select([], [2], [], 0)[1]:
            os.write(2, _SHOW_CURSOR)
    finally:
        os._exit(128 + min(came))

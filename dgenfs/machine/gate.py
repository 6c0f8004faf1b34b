"""A gate for threads that write to memory of others, closed by who gives that memory back.

Source: pthread_rwlock_tryrdlock(3p). An event or a future would not do: waiting for one ends when a
signal's handler raises, and the threads go on.
"""

import ctypes
import os
from typing import Any

import numpy as np

# Of Gate.words. The lock (pthread_rwlock_t, 56 bytes on x86-64 and aarch64) is first; all zero is
# one that nobody holds.
CLOSED = 8  # not 0 when no thread may enter any more
_WORDS = 16

_libc = ctypes.PyDLL(None)  # whose calls keep the GIL: these wait for nothing
_try_read_lock = _libc.pthread_rwlock_tryrdlock
_unlock = _libc.pthread_rwlock_unlock
# Without the GIL, and until it is done, whatever signals come.
wait_until_left = ctypes.CDLL(None).pthread_rwlock_wrlock
for _function in (_try_read_lock, _unlock, wait_until_left):
    _function.argtypes = (ctypes.c_size_t,)

FORKS = [0]  # from the first process with gates to this one


class Gate:
    """Threads enter, write and leave, until the gate is closed.

    It is closed in the ``finally`` of who waits, for good, by these very statements::

        gate.words[CLOSED] = 1
        if gate.forks == FORKS[0]:
            wait_until_left(gate.address)
        gate.held.clear()

    They are no method: a signal's handler may raise where a Python function begins, and after any
    call, but not before the call of one in C. A forked child, which a handler may have made, has
    none of the threads that are inside, and would wait for them for ever.

    Attributes:
        forks: FORKS[0] when it was made.
        words: int64[16], the lock and CLOSED.
        address: of ``words``.
        held: what the threads inside work on. They refer to it while they are inside only, so that
            a buffer can be resized or unmapped as soon as its fill has returned.
    """

    __slots__ = ("address", "forks", "held", "words")

    def __init__(self) -> None:
        """Make an open gate with nobody inside."""
        self.forks = FORKS[0]
        self.words = np.zeros(_WORDS, np.int64)
        self.address: int = self.words.ctypes.data
        self.held: list[Any] = []

    def enter(self) -> bool:
        """Go inside, unless the gate is closed; return whether."""
        if self.words[CLOSED] or _try_read_lock(self.address):
            return False
        if self.words[CLOSED]:
            self.leave()
            return False
        return True

    def leave(self) -> None:
        """Go outside; for the thread that entered."""
        _unlock(self.address)


def _count_fork() -> None:
    FORKS[0] += 1


os.register_at_fork(after_in_child=_count_fork)

"""Which requests a worker takes, which it leaves to others, and which nobody waits for any more.

A READ that needs a CRC of many bytes waits for it with threads of its own, so that those that
answer all other requests do not. Its client may leave meanwhile (INTERRUPT), and hangs until it is
answered. Called by serve and dgenfs.mount.
"""

from typing import NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from dgenfs.kernels.jit import inlined, kernel
from dgenfs.kernels.memory import set_word_at, word_at
from dgenfs.kernels.row import WORD

# Requests whose numbers are kept apart: more than wait, which the kernel numbers one after the
# other. One that takes another's place makes that one's client wait to the end, no more.
GIVEN_UP = 1 << 14
NOBODY = np.uint64(2**64 - 1)  # the number of no request; the kernel's own are even


class Duty(NamedTuple):
    """What a worker does.

    Attributes:
        requests: int32, descriptor that requests are read from.
        room: uint64, bytes to read of it at a time, no less than a request.
        waiting: int32, pipe that READs go to which must wait for a long CRC, each READ_REQUEST
            bytes; not blocking.
        most: uint64, bytes of a CRC that is not long.
        given_up: uint64[GIVEN_UP], numbers of requests whose clients wait no longer, else NOBODY.
    """

    requests: np.int32
    room: np.uint64
    waiting: np.int32
    most: np.uint64
    given_up: NDArray[np.uint64]


DUTY = types.NamedTuple(
    (types.int32, types.uint64, types.int32, types.uint64, types.uint64[::1]), Duty
)


@inlined
def given_up_at(duty, unique):
    """Return the address (uint64) of the word that is ``unique`` (uint64) once that is given up."""
    number = (unique >> np.uint64(1)) % np.uint64(GIVEN_UP)  # bit 0 is that of an INTERRUPT
    return np.uint64(duty.given_up.ctypes.data) + np.uint64(WORD) * number


@kernel(types.void(DUTY, types.uint64))
def give_up(duty, unique):
    """Let the request with the kernel's number ``unique`` (uint64) end, if it waits for a CRC."""
    set_word_at(given_up_at(duty, unique), unique)


@kernel(types.boolean(DUTY, types.uint64))
def is_given_up(duty, unique):
    """Return whether nobody waits any longer for the request with the number ``unique``."""
    return word_at(given_up_at(duty, unique)) == unique

"""What a worker counts, in words that only its own thread writes; readers take what they see."""

import numpy as np
from numba import types

from dgenfs.kernels.jit import kernel

OPCODES = 64
REQUESTS = 0  # by opcode, those that were answered
BYTES = OPCODES  # of READ replies
ERRORS = OPCODES + 1  # READs answered with an error
REFUSED = OPCODES + 2  # replies that the kernel did not take
BUSY_WITH = OPCODES + 3  # `unique` of the request under way, 0 for none
NANOSECONDS = OPCODES + 4  # spent on READs, from the request read to the reply written
OPENED = OPCODES + 5  # handles
RELEASED = OPCODES + 6
FAULTS = OPCODES + 7  # requests that met an error of dgenfs's own; the log has each
STORED_BYTES = OPCODES + 8  # of files that were written into the page cache when opened
LATENCY = OPCODES + 9  # READs by latency: bucket i holds those below 2^i µs, the last one the rest
LATENCIES = 24
COUNTERS = LATENCY + LATENCIES

_ONE = np.uint64(1)
_ZERO = np.uint64(0)


@kernel(types.void(types.uint64[::1], types.uint64))
def count_latency(counters, nanoseconds):
    """Count a READ that took ``nanoseconds`` (uint64) in ``counters`` (uint64[COUNTERS])."""
    microseconds = nanoseconds // np.uint64(1000)
    bucket = 0
    while microseconds != _ZERO and bucket < LATENCIES - 1:
        microseconds >>= _ONE
        bucket += 1
    counters[LATENCY + bucket] += _ONE
    counters[NANOSECONDS] += nanoseconds

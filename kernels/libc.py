"""Symbols of the C library, called from compiled code without the GIL.

Addresses go in as integers (uintp) and are those of the caller's arrays. Sources: read(2),
write(2), writev(2), openat(2), close(2), pread(2), send(2), recv(2),
pthread_mutex_lock(3), clock_gettime(2), errno(3).
"""

import numpy as np
from numba import carray, types

from dgenfs.kernels.jit import inlined

read = types.ExternalFunction("read", types.intp(types.int32, types.uintp, types.uintp))
write = types.ExternalFunction("write", types.intp(types.int32, types.uintp, types.uintp))
writev = types.ExternalFunction("writev", types.intp(types.int32, types.uintp, types.int32))
# openat(2) takes its last argument by "...", which the ABIs of x86-64 and arm64 pass alike.
openat = types.ExternalFunction(
    "openat", types.int32(types.int32, types.uintp, types.int32, types.int32)
)
close = types.ExternalFunction("close", types.int32(types.int32))
pread = types.ExternalFunction(
    "pread", types.intp(types.int32, types.uintp, types.uintp, types.int64)
)
send = types.ExternalFunction(
    "send", types.intp(types.int32, types.uintp, types.uintp, types.int32)
)
recv = types.ExternalFunction(
    "recv", types.intp(types.int32, types.uintp, types.uintp, types.int32)
)
mutex_lock = types.ExternalFunction("pthread_mutex_lock", types.int32(types.uintp))
mutex_unlock = types.ExternalFunction("pthread_mutex_unlock", types.int32(types.uintp))
clock_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.uintp))
_errno_location = types.ExternalFunction("__errno_location", types.CPointer(types.int32)())

CLOCK_MONOTONIC = np.int32(1)
MSG_NOSIGNAL = np.int32(0x4000)


@inlined
def errno():
    """Return errno (int32) of the calling thread's last failed call."""
    return carray(_errno_location(), 1)[0]

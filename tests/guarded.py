"""Memory that shows when something is read or written beside it."""

import ctypes
import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray


def guarded(count: int, kind: Any) -> NDArray[Any]:
    """Return an array of zeros whose neighbours, where pages begin and end, may not be touched."""
    page = mmap.PAGESIZE
    size = count * np.dtype(kind).itemsize
    inside = -(-size // page) * page
    memory = mmap.mmap(-1, inside + 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    for at in (start, start + page + inside):
        if libc.mprotect(ctypes.c_void_p(at), page, mmap.PROT_READ & 0) != 0:
            raise OSError(ctypes.get_errno(), "mprotect")
    return np.frombuffer(memory, kind, count, page + inside - size)

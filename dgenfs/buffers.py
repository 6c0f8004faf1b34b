"""Callers' buffers as arrays of bytes, without a copy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def writable_bytes(buffer: Any) -> NDArray[np.uint8]:
    """Return the memory of ``buffer`` as a flat array.

    Args:
        buffer: any writable C-contiguous object of the buffer protocol (bytearray, memoryview,
            mmap, array) or of DLPack on the CPU (torch).

    Returns:
        uint8[::1] over the same memory.

    Raises:
        TypeError: it has neither protocol, or holds Python objects.
        ValueError: it is read-only or not C-contiguous.
    """
    try:
        view = memoryview(buffer)
    except TypeError:
        if not hasattr(buffer, "__dlpack__"):
            raise TypeError(
                f"a {type(buffer).__name__} has no buffer to fill: pass a bytearray, a memoryview, "
                "a NumPy array or a CPU tensor"
            ) from None
        view = np.from_dlpack(buffer).data
    if view.readonly:
        raise ValueError(f"this {type(buffer).__name__} is read-only: pass a writable buffer")
    if not view.c_contiguous:
        raise ValueError(
            f"this {type(buffer).__name__} is not C-contiguous: pass a contiguous buffer"
        )
    if "O" in view.format:
        raise TypeError("this buffer holds references to Python objects: pass one of numbers")
    return np.frombuffer(view, np.uint8) if view.nbytes else np.empty(0, np.uint8)

"""Callers' buffers as arrays of bytes, without a copy."""

import io
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgenfs.machine.system_calls import use_huge_pages

# Bytes of new memory from which on it has huge pages, as NumPy's has. Small ones cost more than
# their content: of 1 GiB, a second of CPU made 1.7 GB with them, and 13 GB with huge ones.
LARGE = 4 << 20
_FIELD = re.compile(":[^:]*:")  # a field's name in a format (PEP 3118)


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
        view = _tensor(buffer).data
    if view.readonly:
        raise ValueError(f"this {type(buffer).__name__} is read-only: pass a writable buffer")
    if not view.c_contiguous:
        raise ValueError(
            f"this {type(buffer).__name__} is not C-contiguous: pass a contiguous buffer"
        )
    if "O" in view.format and "O" in _FIELD.sub("", view.format):
        raise TypeError("this buffer holds references to Python objects: pass one of numbers")
    return np.frombuffer(view, np.uint8) if view.nbytes else np.empty(0, np.uint8)


def filled_bytes(size: int, fill: Callable[[memoryview], object]) -> bytes:
    """Return what ``fill`` wrote, without a second copy of it.

    Args:
        size: bytes.
        fill: called once with a writable buffer of ``size`` bytes, which are zero; it keeps none.

    Raises:
        MemoryError, OverflowError: there are more than fit into memory.
    """
    out = new_bytes(size)
    with out.getbuffer() as view:
        fill(view)
    return out.getvalue()


def new_bytes(size: int) -> io.BytesIO:
    """Return ``size`` bytes that are zero; once they are filled, its value is no copy of them.

    Raises:
        MemoryError, OverflowError: there are more than fit into memory.
    """
    # The buffer becomes the result: a bytearray would have to be copied.
    out = io.BytesIO(bytes(size))
    if size >= LARGE:
        with out.getbuffer() as view:
            use_huge_pages(np.frombuffer(view, np.uint8).ctypes.data, size)
    return out


def _tensor(buffer: Any) -> NDArray[Any]:
    """Return the memory of a DLPack producer, writable if it says that it is.

    Capsules without a version, such as those of torch before 2.9, cannot say so, and NumPy before
    2.2.5 does not ask: both give arrays that are read-only. The tensor's own array is not, but may
    be a copy.
    """
    array: NDArray[Any] = np.from_dlpack(buffer)
    if array.flags.writeable or not hasattr(buffer, "numpy"):
        return array
    own: NDArray[Any] = buffer.numpy()
    same = own.ctypes.data == array.ctypes.data and own.nbytes == array.nbytes
    return own if same else array

"""The words of d1_c1 in C, as a peer: what a compiler makes of the same arithmetic."""

import ctypes
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dgenfs import DataGenerator

GAMMA = 0x9E3779B97F4A7C15
WORD = 8  # bytes

# SplitMix64 as a counter; gcc makes it eight words, 64 bytes, at a time where there is AVX-512.
SOURCE = """
#include <stdint.h>

uint64_t fill(uint64_t *out, uint64_t words, uint64_t state)
{
    for (uint64_t word = 0; word < words; word++) {
        uint64_t z = state;
        state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        out[word] = z ^ (z >> 31);
    }
    return state;
}
"""


def c_loop(name: str, buffer: np.ndarray) -> Callable[[], object]:
    """Return what fills ``buffer`` with the bytes of ``name`` one after the other, as fill_chunk.

    Args:
        name: of a file with d1 and c1.
        buffer: of whole words.

    Raises:
        AssertionError: these are not the bytes that dgenfs makes.
    """
    fill = _compiled()
    words = buffer.size // WORD
    generator = DataGenerator(name, threads=1)
    state = (generator.spec.layout.key + GAMMA) % (1 << 64)

    def fill_next() -> None:
        nonlocal state
        state = fill(buffer.ctypes.data, words, state)

    wanted = np.empty_like(buffer)
    for _ in range(2):
        fill_next()
        generator.fill_chunk(wanted)
        if not np.array_equal(buffer, wanted):
            raise AssertionError(f"{name}: the loop in C makes other bytes")
    return fill_next


def _compiled() -> Callable[[int, int, int], int]:
    with tempfile.TemporaryDirectory(prefix="dgenfs-bench-") as folder:
        library = Path(folder) / "fill.so"
        options = ["-O3", "-march=native", "-shared", "-fPIC", "-x", "c", "-", "-o", str(library)]
        subprocess.run(["gcc", *options], input=SOURCE, text=True, check=True)
        fill = ctypes.CDLL(str(library)).fill
    fill.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64]
    fill.restype = ctypes.c_uint64
    found: Callable[[int, int, int], int] = fill
    return found

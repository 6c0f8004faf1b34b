"""How data files are opened: past the kernel's page cache or through it, by their size.

Measured with cp, tar, rsync, Python's open() and readers with a buffer of their own, in trees of
files of 1 KiB to 4 MiB (docs/performance.md): written into the page cache when they are opened,
files up to 256 KiB are as fast or faster for all of them, then read through it up to 512 KiB. From
there on readers of whole files are up to twice as fast without it, and those of 10 KiB at a time,
such as tar, up to three times as fast with it.
"""

from dgenfs.content.layout import MAX_SIZE
from dgenfs.kernels.lookups import LARGE
from dgenfs.kernels.opening import STORES_TAILS, Opening, new_opening
from dgenfs.mount.io_mode import Io

CACHED = LARGE  # bytes
STORED = 128 << 10  # bytes; who reads less than the whole file waits for no more than this
CLEARS_TAILS = 41  # minor version of the protocol: Linux 6.12


def opening_of(io: Io) -> Opening:
    """Return how files are opened in a new mount."""
    if io is Io.DIRECT:
        return new_opening(0, 0, 0)
    if io is Io.CACHED:
        return new_opening(MAX_SIZE, 0, 0)
    return new_opening(CACHED, STORED, CACHED)


def store_tails(opening: Opening, minor: int) -> None:
    """Store files of any size where the kernel, of this minor version, does it right."""
    opening.limits[STORES_TAILS] = minor >= CLEARS_TAILS

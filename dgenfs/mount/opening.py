"""How data files are opened: past the kernel's page cache or stored in it, by their size.

Measured with cp, cat, tar, rsync, Python's open() and readers with a buffer of their own, in trees
of files of 4 KiB to 4 MiB (docs/performance.md). Stored when they are opened, files up to 64 KiB
are read faster by all, and those of 128 KiB as fast. From 256 KiB on all but tar, which reads 10
KiB at a time, are up to twice as fast past the page cache.
"""

from dgenfs.content.layout import MAX_SIZE
from dgenfs.kernels.opening import STORES_TAILS, Opening, new_opening
from dgenfs.mount.io_mode import Io

SMALL = 128 << 10  # bytes; of the largest file that is stored
CLEARS_TAILS = 41  # minor version of the protocol: Linux 6.12


def opening_of(io: Io) -> Opening:
    """Return how files are opened in a new mount."""
    if io is Io.DIRECT:
        return new_opening(0, 0)
    if io is Io.CACHED:
        return new_opening(MAX_SIZE, 0)
    return new_opening(SMALL, SMALL)


def store_tails(opening: Opening, minor: int) -> None:
    """Store files of any size where the kernel, of this minor version, does it right."""
    opening.limits[STORES_TAILS] = minor >= CLEARS_TAILS

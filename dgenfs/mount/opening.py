"""How data files are opened: past the kernel's page cache or through it, by their size.

Measured with cp, cat, tar, rsync, Python's open() and readers with a buffer of their own, in trees
of files of 1 KiB to 4 MiB (docs/performance.md). Written into the page cache when they are opened,
files up to 256 KiB are read at least as fast by all. Above that readers of whole files are up to
1.8 times as fast past the page cache, and tar, which reads 10 KiB at a time, up to 2.7 times as
fast through it; cp and rsync are as fast either way. So up to 1 MiB the page cache costs the least
where it costs something. Larger files are read by what reads much at a time, and would fill it.
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

"""How data files are opened: past the kernel's page cache or stored in it, by their size.

Measured with cp, cat, tar, rsync, Python's open() and readers with a buffer of their own, in trees
of files of 4 KiB to 4 MiB (docs/performance.md). Stored when they are opened, files up to 64 KiB
are read faster by all, and those of 128 KiB as fast. From 256 KiB on all but tar, which reads 10
KiB at a time, are up to twice as fast past the page cache.
"""

import logging

from dgenfs.content.layout import MAX_SIZE
from dgenfs.kernels.opening import CACHED, STORES_TAILS, Opening, new_opening
from dgenfs.mount.init_reply import Offer
from dgenfs.mount.io_mode import Io

log = logging.getLogger(__name__)

SMALL = 128 << 10  # bytes; of the largest file that is stored
CLEARS_TAILS = 41  # minor version of the protocol: Linux 6.12


def opening_of(io: Io) -> Opening:
    """Return how files are opened in a new mount."""
    if io is Io.DIRECT:
        return new_opening(0, 0)
    if io is Io.CACHED:
        return new_opening(MAX_SIZE, 0)
    return new_opening(SMALL, SMALL)


def suit(opening: Opening, io: Io, offer: Offer) -> None:
    """Open files so that all that clients do works on this kernel.

    Files of any size are stored where it does that right. Large ones are read through the page
    cache where they could not be mapped otherwise, unless past it was asked for.
    """
    opening.limits[STORES_TAILS] = offer.minor >= CLEARS_TAILS
    if io is Io.AUTO and not offer.direct_mmap:
        opening.limits[CACHED] = MAX_SIZE
        log.warning(
            "this kernel cannot map files in direct I/O (Linux 6.6 and later can): files above "
            "%d KiB are read through the page cache, which fills memory and costs a quarter to "
            "half of the speed; --io direct reads past it, without shared mmap",
            SMALL >> 10,
        )


def keeps_pages(opening: Opening) -> bool:
    """Return whether files of any size are read through the page cache."""
    return int(opening.limits[CACHED]) == MAX_SIZE

"""The reply to FUSE_INIT, with what libfuse cannot be asked for, and error replies."""

import errno
import mmap
import struct
from typing import NamedTuple

from dgenfs.kernels.fuse import (
    AUTO_INVAL_DATA,
    DIRECT_IO_ALLOW_MMAP_2,
    EXPLICIT_INVAL_DATA,
    IN_HEADER_FORMAT,
    INIT_EXT,
    INIT_FLAGS,
    INIT_FLAGS_2,
    INIT_MINOR,
    INIT_OUT,
    INIT_OUT_CONGESTION_THRESHOLD,
    INIT_OUT_FLAGS,
    INIT_OUT_FLAGS_2,
    INIT_OUT_MAX_BACKGROUND,
    INIT_OUT_MAX_PAGES,
    INIT_OUT_MAX_WRITE,
    INIT_REQUEST,
    MAX_READ,
    OUT_HEADER_FORMAT,
    OVER_IO_URING_2,
    Opcode,
)
from dgenfs.kernels.fuse import MAX_PAGES as MAX_PAGES_FLAG

MAX_REPLY = (1 << 20) + 4096  # bytes; room for a directory listing of max_pages
MAX_WRITE = 4096  # bytes, the least there is: only control files are written to
MAX_PAGES = MAX_READ // mmap.PAGESIZE  # of one request
# Read-ahead and asynchronous direct requests under way. As many may wait for a long CRC, and one
# more would not be sent, whatever it is of; read-ahead is left out from the other number on.
MAX_BACKGROUND = 8192
CONGESTION_THRESHOLD = 48

_REPLY_HEADER = struct.Struct(OUT_HEADER_FORMAT)


class Offer(NamedTuple):
    """What the kernel can do.

    Attributes:
        minor: version of the protocol.
        direct_mmap: whether files in direct I/O can be mapped shared (Linux 6.6).
    """

    minor: int
    direct_mmap: bool


class ProtocolError(RuntimeError):
    """The kernel or libfuse did not do what the protocol says."""


def error_reply(unique: int, number: int) -> bytes:
    """Return the reply that ends request ``unique`` with errno ``number``."""
    return _REPLY_HEADER.pack(_REPLY_HEADER.size, -number, unique)


def amend_init(request: bytes, reply: bytes) -> bytes:
    """Return libfuse's reply to INIT with what libfuse cannot be asked for.

    Shared mappings of direct files, page cache kept because contents never change, and requests
    small enough for the workers' buffers. Never a flag that the kernel did not offer. Listings stay
    as libfuse wants them, with attributes always: pyfuse3 answers no others.

    Args:
        request: the kernel's FUSE_INIT.
        reply: libfuse's.

    Raises:
        ProtocolError: ``request`` is no FUSE_INIT, or libfuse refused it.
    """
    length, opcode, unique = struct.unpack_from(IN_HEADER_FORMAT, request)
    reply_length, error, answered = _REPLY_HEADER.unpack_from(reply)
    if opcode != Opcode.INIT or len(request) < INIT_REQUEST or length != len(request):
        raise ProtocolError(
            f"first request has opcode {opcode} and {len(request)} B, not FUSE_INIT"
        )
    if error or answered != unique or reply_length != len(reply) or len(reply) < INIT_OUT:
        raise ProtocolError(
            f"libfuse answered FUSE_INIT with {errno.errorcode.get(-error, error)}, {len(reply)} B"
        )
    offered = _get(request, INIT_FLAGS)
    offered_2 = _offered_2(request)
    flags = _get(reply, INIT_OUT_FLAGS) | offered & (
        INIT_EXT | EXPLICIT_INVAL_DATA | MAX_PAGES_FLAG
    )
    if flags & EXPLICIT_INVAL_DATA:
        flags &= ~AUTO_INVAL_DATA
    flags_2 = _get(reply, INIT_OUT_FLAGS_2) | offered_2 & DIRECT_IO_ALLOW_MMAP_2
    amended = bytearray(reply)
    for form, place, value in (
        ("<I", INIT_OUT_FLAGS, flags),
        ("<H", INIT_OUT_MAX_BACKGROUND, MAX_BACKGROUND),
        ("<H", INIT_OUT_CONGESTION_THRESHOLD, CONGESTION_THRESHOLD),
        ("<I", INIT_OUT_MAX_WRITE, MAX_WRITE),
        ("<H", INIT_OUT_MAX_PAGES, MAX_PAGES),
        ("<I", INIT_OUT_FLAGS_2, flags_2 & ~OVER_IO_URING_2),
    ):
        struct.pack_into(form, amended, place, value)
    return bytes(amended)


def offer_of(request: bytes) -> Offer:
    """Return what the kernel says in FUSE_INIT, one that ``amend_init`` took."""
    return Offer(_get(request, INIT_MINOR), bool(_offered_2(request) & DIRECT_IO_ALLOW_MMAP_2))


def _offered_2(request: bytes) -> int:
    """Return the flags from bit 32 up."""
    return _get(request, INIT_FLAGS_2) if _get(request, INIT_FLAGS) & INIT_EXT else 0


def _get(message: bytes, place: int) -> int:
    value: int = struct.unpack_from("<I", message, place)[0]
    return value

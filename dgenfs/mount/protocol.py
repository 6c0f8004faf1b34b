"""What dgenfs itself reads and writes of the FUSE protocol; libfuse does the rest.

Source: Linux include/uapi/linux/fuse.h, protocol 7.45.
"""

import errno
import mmap
import struct
from enum import IntEnum

from dgenfs.kernels.reads import MAX_READ, REQUEST_SIZE

# Bytes. The kernel answers a larger request itself: to set an extended attribute, with E2BIG.
MAX_REQUEST = REQUEST_SIZE
MAX_REPLY = (1 << 20) + 4096  # bytes; room for a directory listing of max_pages
MAX_WRITE = 4096  # bytes, the least there is: only control files are written to
MAX_PAGES = MAX_READ // mmap.PAGESIZE  # of one request
MAX_BACKGROUND = 64  # read-ahead and asynchronous direct requests under way
CONGESTION_THRESHOLD = 48

_REPLY_HEADER = struct.Struct("<IiQ")
_INIT_FLAGS = struct.Struct("<I")

# Flags of FUSE_INIT, by bit.
_AUTO_INVAL_DATA = 1 << 12
_MAX_PAGES = 1 << 22
_EXPLICIT_INVAL_DATA = 1 << 25
_INIT_EXT = 1 << 30
_DIRECT_IO_ALLOW_MMAP_2 = 1 << (36 - 32)
_OVER_IO_URING_2 = 1 << (41 - 32)


class Opcode(IntEnum):
    """Requests that the kernel may send."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    SETXATTR = 21
    GETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    ACCESS = 34
    CREATE = 35
    INTERRUPT = 36


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
    length, opcode, unique = struct.unpack_from("<IIQ", request)
    reply_length, error, answered = _REPLY_HEADER.unpack_from(reply)
    if opcode != Opcode.INIT or len(request) < 60 or length != len(request):
        raise ProtocolError(
            f"first request has opcode {opcode} and {len(request)} B, not FUSE_INIT"
        )
    if error or answered != unique or reply_length != len(reply) or len(reply) < 64:
        raise ProtocolError(
            f"libfuse answered FUSE_INIT with {errno.errorcode.get(-error, error)}, {len(reply)} B"
        )
    offered, offered_2 = struct.unpack_from("<I", request, 52)[0], 0
    if offered & _INIT_EXT:
        offered_2 = struct.unpack_from("<I", request, 56)[0]
    amended = bytearray(reply)
    flags = struct.unpack_from("<I", reply, 28)[0]
    flags |= offered & (_INIT_EXT | _EXPLICIT_INVAL_DATA | _MAX_PAGES)
    if flags & _EXPLICIT_INVAL_DATA:
        flags &= ~_AUTO_INVAL_DATA
    flags_2 = struct.unpack_from("<I", reply, 48)[0]
    flags_2 = (flags_2 | offered_2 & _DIRECT_IO_ALLOW_MMAP_2) & ~_OVER_IO_URING_2
    _INIT_FLAGS.pack_into(amended, 28, flags)
    struct.pack_into("<HHI", amended, 32, MAX_BACKGROUND, CONGESTION_THRESHOLD, MAX_WRITE)
    struct.pack_into("<H", amended, 44, MAX_PAGES)
    _INIT_FLAGS.pack_into(amended, 48, flags_2)
    return bytes(amended)

"""The FUSE protocol: every constant of it that dgenfs reads or writes.

Source: Linux include/uapi/linux/fuse.h, protocol 7.45; limits of a reader of /dev/fuse: Linux
fs/fuse/dev.c. Messages are seen as 64-bit words, so a field's place is its word's number, or its
byte where a word holds two. This module imports no compiler.
"""

from enum import IntEnum


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
    IOCTL = 39
    BATCH_FORGET = 42
    READDIRPLUS = 44


# struct fuse_in_header, words.
IN_LENGTH_AND_OPCODE = 0  # the opcode is the upper half
IN_UNIQUE = 1
IN_NODEID = 2
IN_HEADER = 40  # bytes

# Requests, words; bytes are counted from the header on.
READ_FH = RELEASE_FH = FLUSH_FH = 5
READ_OFFSET = 6
READ_SIZE = 7  # the lower half; READDIR's is the same
READ_REQUEST = 80  # bytes
BATCH_FORGET_COUNT = 5  # the lower half; then an inode and its references each
BATCH_FORGET_FIRST = 6
OPEN_FLAGS = 5  # the lower half
OPEN_REQUEST = 48  # bytes up to what is read of it
RELEASE_REQUEST = 48  # bytes up to what is read of it
FLUSH_REQUEST = 48  # bytes up to what is read of it
INTERRUPT_UNIQUE = 5
INTERRUPT_REQUEST = 48  # bytes
GETXATTR_SIZE = 5  # the lower half; LISTXATTR's is the same
GETXATTR_REQUEST = 48  # bytes, without a name
GETXATTR_NAME = 6
GETXATTR_NAME_BYTE = 8 * GETXATTR_NAME

# struct fuse_out_header, words; the length is the lower half of the first, -errno the upper one.
OUT_LENGTH_AND_ERROR = 0
OUT_UNIQUE = 1
OUT_HEADER = 16  # bytes

# Replies, words behind the header.
OPEN_OUT_FH = 0
OPEN_OUT_FLAGS = 1
OPEN_OUT = 16  # bytes
ENTRY_NODEID = 0
ENTRY_GENERATION = 1
ENTRY_ATTR_VALID = 3
ENTRY_ATTR = 5  # the words from here on are struct fuse_attr
ENTRY_WORDS = 16  # of struct fuse_entry_out
ATTR_OUT_VALID = 0
ATTR_OUT_VALID_NSEC = 1
ATTR_OUT_ATTR = 2
ATTR_OUT_WORDS = 13
ATTR_INO = 0
ATTR_SIZE = 1
ATTR_BLOCKS = 2
ATTR_BLKSIZE = 10  # the lower half
ATTR_WORDS = 11  # of struct fuse_attr
GETXATTR_OUT = 8  # bytes

# Flags of the reply to OPEN.
FOPEN_DIRECT_IO = 1 << 0
FOPEN_KEEP_CACHE = 1 << 1
FOPEN_NOFLUSH = 1 << 5

# INIT, bytes from the message's start. Flags from bit 32 up stand in the second field.
INIT_MINOR = 44
INIT_FLAGS = 52
INIT_FLAGS_2 = 56
INIT_REQUEST = 60  # bytes up to what is read of it
INIT_OUT_FLAGS = 28
INIT_OUT_MAX_BACKGROUND = 32
INIT_OUT_CONGESTION_THRESHOLD = 34
INIT_OUT_MAX_WRITE = 36
INIT_OUT_MAX_PAGES = 44
INIT_OUT_FLAGS_2 = 48
INIT_OUT = 64  # bytes, with the header, up to the end of what is amended
AUTO_INVAL_DATA = 1 << 12
MAX_PAGES = 1 << 22
EXPLICIT_INVAL_DATA = 1 << 25
INIT_EXT = 1 << 30
DIRECT_IO_ALLOW_MMAP_2 = 1 << (36 - 32)
OVER_IO_URING_2 = 1 << (41 - 32)

# Notifications: the header's error is the code.
NOTIFY_INVAL_INODE = 2
NOTIFY_STORE = 4
NOTIFY_PRUNE = 9
# Words behind the header: of struct fuse_notify_inval_inode_out and fuse_notify_store_out.
NOTIFY_NODEID = 0
NOTIFY_OFFSET = 1
NOTIFY_LENGTH = 2  # the lower half of STORE's; 0 of INVAL_INODE is to the end
NOTIFY_OUT = 24  # bytes of either

# For Python's struct; the request's header up to its unique.
IN_HEADER_FORMAT = "<IIQ"
OUT_HEADER_FORMAT = "<IiQ"
ENTRY_FORMAT = "<4Q2I6Q3I7I"  # struct fuse_entry_out with its struct fuse_attr
NOTIFY_PRUNE_FORMAT = OUT_HEADER_FORMAT + "IIQ"  # the header, struct fuse_notify_prune_out

MAX_READ = 1 << 20  # bytes of one READ; a larger one is no kernel's that agreed to our INIT reply

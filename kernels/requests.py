"""The request loop of a worker: data files found, opened and read, the rest passed on.

A handle (fh) of a data file holds all there is to know: the row of its content, that row's TAG and
the file's number. So opening takes no memory and closing frees none.

Called by dgenfs.mount, one thread a worker. Message layouts: Linux include/uapi/linux/fuse.h
(protocol 7.45); duties of a reader of /dev/fuse: Linux fs/fuse/dev.c. The descriptor may be any
that keeps message boundaries, so a SOCK_SEQPACKET pair stands in for /dev/fuse in tests.
"""

import numpy as np
from numba import types

from dgenfs.kernels import libc
from dgenfs.kernels.cache import CACHE
from dgenfs.kernels.jit import inlined, kernel
from dgenfs.kernels.reads import (
    DATA,
    DIGITS,
    EXTENSION,
    EXTENSION_LAST,
    EXTENSION_LENGTH,
    FILES,
    INODE,
    MAX_READ,
    PER_DIRECTORY,
    REPLY,
    REQUEST,
    REQUEST_SIZE,
    SIZE,
    SLICES,
    TAG,
    TIME,
    finish,
    prepare,
)

LOOKUP = 1
OPEN = 14
READ = 15
RELEASE = 18
GETXATTR = 22
FLUSH = 25
READDIR = 28
INTERRUPT = 36
READDIRPLUS = 44
READ_REQUEST = 80  # bytes: struct fuse_in_header, struct fuse_read_in
HEADER = 40  # bytes of struct fuse_in_header
FH_END = 48  # bytes of a request up to its handle, in OPEN up to its flags
XATTR_NAME = 48  # bytes of a GETXATTR before the name
USER_LENGTH = 5  # bytes of "user."
# Bytes of a listing's reply, which goes through a socket: net.core.wmem_max may be 208 KiB. The
# kernel asks for the rest.
MAX_LISTING = 128 << 10
REPLY_HEADER = 16  # bytes of struct fuse_out_header
ENTRY_WORDS = 16  # of struct fuse_entry_out
ENTRY_NODEID = 0
ENTRY_INO = 5
ENTRY_SIZE = 6
ENTRY_BLOCKS = 7

# Words of a worker's counters. Only its own worker writes them; readers take what they see.
OPCODES = 64
REQUESTS = 0  # by opcode, those that the worker answered itself
BYTES = OPCODES  # of READ replies
ERRORS = OPCODES + 1  # READs answered with an error
REFUSED = OPCODES + 2  # replies that the kernel did not take
BUSY_WITH = OPCODES + 3  # `unique` of the request under way, 0 for none
NANOSECONDS = OPCODES + 4  # spent on READs, from the request read to the reply written
OPENED = OPCODES + 5  # handles
RELEASED = OPCODES + 6
LATENCY = OPCODES + 8  # READs by latency: bucket i holds those below 2^i µs, the last one the rest
LATENCIES = 24
COUNTERS = LATENCY + LATENCIES

# A handle, from the top: 0 (1 for control files, which are not answered here), TAG, row, file.
CONTROL = 1 << 63
FILE_BITS = 30
ROW_BITS = 20
TAGS = (1 << 63 - FILE_BITS - ROW_BITS) - 1

# An inode number: PLAIN and a hash for a file of the root; else a hash that tells the tree, from
# bit TREE_SHIFT up, and below it 0 for the tree, i + 1 for file i, DIRECTORIES + i for directory i.
PLAIN = 1 << 62
TREE_SHIFT = 31
DIRECTORIES = 1 << 30
WITHIN = (1 << TREE_SHIFT) - 1

# Rows by the hash of their name's inode; a wrong one is found out, and the request passed on.
HINTS = 1 << 17

O_ACCMODE = 3
O_TRUNC = 0o1000

EINTR = 4
EAGAIN = 11
ENOENT = 2
EBADF = 9
EINVAL = 22
ENOSYS = 38
ENODATA = 61
_INDEX = np.uint64(0xFFFFFFFF)
_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_REPLY_WORDS = REPLY // 8
_SLICE_WORDS = SLICES // 8
_TIME_WORDS = TIME // 8
_DATA_WORDS = DATA // 8
_USER = np.uint64(int.from_bytes(b"user.", "little"))
_USER_MASK = np.uint64((1 << 8 * USER_LENGTH) - 1)


@kernel(types.int64(types.uint64))
def hint(root):
    """Return the index in ``hints`` (int64) of a name's inode number (uint64)."""
    return np.int64((root ^ (root >> np.uint64(TREE_SHIFT))) % np.uint64(HINTS))


@inlined
def _content_of(hints, contents, inode):
    """Return the row of the name that ``inode`` belongs to, -1 for none, and the file's number."""
    root = inode
    file = _ZERO
    if inode < np.uint64(PLAIN):
        root = inode & ~np.uint64(WITHIN)
        file = (inode & np.uint64(WITHIN)) - _ONE  # for the tree itself past every file
    row = np.int64(hints[hint(root)])
    if contents[row, INODE] == root and root != _ZERO and file < contents[row, FILES]:
        return row, file
    return np.int64(-1), file


@inlined
def _now(scratch, words):
    libc.clock_gettime(libc.CLOCK_MONOTONIC, scratch.ctypes.data + TIME)
    return words[_TIME_WORDS] * np.uint64(1_000_000_000) + words[_TIME_WORDS + 1]


@kernel(types.void(types.uint64[::1], types.uint64))
def count_latency(counters, nanoseconds):
    """Count a READ that took ``nanoseconds`` (uint64) in ``counters`` (uint64[COUNTERS])."""
    microseconds = nanoseconds // np.uint64(1000)
    bucket = 0
    while microseconds != _ZERO and bucket < LATENCIES - 1:
        microseconds >>= _ONE
        bucket += 1
    counters[LATENCY + bucket] += _ONE
    counters[NANOSECONDS] += nanoseconds


@inlined
def _reply(fuse, scratch, words, unique, length, error, slices):
    """Write the reply's header and slices in one call; return whether the kernel took it."""
    address = np.uint64(scratch.ctypes.data)
    words[_REPLY_WORDS] = np.uint64(REPLY_HEADER + length) | (
        (np.uint64(-error) & _INDEX) << np.uint64(32)
    )
    words[_REPLY_WORDS + 1] = unique
    words[_SLICE_WORDS] = address + np.uint64(REPLY)
    words[_SLICE_WORDS + 1] = np.uint64(REPLY_HEADER)
    return libc.writev(fuse, address + np.uint64(SLICES), np.int32(1 + slices)) >= 0


@inlined
def _reply_data(fuse, scratch, words, length):
    """Reply to the request in the scratch with ``length`` bytes of its buffer."""
    words[_SLICE_WORDS + 2] = np.uint64(scratch.ctypes.data) + np.uint64(DATA)
    words[_SLICE_WORDS + 3] = np.uint64(length)
    _reply(fuse, scratch, words, words[1], length, 0, 1)


@kernel(
    types.void(
        types.int32,
        types.uint64[:, ::1],
        CACHE,
        types.uint8[::1],
        types.uint64[::1],
        types.uint64[::1],
        types.int64,
    )
)
def answer_read(fuse, contents, cache, scratch, words, counters, received):
    """Answer the READ in the scratch.

    Args:
        fuse: int32, descriptor of /dev/fuse.
        contents: uint64[2^ROW_BITS, CONTENT_COLUMNS].
        cache: Cache.
        scratch: uint8[SCRATCH].
        words: uint64[::1], the same memory.
        counters: uint64[COUNTERS].
        received: int64, bytes of the request.
    """
    started = _now(scratch, words)
    unique = words[1]
    error = 0
    length = _ZERO
    slices = 0
    if received < READ_REQUEST:
        error = EINVAL
    else:
        fh = words[5]
        offset = words[6]
        wanted = words[7] & _INDEX
        row = np.int64((fh >> np.uint64(FILE_BITS)) & np.uint64((1 << ROW_BITS) - 1))
        file = fh & np.uint64((1 << FILE_BITS) - 1)
        content = contents[row]
        tag = fh >> np.uint64(FILE_BITS + ROW_BITS)
        if content[INODE] == _ZERO or content[TAG] != tag or file >= content[FILES]:
            error = EBADF
        elif wanted > np.uint64(MAX_READ):
            error = EINVAL
        elif offset < content[SIZE]:
            length = min(wanted, content[SIZE] - offset)
            if length != _ZERO:
                slices = prepare(content, file, offset, length, cache, scratch, words)
    taken = _reply(fuse, scratch, words, unique, np.int64(length), error, slices)
    if not taken and libc.errno() != ENOENT:
        # ENOENT: the client was killed meanwhile. After anything else it still waits.
        counters[REFUSED] += _ONE
        _reply(fuse, scratch, words, unique, 0, 5, 0)
    finish(cache, words, slices)
    counters[REQUESTS + READ] += _ONE
    counters[BYTES] += length
    if error != 0:
        counters[ERRORS] += _ONE
    count_latency(counters, _now(scratch, words) - started)


@kernel(
    types.boolean(
        types.int32,
        types.uint64[::1],
        types.uint32[::1],
        types.uint64[:, ::1],
        types.uint8[::1],
        types.uint64[::1],
        types.int64,
    )
)
def look_up(fuse, entry, hints, contents, scratch, words, received):
    """Answer the LOOKUP in the scratch if it is one of a file that is in a tree.

    Args:
        fuse: int32, descriptor of /dev/fuse.
        entry: uint64[ENTRY_WORDS], struct fuse_entry_out without what differs from file to file.
        hints: uint32[HINTS].
        contents: uint64[2^ROW_BITS, CONTENT_COLUMNS].
        scratch: uint8[SCRATCH].
        words: uint64[::1], the same memory.
        received: int64, bytes of the request.

    Returns:
        boolean, whether it was answered; else it is the control plane's.
    """
    parent = words[2]
    root = parent & ~np.uint64(WITHIN)
    within = parent & np.uint64(WITHIN)
    if parent >= np.uint64(PLAIN) or root == _ZERO:
        return False
    row = contents[np.int64(hints[hint(root)])]
    digits = np.int64(row[DIGITS])
    extension = np.int64(row[EXTENSION_LENGTH])
    if row[INODE] != root or digits == 0 or received != HEADER + digits + extension + 1:
        return False
    file = _ZERO
    for i in range(HEADER, HEADER + digits):
        digit = np.uint64(scratch[i]) - np.uint64(48)
        if digit > np.uint64(9):
            return False
        file = file * np.uint64(10) + digit
    for i in range(extension):
        text = row[EXTENSION] if i < 8 else row[EXTENSION_LAST]
        expected = (text >> np.uint64(8 * (i % 8))) & np.uint64(255)
        if np.uint64(scratch[HEADER + digits + i]) != expected:
            return False
    if scratch[received - 1] != 0 or file >= row[FILES]:
        return False
    # The tree itself holds its files unless it has directories; those hold PER_DIRECTORY each.
    directory = _ZERO
    if row[PER_DIRECTORY] != _ZERO:
        directory = np.uint64(DIRECTORIES) + file // row[PER_DIRECTORY]
    if within != directory:
        return False
    inode = root + file + _ONE
    for i in range(ENTRY_WORDS):
        words[_DATA_WORDS + i] = entry[i]
    words[_DATA_WORDS + ENTRY_NODEID] = inode
    words[_DATA_WORDS + ENTRY_INO] = inode
    words[_DATA_WORDS + ENTRY_SIZE] = row[SIZE]
    words[_DATA_WORDS + ENTRY_BLOCKS] = (row[SIZE] + np.uint64(511)) // np.uint64(512)
    _reply_data(fuse, scratch, words, 8 * ENTRY_WORDS)
    return True


@kernel(
    types.boolean(
        types.int32,
        types.uint64,
        types.uint32[::1],
        types.uint64[:, ::1],
        types.uint8[::1],
        types.uint64[::1],
        types.int64,
    )
)
def open_file(fuse, open_flags, hints, contents, scratch, words, received):
    """Answer the OPEN in the scratch if it is one of a data file for reading.

    Args:
        fuse: int32, descriptor of /dev/fuse.
        open_flags: uint64, FOPEN_* of the reply.
        hints: uint32[HINTS].
        contents: uint64[2^ROW_BITS, CONTENT_COLUMNS].
        scratch: uint8[SCRATCH].
        words: uint64[::1], the same memory.
        received: int64, bytes of the request.

    Returns:
        boolean, whether it was answered; else it is the control plane's.
    """
    if received < FH_END or words[5] & np.uint64(O_ACCMODE | O_TRUNC) != _ZERO:
        return False
    row, file = _content_of(hints, contents, words[2])
    if row < 0:
        return False
    words[_DATA_WORDS] = (
        contents[row, TAG] << np.uint64(FILE_BITS + ROW_BITS)
        | np.uint64(row) << np.uint64(FILE_BITS)
        | file
    )
    words[_DATA_WORDS + 1] = open_flags
    _reply_data(fuse, scratch, words, 16)
    return True


@kernel(
    types.int64(
        types.int32,
        types.int32,
        types.int64[::1],
        types.uint64,
        types.uint64[::1],
        types.uint32[::1],
        types.uint64[:, ::1],
        CACHE,
        types.uint8[::1],
        types.uint64[::1],
        types.uint64[::1],
    )
)
def serve(fuse, control, stop, open_flags, entry, hints, contents, cache, scratch, words, counters):
    """Read and answer requests until the connection ends or ``stop`` says so.

    Args:
        fuse: int32, descriptor of /dev/fuse.
        control: int32, socket to the control plane; one message a request.
        stop: int64[1], not 0 to return at the next signal to this thread (EINTR).
        open_flags: uint64, FOPEN_* of the reply to OPEN.
        entry: uint64[ENTRY_WORDS], struct fuse_entry_out without what differs from file to file.
        hints: uint32[HINTS].
        contents: uint64[2^ROW_BITS, CONTENT_COLUMNS].
        cache: Cache.
        scratch: uint8[SCRATCH], this worker's own.
        words: uint64[::1], the same memory.
        counters: uint64[COUNTERS], this worker's own.

    Returns:
        int64: 0 if stopped, else the errno that ended it (ENODEV: unmounted or aborted).
    """
    request = scratch.ctypes.data + REQUEST
    while stop[0] == 0:
        received = libc.read(fuse, request, np.uint64(REQUEST_SIZE))
        if received < 0:
            error = libc.errno()
            # ENOENT: the request was aborted while it was copied.
            if error in (EINTR, EAGAIN, ENOENT):
                continue
            return np.int64(error)
        if received < HEADER:
            # Never the kernel's. End of file on a socket that stands in for it.
            if received == 0:
                return np.int64(0)
            continue
        opcode = words[0] >> np.uint64(32)
        unique = words[1]
        counters[BUSY_WITH] = unique
        if opcode == np.uint64(READ) and (received < READ_REQUEST or words[5] < np.uint64(CONTROL)):
            answer_read(fuse, contents, cache, scratch, words, counters, received)
        elif opcode == np.uint64(FLUSH):
            # Once: the kernel then leaves it out.
            _reply(fuse, scratch, words, unique, 0, ENOSYS, 0)
            counters[REQUESTS + FLUSH] += _ONE
        elif opcode == np.uint64(INTERRUPT):
            # No read lasts long enough to be worth ending; the kernel allows us to pass over it.
            counters[REQUESTS + INTERRUPT] += _ONE
        elif opcode == np.uint64(RELEASE) and received >= FH_END and words[5] < np.uint64(CONTROL):
            _reply(fuse, scratch, words, unique, 0, 0, 0)
            counters[REQUESTS + RELEASE] += _ONE
            counters[RELEASED] += _ONE
        elif opcode == np.uint64(OPEN) and open_file(
            fuse, open_flags, hints, contents, scratch, words, received
        ):
            counters[REQUESTS + OPEN] += _ONE
            counters[OPENED] += _ONE
        elif opcode == np.uint64(LOOKUP) and look_up(
            fuse, entry, hints, contents, scratch, words, received
        ):
            counters[REQUESTS + LOOKUP] += _ONE
        elif (
            opcode == np.uint64(GETXATTR)
            and received >= XATTR_NAME + USER_LENGTH
            and words[XATTR_NAME // 8] & _USER_MASK != _USER
        ):
            # Only `user.` attributes are ours; ls asks for two others of each file.
            _reply(fuse, scratch, words, unique, 0, ENODATA, 0)
            counters[REQUESTS + GETXATTR] += _ONE
        else:
            if (
                opcode in (np.uint64(READDIR), np.uint64(READDIRPLUS))
                and received >= READ_REQUEST
                and words[7] & _INDEX > np.uint64(MAX_LISTING)
            ):
                words[7] = (words[7] & ~_INDEX) | np.uint64(MAX_LISTING)
            while libc.send(control, request, np.uint64(received), libc.MSG_NOSIGNAL) < 0:
                error = libc.errno()
                if error != EINTR or stop[0] != 0:
                    return np.int64(error)
        counters[BUSY_WITH] = _ZERO
    return np.int64(0)


@kernel(types.int64(types.int32, types.int32, types.uint8[::1]))
def pump(control, fuse, message):
    """Carry replies from the control plane to the kernel until the socket ends.

    Args:
        control: int32, socket to the control plane; one message a reply.
        fuse: int32, descriptor of /dev/fuse.
        message: uint8[::1], room for the largest reply.

    Returns:
        int64: 0 at the socket's end, else the errno that ended it.
    """
    while True:
        length = libc.recv(control, message.ctypes.data, np.uint64(message.size), np.int32(0))
        if length == 0:
            return np.int64(0)
        if length < 0:
            error = libc.errno()
            if error != EINTR:
                return np.int64(error)
        else:
            # A reply that the kernel refuses is to a request that is gone.
            libc.write(fuse, message.ctypes.data, np.uint64(length))

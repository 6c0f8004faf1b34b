"""The request loop of a worker: data files found, opened and read, the rest passed on.

Called by dgenfs.mount, one thread a worker. Duties of a reader of /dev/fuse: Linux fs/fuse/dev.c.
The descriptor may be any that keeps message boundaries, so a SOCK_SEQPACKET pair stands in for
/dev/fuse in tests.
"""

import errno

import numpy as np
from numba import types

from dgenfs.kernels import libc
from dgenfs.kernels.cache import CACHE
from dgenfs.kernels.counters import (
    BUSY_WITH,
    BYTES,
    ERRORS,
    REFUSED,
    REQUESTS,
    count_latency,
)
from dgenfs.kernels.digests import Patience
from dgenfs.kernels.duties import DUTY, give_up, given_up_at, is_given_up
from dgenfs.kernels.fuse import (
    FLUSH_FH,
    FLUSH_REQUEST,
    GETXATTR_NAME,
    GETXATTR_NAME_BYTE,
    GETXATTR_OUT,
    GETXATTR_REQUEST,
    GETXATTR_SIZE,
    IN_HEADER,
    IN_LENGTH_AND_OPCODE,
    IN_NODEID,
    IN_UNIQUE,
    INTERRUPT_REQUEST,
    INTERRUPT_UNIQUE,
    MAX_READ,
    READ_FH,
    READ_OFFSET,
    READ_REQUEST,
    READ_SIZE,
    RELEASE_FH,
    RELEASE_REQUEST,
    Opcode,
)
from dgenfs.kernels.ids import CONTROL, PLAIN
from dgenfs.kernels.jit import inlined, kernel
from dgenfs.kernels.lookups import (
    HINTS_TYPE,
    TABLE,
    find_row,
    forgotten_within_trees,
    get_attributes,
    is_within_a_tree,
    look_up,
    open_by,
)
from dgenfs.kernels.opening import OPENING, close_file, open_file
from dgenfs.kernels.reads import LEFT, finish, prepare
from dgenfs.kernels.row import SIZE
from dgenfs.kernels.scratch import DATA, SCRATCH, TIME, address_of, reply, reply_data

# Bytes of a listing's reply, which goes through a socket: net.core.wmem_max may be 208 KiB. The
# kernel asks for the rest.
MAX_LISTING = 128 << 10

USER = b"user."  # what the names of our extended attributes start with

EINTR = errno.EINTR
EAGAIN = errno.EAGAIN
ENOENT = errno.ENOENT
EBADF = errno.EBADF
EINVAL = errno.EINVAL
EIO = errno.EIO
ENODATA = errno.ENODATA
ENOTTY = errno.ENOTTY

BATCH_FORGET = np.uint64(Opcode.BATCH_FORGET)
FLUSH = np.uint64(Opcode.FLUSH)
FORGET = np.uint64(Opcode.FORGET)
GETATTR = np.uint64(Opcode.GETATTR)
GETXATTR = np.uint64(Opcode.GETXATTR)
INTERRUPT = np.uint64(Opcode.INTERRUPT)
IOCTL = np.uint64(Opcode.IOCTL)
LISTXATTR = np.uint64(Opcode.LISTXATTR)
LOOKUP = np.uint64(Opcode.LOOKUP)
OPEN = np.uint64(Opcode.OPEN)
READ = np.uint64(Opcode.READ)
READDIR = np.uint64(Opcode.READDIR)
READDIRPLUS = np.uint64(Opcode.READDIRPLUS)
RELEASE = np.uint64(Opcode.RELEASE)

_LOWER_HALF = np.uint64(0xFFFFFFFF)
_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_CONTROL = np.uint64(CONTROL)
_USER_LENGTH = len(USER)
_USER = np.uint64(int.from_bytes(USER, "little"))
_USER_MASK = np.uint64((1 << 8 * len(USER)) - 1)


@inlined
def now(scratch):
    """Return the monotonic time (uint64), nanoseconds."""
    libc.clock_gettime(libc.CLOCK_MONOTONIC, address_of(scratch, TIME))
    return scratch.words[TIME] * np.uint64(1_000_000_000) + scratch.words[TIME + 1]


@inlined
def put_off(duty, scratch):
    """Leave the READ in the scratch to who computes CRCs; return whether there was room for it."""
    request = scratch.data.ctypes.data
    while libc.write(duty.waiting, request, np.uint64(READ_REQUEST)) < 0:
        if libc.errno() != EINTR:
            return False
    return True


@kernel(
    types.void(
        types.int32,
        DUTY,
        types.int64[::1],
        TABLE,
        CACHE,
        SCRATCH,
        types.uint64[::1],
        types.int64,
    )
)
def answer_read(fuse, duty, stop, table, cache, scratch, counters, received):
    """Answer the READ in the scratch, or put it off if it must wait for a long CRC.

    Args:
        fuse: int32, descriptor of /dev/fuse.
        duty: Duty.
        stop: int64[1], not 0 to put off a CRC that is being computed too.
        table: uint64[2^ROW_BITS, TABLE_COLUMNS].
        cache: Cache.
        scratch: Scratch.
        counters: uint64[COUNTERS].
        received: int64, bytes of the request.
    """
    started = now(scratch)
    words = scratch.words
    error = 0
    length = _ZERO
    slices = np.int64(0)
    if received < READ_REQUEST:
        error = EINVAL
    else:
        offset = words[READ_OFFSET]
        wanted = words[READ_SIZE] & _LOWER_HALF
        row, file = open_by(table, words[READ_FH])
        if row < 0:
            error = EBADF
        elif wanted > np.uint64(MAX_READ):
            error = EINVAL
        elif offset < table[row, SIZE]:
            length = min(wanted, table[row, SIZE] - offset)
            if length != _ZERO:
                unique = words[IN_UNIQUE]
                ended = np.uint64(stop.ctypes.data)
                patience = Patience(duty.most, ended, given_up_at(duty, unique), unique)
                number = np.uint64(file)
                slices = prepare(table[row], number, offset, length, cache, scratch, patience)
                if slices < 0:
                    left = slices == LEFT and is_given_up(duty, unique)
                    if not left and put_off(duty, scratch):
                        return
                    # Where so many wait that there is no room, others must not wait for them.
                    error, length, slices = EINTR if left else EAGAIN, _ZERO, np.int64(0)
    taken = reply(fuse, scratch, np.int64(length), error, slices)
    if not taken and libc.errno() != ENOENT:
        # ENOENT: the connection was aborted. After anything else the client still waits.
        counters[REFUSED] += _ONE
        reply(fuse, scratch, 0, EIO, 0)
    finish(cache, scratch, slices)
    counters[REQUESTS + np.int64(READ)] += _ONE
    counters[BYTES] += length
    if error != 0:
        counters[ERRORS] += _ONE
    count_latency(counters, now(scratch) - started)


@inlined
def pass_on(socket, stop, scratch, received):
    """Send the request in the scratch; return errno (int64) if that fails, 0 if not."""
    request = scratch.data.ctypes.data
    while libc.send(socket, request, np.uint64(received), libc.MSG_NOSIGNAL) < 0:
        error = libc.errno()
        if error != EINTR or stop[0] != 0:
            return np.int64(error)
    return np.int64(0)


@inlined
def closes_a_file(scratch, received):
    """Return whether the RELEASE in the scratch is of a data file."""
    return received >= RELEASE_REQUEST and scratch.words[RELEASE_FH] < _CONTROL


@inlined
def reads_a_file(scratch, received):
    """Return whether the READ in the scratch is to be answered here, with an error if need be."""
    return received < READ_REQUEST or scratch.words[READ_FH] < _CONTROL


@inlined
def asks_for_others(scratch, received):
    """Return whether the GETXATTR in the scratch is of no ``user.`` attribute.

    We have no others; ls asks for two of each file.
    """
    whole = received >= GETXATTR_NAME_BYTE + _USER_LENGTH
    return whole and scratch.words[GETXATTR_NAME] & _USER_MASK != _USER


@inlined
def lists_none(hints, table, scratch, received):
    """Return whether the LISTXATTR in the scratch is of a tree's file.

    Its attributes are the tree's, but for its name, and not listed: who copies a tree with all
    attributes would ask for each of each file.
    """
    inode = scratch.words[IN_NODEID]
    if received < GETXATTR_REQUEST or inode >= np.uint64(PLAIN):
        return False
    row, _ = find_row(hints, table, inode)
    return row >= 0


@inlined
def list_none(fuse, scratch):
    """Answer the LISTXATTR in the scratch: nothing, or that nothing takes 0 bytes."""
    if scratch.words[GETXATTR_SIZE] & _LOWER_HALF != _ZERO:
        reply(fuse, scratch, 0, 0, 0)
    else:
        scratch.words[DATA] = _ZERO
        reply_data(fuse, scratch, GETXATTR_OUT)


@inlined
def answer(fuse, duty, opening, entry, hints, table, scratch, counters, received):
    """Answer the request in the scratch if it is one of a data file, but no READ.

    Returns:
        boolean, whether it was answered; else it is the control plane's.
    """
    opcode = scratch.words[IN_LENGTH_AND_OPCODE] >> np.uint64(32)
    answered = True
    if opcode == FLUSH:
        # Of a control file it says whether what was written was whole.
        answered = received < FLUSH_REQUEST or scratch.words[FLUSH_FH] < _CONTROL
        if answered:
            reply(fuse, scratch, 0, 0, 0)
    elif opcode == IOCTL:
        # Python's open() asks of each file whether it is a terminal.
        reply(fuse, scratch, 0, ENOTTY, 0)
    elif opcode == INTERRUPT:
        # Only a long CRC is worth ending; the kernel allows us to pass over it else.
        if received >= INTERRUPT_REQUEST:
            give_up(duty, scratch.words[INTERRUPT_UNIQUE])
    elif opcode == OPEN:
        answered = open_file(fuse, opening, hints, table, scratch, counters, received)
    elif opcode == RELEASE:
        answered = closes_a_file(scratch, received)
        if answered:
            close_file(fuse, opening, table, scratch, counters)
    elif opcode == LOOKUP:
        answered = look_up(fuse, entry, hints, table, scratch, received)
    elif opcode == FORGET:
        answered = is_within_a_tree(scratch.words[IN_NODEID])
    elif opcode == BATCH_FORGET:
        count = forgotten_within_trees(scratch.words, received)
        counters[REQUESTS + np.int64(FORGET)] += np.uint64(count)
        return count != 0
    elif opcode == GETATTR:
        answered = get_attributes(fuse, entry, hints, table, scratch)
    elif opcode == GETXATTR:
        answered = asks_for_others(scratch, received)
        if answered:
            reply(fuse, scratch, 0, ENODATA, 0)
    elif opcode == LISTXATTR:
        answered = lists_none(hints, table, scratch, received)
        if answered:
            list_none(fuse, scratch)
    else:
        answered = False
    if answered:
        counters[REQUESTS + np.int64(opcode)] += _ONE
    return answered


@inlined
def limit_listing(scratch, received):
    """Let the READDIR in the scratch, if it is one, ask for no more than MAX_LISTING."""
    words = scratch.words
    opcode = words[IN_LENGTH_AND_OPCODE] >> np.uint64(32)
    whole = opcode in (READDIR, READDIRPLUS) and received >= READ_REQUEST
    if whole and words[READ_SIZE] & _LOWER_HALF > np.uint64(MAX_LISTING):
        words[READ_SIZE] = (words[READ_SIZE] & ~_LOWER_HALF) | np.uint64(MAX_LISTING)


@kernel(
    types.int64(
        types.int32,
        types.int32,
        DUTY,
        types.int64[::1],
        OPENING,
        types.uint64[::1],
        HINTS_TYPE,
        TABLE,
        CACHE,
        SCRATCH,
        types.uint64[::1],
    )
)
def serve(fuse, control, duty, stop, opening, entry, hints, table, cache, scratch, counters):
    """Read and answer requests until the connection ends or ``stop`` says so.

    Args:
        fuse: int32, descriptor of /dev/fuse.
        control: int32, socket to the control plane; one message a request.
        duty: Duty.
        stop: int64[1], not 0 to return at the next signal to this thread (EINTR).
        opening: Opening.
        entry: uint64[ENTRY_WORDS], struct fuse_entry_out without what differs from file to file.
        hints: uint32[HINTS].
        table: uint64[2^ROW_BITS, TABLE_COLUMNS].
        cache: Cache.
        scratch: Scratch, this worker's own.
        counters: uint64[COUNTERS], this worker's own.

    Returns:
        int64: 0 if stopped, else the errno that ended it (ENODEV: unmounted or aborted).
    """
    request = scratch.data.ctypes.data
    while stop[0] == 0:
        received = libc.read(duty.requests, request, duty.room)
        if received < 0:
            error = libc.errno()
            # ENOENT: the request was aborted while it was copied.
            if error in (EINTR, EAGAIN, ENOENT):
                continue
            return np.int64(error)
        if received < IN_HEADER:
            # Never the kernel's. End of file on a socket that stands in for it.
            if received == 0:
                return np.int64(0)
            continue
        counters[BUSY_WITH] = scratch.words[IN_UNIQUE]
        opcode = scratch.words[IN_LENGTH_AND_OPCODE] >> np.uint64(32)
        error = np.int64(0)
        if opcode == READ and reads_a_file(scratch, received):
            answer_read(fuse, duty, stop, table, cache, scratch, counters, received)
        elif not answer(fuse, duty, opening, entry, hints, table, scratch, counters, received):
            limit_listing(scratch, received)
            error = pass_on(control, stop, scratch, received)
        if error != 0:
            return error
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

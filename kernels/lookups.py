"""The table of names that the kernel knows, and looking up a tree's file in it.

A row of the table is a name's row and, behind it, what tells its inodes. It does not change while
the kernel knows the name. Called by serve; dgenfs.mount.rows writes it.
"""

import numpy as np
from numba import types

from dgenfs.kernels.fuse import (
    ATTR_BLKSIZE,
    ATTR_BLOCKS,
    ATTR_INO,
    ATTR_OUT_ATTR,
    ATTR_OUT_VALID,
    ATTR_OUT_VALID_NSEC,
    ATTR_OUT_WORDS,
    ATTR_SIZE,
    ATTR_WORDS,
    BATCH_FORGET_COUNT,
    BATCH_FORGET_FIRST,
    ENTRY_ATTR,
    ENTRY_ATTR_VALID,
    ENTRY_GENERATION,
    ENTRY_NODEID,
    ENTRY_WORDS,
    IN_HEADER,
    IN_NODEID,
)
from dgenfs.kernels.ids import (
    DIRECTORIES,
    FILE_BITS,
    HINTS,
    PLAIN,
    ROW_BITS,
    TREE_SHIFT,
    WITHIN,
)
from dgenfs.kernels.jit import inlined, kernel
from dgenfs.kernels.names import file_named
from dgenfs.kernels.row import FILES, NAME_ROW_WORDS, PER_DIRECTORY, SECTOR, SIZE, WORD
from dgenfs.kernels.scratch import DATA, SCRATCH, reply_data

# Columns of the table behind the name's row.
INODE = NAME_ROW_WORDS  # of the name: a file's or a tree's; 0 while the row is free
# The lower half: how often the row was used, 1 to TAGS: handles of before are not valid. The upper
# half: the generation of its inodes, which tells names of the same inode number apart.
TAG = NAME_ROW_WORDS + 1
TABLE_COLUMNS = NAME_ROW_WORDS + 2  # two cache lines

LEAST_BLOCK = 4096  # bytes; powers of two
MOST_BLOCK = 128 << 10
LARGE = 1 << 20  # bytes; files that are larger have LARGE_BLOCK
LARGE_BLOCK = 512 << 10

HINTS_TYPE = types.uint32[::1]
TABLE = types.uint64[:, ::1]

_LOWER_HALF = np.uint64(0xFFFFFFFF)
_ZERO = np.uint64(0)
_ONE = np.uint64(1)


@kernel(types.int64(types.uint64))
def hint(root):
    """Return the index in ``hints`` (int64) of a name's inode number (uint64)."""
    return np.int64((root ^ (root >> np.uint64(TREE_SHIFT))) % np.uint64(HINTS))


@kernel(types.uint64(types.uint64))
def block_size(size):
    """Return st_blksize (uint64) of a data file of ``size`` (uint64) bytes.

    Buffered readers take a buffer of it: no larger than a small file needs, as a new buffer costs
    more than the file. For a large one cp and cat read in order and are faster the more they ask
    for; who reads a little at random in a buffered file asks for as much each time.
    """
    if size > np.uint64(LARGE):
        return np.uint64(LARGE_BLOCK)
    block = np.uint64(LEAST_BLOCK)
    while block < size and block < np.uint64(MOST_BLOCK):
        block += block
    return block


@inlined
def put_attributes(words, at, inode, size, entry):
    """Write struct fuse_attr of a data file at ``words[at:]``.

    Args:
        words: uint64[::1].
        at: int64.
        inode: uint64.
        size: uint64, bytes.
        entry: uint64[ENTRY_WORDS], struct fuse_entry_out without what differs from file to file.
    """
    for i in range(ATTR_WORDS):
        words[at + i] = entry[ENTRY_ATTR + i]
    words[at + ATTR_INO] = inode
    words[at + ATTR_SIZE] = size
    words[at + ATTR_BLOCKS] = (size + np.uint64(SECTOR - 1)) // np.uint64(SECTOR)
    words[at + ATTR_BLKSIZE] |= block_size(size)


@inlined
def find_row(hints, table, inode):
    """Return the row (int64) of the name that ``inode`` is of, -1 for none, and the file (uint64).

    Args:
        hints: uint32[HINTS].
        table: uint64[2^ROW_BITS, TABLE_COLUMNS].
        inode: uint64.
    """
    root = inode
    file = _ZERO
    if inode < np.uint64(PLAIN):
        root = inode & ~np.uint64(WITHIN)
        file = (inode & np.uint64(WITHIN)) - _ONE  # for the tree itself past every file
    row = np.int64(hints[hint(root)])
    if table[row, INODE] == root and root != _ZERO and file < table[row, FILES]:
        return row, file
    return np.int64(-1), file


@inlined
def is_within_a_tree(inode):
    """Return whether ``inode`` (uint64) is that of a tree's file or directory."""
    within = inode & np.uint64(WITHIN)
    return inode < np.uint64(PLAIN) and within != _ZERO and within != inode


@inlined
def forgotten_within_trees(words, received):
    """Return how many inodes (int64) a BATCH_FORGET is of, 0 if not all are within trees.

    Of those nothing is kept, so nothing is to be forgotten.

    Args:
        words: uint64[::1], the request.
        received: int64, its bytes.
    """
    count = np.int64(words[BATCH_FORGET_COUNT] & _LOWER_HALF)
    if received != WORD * (BATCH_FORGET_FIRST + 2 * count):
        return np.int64(0)
    for i in range(count):
        if not is_within_a_tree(words[BATCH_FORGET_FIRST + 2 * i]):
            return np.int64(0)
    return count


@kernel(types.uint64(TABLE, types.int64, types.uint64))
def handle_of(table, row, file):
    """Return the handle (uint64) of file number ``file`` (uint64) of a row (int64)."""
    return (
        (table[row, TAG] & _LOWER_HALF) << np.uint64(FILE_BITS + ROW_BITS)
        | np.uint64(row) << np.uint64(FILE_BITS)
        | file
    )


@kernel(types.UniTuple(types.int64, 2)(TABLE, types.uint64))
def open_by(table, fh):
    """Return the row and the file (int64 each) that a handle (uint64) is of, -1 twice for none."""
    row = np.int64((fh >> np.uint64(FILE_BITS)) & np.uint64((1 << ROW_BITS) - 1))
    file = fh & np.uint64((1 << FILE_BITS) - 1)
    tag = fh >> np.uint64(FILE_BITS + ROW_BITS)
    known = table[row, INODE] != _ZERO and table[row, TAG] & _LOWER_HALF == tag
    if not known or file >= table[row, FILES]:
        return np.int64(-1), np.int64(-1)
    return row, np.int64(file)


@kernel(types.boolean(types.int32, types.uint64[::1], HINTS_TYPE, TABLE, SCRATCH, types.int64))
def look_up(fuse, entry, hints, table, scratch, received):
    """Answer the LOOKUP in the scratch if it is one of a file that is in a tree.

    Args:
        fuse: int32, descriptor of /dev/fuse.
        entry: uint64[ENTRY_WORDS], struct fuse_entry_out without what differs from file to file.
        hints: uint32[HINTS].
        table: uint64[2^ROW_BITS, TABLE_COLUMNS].
        scratch: Scratch.
        received: int64, bytes of the request.

    Returns:
        boolean, whether it was answered; else it is the control plane's.
    """
    words = scratch.words
    parent = words[IN_NODEID]
    root = parent & ~np.uint64(WITHIN)
    if parent >= np.uint64(PLAIN) or root == _ZERO:
        return False
    row = table[np.int64(hints[hint(root)])]
    if row[INODE] != root:
        return False
    number = file_named(row, scratch.data, IN_HEADER, received)
    if number < 0:
        return False
    file = np.uint64(number)
    # The tree itself holds its files unless it has directories; those hold PER_DIRECTORY each.
    directory = _ZERO
    if row[PER_DIRECTORY] != _ZERO:
        directory = np.uint64(DIRECTORIES) + file // row[PER_DIRECTORY]
    if parent & np.uint64(WITHIN) != directory:
        return False
    inode = root + file + _ONE
    for i in range(ENTRY_ATTR):
        words[DATA + i] = entry[i]
    words[DATA + ENTRY_NODEID] = inode
    words[DATA + ENTRY_GENERATION] = row[TAG] >> np.uint64(32)
    put_attributes(words, DATA + ENTRY_ATTR, inode, row[SIZE], entry)
    reply_data(fuse, scratch, WORD * ENTRY_WORDS)
    return True


@kernel(types.boolean(types.int32, types.uint64[::1], HINTS_TYPE, TABLE, SCRATCH))
def get_attributes(fuse, entry, hints, table, scratch):
    """Answer the GETATTR in the scratch if it is one of a data file.

    Args:
        fuse: int32, descriptor of /dev/fuse.
        entry: uint64[ENTRY_WORDS], struct fuse_entry_out without what differs from file to file.
        hints: uint32[HINTS].
        table: uint64[2^ROW_BITS, TABLE_COLUMNS].
        scratch: Scratch.

    Returns:
        boolean, whether it was answered; else it is the control plane's.
    """
    words = scratch.words
    inode = words[IN_NODEID]
    row, _ = find_row(hints, table, inode)
    if row < 0:
        return False
    words[DATA + ATTR_OUT_VALID] = entry[ENTRY_ATTR_VALID]
    words[DATA + ATTR_OUT_VALID_NSEC] = _ZERO
    put_attributes(words, DATA + ATTR_OUT_ATTR, inode, table[row, SIZE], entry)
    reply_data(fuse, scratch, WORD * ATTR_OUT_WORDS)
    return True

"""The bits of handles and inode numbers.

A handle (fh) of a data file, from the top: 0, the TAG of its name's row, the row, the file. So it
holds all there is to know: opening takes no memory and closing frees none. Other handles have
CONTROL set and are the control plane's.

An inode number: PLAIN and a hash for a file of the root; else a hash that tells the tree, from bit
TREE_SHIFT up, and below it 0 for the tree, i + 1 for file i, DIRECTORIES + i for directory i. All
are below 2^53, so that programs that take them as doubles, as those in JavaScript do, tell them
apart.
"""

CONTROL = 1 << 63
FILE_BITS = 30
ROW_BITS = 20
TAGS = (1 << 63 - FILE_BITS - ROW_BITS) - 1

PLAIN = 1 << 52
TREE_SHIFT = 31
DIRECTORIES = 1 << 30
WITHIN = (1 << TREE_SHIFT) - 1

# Rows by the hash of their name's inode; a wrong one is noticed, and the request passed on.
HINTS = 1 << 17

"""The row: the numbers that describe one content, the only form in which kernels take one.

A content is the endless repetition of its first PERIOD bytes; byte x of file f stands at content
offset ``(f * STRIDE + x) mod PERIOD``. ``dgenfs.content.layout.Layout`` alone writes rows, from a
name's numbers; docs/format.md says how they follow from each other.

A row is uint64[ROW_WORDS]; a longer array that starts with one is as good, such as a row of the
mount's table. This module imports nothing, so that names can be read without a compiler.
"""

WORD = 8  # bytes
SECTOR_WORDS = 64
SECTOR = SECTOR_WORDS * WORD  # bytes

KEY = 0  # of the word function
PERIOD = 1  # bytes after which the content starts over, a multiple of 4096
RATIO = 2  # compression ratio in thousandths, 1000 to 20000
RANDOM = 3  # N: a sector holds N / RATIO random words on average
SIZE = 4  # bytes of a file
STRIDE = 5  # content bytes from the start of one file to that of the next
FILES = 6  # 1 for a plain file
ROW_WORDS = 8  # a cache line

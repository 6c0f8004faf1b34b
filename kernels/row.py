"""The row: the numbers that describe one content, the only form in which kernels take one.

A content is the endless repetition of its first PERIOD bytes; byte x of file f stands at content
offset ``(f * STRIDE + x) mod PERIOD``. ``dgenfs.content.layout.Layout`` alone writes rows, from a
name's numbers; docs/format.md says how they follow from each other.

A row is uint64[ROW_WORDS]; a longer array that starts with one is as good. Such are a name's row,
uint64[NAME_ROW_WORDS], which goes on with what names a tree's files, and a row of the mount's
table. This module imports nothing, so that names can be read without a compiler.
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
FRAMES = 7  # address of what stands around the content (kernels.frames), 0 for nothing
ROW_WORDS = 8  # a cache line

# Of a name's row; all zero for a plain file.
DIGITS = ROW_WORDS  # of a file's name
EXTENSION = ROW_WORDS + 1  # the text, "." first, as a little-endian word's bytes
EXTENSION_LAST = ROW_WORDS + 2  # what is left of it from the ninth byte on
EXTENSION_LENGTH = ROW_WORDS + 3  # bytes, "." included
PER_DIRECTORY = ROW_WORDS + 4  # files of one directory, 0 for no directories
DIRECTORY_DIGITS = ROW_WORDS + 5  # of a directory's name, 0 for no directories
NAME_ROW_WORDS = ROW_WORDS + 6

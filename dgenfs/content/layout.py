"""The numbers behind a name: units, repetition, key and the ratios that come out.

Content format v1, docs/format.md. A content is made of `content_units` distinct units of `unit`
bytes; unit i of file f is unit ``g = f * units_per_file + i`` and holds content unit
``g mod content_units``.
"""

import hashlib
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from dgenfs.kernels import row
from dgenfs.kernels.row import SECTOR, SECTOR_WORDS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMAT = 1
MIN_UNIT = 4096  # bytes
MAX_UNIT = 4 << 20  # bytes
MAX_SIZE = 2**63 - 1  # bytes
MAX_FILES = 10**9

# With fewer files or units for each unit of the dedup ratio, rounding shows: use smaller ones.
_ENOUGH_UNITS = 64
# What a codec spends on a sector's match tokens, in words; the format takes it off the random part.
_TOKEN_WORDS = 0.6


@dataclass(frozen=True)
class Layout:
    """How the bytes of a specification are laid out.

    Attributes:
        files: number of files, 1 to 10^9.
        size: bytes of each file, 0 to 2^63 - 1.
        dedup_milli: dedup ratio in thousandths, 1000 to 1000000.
        compress_milli: compression ratio in thousandths, 1000 to 20000.
        seed: 0 to 2^64 - 1.
        unit: dedup unit, bytes, a power of two, 4 KiB to 4 MiB.
    """

    files: int
    size: int
    dedup_milli: int
    compress_milli: int
    seed: int
    unit: int

    @cached_property
    def units_per_file(self) -> int:
        """Units of one file, the last one possibly partial; 1 for an empty file."""
        return units_of(self.size, self.unit)

    @property
    def units(self) -> int:
        """Units of all files."""
        return self.files * self.units_per_file

    @cached_property
    def content_units(self) -> int:
        """Distinct units."""
        if self.whole_files_repeat:
            return self.units_per_file * max(1, _half_up(self.files, self.dedup_milli))
        return max(1, _half_up(self.units, self.dedup_milli))

    @cached_property
    def whole_files_repeat(self) -> bool:
        """Whether whole files repeat, not units of them."""
        if many_files(self.files, self.dedup_milli):
            return True
        fitting = fits(self.files, self.size, self.dedup_milli, self.unit)
        return not fitting and 2 * self.files > self.units_per_file

    @property
    def stride(self) -> int:
        """Content bytes from the start of one file to that of the next."""
        return self.units_per_file * self.unit

    @property
    def period(self) -> int:
        """Content bytes after which the content starts over, at most 2^63 + 2^52."""
        return self.content_units * self.unit

    @property
    def total_size(self) -> int:
        """Bytes of all files."""
        return self.files * self.size

    @cached_property
    def key(self) -> int:
        """The 64-bit key of the word function."""
        return self.key_of(self.seed)

    def key_of(self, seed: int) -> int:
        """Return the key of the same layout with another seed."""
        data = struct.pack(
            "<QQIIQQ",
            self.files,
            self.size,
            self.dedup_milli,
            self.compress_milli,
            seed,
            self.unit,
        )
        digest = hashlib.blake2b(data, digest_size=8, person=b"dgenfs-v1").digest()
        return int.from_bytes(digest, "little")

    @cached_property
    def row(self) -> "NDArray[np.uint64]":
        """The content as kernels take it (kernels.row): uint64[ROW_WORDS], read-only."""
        import numpy as np  # here, as names are read without it, and sooner

        numbers = np.zeros(row.ROW_WORDS, np.uint64)
        numbers[row.KEY] = self.key
        numbers[row.PERIOD] = self.period
        numbers[row.RATIO] = self.compress_milli
        numbers[row.RANDOM] = self.random_words_numerator
        numbers[row.SIZE] = self.size
        numbers[row.STRIDE] = self.stride
        numbers[row.FILES] = self.files
        numbers.flags.writeable = False
        return numbers

    @cached_property
    def unique_size(self) -> int:
        """Bytes of distinct content, each content unit counted as far as any file shows it."""
        n, u, m = self.units, self.content_units, self.units_per_file
        partial = self.size - (m - 1) * self.unit
        if u % m == 0:
            # Every repetition of a content unit has the same place in its file.
            return u // m * self.size
        # A content unit is seen in part only if its single occurrence is the last unit of a file.
        first = max(0, n - u)
        last = max(0, u // m - first // m)
        return u * self.unit - last * (self.unit - partial)

    @property
    def effective_dedup(self) -> float:
        """Bytes of all files for one distinct byte: the dedup ratio that rounding really gives."""
        return self.total_size / self.unique_size if self.total_size else 1.0

    @property
    def random_words_numerator(self) -> int:
        """N: a sector has N / compress_milli random words on average."""
        c = self.compress_milli
        return 64000 if c == 1000 else max(c, 64000 - 3 * c // 5)

    @property
    def effective_compress(self) -> float:
        """Words of a sector for one random word or token: the compression that rounding gives."""
        if self.compress_milli == 1000:
            return 1.0
        sectors = self.period // SECTOR
        random_words = sectors * self.random_words_numerator // self.compress_milli
        return SECTOR_WORDS * sectors / (random_words + _TOKEN_WORDS * sectors)


def units_of(size: int, unit: int) -> int:
    """Return how many units of ``unit`` bytes a file of ``size`` bytes has, at least 1."""
    return max(1, -(-size // unit))


def many_files(files: int, dedup_milli: int) -> bool:
    """Return whether there are files enough for whole files, not units, to repeat."""
    return 1000 * files >= _ENOUGH_UNITS * dedup_milli


def fits(files: int, size: int, dedup_milli: int, unit: int) -> bool:
    """Return whether files of ``size`` bytes can repeat in units of ``unit`` bytes.

    Where a unit does not, each file ends in the head of a unit that others show whole: a chunk more
    for a store, ``dedup / units_per_file`` of all.
    """
    enough = 1000 * units_of(size, unit) >= _ENOUGH_UNITS * dedup_milli
    return files == 1 or dedup_milli == 1000 or size % unit == 0 or enough


def default_unit(files: int, size: int, dedup_milli: int) -> int:
    """Return the dedup unit, in bytes, of a name that does not give one.

    Args:
        files: number of files.
        size: bytes of each file.
        dedup_milli: dedup ratio in thousandths.
    """
    most = min(MAX_UNIT, max(MIN_UNIT, 1 << (size - 1).bit_length() if size else 0))
    if many_files(files, dedup_milli):
        return most
    unit = most
    while unit >= MIN_UNIT:
        units = files * units_of(size, unit)
        enough = dedup_milli == 1000 or 1000 * units >= _ENOUGH_UNITS * dedup_milli
        if enough and fits(files, size, dedup_milli, unit):
            return unit
        unit //= 2
    smallest = fits(files, size, dedup_milli, MIN_UNIT) or 2 * files <= units_of(size, MIN_UNIT)
    return MIN_UNIT if smallest else most


def _half_up(x: int, ratio_milli: int) -> int:
    return (2000 * x + ratio_milli) // (2 * ratio_milli)

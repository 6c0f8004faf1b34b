"""Sets of files that are named and sized by rules: docs/profiles.md.

Nothing is listed in memory: what a file is follows from its number, so a set of 10^9 files costs
what one file costs.
"""

import re
import struct
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from dgenfs.names.distributions import Distribution, Fixed
from dgenfs.names.grammar import format_ratio
from dgenfs.names.spec import Spec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dgenfs.content.view import View

DATA, OFFSETS, SIZES = range(3)
SUFFIXES = ("", ".off.idx", ".sz.idx")  # of a data file, and of its indices, as DLIO has them
NUMBER_BYTES = 8  # in an index
MOST_ADDED = 1000  # files whose sizes are added up; of more the sum is estimated


@dataclass(frozen=True, slots=True)
class FileSet:
    """Files of one kind, numbered from 0.

    Attributes:
        number: of the set in its data set.
        seed: the data set's.
        directory: where the files are, or the subfolders that they are in.
        subfolders: number of these, 0 for none.
        files: how many.
        name: what stands before a file's number and behind it.
        digits: of a file's number in its name, 0 for one that is not in it.
        extension: of the plain names that say what the files contain.
        sizes: their distribution.
        record: bytes of a record, None for the format's default; more than a file's are all of it.
        dedup_milli: dedup ratio in thousandths.
        compress_milli: compression ratio in thousandths.
        indexed: whether two indices stand beside each file.
    """

    number: int
    seed: int
    directory: tuple[str, ...]
    subfolders: int
    files: int
    name: tuple[str, str]
    digits: int
    extension: str
    sizes: Distribution
    record: int | None
    dedup_milli: int
    compress_milli: int
    indexed: bool

    @property
    def kinds(self) -> int:
        """Files that there are of each number."""
        return len(SUFFIXES) if self.indexed else 1

    def words(self, index: int) -> tuple[int, int]:
        """Return the seed of file ``index``, and the word that its size belongs to."""
        numbers = struct.pack("<QQQ", self.seed, self.number, index)
        digest = blake2b(numbers, digest_size=16, person=b"dgenfs-profile").digest()
        return struct.unpack("<QQ", digest)

    def size(self, index: int) -> int:
        """Return the bytes of file ``index``."""
        if isinstance(self.sizes, Fixed):
            return self.sizes.bytes
        return self.sizes.size(self.words(index)[1])

    def spec(self, index: int) -> Spec:
        """Return what file ``index`` contains, as a plain name says it."""
        seed, word = self.words(index)
        return self.spec_of(self.sizes.size(word), seed)

    def spec_of(self, size: int, seed: int) -> Spec:
        """Return what a file of a size and a seed contains.

        Raises:
            SpecError: there is no such file.
        """
        ratios = f"d{format_ratio(self.dedup_milli)}_c{format_ratio(self.compress_milli)}"
        record = ""
        if self.record is not None and not self.indexed:
            record = f"_r{max(1, min(self.record, size))}"
        return Spec.parse(f"{size}_{ratios}_s{seed}{record}.{self.extension}")

    def samples(self, size: int) -> int:
        """Return how many records a file of ``size`` bytes has; the last one takes what is left."""
        assert self.record is not None
        return max(size // self.record, min(size, 1))

    def file_name(self, index: int) -> str:
        """Return the name of file ``index`` in its directory."""
        before, behind = self.name
        number = f"{index:0{self.digits}}" if self.digits else ""
        return f"{before}{number}{behind}"

    def find(self, name: str) -> tuple[int, int] | None:
        """Return the number and the kind of what is called ``name``, None if nothing is."""
        before, behind = self.name
        for kind in range(self.kinds):
            number = name.removesuffix(SUFFIXES[kind])
            if len(number) + len(SUFFIXES[kind]) != len(name) or not (
                len(number) == len(before) + self.digits + len(behind)
                and number.startswith(before)
                and number.endswith(behind)
            ):
                continue
            digits = number[len(before) : len(before) + self.digits]
            if not re.fullmatch("[0-9]*", digits) or int(digits or "0") >= self.files:
                continue
            return int(digits or "0"), kind
        return None

    def count_in(self, subfolder: int | None) -> int:
        """Return how many numbers are in a subfolder, or in the directory."""
        if subfolder is None:
            return 0 if self.subfolders else self.files
        return -(-max(0, self.files - subfolder) // self.subfolders)

    def index_in(self, subfolder: int | None, position: int) -> int:
        """Return the number that is at a position of a subfolder, or of the directory."""
        return position if subfolder is None else subfolder + position * self.subfolders

    @property
    def total_size(self) -> int:
        """Bytes of all files; of more than MOST_ADDED as many times their distribution's mean."""
        if isinstance(self.sizes, Fixed):
            return self.files * self.sizes.bytes
        if self.files > MOST_ADDED:
            return round(self.files * self.sizes.mean)
        return sum(map(self.size, range(self.files)))


@dataclass(frozen=True, slots=True)
class ProfileFile:
    """A file of a data set.

    Attributes:
        set: the set that it belongs to.
        index: its number there.
        kind: DATA, or OFFSETS or SIZES for one of the indices beside that.
    """

    set: FileSet
    index: int
    kind: int = DATA

    @property
    def name(self) -> str:
        """Its name in its directory."""
        return self.set.file_name(self.index) + SUFFIXES[self.kind]

    @property
    def path(self) -> str:
        """Where it is in the data set."""
        folders = self.set.directory
        if self.set.subfolders:
            number = self.index % self.set.subfolders
            folders = (*folders, subfolder_name(number, self.set.subfolders))
        return "/".join((*folders, self.name))

    @property
    def size(self) -> int:
        """Bytes."""
        size = self.set.size(self.index)
        return size if self.kind == DATA else NUMBER_BYTES * self.set.samples(size)

    @property
    def spec(self) -> Spec | None:
        """What it contains, as a plain name says it; None for an index."""
        return self.set.spec(self.index) if self.kind == DATA else None

    @property
    def content_name(self) -> str:
        """What says what it contains: a plain name, or of an index its path."""
        return self.path if self.spec is None else self.spec.name

    @property
    def number(self) -> int:
        """Of the file in a tree: plain names have none."""
        return 0

    def view(self) -> "View":
        """Return its bytes."""
        spec = self.spec
        if spec is not None:
            return spec.view(0)
        from dgenfs.content.view import Computed, View  # here, as names are read without a compiler

        return View.of(Computed(self.size, self._fill))

    def _fill(self, out: "NDArray[np.uint8]", offset: int) -> None:
        """Fill ``out`` with an index from ``offset`` on."""
        import numpy as np

        record = self.set.record
        assert record is not None
        size = self.set.size(self.index)
        last = self.set.samples(size) - 1
        first = offset // NUMBER_BYTES
        stop = -(-(offset + out.size) // NUMBER_BYTES)
        if self.kind == OFFSETS:
            numbers = np.arange(first, stop, dtype="<u8") * np.uint64(record)
        else:
            numbers = np.full(stop - first, record, "<u8")
            if stop > last:
                numbers[last - first] = size - last * record
        within = offset - NUMBER_BYTES * first
        out[:] = numbers.view(np.uint8)[within : within + out.size]


def subfolder_name(number: int, count: int) -> str:
    """Return the name of subfolder ``number`` of ``count``, with as many digits as the count."""
    return f"{number:0{len(str(count))}}"

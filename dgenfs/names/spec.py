"""What a name says: the content, and the files that show it."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, SupportsIndex

from dgenfs.content.containers import EXTENSIONS
from dgenfs.content.layout import MAX_FILES, Layout, default_unit
from dgenfs.kernels import row
from dgenfs.names.grammar import (
    DEFAULT_EXTENSION,
    DIGITS,
    INDEX,
    INDEXED,
    MAX_SEED,
    Parser,
    SpecError,
    format_ratio,
    format_size,
)
from dgenfs.names.integers import whole_number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dgenfs.content.containers.frames import Container
    from dgenfs.content.view import View


BATCH = 128  # most files that a thread takes at a time; an interrupt waits for them


@dataclass(frozen=True)
class Spec:
    """What a name says; immutable and hashable.

    Names of the same content, such as ``1024M_c2_d4.dat`` and ``1G_d4_c2.bin``, give equal specs.

    Attributes:
        layout: the numbers of the content.
        tree: whether the name is a directory's; a plain file is laid out like a tree of one file.
        per_directory: most files in one directory of a tree, None for no directories.
        extension: of a tree's files; of a plain file a container's, else ``bin``, as then no
            content depends on it.
        record: bytes of a container's record; None for the default.
        sidecar: the checksum that the name asks for instead of the content, None for the content.
        is_index: whether the name asks for the index of a container, not the container itself.
    """

    layout: Layout
    tree: bool = False
    per_directory: int | None = None
    extension: str = DEFAULT_EXTENSION
    record: int | None = None
    sidecar: str | None = None
    is_index: bool = False

    @staticmethod
    def parse(name: str) -> "Spec":
        """Read a name.

        Args:
            name: one path component, such as ``10G_d4_c2.bin`` or ``1000x1M_d2_f100``.

        Raises:
            SpecError: ``name`` is not a name of content format v1.
        """
        said = Parser(name).parse()
        layout = Layout(
            files=said.files,
            size=said.size,
            dedup_milli=said.dedup_milli,
            compress_milli=said.compress_milli,
            seed=said.seed,
            unit=said.unit or default_unit(said.files, said.size, said.dedup_milli),
        )
        extension = said.extension or DEFAULT_EXTENSION
        spec = Spec(
            layout,
            tree=said.tree,
            per_directory=said.per_directory,
            extension=extension if said.tree or extension in EXTENSIONS else DEFAULT_EXTENSION,
            record=said.record,
            sidecar=said.sidecar,
            is_index=said.is_index,
        )
        return spec if extension not in EXTENSIONS else _checked(spec, name)

    def __getstate__(self) -> dict[str, object]:
        """Leave out what follows from the rest: a container's row holds addresses."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def files(self) -> int:
        """Number of files, 1 for a plain file."""
        return self.layout.files

    @property
    def size(self) -> int:
        """Bytes of each file."""
        if self.is_index:
            assert self.container is not None
            return self.container.size
        return self.layout.size

    @property
    def total_size(self) -> int:
        """Bytes of all files."""
        return self.files * self.size

    @cached_property
    def container(self) -> "Container | None":
        """What stands around the content in each file, None for nothing."""
        if self.extension not in EXTENSIONS:
            return None
        from dgenfs.content.containers import formats  # here, as most names need none

        make = formats.index if self.is_index else formats.container
        repeats = self.layout.dedup_milli > 1000
        return make(self.extension, self.layout.size, self.record, repeats=repeats)

    @property
    def dedup(self) -> float:
        """Dedup ratio as named, 1 to 1000; see ``effective_dedup``."""
        return self.layout.dedup_milli / 1000

    @property
    def compress(self) -> float:
        """Compression ratio as named, 1 to 20; see ``effective_compress``."""
        return self.layout.compress_milli / 1000

    @property
    def seed(self) -> int:
        """Seed, 0 to 2^64 - 1."""
        return self.layout.seed

    @property
    def unit(self) -> int:
        """Dedup unit, bytes."""
        return self.layout.unit

    @property
    def key(self) -> int:
        """The 64-bit key of the content."""
        return self.layout.key

    @property
    def effective_dedup(self) -> float:
        """Dedup ratio that whole units really give."""
        return self.layout.effective_dedup

    @property
    def effective_compress(self) -> float:
        """Compression ratio that whole words really give."""
        return self.layout.effective_compress

    @cached_property
    def name(self) -> str:
        """The canonical name, which parses to an equal spec."""
        layout = self.layout
        head = f"{layout.files}x" if self.tree else ""
        parts = [
            head + format_size(layout.size),
            f"d{format_ratio(layout.dedup_milli)}",
            f"c{format_ratio(layout.compress_milli)}",
        ]
        if layout.seed:
            parts.append(f"s{layout.seed}")
        if layout.unit != default_unit(layout.files, layout.size, layout.dedup_milli):
            parts.append(f"b{format_size(layout.unit)}")
        if self.record is not None:
            parts.append(f"r{format_size(self.record)}")
        if self.per_directory is not None:
            parts.append(f"f{self.per_directory}")
        name = "_".join(parts)
        if not self.tree or self.extension != DEFAULT_EXTENSION:
            name += f".{self.extension}"
        if self.is_index:
            name += f".{INDEX}"
        if self.sidecar is not None:
            name += f".{self.sidecar}"
        return name

    def __str__(self) -> str:
        return self.name

    def with_seed(self, seed: SupportsIndex) -> "Spec":
        """Return the spec that differs from this one only in its seed.

        Args:
            seed: 0 to 2^64 - 1.

        Raises:
            TypeError: ``seed`` is no whole number.
            ValueError: ``seed`` is outside that range.
        """
        number = whole_number("seed", seed, 0, MAX_SEED)
        return replace(self, layout=replace(self.layout, seed=number))

    def require_content(self, name: str = "") -> None:
        """Raise SpecError if the name asks for a checksum, which has no content of its own.

        Args:
            name: as it was given, for the error.
        """
        if self.sidecar is not None:
            rule = "names the checksum of a file, not a file; leave it out"
            raise SpecError(name or self.name, f".{self.sidecar}", rule)

    def view(self, file: SupportsIndex | None = None) -> "View":
        """Return the bytes of file number ``file``, or of all files one after the other.

        Raises:
            SpecError: the name asks for a checksum.
            TypeError: ``file`` is no whole number.
            IndexError: there is no such file.
        """
        from dgenfs.content.view import View  # here, as names are read without a compiler

        self.require_content()
        if file is not None:
            file = whole_number("file", file)
            self.path(file)
        return View.of_files(self.layout, self.container, self.row, file)

    @property
    def is_compiled(self) -> bool:
        """Whether kernels read the files by the row."""
        return self.view(0).files is not None

    @cached_property
    def row(self) -> "NDArray[np.uint64]":
        """The name as kernels take it (kernels.row): uint64[NAME_ROW_WORDS] and more, read-only.

        A container's program stands behind it, which it points to: keep the array as long as a copy
        of its words is in use.
        """
        import numpy as np  # here, as names are read without it, and sooner

        program = np.empty(0, np.uint64)
        if self.container is not None:
            from dgenfs.content.containers.packing import packed

            program = packed(self.container)
        numbers = np.zeros(row.NAME_ROW_WORDS + len(program), np.uint64)
        numbers[: row.ROW_WORDS] = self.layout.row
        numbers[row.SIZE] = self.size
        if len(program):
            numbers[row.NAME_ROW_WORDS :] = program
            numbers[row.FRAMES] = numbers[row.NAME_ROW_WORDS :].ctypes.data
        if self.tree:
            extension = f".{self.extension}".encode()
            numbers[row.DIGITS] = _digits(self.files, 6)
            numbers[row.EXTENSION] = int.from_bytes(extension[: row.WORD], "little")
            numbers[row.EXTENSION_LAST] = int.from_bytes(extension[row.WORD :], "little")
            numbers[row.EXTENSION_LENGTH] = len(extension)
            if self.per_directory is not None:
                numbers[row.PER_DIRECTORY] = self.per_directory
                numbers[row.DIRECTORY_DIGITS] = _digits(self.directories, 4)
        numbers.flags.writeable = False
        return numbers

    def path(self, file: SupportsIndex) -> str:
        """Return the path of file number ``file`` within the tree; the name of a plain file.

        Args:
            file: 0 to ``files`` - 1.

        Raises:
            TypeError: ``file`` is no whole number.
            IndexError: there is no such file.
        """
        file = whole_number("file", file)
        if not 0 <= file < self.files:
            raise IndexError(f"file {file} of {self.name}: must be 0 to {self.files - 1}")
        if not self.tree:
            return self.name
        name = self.file_name(file)
        if self.per_directory is None:
            return name
        return f"{self.directory_name(file // self.per_directory)}/{name}"

    @property
    def has_indexes(self) -> bool:
        """Whether each file has an index, see ``index_of_a_file``."""
        return self.extension == INDEXED and not self.is_index

    @property
    def index_of_a_file(self) -> "Spec":
        """The index that stands beside each file of the tree, a plain file's for all of them."""
        layout = replace(self.layout, files=1)
        return replace(self, layout=layout, tree=False, per_directory=None, is_index=True)

    def file_name(self, file: int) -> str:
        """Return the name of file number ``file`` of the tree within its directory."""
        return f"{file:0{_digits(self.files, 6)}}.{self.extension}"

    def file_names(self, start: int, stop: int) -> Iterator[str]:
        """Yield ``file_name`` of the files from ``start`` up to ``stop``, fast."""
        digits = _digits(self.files, 6)
        extension = self.extension
        for file in range(start, stop):
            yield f"{file:0{digits}}.{extension}"

    def index(self, path: str) -> int | None:
        """Return the number of the file at ``path`` within the tree, None if there is none."""
        digits = re.search(r"([0-9]+)\.[A-Za-z0-9]+\Z", path)
        if not self.tree or digits is None or len(digits[1]) > _digits(MAX_FILES, 6):
            return None
        file = int(digits[1])
        return file if file < self.files and self.path(file) == path else None

    def directory_name(self, directory: int) -> str:
        """Return the name of directory number ``directory`` within the tree."""
        return f"{directory:0{_digits(self.directories, 4)}}"

    def directory_index(self, name: str) -> int | None:
        """Return the number of the directory ``name`` within the tree, None if there is none."""
        if not DIGITS.match(name) or len(name) > _digits(MAX_FILES, 4):
            return None
        directory = int(name)
        within = directory < self.directories and self.directory_name(directory) == name
        return directory if within else None

    @property
    def directories(self) -> int:
        """Number of directories in the tree, 0 where its files stand side by side."""
        return 0 if self.per_directory is None else -(-self.files // self.per_directory)

    def batches(self, size: int, files: range | None = None) -> Iterator[range]:
        """Yield files' numbers, as many together as ``size`` bytes hold, at most BATCH.

        Args:
            size: bytes, at least a file's.
            files: the numbers, None for all.
        """
        step = min(BATCH, size // max(1, self.size))
        numbers = range(self.files) if files is None else files
        for first in range(numbers.start, numbers.stop, step):
            yield range(first, min(first + step, numbers.stop))


def _checked(spec: Spec, name: str) -> Spec:
    """Return the spec of a container without a record that is the default.

    Raises:
        SpecError: its format has no such file.
    """
    from dgenfs.content.containers.frames import ContainerError

    try:
        container = spec.container
    except ContainerError as error:
        raise SpecError(name, name, str(error)) from error
    if spec.record is None:
        return spec
    usual = replace(spec, record=None)
    with suppress(ContainerError):  # as the default may pass a limit that the record does not
        return usual if usual.container == container else spec
    return spec


def _digits(count: int, least: int) -> int:
    """Return the digits that the last of ``count`` indices needs, at least ``least``."""
    return max(least, len(str(count - 1)))

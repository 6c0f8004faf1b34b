"""The catalog: what stands at a path below a root that holds every name.

The mount, the command line and whatever else takes names ask it, so that all give one answer. It
knows neither FUSE nor inode numbers, keeps nothing, and costs the same for a tree of 10^9 files.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePath
from typing import TYPE_CHECKING, Union

from dgenfs.names.data_set import ProfileDirectory
from dgenfs.names.file_set import ProfileFile
from dgenfs.names.grammar import INDEX, SpecError
from dgenfs.names.share import WHOLE, Share
from dgenfs.names.spec import Spec

if TYPE_CHECKING:
    from dgenfs.content.view import View

MTIME = 1_577_836_800  # 2020-01-01T00:00:00Z, of all there is: copies look the same to rsync


@dataclass(frozen=True, slots=True)
class Root:
    """The directory that holds every name."""

    def child(self, name: str) -> Union["File", "Directory"]:
        """Return what ``name`` is.

        Raises:
            SpecError: it is not a valid name, or asks for a checksum, which has no content.
        """
        spec = Spec.parse(name)
        spec.require_content(name)
        return Directory(spec) if spec.tree else File(spec)


@dataclass(frozen=True, slots=True)
class File:
    """A plain file, or a file of a tree.

    Attributes:
        spec: what its name, or its tree's, says.
        number: of the file in the tree, 0 for a plain file.
    """

    spec: Spec
    number: int = 0

    @property
    def path(self) -> str:
        """Where it is below the root, in canonical names."""
        within = self.spec.path(self.number)
        return f"{self.spec.name}/{within}" if self.spec.tree else within

    @property
    def size(self) -> int:
        """Bytes."""
        return self.spec.size

    @property
    def content_name(self) -> str:
        """What its name, or its tree's, says, as a canonical name."""
        return self.spec.name

    def view(self) -> "View":
        """Return its bytes."""
        return self.spec.view(self.number)


@dataclass(frozen=True, slots=True)
class Directory:
    """A tree, or one of its directories.

    Attributes:
        spec: what the tree's name says.
        number: of the directory in the tree, None for the tree itself.
    """

    spec: Spec
    number: int | None = None

    @property
    def inside(self) -> str:
        """Where it is in the tree, with a slash behind; nothing for the tree itself."""
        return "" if self.number is None else f"{self.spec.directory_name(self.number)}/"

    def __str__(self) -> str:
        """Return where it is below the root, in canonical names."""
        return f"{self.spec}/{self.inside}".rstrip("/")

    @property
    def files(self) -> range:
        """Numbers of the files in it, at any depth."""
        if self.number is None:
            return range(self.spec.files)
        return range(self.first, self.first + self.count)

    @property
    def size(self) -> int:
        """Bytes of all files in it."""
        if self.number is None:
            return self.spec.layout.total_size
        return self.count * self.spec.size

    @property
    def holds_directories(self) -> bool:
        """Whether its entries are directories."""
        return self.number is None and self.spec.directories > 0

    @property
    def first(self) -> int:
        """The number of its first entry: of a directory if it holds these, else of a file."""
        if self.number is None:
            return 0
        assert self.spec.per_directory is not None
        return self.number * self.spec.per_directory

    @property
    def count(self) -> int:
        """Entries."""
        if self.holds_directories:
            return self.spec.directories
        if self.number is None:
            return self.spec.files
        assert self.spec.per_directory is not None
        return min(self.spec.per_directory, self.spec.files - self.first)

    def names(self, position: int = 0) -> Iterator[str]:
        """Yield the names of the entries from ``position`` on."""
        if self.holds_directories:
            return (self.spec.directory_name(at) for at in range(position, self.count))
        return self.spec.file_names(self.first + position, self.first + self.count)

    def members(self, share: Share = WHOLE) -> Iterator[tuple[str, "File"]]:
        """Yield those of its files, and their paths in it, that are in a part."""
        spec = self.spec
        first = 0 if self.number is None else self.first
        total = spec.files if self.number is None else self.count
        for file in share.of(total):
            path = spec.path(first + file)
            yield path if self.number is None else path.rpartition("/")[2], File(spec, first + file)

    def child(self, name: str) -> Union["File", "Directory"]:
        """Return what ``name`` is in it.

        Raises:
            SpecError: it holds nothing of that name.
        """
        folder = self.inside
        if self.holds_directories:
            directory = self.spec.directory_index(name)
            if directory is not None:
                return Directory(self.spec, directory)
        else:
            file = self.spec.index(folder + name)
            if file is not None:
                return File(self.spec, file)
            # Beside a container, looked up but not listed: the same for all files of a tree.
            if self.spec.has_indexes and name.endswith(f".{INDEX}"):
                file = self.spec.index(folder + name.removesuffix(f".{INDEX}"))
                if file is not None:
                    return File(self.spec.index_of_a_file)
        held = f"holds {next(self.names())} to {next(self.names(self.count - 1))}"
        raise SpecError(f"{self.spec}/{folder}{name}", name, f"{self.spec}/{folder} {held}")


Node = Root | File | Directory | ProfileDirectory | ProfileFile
Member = tuple[str, File | ProfileFile]  # a path in a directory, and what stands there

ROOT = Root()


def find(path: str) -> File | Directory:
    """Return what stands at a path below the root, such as ``1000x1M_d2/000017.bin``.

    Raises:
        SpecError: nothing does.
    """
    return _walk(tuple(path.split("/")))


def find_file(path: PurePath) -> File:
    """Return the file that a path of any file system is named after.

    Args:
        path: ``.../10G_d4_c2.bin`` or ``.../1000x1M_d2/000017.bin``. A tree above wins:
            ``000017.bin`` alone would be the name of a file of 17 bytes.

    Raises:
        SpecError: the last component is not a name, or a tree's, which has no single content.
    """
    for depth in (2, 3):
        if len(path.parts) >= depth:
            try:
                node = _walk(path.parts[-depth:])
            except SpecError:
                continue
            if isinstance(node, File):
                return node
    node = _walk((path.name,))
    if isinstance(node, Directory):
        rule = f"is a tree; name a file in it, such as {node.spec}/{node.spec.path(0)}"
        raise SpecError(path.name, path.name, rule)
    return node


def _walk(names: tuple[str, ...]) -> File | Directory:
    node = ROOT.child(names[0])
    for above, name in pairwise(names):
        if isinstance(node, File):
            raise SpecError("/".join(names), name, f"{above} is a file, not a directory")
        node = node.child(name)
    return node

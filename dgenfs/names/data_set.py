"""Data sets: the directories that hold sets of files, as a profile describes them.

What stands at a path or a position is computed, and nothing is listed in memory.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Union

from dgenfs.names.file_set import FileSet, ProfileFile, subfolder_name
from dgenfs.names.grammar import SpecError
from dgenfs.names.share import WHOLE, Share


@dataclass(frozen=True, slots=True)
class Folder:
    """A directory that a profile names.

    Attributes:
        path: where it is.
        parent: its number; the top's own for the top.
        folders: numbers of those in it that the profile names too.
        subfolders: how many there are beside these, 0 for none.
        sets: whose files, or subfolders, are in it.
    """

    path: tuple[str, ...]
    parent: int
    folders: tuple[int, ...]
    subfolders: int
    sets: tuple[FileSet, ...]


@dataclass(frozen=True, eq=False)
class DataSet:
    """All that a profile describes.

    Attributes:
        name: the profile's.
        sets: of files.
        folders: the directories that it names; the first one is the top.
        mark: 32 bits that tell it from other data sets.
    """

    name: str
    sets: tuple[FileSet, ...]
    folders: tuple[Folder, ...]
    mark: int

    @property
    def top(self) -> "ProfileDirectory":
        """The directory that holds everything."""
        return ProfileDirectory(self, 0)


@dataclass(frozen=True, slots=True)
class ProfileDirectory:
    """A directory of a data set.

    Attributes:
        data_set: whose.
        number: of the folder that it is, or is a subfolder of.
        subfolder: its number there, None for the folder itself.
    """

    data_set: DataSet
    number: int
    subfolder: int | None = None

    @property
    def folder(self) -> Folder:
        """What the profile names."""
        return self.data_set.folders[self.number]

    @property
    def path(self) -> str:
        """Where it is in the data set, nothing for the top."""
        return "/".join(self._names)

    @property
    def _names(self) -> tuple[str, ...]:
        folder = self.folder
        if self.subfolder is None:
            return folder.path
        return (*folder.path, subfolder_name(self.subfolder, folder.subfolders))

    @property
    def parent(self) -> "ProfileDirectory":
        """The directory that holds it; the top for the top."""
        number = self.folder.parent if self.subfolder is None else self.number
        return ProfileDirectory(self.data_set, number)

    @property
    def sets(self) -> tuple[FileSet, ...]:
        """The sets that have files in it."""
        inside = self.subfolder is not None
        return tuple(one for one in self.folder.sets if (one.subfolders > 0) == inside)

    @property
    def directories(self) -> int:
        """How many are in it."""
        folder = self.folder
        return 0 if self.subfolder is not None else len(folder.folders) + folder.subfolders

    @property
    def count(self) -> int:
        """Entries."""
        return self.directories + sum(one.kinds * one.count_in(self.subfolder) for one in self.sets)

    def entries(
        self, position: int = 0
    ) -> Iterator[tuple[str, Union["ProfileDirectory", ProfileFile]]]:
        """Yield names, and what they are, from ``position`` on: directories first."""
        for at in range(position, self.directories):
            directory = self._directory(at)
            yield directory._names[-1], directory
        position = max(0, position - self.directories)
        for one in self.sets:
            count = one.kinds * one.count_in(self.subfolder)
            for at in range(position, count):
                file = ProfileFile(
                    one, one.index_in(self.subfolder, at // one.kinds), at % one.kinds
                )
                yield file.name, file
            position = max(0, position - count)

    def _directory(self, position: int) -> "ProfileDirectory":
        folders = self.folder.folders
        if position < len(folders):
            return ProfileDirectory(self.data_set, folders[position])
        return ProfileDirectory(self.data_set, self.number, position - len(folders))

    def child(self, name: str) -> Union["ProfileDirectory", ProfileFile]:
        """Return what ``name`` is in it.

        Raises:
            SpecError: it holds nothing of that name.
        """
        if self.subfolder is None:
            for number in self.folder.folders:
                if self.data_set.folders[number].path[-1] == name:
                    return ProfileDirectory(self.data_set, number)
            count = self.folder.subfolders
            if count and re.fullmatch(f"[0-9]{{{len(str(count))}}}", name) and int(name) < count:
                return ProfileDirectory(self.data_set, self.number, int(name))
        for one in self.sets:
            found = one.find(name)
            if found is None:
                continue
            index, kind = found
            if self.subfolder is None or index % one.subfolders == self.subfolder:
                return ProfileFile(one, index, kind)
        raise SpecError(f"{self}/{name}", name, f"{self} {self._held()}")

    def get(self, name: str) -> Union["ProfileDirectory", ProfileFile] | None:
        """Return what ``name`` is in it, None if it is nothing."""
        try:
            return self.child(name)
        except SpecError:
            return None

    def _held(self) -> str:
        names = [name for name, _ in islice(self.entries(), 1)]
        if self.count > 1:
            names += [name for name, _ in self.entries(self.count - 1)]
        return f"holds {' to '.join(names) or 'nothing'}"

    def find(self, path: Sequence[str]) -> Union["ProfileDirectory", ProfileFile]:
        """Return what stands at a path below it.

        Raises:
            SpecError: nothing does.
        """
        node: ProfileDirectory | ProfileFile = self
        for name in path:
            if isinstance(node, ProfileFile):
                raise SpecError("/".join(path), name, f"{node.path} is a file, not a directory")
            node = node.child(name)
        return node

    def walk(self) -> Iterator[Union["ProfileDirectory", ProfileFile]]:
        """Yield all that is in it, each directory before what is in that."""
        for _, node in self.entries():
            yield node
            if isinstance(node, ProfileDirectory):
                yield from node.walk()

    def members(self, share: Share = WHOLE) -> Iterator[tuple[str, ProfileFile]]:
        """Yield those of the files in it and below it that are in a part, and their paths in it."""
        files = (node for node in self.walk() if isinstance(node, ProfileFile))
        some = share.of(self.files)
        for file in islice(files, some.start, some.stop):
            yield self.path_of(file), file

    def below(self) -> Iterator["ProfileDirectory"]:
        """Yield the directories below it, each before those in it."""
        for position in range(self.directories):
            directory = self._directory(position)
            yield directory
            yield from directory.below()

    def path_of(self, node: Union["ProfileDirectory", ProfileFile]) -> str:
        """Return where something below it is in it."""
        return node.path[len(self.path) + 1 :] if self.path else node.path

    @property
    def files(self) -> int:
        """How many files are in it and below it."""
        if self.subfolder is not None:
            return self.count
        below = sum(ProfileDirectory(self.data_set, one).files for one in self.folder.folders)
        return below + sum(one.kinds * one.files for one in self.folder.sets)

    @property
    def size(self) -> int:
        """Bytes of the data files in it and below it, an estimate where they are many."""
        folder = self.folder
        if self.subfolder is not None:
            shares = ((one, one.count_in(self.subfolder)) for one in folder.sets)
            return sum(one.total_size * count // max(1, one.files) for one, count in shares)
        below = (ProfileDirectory(self.data_set, one).size for one in folder.folders)
        return sum(below) + sum(one.total_size for one in folder.sets)

    def __str__(self) -> str:
        return self.path or self.data_set.name

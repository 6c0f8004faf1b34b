"""Inode numbers and names, both ways.

The root holds every valid name, listed or not. Inode numbers are computed, so that they are the
same in every mount and a tree of 10^9 files needs no memory:

    1                                        the root
    2 ...                                    control files
    2^62 + 62 bits of the name's hash        a plain file
    31 bits of the name's hash * 2^31 + n    in a tree: the tree itself for n = 0, its file i for
                                             n = i + 1, its directory i for n = 2^30 + i

Only names of the root are kept: those listed, and others while the kernel knows their inode. After
each KEPT new ones the kernel should be made to forget those that nobody uses, so that a million
lookups of distinct names leave nothing.
"""

import functools
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass

from dgenfs.kernels.requests import DIRECTORIES, PLAIN, TREE_SHIFT, WITHIN
from dgenfs.mount.rows import Contents
from dgenfs.names.spec import Spec, SpecError

ROOT = 1
KEPT = 10_000  # names, about 1 KiB each

_parse = functools.lru_cache(maxsize=1024)(Spec.parse)


@dataclass(frozen=True, slots=True)
class File:
    """A data file: file number ``file`` of ``spec``, whose content has the row ``row``."""

    spec: Spec
    file: int
    row: int


@dataclass(frozen=True, slots=True)
class Directory:
    """A tree, or with ``number`` one of its directories."""

    spec: Spec
    number: int | None = None


@dataclass(slots=True)
class _Name:
    """A name of the root.

    Attributes:
        name: as it was given.
        row: of its content.
        lookups: the kernel's references to its inode; one more for a listed name, which stays.
    """

    name: str
    row: int
    lookups: int

    @property
    def spec(self) -> Spec:
        """What it says."""
        return _parse(self.name)


class Namespace:
    """The names that the kernel knows; for one thread.

    Attributes:
        contents: what they contain.
        listed: names that the root's listing shows, by inode.
        added: names not known before that were looked up; for the caller to set back.
    """

    def __init__(self, listed: Iterable[str]) -> None:
        """List the names that the root's listing shows.

        Raises:
            SpecError: one is no name, or a checksum's.
        """
        self.contents = Contents()
        self._names: dict[int, _Name] = {}
        self._attempts = 1  # most that a name needed; it keeps its number when others are forgotten
        self.added = 0
        self.listed: dict[int, str] = {}
        for text in listed:
            inode = self._add(text, 1)
            self.listed[inode] = text

    def __len__(self) -> int:
        """Return the number of names that are kept."""
        return len(self._names)

    def unlisted(self) -> list[int]:
        """Return the inodes of the names that are kept only while the kernel knows them."""
        return [inode for inode in self._names if inode not in self.listed]

    def lookup(self, parent: int, name: bytes) -> int | None:
        """Return the inode of a name in a directory, None if there is none; counts as a reference.

        Raises:
            KeyError: ``parent`` is no directory that the kernel knows.
        """
        if parent == ROOT:
            try:
                return self._add(os.fsdecode(name), 0, references=1)
            except SpecError:
                return None
        directory = self.resolve(parent)
        if not isinstance(directory, Directory):
            raise KeyError(parent)
        spec = directory.spec
        text = os.fsdecode(name)
        tree = parent & ~WITHIN
        if directory.number is None:
            if spec.directories:
                number = spec.directory_index(text)
                return None if number is None else tree + DIRECTORIES + number
            file = spec.index(text)
        else:
            file = spec.index(f"{spec.directory_name(directory.number)}/{text}")
        return None if file is None else tree + file + 1

    def resolve(self, inode: int) -> File | Directory:
        """Return what an inode is.

        Raises:
            KeyError: the kernel cannot know it.
        """
        if inode & PLAIN:
            plain = self._names[inode]
            return File(plain.spec, 0, plain.row)
        tree = self._names[inode & ~WITHIN]
        spec = tree.spec
        number = inode & WITHIN
        if number == 0:
            return Directory(spec)
        if number >= DIRECTORIES:
            if number - DIRECTORIES >= spec.directories:
                raise KeyError(inode)
            return Directory(spec, number - DIRECTORIES)
        if number > spec.files:
            raise KeyError(inode)
        return File(spec, number - 1, tree.row)

    def name(self, inode: int) -> str:
        """Return the name of an inode of the root's."""
        return self._names[inode].name

    def reference(self, inode: int) -> None:
        """Count one more reference of the kernel's to ``inode``."""
        if inode in self._names:
            self._names[inode].lookups += 1

    def forget(self, inode: int, lookups: int) -> None:
        """Take references of the kernel's back."""
        name = self._names.get(inode)
        if name is None:
            return
        name.lookups -= lookups
        if name.lookups <= 0:
            self.contents.remove(name.row)
            del self._names[inode]

    def _add(self, name: str, listed: int, references: int = 0) -> int:
        for attempt in range(self._attempts):
            for inode in _inodes(name, attempt):
                found = self._names.get(inode)
                if found is not None and found.name == name:
                    found.lookups += references
                    return inode
        spec = _parse(name)
        spec.require_content()
        attempt = 0
        while (inode := _inodes(name, attempt)[spec.tree]) in self._names:
            # Another name has the same hash, as two of 10,000 trees do once in 40 mounts.
            attempt += 1
        self._attempts = max(self._attempts, attempt + 1)
        row = self.contents.add(inode, spec)
        self._names[inode] = _Name(name, row, listed + references)
        self.added += 1
        return inode

    def parent(self, inode: int) -> int:
        """Return the inode of the directory that holds ``inode``, the root's own for the root."""
        node = inode & WITHIN
        if 1 << TREE_SHIFT <= inode < PLAIN and node:
            spec = self._names[inode & ~WITHIN].spec
            if node < DIRECTORIES and spec.per_directory is not None:
                return (inode & ~WITHIN) + DIRECTORIES + (node - 1) // spec.per_directory
            return inode & ~WITHIN
        return ROOT


def _inodes(name: str, attempt: int) -> tuple[int, int]:
    """Return the inode that ``name`` has if it is a plain file, and if it is a tree."""
    digest = hashlib.blake2b(
        os.fsencode(name),
        digest_size=8,
        person=b"dgenfs-inode",
        salt=attempt.to_bytes(16, "little"),
    ).digest()
    bits = int.from_bytes(digest, "little")
    return PLAIN | bits >> 2, max(1, bits >> 33) << TREE_SHIFT


class Listing:
    """The entries of a tree or of one of its directories, by position; nothing is kept.

    Attributes:
        count: number of entries.
    """

    def __init__(self, inode: int, directory: Directory) -> None:
        """List ``directory``, which has the number ``inode``."""
        spec = directory.spec
        tree = inode & ~WITHIN
        self.directories = directory.number is None and spec.directories > 0
        self._spec = spec
        self._start = 0
        if self.directories:
            self.count = spec.directories
            self._inode = tree + DIRECTORIES
        else:
            self.count = spec.files
            if directory.number is not None:
                assert spec.per_directory is not None
                self._start = directory.number * spec.per_directory
                self.count = min(spec.per_directory, spec.files - self._start)
            self._inode = tree + 1 + self._start

    def entry(self, position: int) -> tuple[bytes, int]:
        """Return the name and the inode of the entry at ``position``."""
        if self.directories:
            name = self._spec.directory_name(position)
        else:
            name = self._spec.file_name(self._start + position)
        return name.encode(), self._inode + position

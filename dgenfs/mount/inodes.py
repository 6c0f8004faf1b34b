"""Inode numbers, and what of the catalog they stand for.

They are computed, so they are the same in every mount and a tree of 10^9 files needs no memory:

    1                                        the root
    2 ...                                    control files
    2^52 + 52 bits of the name's hash        a plain file
    21 bits of the name's hash * 2^31 + n    in a tree: the tree itself for n = 0, its file i for
                                             n = i + 1, its directory i for n = 2^30 + i

Two trees of 1,000 have the same 21 bits in one mount of five; the one asked for later then gets
other bits. A generation beside the number, also of the name's hash, tells them apart, so that a
handle which a client kept of one (name_to_handle_at, NFS) is never the other's.

What a profile describes has numbers of its own (profile_inodes).

Only names of the root are kept: those listed, others while the kernel knows their inode, and the
last FORGOTTEN that it forgot, as clients may have handles of them. A profile's files are kept so
once they are opened, for their rows; of its other nodes the kernel's references are counted, as a
FORGET may come long after the same inode was looked up again. After each KEPT that became
known, the kernel should be made to forget those that nobody uses, so that a million lookups of
distinct names leave nothing.
"""

import functools
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from dgenfs.kernels.ids import DIRECTORIES, PLAIN, TREE_SHIFT, WITHIN
from dgenfs.mount import profile_inodes
from dgenfs.mount.rows import Rows
from dgenfs.names import catalog
from dgenfs.names.catalog import Directory, File, Node
from dgenfs.names.data_set import DataSet, ProfileDirectory
from dgenfs.names.file_set import ProfileFile
from dgenfs.names.grammar import SpecError
from dgenfs.names.spec import Spec

ROOT = 1
KEPT = 10_000  # names, about 1 KiB each
COUNTED = 100_000  # nodes of a profile that are known and not kept, about 100 bytes each
FORGOTTEN = 1000  # names that are kept though the kernel has forgotten them

_child = functools.lru_cache(maxsize=1024)(catalog.ROOT.child)


@dataclass(slots=True)
class _Name:
    """A name of the root, or a file of a profile.

    Attributes:
        name: as it was given; of a profile's file its path.
        generation: of its inodes.
        row: None for a view that kernels do not read.
        lookups: the kernel's references to its inode; one more for a listed name, which stays.
    """

    name: str
    generation: int
    row: int | None
    lookups: int

    @property
    def node(self) -> File | Directory:
        """What it is."""
        return _child(self.name)


class Inodes:
    """The inodes of names that the kernel knows; for one thread.

    Attributes:
        rows: the names' rows, for the workers.
        listed: names that the root's listing shows beside the data set, by inode.
        data_set: what stands in the root beside all names, and before them; None for nothing.
        added: how often a name became known to the kernel; for the caller to set back.
        counted: the same of a profile's nodes that are not kept.
    """

    def __init__(self, listed: Iterable[str], data_set: DataSet | None = None) -> None:
        """List the names that the root's listing shows.

        Args:
            listed: the names.
            data_set: see above.

        Raises:
            SpecError: one is not valid, or asks for a checksum.
        """
        self.rows = Rows()
        self.data_set = data_set
        self._names: dict[int, _Name] = {}
        self._forgotten: dict[int, None] = {}  # inodes of names that are still kept, oldest first
        self._attempts = 1  # most that a name needed; it keeps its number when others are forgotten
        self._references: dict[int, int] = {}  # the kernel's, to a profile's nodes not in _names
        self.added = 0
        self.counted = 0
        self.listed: dict[int, str] = {}
        for text in listed:
            if data_set is not None and data_set.top.get(text) is not None:
                continue  # it is listed with the data set, whose it is
            inode = self._add(text)
            self.reference(inode)
            self.listed[inode] = text

    def __len__(self) -> int:
        """Return the number of names that are kept, and of nodes that are counted."""
        return len(self._names) + len(self._references)

    def unlisted(self) -> list[int]:
        """Return the inodes of the names that the kernel knows and might forget."""
        known = self._names.keys() - self._forgotten.keys() - self.listed.keys()
        return [*known, *self._references]

    def lookup(self, parent: int, name: bytes) -> int | None:
        """Return the inode of a name in a directory, None if there is none; counts as a reference.

        Raises:
            KeyError: ``parent`` is no directory that the kernel knows.
        """
        text = os.fsdecode(name)
        try:
            if parent == ROOT:
                inode = self._in_root(text)
                self.reference(inode)
                return inode
            directory = self.resolve(parent)
            if isinstance(directory, ProfileDirectory):
                inode = profile_inodes.number_of(directory.child(text))
                self.reference(inode)
                return inode
            if not isinstance(directory, Directory):
                raise KeyError(parent)
            node = directory.child(text)
            if isinstance(node, File) and node.spec.is_index:
                # The same for all files of the tree, as if it was linked beside each.
                inode = self._add(node.spec.name)
                self.reference(inode)
                return inode
            return number_of(node) + (parent & ~WITHIN)
        except SpecError:
            return None

    def _in_root(self, name: str) -> int:
        if self.data_set is not None:
            with suppress(SpecError):
                return profile_inodes.number_of(self.data_set.top.child(name))
        return self._add(name)

    def _of_profile(self, inode: int) -> ProfileDirectory | ProfileFile | None:
        if self.data_set is None or not inode & PLAIN:
            return None
        return profile_inodes.node_of(self.data_set, inode)

    def resolve(self, inode: int) -> Node:
        """Return what an inode is.

        Raises:
            KeyError: the kernel cannot know it.
        """
        if inode == ROOT:
            return catalog.ROOT
        if inode & PLAIN:
            return self._of_profile(inode) or self._names[inode].node
        tree = self._names[inode & ~WITHIN].node
        spec = tree.spec
        number = inode & WITHIN
        if number == 0:
            return tree
        if number >= DIRECTORIES:
            if number - DIRECTORIES >= spec.directories:
                raise KeyError(inode)
            return Directory(spec, number - DIRECTORIES)
        if number > spec.files:
            raise KeyError(inode)
        return File(spec, number - 1)

    def row(self, inode: int) -> int | None:
        """Return the row of the name that ``inode`` is, or is in; None where it has none.

        That of a profile's file is made, and kept until the kernel forgets the inode.

        Raises:
            KeyError: the kernel cannot know it.
            OSError: ENFILE, all rows are taken.
        """
        node = self._of_profile(inode)
        if node is not None and inode not in self._names:
            assert isinstance(node, ProfileFile)
            self._keep(inode, node.path, self.generation(inode), node.spec)
            self._names[inode].lookups = self._references.pop(inode, 1)
            self.added += 1
        return self._names[inode if inode & PLAIN else inode & ~WITHIN].row

    def generation(self, inode: int) -> int:
        """Return what tells ``inode`` from others that had its number, 0 of what has no name."""
        name = self._names.get(inode if inode & PLAIN else inode & ~WITHIN)
        if name is None:
            known = self.data_set is not None and self._of_profile(inode) is not None
            return self.data_set.mark if self.data_set is not None and known else 0
        return name.generation

    def name(self, inode: int) -> str:
        """Return the name of an inode of the root's."""
        return self._names[inode].name

    def reference(self, inode: int) -> None:
        """Count one more reference of the kernel's to ``inode``."""
        name = self._names.get(inode)
        if name is None:
            if self._of_profile(inode) is not None:
                self.counted += inode not in self._references
                self._references[inode] = self._references.get(inode, 0) + 1
            return
        if name.lookups == 0:
            self._forgotten.pop(inode, None)
            self.added += 1
        name.lookups += 1

    def forget(self, inode: int, lookups: int) -> None:
        """Take references of the kernel's back."""
        name = self._names.get(inode)
        if name is None:
            left = self._references.pop(inode, 0) - lookups
            if left > 0:
                self._references[inode] = left
            return
        name.lookups = max(0, name.lookups - lookups)
        if name.lookups == 0:
            self._forgotten[inode] = None
            if len(self._forgotten) > FORGOTTEN:
                self._remove(next(iter(self._forgotten)))

    def _remove(self, inode: int) -> None:
        del self._forgotten[inode]
        row = self._names.pop(inode).row
        if row is not None:
            self.rows.remove(row)

    def _add(self, name: str) -> int:
        for attempt in range(self._attempts):
            for inode in _inodes(name, attempt):
                known = self._names.get(inode)
                if known is not None and known.name == name:
                    return inode
        node = _child(name)
        attempt = 0
        while self._is_taken(inode := _inodes(name, attempt)[node.spec.tree]):
            attempt += 1  # another name has the same hash
        self._attempts = max(self._attempts, attempt + 1)
        generation = int.from_bytes(_digest(name, b"dgenfs-age", 4), "little")
        self._keep(inode, name, generation, node.spec)
        return inode

    def _is_taken(self, inode: int) -> bool:
        return inode in self._names or self._of_profile(inode) is not None

    def _keep(self, inode: int, name: str, generation: int, spec: Spec | None) -> None:
        """Keep a name, with a row if kernels can read what it is of."""
        compiled = spec is not None and spec.is_compiled
        row = self.rows.add(inode, generation, spec) if spec is not None and compiled else None
        self._names[inode] = _Name(name, generation, row, 0)

    def parent(self, inode: int) -> int:
        """Return the inode of the directory that holds ``inode``, the root's own for the root."""
        below = self._of_profile(inode)
        if self.data_set is not None and below is not None:
            above = profile_inodes.parent_of(self.data_set, below)
            return ROOT if above == self.data_set.top else profile_inodes.number_of(above)
        node = inode & WITHIN
        if 1 << TREE_SHIFT <= inode < PLAIN and node:
            spec = self._names[inode & ~WITHIN].node.spec
            if node < DIRECTORIES and spec.per_directory is not None:
                return (inode & ~WITHIN) + DIRECTORIES + (node - 1) // spec.per_directory
            return inode & ~WITHIN
        return ROOT


def _inodes(name: str, attempt: int) -> tuple[int, int]:
    """Return the inode that ``name`` has if it is a plain file, and if it is a tree."""
    bits = int.from_bytes(_digest(name, b"dgenfs-inode", 8, attempt), "little")
    plain = PLAIN | bits % PLAIN
    return plain, max(1, bits % PLAIN >> TREE_SHIFT) << TREE_SHIFT


def _digest(name: str, purpose: bytes, size: int, attempt: int = 0) -> bytes:
    salt = attempt.to_bytes(16, "little")
    return hashlib.blake2b(os.fsencode(name), digest_size=size, person=purpose, salt=salt).digest()


def number_of(node: File | Directory) -> int:
    """Return what the inode of a tree's file or directory has in its bits WITHIN."""
    if isinstance(node, File):
        return node.number + 1
    return 0 if node.number is None else DIRECTORIES + node.number


def entries(inode: int, directory: Directory, position: int) -> Iterator[tuple[bytes, int]]:
    """Yield names and inodes of what a directory holds, from any position on; nothing is kept.

    Args:
        inode: the directory's.
        directory: a tree, or one of its directories.
        position: of the first entry to yield.
    """
    kind = Directory if directory.holds_directories else File
    start = number_of(kind(directory.spec, directory.first + position))
    for number, name in enumerate(directory.names(position), (inode & ~WITHIN) + start):
        yield name.encode(), number

"""Inode numbers of what a profile puts into a mount.

They are computed, as those of trees are, so a listing of 10^9 files needs no memory:

    2^52 + (4 s + kind) 2^30 + i    file i of set s; DATA, OFFSETS and SIZES are kinds
    2^52 + (4 f + 3) 2^30 + i       subfolder i of folder f
    2^52 + (4 f + 4) 2^30 - 1       folder f itself

The names of plain files have hashes in the same range, and go out of the way.
"""

from dgenfs.kernels.ids import PLAIN
from dgenfs.names.data_set import DataSet, ProfileDirectory
from dgenfs.names.file_set import ProfileFile

ProfileNode = ProfileDirectory | ProfileFile

_SHIFT = 30  # of the kind; as many files and subfolders, and the folder, are below it
_KINDS = 4
_DIRECTORY = 3
_ITSELF = (1 << _SHIFT) - 1


def number_of(node: ProfileNode) -> int:
    """Return the inode number of a node; the top has none."""
    if isinstance(node, ProfileFile):
        block, number = _KINDS * node.set.number + node.kind, node.index
    else:
        block = _KINDS * node.number + _DIRECTORY
        number = _ITSELF if node.subfolder is None else node.subfolder
    return PLAIN + (block << _SHIFT) + number


def node_of(data_set: DataSet, inode: int) -> ProfileNode | None:
    """Return the node of an inode number, None if none of the data set has it; the top has none."""
    block, number = divmod(inode - PLAIN, 1 << _SHIFT)
    which, kind = divmod(block, _KINDS)
    if kind == _DIRECTORY:
        if which >= len(data_set.folders):
            return None
        if number == _ITSELF:
            return ProfileDirectory(data_set, which) if which else None
        if number < data_set.folders[which].subfolders:
            return ProfileDirectory(data_set, which, number)
        return None
    if which >= len(data_set.sets):
        return None
    one = data_set.sets[which]
    if kind < one.kinds and number < one.files:
        return ProfileFile(one, number, kind)
    return None


def parent_of(data_set: DataSet, node: ProfileNode) -> ProfileDirectory:
    """Return the directory that holds a node."""
    if isinstance(node, ProfileDirectory):
        return node.parent
    number = next(at for at, one in enumerate(data_set.folders) if node.set in one.sets)
    inside = node.index % node.set.subfolders if node.set.subfolders else None
    return ProfileDirectory(data_set, number, inside)

"""Attributes of what is in the mount; nothing about them ever changes."""

import stat
import struct
from collections.abc import Iterable

import numpy as np
import pyfuse3
from numpy.typing import NDArray
from pyfuse3 import EntryAttributes, InodeT

from dgenfs.content.layout import FORMAT, MAX_SIZE
from dgenfs.kernels.fuse import ENTRY_FORMAT
from dgenfs.kernels.lookups import LEAST_BLOCK, block_size
from dgenfs.kernels.row import SECTOR
from dgenfs.names.catalog import MTIME, Directory, File, Node, Root
from dgenfs.names.data_set import ProfileDirectory
from dgenfs.names.file_set import ProfileFile

FOREVER = 1e6  # seconds
MTIME_NS = MTIME * 10**9
FILE_MODE = 0o444
DIRECTORY_MODE = 0o755
CLUSTER = 1 << 20  # bytes; unit of statfs(2)
DIRECTORY_BLKSIZE = 1 << 20  # bytes; opendir(3) takes a buffer of it

_XATTR = "user.dgenfs."


class Attributes:
    """Says what stat(2) shows, all of it the owner's.

    Attributes:
        uid: the owner.
        gid: its group.
    """

    def __init__(self, uid: int, gid: int) -> None:
        """Let everything belong to ``uid`` and ``gid``."""
        self.uid = uid
        self.gid = gid

    def of(self, inode: int, node: Node) -> EntryAttributes:
        """Return the attributes of a node of the catalog."""
        if isinstance(node, File | ProfileFile):
            entry = self._entry(inode, stat.S_IFREG | FILE_MODE)
            size = node.size
            entry.st_size = size
            entry.st_blocks = -(-size // SECTOR)
            entry.st_blksize = block_size(np.uint64(size))
            return entry
        entry = self._entry(inode, stat.S_IFDIR | DIRECTORY_MODE)
        entry.st_nlink = 2
        entry.st_blksize = DIRECTORY_BLKSIZE
        if isinstance(node, Directory) and node.holds_directories:
            entry.st_nlink += node.count
        elif isinstance(node, ProfileDirectory):
            entry.st_nlink += node.directories
        return entry

    def of_control_file(self, inode: int, mode: int, size: int) -> EntryAttributes:
        """Return the attributes of a control file; its size may be another the next time."""
        entry = self._entry(inode, stat.S_IFREG | mode)
        entry.st_size = size
        entry.st_blocks = -(-size // SECTOR)
        entry.attr_timeout = entry.entry_timeout = 0
        return entry

    def _entry(self, inode: int, mode: int) -> EntryAttributes:
        entry = EntryAttributes()
        entry.st_ino = InodeT(inode)
        entry.st_mode = pyfuse3.ModeT(mode)
        entry.attr_timeout = entry.entry_timeout = FOREVER
        entry.st_atime_ns = entry.st_mtime_ns = entry.st_ctime_ns = MTIME_NS
        entry.st_uid, entry.st_gid = self.uid, self.gid
        entry.st_blksize = LEAST_BLOCK
        return entry

    def entry_of_a_file(self) -> NDArray[np.uint64]:
        """Return struct fuse_entry_out of a data file, without what follows from inode and size.

        Returns:
            uint64[ENTRY_WORDS].
        """
        entry = self._entry(0, stat.S_IFREG | FILE_MODE)
        seconds, nanoseconds = divmod(entry.st_mtime_ns, 10**9)
        packed = struct.pack(
            ENTRY_FORMAT,
            *(0, 0, int(entry.entry_timeout), int(entry.attr_timeout), 0, 0),
            *(0, 0, 0, seconds, seconds, seconds, nanoseconds, nanoseconds, nanoseconds),
            *(entry.st_mode, 1, entry.st_uid, entry.st_gid, 0, 0, 0),
        )
        return np.frombuffer(packed, np.uint64).copy()  # writable, as the loop's signature has it


def statistics(nodes: Iterable[Node]) -> pyfuse3.StatvfsData:
    """Return what statfs(2) shows: room for all nodes, all of it used."""
    data = pyfuse3.StatvfsData()
    blocks = files = 0
    for node in nodes:
        if not isinstance(node, Root):
            blocks += -(-node.size // CLUSTER)
        if isinstance(node, Directory):
            files += node.spec.files
        else:
            files += node.files if isinstance(node, ProfileDirectory) else 1
    data.f_bsize = data.f_frsize = CLUSTER
    data.f_blocks = min(blocks, MAX_SIZE)
    data.f_bfree = data.f_bavail = 0
    data.f_files = files
    data.f_ffree = data.f_favail = 0
    data.f_namemax = 255
    return data


def extended_attributes(node: Node) -> dict[bytes, bytes]:
    """Return the extended attributes of a node, none where no name says what it is."""
    spec = None
    if isinstance(node, File | Directory | ProfileFile):
        spec = node.spec
    if spec is None:
        return {}
    values = {
        "name": node.path if isinstance(node, File) else spec.name,
        "dedup": f"{spec.dedup:g}",
        "compress": f"{spec.compress:g}",
        "unit": str(spec.unit),
        "key": f"{spec.key:016x}",
        "format": f"v{FORMAT}",
    }
    container = spec.container
    if container is not None and container.payload:  # an index has none
        values["record"] = str(container.record)
        values["records"] = str(container.records)
        values["payload_offset"] = str(container.first)
    return {f"{_XATTR}{name}".encode(): value.encode() for name, value in values.items()}

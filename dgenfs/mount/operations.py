"""The control plane: what the kernel asks of names, attributes and listings, on pyfuse3.

A handler resolves, answers and maps errors, nothing else. Handlers run one at a time between awaits
(trio), and only those of control files await; no lock is needed.
"""

import errno
import logging
import os
import stat
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyfuse3
import trio
from numpy.typing import NDArray
from pyfuse3 import EntryAttributes, FileHandleT, FileInfo, FUSEError, InodeT, RequestContext

from dgenfs.content.view import View
from dgenfs.kernels import counters as counts
from dgenfs.kernels.fuse import FOPEN_DIRECT_IO, Opcode
from dgenfs.kernels.ids import CONTROL
from dgenfs.kernels.opening import Opening, count_handles, open_flags
from dgenfs.mount import profile_inodes
from dgenfs.mount.attributes import Attributes, extended_attributes, statistics
from dgenfs.mount.control import ControlFile
from dgenfs.mount.control_handles import ControlHandles
from dgenfs.mount.forgetting import drop_entries
from dgenfs.mount.handlers import handler, read_only
from dgenfs.mount.inodes import COUNTED, KEPT, ROOT, Inodes, entries
from dgenfs.mount.python_plane import Reader
from dgenfs.names.catalog import Directory, File, Node
from dgenfs.names.data_set import ProfileDirectory
from dgenfs.names.file_set import ProfileFile

log = logging.getLogger(__name__)

_DOT = 1  # position behind "."
_DOT_DOT = 2
_DOTS = (b".", b"..")
# What open(2) wants by its access mode.
_ACCESS = (os.R_OK, os.W_OK, os.R_OK | os.W_OK, os.R_OK | os.W_OK)
ROOT_USER = 0


class Operations(pyfuse3.Operations):
    """The file system.

    Attributes:
        counters: uint64[COUNTERS], see kernels.counters; what was answered here.
    """

    supports_dot_lookup = True  # an inode by its number, for handles of files (name_to_handle_at)
    enable_writeback_cache = False

    def __init__(
        self,
        inodes: Inodes,
        control_files: Sequence[ControlFile],
        reader: Reader,
        opening: Opening,
        counters: NDArray[np.uint64],
        mountpoint: Path,
    ) -> None:
        """Serve the catalog and, beside it in the root, control files.

        Args:
            inodes: the data files' numbers.
            control_files: in order of their inodes, from 2 on.
            reader: what reads data files here.
            opening: how they are opened.
            counters: uint64[COUNTERS], see kernels.counters.
            mountpoint: where this is mounted.
        """
        super().__init__()
        self._inodes = inodes
        self._control = dict(enumerate(control_files, ROOT + 1))
        self._control_inodes = {file.name: inode for inode, file in self._control.items()}
        self._reader = reader
        self._opening = opening
        self._mountpoint = mountpoint
        self._views: dict[int, View] = {}  # by handle, of what has no row
        self._control_handles = ControlHandles(os.getuid())
        self._next_handle = CONTROL
        self._attributes = Attributes(os.getuid(), os.getgid())
        self.counters = counters

    # Names.

    @handler(Opcode.LOOKUP)
    async def lookup(self, parent_inode: InodeT, name: bytes, _: RequestContext) -> EntryAttributes:
        """Answer a name's attributes; ENOENT if it is not valid."""
        if parent_inode == ROOT and name in self._control_inodes:
            return self._entry(self._control_inodes[name])
        if name in _DOTS:
            return self._look_up_again(parent_inode, name)
        try:
            inode = self._inodes.lookup(parent_inode, name)
        except KeyError:
            raise FUSEError(errno.ESTALE) from None
        if inode is None:
            raise FUSEError(errno.ENOENT)
        self._limit_entries()
        return self._entry(inode)

    def _look_up_again(self, inode: int, name: bytes) -> EntryAttributes:
        """Answer what the kernel has of a handle only: an inode's number, or its directory's."""
        entry = self._entry(inode)
        if name == b"..":
            inode = self._inodes.parent(inode)
            entry = self._entry(inode)
        self._inodes.reference(inode)
        return entry

    def _limit_entries(self) -> None:
        if self._inodes.added >= KEPT or self._inodes.counted >= COUNTED:
            self._inodes.added = self._inodes.counted = 0
            trio.lowlevel.spawn_system_task(self._drop_entries)

    async def _drop_entries(self) -> None:
        """Make the kernel forget names that nobody uses; must not raise."""
        try:
            # In a thread: the kernel may want something of us meanwhile.
            inodes = self._inodes.unlisted()
            await trio.to_thread.run_sync(drop_entries, self._mountpoint, inodes)
        except OSError as error:
            log.info("%s: names looked up stay in memory: %s", self._mountpoint, error.strerror)
        except Exception as error:
            self.refusal(f"{self._mountpoint}: names looked up stay in memory", error)

    async def forget(self, inode_list: Sequence[tuple[InodeT, int]]) -> None:
        """Take the kernel's references back; must not raise."""
        self.counters[counts.REQUESTS + Opcode.FORGET] += len(inode_list)
        for inode, lookups in inode_list:
            self._forget(inode, lookups)

    def _forget(self, inode: int, lookups: int) -> None:
        try:
            self._inodes.forget(inode, lookups)
        except Exception as error:
            self.refusal(f"FORGET {inode}", error)

    def count_error(self, opcode: Opcode) -> None:
        """Count a request that is answered with an error."""
        if opcode is Opcode.READ:
            self.counters[counts.ERRORS] += 1

    def refusal(self, what: str, error: Exception) -> FUSEError:
        """Log an error, count it if it is one of ours, and return it as the kernel is to get it."""
        if isinstance(error, OSError):
            log.debug("%s: %s", what, error)
            return FUSEError(error.errno or errno.EIO)
        log.error("%s", what, exc_info=error)
        self.counters[counts.FAULTS] += 1
        return FUSEError(errno.EIO)

    @handler(Opcode.GETATTR)
    async def getattr(self, inode: InodeT, _: RequestContext) -> EntryAttributes:
        """Answer the attributes of an inode."""
        return self._entry(inode)

    @handler(Opcode.SETATTR)
    async def setattr(
        self,
        inode: InodeT,
        _attributes: EntryAttributes,
        fields: pyfuse3.SetattrFields,
        _fh: FileHandleT | None,
        context: RequestContext,
    ) -> EntryAttributes:
        """Let a control file be truncated, as shells do before they write; EROFS else."""
        times_or_owner = (
            fields.update_mode or fields.update_uid or fields.update_gid or fields.update_atime
        )
        if inode not in self._control or times_or_owner or not fields.update_size:
            raise FUSEError(errno.EROFS)
        if not self._permitted(inode, os.W_OK, context):
            raise FUSEError(errno.EACCES)
        return self._entry(inode)

    def _entry(self, inode: int) -> EntryAttributes:
        if inode in self._control:
            file = self._control[inode]
            return self._attributes.of_control_file(
                inode, file.mode, self._control_handles.size(file)
            )
        entry = self._attributes.of(inode, self._node(inode))
        entry.generation = self._inodes.generation(inode)
        return entry

    def _node(self, inode: int) -> Node:
        try:
            return self._inodes.resolve(inode)
        except KeyError:
            raise FUSEError(errno.ESTALE) from None

    @handler(Opcode.ACCESS)
    async def access(self, inode: InodeT, mode: pyfuse3.ModeT, context: RequestContext) -> bool:
        """Answer whether a path may be used so; Linux asks if it may be written to.

        Root is not let through: nothing but a control file can be written.
        """
        return self._permitted(inode, mode, context)

    def _permitted(self, inode: int, wanted: int, context: RequestContext) -> bool:
        mode = self._entry(inode).st_mode
        if wanted & os.W_OK and (inode not in self._control or not mode & stat.S_IWUSR):
            raise FUSEError(errno.EROFS)
        if context.uid in (ROOT_USER, self._attributes.uid):
            mode >>= 6
        return not wanted & ~mode & 0o7

    # Listings; a directory's handle is its inode.

    @handler(Opcode.OPENDIR)
    async def opendir(self, inode: InodeT, _: RequestContext) -> FileHandleT:
        """Answer a handle."""
        return FileHandleT(inode)

    @handler(Opcode.RELEASEDIR)
    async def releasedir(self, _: FileHandleT) -> None:
        """Do nothing: nothing is kept."""

    @handler(Opcode.READDIR)
    async def readdir(self, fh: FileHandleT, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """Answer entries from any position on, as many as fit."""
        dots = ((_DOT, b".", fh), (_DOT_DOT, b"..", self._inodes.parent(fh)))
        for position, name, inode in dots[start_id:]:
            if not pyfuse3.readdir_reply(token, name, self._entry(inode), position):
                return
        start = max(0, start_id - _DOT_DOT)
        if fh == ROOT:
            self._list_root(start, token)
            return
        node = self._node(fh)
        if isinstance(node, ProfileDirectory):
            self._list_profile(node, start, _DOT_DOT, token)
            self._limit_entries()
        else:
            self._list_tree(fh, start, token)

    def _list_root(self, start: int, token: pyfuse3.ReaddirToken) -> None:
        listed = self._inodes.listed
        for position, (inode, name) in enumerate(listed.items()):
            if position < start:
                continue
            attributes = self._entry(inode)
            next_id = _DOT_DOT + position + 1
            if not pyfuse3.readdir_reply(token, os.fsencode(name), attributes, next_id):
                return
            self._inodes.reference(inode)
        data_set = self._inodes.data_set
        if data_set is not None:
            before = len(listed)
            self._list_profile(data_set.top, max(0, start - before), _DOT_DOT + before, token)

    def _list_profile(
        self, directory: ProfileDirectory, start: int, before: int, token: pyfuse3.ReaddirToken
    ) -> None:
        """List what a profile has in a directory, behind ``before`` other positions."""
        for position, (name, node) in enumerate(directory.entries(start), before + start + 1):
            inode = profile_inodes.number_of(node)
            attributes = self._attributes.of(inode, node)
            attributes.generation = directory.data_set.mark
            if not pyfuse3.readdir_reply(token, os.fsencode(name), attributes, position):
                return
            self._inodes.reference(inode)

    def _list_tree(self, inode: int, start: int, token: pyfuse3.ReaddirToken) -> None:
        directory = self._node(inode)
        if not isinstance(directory, Directory):
            raise FUSEError(errno.ENOTDIR)
        attributes = None
        first = _DOT_DOT + start + 1
        for position, (name, number) in enumerate(entries(inode, directory, start), first):
            # They differ in their numbers only.
            attributes = attributes or self._entry(number)
            attributes.st_ino = InodeT(number)
            if not pyfuse3.readdir_reply(token, name, attributes, position):
                return

    @handler(Opcode.STATFS)
    async def statfs(self, _: RequestContext) -> pyfuse3.StatvfsData:
        """Answer room for everything that is listed, all of it used."""
        nodes = [self._node(inode) for inode in self._inodes.listed]
        if self._inodes.data_set is not None:
            nodes.append(self._inodes.data_set.top)
        return statistics(nodes)

    # Files.

    @handler(Opcode.OPEN)
    async def open(self, inode: InodeT, flags: int, context: RequestContext) -> FileInfo:
        """Answer a handle; EROFS to write a data file."""
        control = self._control.get(inode)
        if control is not None:
            if not self._permitted(inode, _ACCESS[flags & os.O_ACCMODE], context):
                raise FUSEError(errno.EACCES)
            reads = flags & os.O_ACCMODE != os.O_WRONLY
            handle = self._control_handles.open(control, context.uid, reads=reads)
            self.counters[counts.OPENED] += 1
            return FileInfo(fh=handle, direct_io=True, keep_cache=False)
        node = self._node(inode)
        if not isinstance(node, File | ProfileFile):
            raise FUSEError(errno.EISDIR)
        if flags & (os.O_ACCMODE | os.O_TRUNC):
            raise FUSEError(errno.EROFS)
        row = self._inodes.row(inode)
        self._limit_entries()
        if row is None:
            handle = FileHandleT(self._next_handle)
            self._next_handle += 1
            self._views[handle] = node.view()
            self.counters[counts.OPENED] += 1
        else:
            self._inodes.rows.refresh(row)
            handle = FileHandleT(self._inodes.rows.handle(row, node.number))
            # Workers answer its RELEASE, and count it off; without them nobody looks at the count.
            count_handles(self._opening, np.uint64(inode), 1)
            self.counters[counts.OPENED] += 1
        flags = open_flags(np.uint64(node.size), self._opening.limits)
        return FileInfo(fh=handle, direct_io=bool(flags & FOPEN_DIRECT_IO), keep_cache=True)

    @handler(Opcode.READ)
    async def read(self, fh: FileHandleT, off: int, size: int) -> bytes:
        """Answer bytes: fewer than asked for at the end only."""
        if fh in self._control_handles:
            return self._control_handles.read(fh, off, size)
        if fh >= CONTROL:
            if fh not in self._views:
                raise FUSEError(errno.EBADF)
            data = self._reader.read_view(self._views[fh], off, size)
        else:
            data = await self._reader.read(*self._inodes.rows.resolve(fh), off, size)
        self.counters[counts.BYTES] += len(data)
        return data

    @handler(Opcode.WRITE)
    async def write(self, fh: FileHandleT, _off: int, buf: bytes) -> int:
        """Take a control file's new values; EINVAL if they are not valid."""
        if fh not in self._control_handles:
            raise FUSEError(errno.EROFS)
        await self._control_handles.write(fh, buf)
        return len(buf)

    @handler(Opcode.FLUSH)
    async def flush(self, fh: FileHandleT) -> None:
        """Answer EINVAL if a control file's new values are not whole."""
        if fh in self._control_handles:
            self._control_handles.flush(fh)

    @handler(Opcode.RELEASE)
    async def release(self, fh: FileHandleT) -> None:
        """Forget a handle."""
        self._views.pop(fh, None)
        self._control_handles.release(fh)
        self.counters[counts.RELEASED] += 1

    # Extended attributes.

    @handler(Opcode.GETXATTR)
    async def getxattr(self, inode: InodeT, name: bytes, _: RequestContext) -> bytes:
        """Answer a value; ENODATA if there is none of that name."""
        value = self._xattrs(inode).get(name)
        if value is None:
            raise FUSEError(errno.ENODATA)
        return value

    @handler(Opcode.LISTXATTR)
    async def listxattr(self, inode: InodeT, _: RequestContext) -> list[bytes]:
        """Answer the names; none of a tree's file, as workers do (kernels.serve)."""
        node = None if inode in self._control else self._node(inode)
        if isinstance(node, File) and node.spec.tree:
            return []
        return list(self._xattrs(inode))

    def _xattrs(self, inode: int) -> dict[bytes, bytes]:
        return {} if inode in self._control else extended_attributes(self._node(inode))

    # What a read-only file system refuses.

    mknod = read_only(Opcode.MKNOD)
    mkdir = read_only(Opcode.MKDIR)
    unlink = read_only(Opcode.UNLINK)
    rmdir = read_only(Opcode.RMDIR)
    symlink = read_only(Opcode.SYMLINK)
    rename = read_only(Opcode.RENAME)
    link = read_only(Opcode.LINK)
    create = read_only(Opcode.CREATE)
    setxattr = read_only(Opcode.SETXATTR)
    removexattr = read_only(Opcode.REMOVEXATTR)

"""The control plane: what the kernel asks of names, attributes and listings, on pyfuse3.

A handler resolves, answers and maps errors, nothing else. Handlers run one at a time between awaits
(trio), and only those of control files await; no lock is needed.
"""

import errno
import functools
import logging
import os
import stat
import struct
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import pyfuse3
import trio
from numpy.typing import NDArray
from pyfuse3 import EntryAttributes, FileHandleT, FileInfo, InodeT, RequestContext

from dgenfs.content.layout import FORMAT
from dgenfs.kernels import requests
from dgenfs.logs import TRACE
from dgenfs.mount.control import ControlFile
from dgenfs.mount.forgetting import drop_entries
from dgenfs.mount.namespace import KEPT, ROOT, Directory, File, Listing, Namespace
from dgenfs.mount.protocol import Opcode
from dgenfs.mount.python_plane import Reader

log = logging.getLogger(__name__)

FOREVER = 1e6  # seconds; nothing here ever changes
MTIME_NS = 1_577_836_800 * 10**9  # 2020-01-01T00:00:00Z, so that copies look the same to rsync
FILE_MODE = 0o444
BLKSIZE = 1 << 20  # bytes; what cp and cat read at a time
CLUSTER = 1 << 20  # bytes; unit of statfs

FOPEN_DIRECT_IO = 1 << 0
FOPEN_KEEP_CACHE = 1 << 1
FOPEN_NOFLUSH = 1 << 5

_DOT = 1  # position behind "."
_DOT_DOT = 2
_XATTR = "user.dgenfs."

P = ParamSpec("P")
R = TypeVar("R")
Handler = Callable[Concatenate["Operations", P], Coroutine[Any, Any, R]]


def handler(opcode: Opcode) -> Callable[[Handler[P, R]], Handler[P, R]]:
    """Count and trace a request, and let nothing but FUSEError out, which would end the mount."""

    def decorate(function: Handler[P, R]) -> Handler[P, R]:
        @functools.wraps(function)
        async def guarded(self: "Operations", /, *arguments: P.args, **keywords: P.kwargs) -> R:
            self.counters[requests.REQUESTS + opcode] += 1
            if log.isEnabledFor(TRACE):
                log.log(TRACE, "%s %s", opcode.name, arguments)
            try:
                return await function(self, *arguments, **keywords)
            except pyfuse3.FUSEError:
                raise
            except OSError as error:
                log.debug("%s %s: %s", opcode.name, arguments, error)
                raise pyfuse3.FUSEError(error.errno or errno.EIO) from error
            except Exception as error:
                log.exception("%s %s", opcode.name, arguments)
                raise pyfuse3.FUSEError(errno.EIO) from error

        return guarded

    return decorate


def read_only(opcode: Opcode) -> Any:
    """Return a handler that refuses what would change the file system."""

    async def refuse(_self: "Operations", *_arguments: Any) -> None:
        raise pyfuse3.FUSEError(errno.EROFS)

    return handler(opcode)(refuse)


class Operations(pyfuse3.Operations):
    """The file system.

    Attributes:
        counters: uint64[COUNTERS], see kernels.requests; what was answered here.
    """

    supports_dot_lookup = False
    enable_writeback_cache = False

    def __init__(
        self,
        namespace: Namespace,
        control_files: Sequence[ControlFile],
        reader: Reader,
        counters: NDArray[np.uint64],
        *,
        cached: bool,
        mountpoint: Path,
    ) -> None:
        """Serve ``namespace`` and, beside it in the root, control files.

        Args:
            namespace: the data files.
            control_files: in order of their inodes, from 2 on.
            reader: what reads data files here.
            counters: uint64[COUNTERS], see kernels.requests.
            cached: whether the kernel keeps pages of data files.
            mountpoint: where this is mounted.
        """
        super().__init__()
        self._namespace = namespace
        self._control = dict(enumerate(control_files, ROOT + 1))
        self._control_inodes = {file.name: inode for inode, file in self._control.items()}
        self._reader = reader
        self._cached = cached
        self._mountpoint = mountpoint
        self._open_control: dict[int, tuple[ControlFile, bytes]] = {}
        self._next_control = requests.CONTROL
        self._uid, self._gid = os.getuid(), os.getgid()
        self.counters = counters

    # Names.

    @handler(Opcode.LOOKUP)
    async def lookup(self, parent_inode: InodeT, name: bytes, _: RequestContext) -> EntryAttributes:
        """Answer a name's attributes; ENOENT if it is none."""
        if parent_inode == ROOT and name in self._control_inodes:
            return self._attributes(self._control_inodes[name])
        try:
            inode = self._namespace.lookup(parent_inode, name)
        except KeyError:
            raise pyfuse3.FUSEError(errno.ESTALE) from None
        if inode is None:
            raise pyfuse3.FUSEError(errno.ENOENT)
        if self._namespace.added >= KEPT:
            self._namespace.added = 0
            trio.lowlevel.spawn_system_task(self._drop_entries)
        return self._attributes(inode)

    async def _drop_entries(self) -> None:
        """Make the kernel forget names that nobody uses; must not raise."""
        try:
            # In a thread: the kernel may want something of us meanwhile.
            inodes = self._namespace.unlisted()
            await trio.to_thread.run_sync(drop_entries, self._mountpoint, inodes)
        except OSError as error:
            log.info("%s: names looked up stay in memory: %s", self._mountpoint, error.strerror)
        except Exception:
            log.exception("%s: names looked up stay in memory", self._mountpoint)

    async def forget(self, inode_list: Sequence[tuple[InodeT, int]]) -> None:
        """Take the kernel's references back; must not raise."""
        self.counters[requests.REQUESTS + Opcode.FORGET] += len(inode_list)
        for inode, lookups in inode_list:
            self._forget(inode, lookups)

    def _forget(self, inode: int, lookups: int) -> None:
        try:
            self._namespace.forget(inode, lookups)
        except Exception:
            log.exception("FORGET %d", inode)

    @handler(Opcode.GETATTR)
    async def getattr(self, inode: InodeT, _: RequestContext) -> EntryAttributes:
        """Answer the attributes of an inode."""
        return self._attributes(inode)

    @handler(Opcode.SETATTR)
    async def setattr(
        self,
        inode: InodeT,
        _attributes: EntryAttributes,
        fields: pyfuse3.SetattrFields,
        _fh: FileHandleT | None,
        _: RequestContext,
    ) -> EntryAttributes:
        """Let a control file be truncated, as shells do before they write; EROFS else."""
        times_or_owner = (
            fields.update_mode or fields.update_uid or fields.update_gid or fields.update_atime
        )
        if inode not in self._control or times_or_owner or not fields.update_size:
            raise pyfuse3.FUSEError(errno.EROFS)
        return self._attributes(inode)

    def _attributes(self, inode: int) -> EntryAttributes:
        entry = EntryAttributes()
        entry.st_ino = InodeT(inode)
        entry.attr_timeout = entry.entry_timeout = FOREVER
        entry.st_atime_ns = entry.st_mtime_ns = entry.st_ctime_ns = MTIME_NS
        entry.st_uid, entry.st_gid = self._uid, self._gid
        entry.st_blksize = BLKSIZE
        if inode in self._control:
            entry.st_mode = pyfuse3.ModeT(stat.S_IFREG | self._control[inode].mode)
            return entry
        if inode == ROOT:
            entry.st_mode = pyfuse3.ModeT(stat.S_IFDIR | 0o755)
            entry.st_nlink = 2
            return entry
        node = self._node(inode)
        if isinstance(node, Directory):
            entry.st_mode = pyfuse3.ModeT(stat.S_IFDIR | 0o755)
            entry.st_nlink = 2
            if node.number is None:
                entry.st_nlink += node.spec.directories
        else:
            entry.st_mode = pyfuse3.ModeT(stat.S_IFREG | FILE_MODE)
            entry.st_size = node.spec.size
            entry.st_blocks = -(-node.spec.size // 512)
        return entry

    def _node(self, inode: int) -> File | Directory:
        try:
            return self._namespace.resolve(inode)
        except KeyError:
            raise pyfuse3.FUSEError(errno.ESTALE) from None

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
        dots = ((_DOT, b".", fh), (_DOT_DOT, b"..", self._namespace.parent(fh)))
        for position, name, inode in dots[start_id:]:
            if not pyfuse3.readdir_reply(token, name, self._attributes(inode), position):
                return
        start = max(0, start_id - _DOT_DOT)
        if fh == ROOT:
            self._list_root(start, token)
        else:
            self._list_tree(fh, start, token)

    def _list_root(self, start: int, token: pyfuse3.ReaddirToken) -> None:
        for position, (inode, name) in enumerate(self._namespace.listed.items()):
            if position < start:
                continue
            attributes = self._attributes(inode)
            next_id = _DOT_DOT + position + 1
            if not pyfuse3.readdir_reply(token, os.fsencode(name), attributes, next_id):
                return
            self._namespace.reference(inode)

    def _list_tree(self, inode: int, start: int, token: pyfuse3.ReaddirToken) -> None:
        directory = self._node(inode)
        if not isinstance(directory, Directory):
            raise pyfuse3.FUSEError(errno.ENOTDIR)
        listing = Listing(inode, directory)
        if start >= listing.count:
            return
        attributes = self._attributes(listing.entry(start)[1])
        for position in range(start, listing.count):
            name, attributes.st_ino = listing.entry(position)
            if not pyfuse3.readdir_reply(token, name, attributes, _DOT_DOT + position + 1):
                return

    @handler(Opcode.STATFS)
    async def statfs(self, _: RequestContext) -> pyfuse3.StatvfsData:
        """Answer room for everything that is listed, all of it used."""
        data = pyfuse3.StatvfsData()
        specs = [self._node(inode).spec for inode in self._namespace.listed]
        data.f_bsize = data.f_frsize = CLUSTER
        data.f_blocks = sum(-(-spec.layout.total_size // CLUSTER) for spec in specs)
        data.f_bfree = data.f_bavail = 0
        data.f_files = sum(spec.files for spec in specs)
        data.f_ffree = data.f_favail = 0
        data.f_namemax = 255
        return data

    # Files.

    @handler(Opcode.OPEN)
    async def open(self, inode: InodeT, flags: int, _: RequestContext) -> FileInfo:
        """Answer a handle; EROFS to write a data file."""
        control = self._control.get(inode)
        if control is not None:
            snapshot = b"" if flags & os.O_ACCMODE == os.O_WRONLY else control.read()
            fh = self._next_control
            self._next_control += 1
            self._open_control[fh] = (control, snapshot)
            self.counters[requests.OPENED] += 1
            return FileInfo(fh=FileHandleT(fh), direct_io=True, keep_cache=False)
        node = self._node(inode)
        if isinstance(node, Directory):
            raise pyfuse3.FUSEError(errno.EISDIR)
        if flags & (os.O_ACCMODE | os.O_TRUNC):
            raise pyfuse3.FUSEError(errno.EROFS)
        contents = self._namespace.contents
        contents.refresh(node.row)
        self.counters[requests.OPENED] += 1
        return FileInfo(
            fh=FileHandleT(contents.handle(node.row, node.file)),
            direct_io=not self._cached,
            keep_cache=True,
        )

    @handler(Opcode.READ)
    async def read(self, fh: FileHandleT, off: int, size: int) -> bytes:
        """Answer bytes: fewer than asked for at the end only."""
        if fh >= requests.CONTROL:
            return self._control_file(fh)[1][off : off + size]
        try:
            row, file = self._namespace.contents.resolve(fh)
        except OSError:
            self.counters[requests.ERRORS] += 1
            raise
        data = self._reader.read(row, file, off, size)
        self.counters[requests.BYTES] += len(data)
        return data

    @handler(Opcode.WRITE)
    async def write(self, fh: FileHandleT, _off: int, buf: bytes) -> int:
        """Take a control file's new values; EINVAL if they are none."""
        if fh < requests.CONTROL:
            raise pyfuse3.FUSEError(errno.EROFS)
        await self._control_file(fh)[0].write(buf)
        return len(buf)

    @handler(Opcode.RELEASE)
    async def release(self, fh: FileHandleT) -> None:
        """Forget a handle."""
        self._open_control.pop(fh, None)
        self.counters[requests.RELEASED] += 1

    def _control_file(self, fh: int) -> tuple[ControlFile, bytes]:
        if fh not in self._open_control:
            raise pyfuse3.FUSEError(errno.EBADF)
        return self._open_control[fh]

    # Extended attributes.

    @handler(Opcode.GETXATTR)
    async def getxattr(self, inode: InodeT, name: bytes, _: RequestContext) -> bytes:
        """Answer a value; ENODATA if there is none of that name."""
        value = self._xattrs(inode).get(name)
        if value is None:
            raise pyfuse3.FUSEError(errno.ENODATA)
        return value

    @handler(Opcode.LISTXATTR)
    async def listxattr(self, inode: InodeT, _: RequestContext) -> list[bytes]:
        """Answer the names."""
        return list(self._xattrs(inode))

    def _xattrs(self, inode: int) -> dict[bytes, bytes]:
        if inode == ROOT or inode in self._control:
            return {}
        node = self._node(inode)
        values = {
            "name": node.spec.name,
            "dedup": f"{node.spec.dedup:g}",
            "compress": f"{node.spec.compress:g}",
            "unit": str(node.spec.unit),
            "key": f"{node.spec.key:016x}",
            "format": f"v{FORMAT}",
        }
        if isinstance(node, File) and node.spec.tree:
            values["name"] += f"/{node.spec.path(node.file)}"
        return {f"{_XATTR}{name}".encode(): value.encode() for name, value in values.items()}

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


def open_flags(*, cached: bool) -> int:
    """Return the FOPEN_* flags of data files (Linux include/uapi/linux/fuse.h).

    Pages are kept either way: contents never change. Without FLUSH, close(2) asks nobody.
    """
    return FOPEN_KEEP_CACHE | FOPEN_NOFLUSH | (0 if cached else FOPEN_DIRECT_IO)


def entry_of_a_file(uid: int, gid: int) -> NDArray[np.uint64]:
    """Return struct fuse_entry_out of a data file, without its inode, size and blocks.

    It must say what ``Operations.lookup`` says of a file in a tree.

    Returns:
        uint64[ENTRY_WORDS].
    """
    seconds, nanoseconds = divmod(MTIME_NS, 10**9)
    packed = struct.pack(
        "<4Q2I6Q3I7I",
        *(0, 0, int(FOREVER), int(FOREVER), 0, 0),
        *(0, 0, 0, seconds, seconds, seconds, nanoseconds, nanoseconds, nanoseconds),
        *(stat.S_IFREG | FILE_MODE, 1, uid, gid, 0, BLKSIZE, 0),
    )
    return np.frombuffer(packed, np.uint64).copy()  # writable, as the loop's signature has it

"""Requests about attributes, and what the loop tells the kernel of its own accord."""

import errno
import random
import struct
from collections import Counter
from collections.abc import Sequence

import numpy as np
import oracle
from numpy.typing import NDArray

from dgenfs.kernels import fuse, ids
from dgenfs.kernels.fuse import Opcode
from dgenfs.mount.inodes import ROOT, Inodes
from life.fuzz_loop import CACHED, REQUEST_BYTES, STORED, Loop
from life.fuzz_model import Expected, Name, Wrong, data_of, error_of

LISTINGS = (b"\x1c\0\0\0", b"\x2c\0\0\0")  # opcodes READDIR and READDIRPLUS
LISTING_BYTES = 131072  # most that one may ask for


class AttributeRequests:
    """Makes requests about attributes, checks notifications and keeps what all requests need."""

    def __init__(self, seed: int, names: Sequence[str], workers: int) -> None:
        self._random = random.Random(seed)
        self._inodes = Inodes(names)
        self.loop = Loop(self._inodes, workers)
        self.loop.notice = self._notice
        self._names: list[Name] = []
        self._brief: list[Name] = []
        self._learning: list[Name] = []  # the one that is opened for the first time
        self.answered: Counter[str] = Counter()
        self.unsure = 0

    def _unique(self, expected: Expected) -> int:
        while True:
            unique = self._random.getrandbits(64) >> self._random.choice((0, 1, 40, 60))
            if unique not in expected.replies and unique not in expected.either:
                return unique

    def _message(self, opcode: int, unique: int, node: int, body: bytes) -> bytes:
        length = 40 + len(body)
        if self._random.random() < 0.05:
            length = self._random.getrandbits(32)  # what the header says is not believed
        rest = self._random.getrandbits(128).to_bytes(16, "little")
        return struct.pack("<IIQQ", length, opcode, unique, node) + rest + body

    def _junk(self, most: int) -> bytes:
        return self._random.randbytes(self._random.randrange(most + 1))

    def _forward(self, expected: Expected, message: bytes) -> bytes:
        passed_on = bytearray(message[:REQUEST_BYTES])
        if message[4:8] in LISTINGS and len(message) >= 80:
            size = struct.unpack_from("<I", message, 56)[0]
            struct.pack_into("<I", passed_on, 56, min(size, LISTING_BYTES))
        expected.forwarded[bytes(passed_on)] += 1
        return message

    def _getxattr(self, expected: Expected) -> bytes:
        r = self._random
        name = r.choice(
            (b"user.dgenfs.key", b"user.", b"security.selinux", b"system.posix_acl_access", b"user")
        )
        body = r.getrandbits(64).to_bytes(8, "little") + name + b"\0"
        if r.random() < 0.2:
            body = body[: r.randrange(len(body))]
        unique = self._unique(expected)
        message = self._message(Opcode.GETXATTR, unique, r.getrandbits(64), body)
        if len(body) <= 8 or body[8:13] == b"user.":
            return self._forward(expected, message)
        if len(body) < 13:
            # Of a name so short that it has no end, bytes behind it may be looked at.
            expected.either[unique] = message
            self.unsure += 1
            return message
        expected.replies[unique] = error_of(errno.ENODATA)
        self.answered["GETXATTR"] += 1
        return message

    def attributes(self, inode: int, size: int) -> NDArray[np.uint64]:
        """Struct fuse_attr of a data file."""
        words = self.loop.entry[5:].copy()
        words[:3] = inode, size, -(-size // 512)
        # Powers of two that hold the file, up to 128 KiB; 512 KiB of large ones.
        block = next(1 << i for i in range(12, 18) if i == 17 or 1 << i >= size)
        words[10] |= np.uint64(1 << 19 if size > 1 << 20 else block)
        return words

    def _inode(self) -> tuple[int, Name | None]:
        """An inode of a file, or of none: of a tree, of its directories, past its files."""
        r = self._random
        name = r.choice(self._names)
        files = name.content.files
        if not name.content.tree:
            return (name.inode, name) if r.random() < 0.8 else (name.inode ^ 1 << 17, None)
        if r.random() < 0.8:
            return name.inode + 1 + r.randrange(files), name
        others = (0, files + 1, ids.DIRECTORIES, ids.WITHIN)
        return r.choice((ROOT, 0, name.inode + r.choice(others), r.getrandbits(64))), None

    def _getattr(self, expected: Expected) -> bytes:
        inode, name = self._inode()
        unique = self._unique(expected)
        message = self._message(Opcode.GETATTR, unique, inode, self._junk(16))
        if name is None:
            return self._forward(expected, message)
        valid = [self.loop.entry[fuse.ENTRY_ATTR_VALID], np.uint64(0)]
        words = np.concatenate([valid, self.attributes(inode, name.content.size)])
        expected.replies[unique] = data_of(words.tobytes())
        self.answered["GETATTR"] += 1
        return message

    def _listxattr(self, expected: Expected) -> bytes:
        inode, name = self._inode()
        unique = self._unique(expected)
        size = self._random.choice((0, 1, 256, 65536))
        body = struct.pack("<II", size, self._random.getrandbits(32))
        if self._random.random() < 0.1:
            body = body[: self._random.randrange(8)]
        message = self._message(Opcode.LISTXATTR, unique, inode, body)
        if name is None or not name.content.tree or len(body) < 8:
            return self._forward(expected, message)
        expected.replies[unique] = data_of(b"" if size else bytes(8))
        self.answered["LISTXATTR"] += 1
        return message

    def _ioctl(self, expected: Expected) -> bytes:
        unique = self._unique(expected)
        expected.replies[unique] = error_of(errno.ENOTTY)
        self.answered["IOCTL"] += 1
        return self._message(Opcode.IOCTL, unique, self._random.getrandbits(64), self._junk(50))

    def _forgettable(self) -> tuple[int, bool]:
        """An inode, and whether it is within a tree: nothing is kept of it, known or not."""
        r = self._random
        tree = r.randrange(1, ids.PLAIN >> ids.TREE_SHIFT) << ids.TREE_SHIFT
        within = r.choice((1, ids.DIRECTORIES, ids.WITHIN, r.randrange(1, ids.WITHIN)))
        if r.random() < 0.9:
            return tree + within, True
        plain = ids.PLAIN | r.getrandbits(52)
        return r.choice((0, ROOT, 2, 9, tree, within, plain, plain | 1 << 63)), False

    def _forget(self, expected: Expected) -> bytes:
        inode, within = self._forgettable()
        message = self._message(Opcode.FORGET, self._unique(expected), inode, self._junk(8))
        if not within:
            return self._forward(expected, message)
        self.answered["FORGET"] += 1
        return message

    def _batch_forget(self, expected: Expected) -> bytes:
        r = self._random
        items = [self._forgettable() for _ in range(r.choice((0, 1, 2, 3, 9, 1000)))]
        body = struct.pack("<II", len(items), r.getrandbits(32))
        body += b"".join(struct.pack("<QQ", inode, r.getrandbits(64)) for inode, _ in items)
        bad = r.random() < 0.2
        if bad:
            body = body[: r.randrange(len(body))] if r.random() < 0.5 else body + b"more"
        message = self._message(Opcode.BATCH_FORGET, self._unique(expected), 0, body)
        if bad or not items or not all(within for _, within in items):
            return self._forward(expected, message)
        self.answered["FORGET"] += len(items)
        return message

    def _notice(self, message: bytes) -> None:
        """Check a notification: a file's bytes, or that it is to be dropped."""
        length, code, unique, node, offset, size = struct.unpack_from("<IiQQQQ", message)
        if (length, unique, offset) != (len(message), 0, 0) or length < 40:
            raise Wrong(f"a notification {message[:64].hex()}")
        self.answered[f"notice {code}"] += 1
        if code == fuse.NOTIFY_INVAL_INODE:
            if (length, size) != (40, 0):
                raise Wrong(f"a notification {message[:64].hex()}")
            return
        content, file = self._file_of(node)
        if code != fuse.NOTIFY_STORE or not size == length - 40 == content.size <= STORED <= CACHED:
            raise Wrong(f"a notification {message[:64].hex()}")
        if message[40:] != oracle.read(content, file, 0, content.size):
            raise Wrong(f"file {file} of {content} is stored with other bytes")

    def _file_of(self, inode: int) -> tuple[oracle.Content, int]:
        for name in (*self._names, *self._brief, *self._learning):
            if inode == name.inode and not name.content.tree:
                return name.content, 0
            file = inode - name.inode - 1
            if name.content.tree and 0 <= file < name.content.files:
                return name.content, file
        raise Wrong(f"{inode:#x} is no file's")

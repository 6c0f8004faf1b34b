"""The compiled request loop on a socket in place of /dev/fuse, under random and malformed counters.

Every answer is compared with what a model in plain Python expects, and content with the oracle. The
loop's memory lies between pages that may not be touched. A crash is the crash of this process:

    python -m life.fuzz_requests --count 10000000 --seed 7

Runs with tests as a folder of PYTHONPATH; prints one line and ends with 0 if all was right.
"""

import argparse
import ctypes
import errno
import mmap
import random
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import oracle
from numpy.typing import NDArray

from dgenfs.kernels import cache, counters, fuse, ids
from dgenfs.kernels.fuse import Opcode
from dgenfs.kernels.scratch import SCRATCH_BYTES, scratch_of
from dgenfs.kernels.serve import serve
from dgenfs.mount.inodes import ROOT, Inodes

LISTINGS = (b"\x1c\0\0\0", b"\x2c\0\0\0")  # opcodes READDIR and READDIRPLUS
LISTING_BYTES = 131072  # most that one may ask for
REQUEST_BYTES = 16 << 10  # of a worker's buffer; a socket cuts off what is longer
MAX_READ = 1 << 20
CACHE_BYTES = 32 << 20
SOCKET_BUFFER = 8 << 20
OPEN_FILES = 400  # handles to read from
BATCH = 24  # requests under way at once
SO_SNDBUFFORCE = 32  # asm-generic/socket.h
ANSWER_SECONDS = 20
OPEN_FLAGS = 0x23
OPCODES = (*range(1, 54), 4096, 0, 63, 64, 255, 2**31, 2**32 - 1)

PLAIN_NAMES = ("3M+5_d2_c2_s3.bin", "9M-1_c1.5_b4K", "1M_d4_b4K.img", "5000", "1", "0")
HUGE_NAMES = ("8E-1_d3_c1.2", "8E-4096")  # too large to keep, read in small pieces
TREES = ("25x3000_d2_c2_f10.dat", "7x100K_c3", "1000000000x1K_d2_f1000", "64x0")
BRIEF_NAMES = tuple(f"64K_s{seed}" for seed in range(1, 40))  # forgotten while others are in use


class Wrong(AssertionError):  # noqa: N818
    """The loop did something else than the model."""


def guarded(count: int, kind: Any) -> NDArray[Any]:
    """Return an array of zeros whose neighbours, where pages begin and end, may not be touched."""
    page = mmap.PAGESIZE
    size = count * np.dtype(kind).itemsize
    inside = -(-size // page) * page
    memory = mmap.mmap(-1, inside + 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    for at in (start, start + page + inside):
        if libc.mprotect(ctypes.c_void_p(at), page, mmap.PROT_READ & 0) != 0:
            raise OSError(ctypes.get_errno(), "mprotect")
    return np.frombuffer(memory, kind, count, page + inside - size)


@dataclass
class Name:
    """A name of the root and what it holds.

    Attributes:
        inode: of the file or the tree.
        content: as the oracle has it.
        whole: all bytes, of a plain file that is small enough.
    """

    text: str
    inode: int
    content: oracle.Content
    whole: bytes | None

    def read(self, file: int, offset: int, length: int) -> bytes:
        if self.whole is not None:
            return self.whole[offset : offset + length]
        return oracle.read(self.content, file, offset, length)


@dataclass
class Expected:
    """What must come of a batch.

    Attributes:
        replies: by unique, what checks the reply.
        forwarded: messages for the control plane.
        either: by unique, messages that may be forwarded or answered.
    """

    replies: dict[int, Callable[[bytes], None]] = field(default_factory=dict)
    forwarded: Counter[bytes] = field(default_factory=Counter)
    either: dict[int, bytes] = field(default_factory=dict)


class Loop:
    """Workers as the mount starts them, with sockets at both ends."""

    def __init__(self, inodes: Inodes, workers: int) -> None:
        self.kernel, self._fuse = pair()
        self.control, self._control = pair()
        self._stop = np.zeros(1, np.int64)
        self.entry = np.random.default_rng(1).integers(1, 2**63, fuse.ENTRY_WORDS, np.uint64)
        self.cache = cache.new_cache(CACHE_BYTES)
        data = guarded(self.cache.data.size, np.uint8)
        self.cache = self.cache._replace(data=data)
        self._rows = inodes.rows
        for attribute in ("table", "hints"):
            before = getattr(self._rows, attribute)
            within = guarded(before.size, before.dtype.type).reshape(before.shape)
            used = np.flatnonzero(before.reshape(len(before), -1).any(axis=1))
            within[used] = before[used]
            setattr(self._rows, attribute, within)
        self.counters = [guarded(counters.COUNTERS, np.uint64) for _ in range(workers)]
        self.ends: list[object] = []
        self._threads = [
            threading.Thread(target=self._run, args=(own,), daemon=True) for own in self.counters
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, own: NDArray[np.uint64]) -> None:
        scratch = scratch_of(guarded(SCRATCH_BYTES, np.uint8))
        try:
            end: object = serve(
                self._fuse.fileno(),
                self._control.fileno(),
                self._stop,
                np.uint64(OPEN_FLAGS),
                self.entry,
                self._rows.hints,
                self._rows.table,
                self.cache,
                scratch,
                own,
            )
        except Exception as error:
            end = error
        self.ends.append(end)
        if end != 0:
            self.kernel.shutdown(socket.SHUT_RDWR)  # nobody is to wait for an answer

    def limit_replies(self, size: int) -> None:
        """Refuse replies of more than about ``size`` bytes from now on."""
        self._fuse.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)

    def close(self) -> None:
        """End the workers."""
        self.kernel.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(ANSWER_SECONDS)
            if thread.is_alive():
                raise Wrong("a worker does not end")
        for end in (self.kernel, self._fuse, self.control, self._control):
            end.close()


def pair() -> tuple[socket.socket, socket.socket]:
    """Sockets that keep message boundaries, with room for a batch."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        try:
            end.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER)
        except PermissionError:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
    ends[0].settimeout(ANSWER_SECONDS)
    return ends


def error_of(number: int) -> Callable[[bytes], None]:
    """What checks a reply that is an error."""

    def check(reply: bytes) -> None:
        length, error = struct.unpack_from("<Ii", reply)
        if (len(reply), length, error) != (16, 16, -number):
            raise Wrong(f"{len(reply)} B with error {error} for {errno.errorcode.get(number, 0)}")

    return check


def data_of(data: bytes) -> Callable[[bytes], None]:
    """What checks a reply with data."""

    def check(reply: bytes) -> None:
        length, error = struct.unpack_from("<Ii", reply)
        if (length, error) != (len(reply), 0) or reply[16:] != data:
            raise Wrong(f"{len(reply)} B, header {length} and {error}, for {len(data)} B of data")

    return check


class Fuzzer:
    """Makes requests and knows what must come of them."""

    def __init__(self, seed: int, workers: int) -> None:
        self._random = random.Random(seed)
        names = (*PLAIN_NAMES, *HUGE_NAMES, *TREES)
        self._inodes = Inodes(names)
        self.loop = Loop(self._inodes, workers)
        self._names: list[Name] = []
        self._brief: list[Name] = []
        self._contents: dict[int, Name] = {}  # by the bits of a handle that are not the file's
        self._stale = [ids.TAGS << ids.ROW_BITS]  # such bits of names that were forgotten
        self._files: list[tuple[int, Name, int]] = []  # handles
        self.answered: Counter[str] = Counter()
        self.unsure = 0
        self._makers = [
            *[self._read] * 12,
            *[self._bad_read] * 6,
            *[self._open] * 4,
            *[self._lookup] * 4,
            *[self._getxattr] * 2,
            *[self._release] * 2,
            self._flush,
            self._interrupt,
            self._short,
            *[self._any] * 4,
        ]
        self._names += map(self._know, names)

    def _know(self, text: str) -> Name:
        inode = self._inodes.lookup(ROOT, text.encode())
        assert inode is not None
        content = oracle.parse(text)
        small = not content.tree and content.size < 1 << 24
        whole = oracle.read(content, 0, 0, content.size) if small else None
        name = Name(text, inode, content, whole)
        # Any handle of a name that the kernel knows is good, so all of them must be known here.
        expected = Expected()
        self.loop.kernel.send(self._open_file(expected, name, 0))
        self._receive(expected)
        return name

    def _open_file(self, expected: Expected, name: Name, file: int) -> bytes:
        unique = self._unique(expected)

        def check(reply: bytes) -> None:
            if len(reply) != 32:
                raise Wrong(f"OPEN answered with {reply.hex()}")
            length, error, _, fh, flags, backing = struct.unpack("<IiQQIi", reply)
            if (length, error, flags, backing) != (32, 0, OPEN_FLAGS, 0):
                raise Wrong(f"OPEN answered with {reply.hex()}")
            if fh & ((1 << ids.FILE_BITS) - 1) != file or fh >= ids.CONTROL:
                raise Wrong(f"OPEN of file {file} of {name.text} gave {fh:#x}")
            if self._contents.setdefault(fh >> ids.FILE_BITS, name) is not name:
                raise Wrong(f"{name.text} has the handle of another name, {fh:#x}")
            if len(self._files) == OPEN_FILES:
                self._files.pop(self._random.randrange(OPEN_FILES))
            self._files.append((fh, name, file))

        expected.replies[unique] = check
        self.answered["OPEN"] += 1
        flags = self._random.choice((0, 0o100000, 0o2100000))
        body = struct.pack("<II", flags, self._random.getrandbits(32)) + self._junk(3)
        inode = name.inode + (file + 1 if name.content.tree else 0)
        return self._message(Opcode.OPEN, unique, inode, body)

    # Requests. Each maker returns a message and notes in `expected` what must come of it.

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

    def _size(self) -> int:
        return self._random.choice(
            (
                self._random.randrange(5000),
                self._random.randrange(5000),
                self._random.randrange(5000),
                4096,
                self._random.randrange(200_000),
                65536,
                0,
                1,
                MAX_READ if self._random.random() < 0.2 else 512,
            )
        )

    def _offset(self, size: int) -> int:
        step = self._random.choice((1, 512, 4096, 65536, 1 << 22))
        near = self._random.randrange(size // step + 1) * step + self._random.randrange(-20, 21)
        ends = (0, size - self._random.randrange(9000), size, size + self._random.getrandbits(30))
        odd = (2**63 - 1, 2**63, 2**64 - 1, 2**64 - self._random.randrange(1, 1 << 21))
        chosen = self._random.choice((near, near, near, near, *ends, self._random.choice(odd)))
        return min(max(0, chosen), 2**64 - 1)

    def _read_body(self, fh: int, offset: int, size: int) -> bytes:
        rest = self._random.getrandbits(160).to_bytes(20, "little")
        return struct.pack("<QQI", fh, offset, size) + rest

    def _read(self, expected: Expected) -> bytes:
        fh, name, file = self._random.choice(self._files)
        size = self._size()
        if name.whole is None:
            size = min(size, 6000)
        offset = self._offset(name.content.size)
        unique = self._unique(expected)
        expected.replies[unique] = data_of(name.read(file, offset, size))
        body = self._read_body(fh, offset, size) + (self._junk(40) if size % 50 == 0 else b"")
        self.answered["READ"] += 1
        self.answered["bytes"] += max(0, min(size, name.content.size - offset))
        return self._message(Opcode.READ, unique, name.inode, body)

    def _bad_read(self, expected: Expected) -> bytes:
        r = self._random
        unique = self._unique(expected)
        size = self._size()
        fh = r.choice(self._files)[0]
        kind = r.randrange(6)
        if kind == 0:
            size = r.choice((MAX_READ + 1, 2**32 - 1, 2**31, r.randrange(MAX_READ + 1, 2**32)))
        elif kind == 1:
            fh = r.getrandbits(63) >> r.choice((0, 10, 20, 40, 60))
        elif kind == 2:
            fh ^= 1 << r.randrange(63)
        elif kind == 3:
            fh = r.choice(self._stale) << ids.FILE_BITS | r.choice((0, 1, 2**30 - 1))
        elif kind == 4:
            fh |= ids.CONTROL
        body = self._read_body(fh, self._offset(1 << 40), size)
        if kind == 5:
            body = body[: r.randrange(40)]
        message = self._message(Opcode.READ, unique, r.getrandbits(64), body)
        if len(body) >= 40 and fh >= ids.CONTROL:
            return self._forward(expected, message)
        self.answered["READ"] += 1
        if len(body) < 40:
            expected.replies[unique] = error_of(errno.EINVAL)
        else:
            name = self._contents.get(fh >> ids.FILE_BITS)
            file = fh & ((1 << ids.FILE_BITS) - 1)
            if name is None or file >= name.content.files:
                expected.replies[unique] = error_of(errno.EBADF)
            elif size > MAX_READ:
                expected.replies[unique] = error_of(errno.EINVAL)
            else:
                offset = struct.unpack_from("<Q", body, 8)[0]
                data = name.read(file, offset, size)
                expected.replies[unique] = data_of(data)
                self.answered["bytes"] += len(data)
                self.answered["errors"] -= 1
        self.answered["errors"] += 1
        return message

    def _open(self, expected: Expected) -> bytes:
        r = self._random
        name = r.choice(self._names + self._brief)
        file = r.choice((0, name.content.files - 1, r.randrange(name.content.files)))
        if r.random() < 0.6:
            return self._open_file(expected, name, file)
        flags, inode = 0, name.inode + (file + 1 if name.content.tree else 0)
        past = (0, name.content.files + 1, ids.DIRECTORIES, ids.WITHIN)
        kind = r.randrange(4)
        if kind == 0:
            flags = r.choice((1, 2, 3, 0o1000)) | r.getrandbits(32)
        elif kind == 1:
            inode = r.choice((0, ROOT, 2, 3, 4, r.getrandbits(64), 2**64 - 1, 2**62, 2**63))
        elif kind == 2:
            inode = name.inode + r.choice(past) if name.content.tree else name.inode ^ 1 << 17
        body = struct.pack("<II", flags, r.getrandbits(32))
        if kind == 3:
            body = body[: r.randrange(8)]
        message = self._message(Opcode.OPEN, self._unique(expected), inode, body)
        return self._forward(expected, message)

    def _lookup(self, expected: Expected) -> bytes:
        r = self._random
        name = r.choice(self._names)
        content = name.content
        unique = self._unique(expected)
        if not content.tree:
            node = r.choice((name.inode, ROOT))
            message = self._message(Opcode.LOOKUP, unique, node, name.text.encode() + b"\0")
            return self._forward(expected, message)
        file = r.choice((0, content.files - 1, r.randrange(content.files)))
        folder, _, text = oracle.tree_path(content, file).rpartition("/")
        node = name.inode + (ids.DIRECTORIES + int(folder) if folder else 0)
        body = text.encode() + b"\0"
        good = True
        if r.random() < 0.5:
            at = r.randrange(len(body))
            change = r.randrange(6)
            if change == 0:
                odd = r.choice((*b":/.0\0", r.randrange(256)))
                body = body[:at] + bytes([odd]) + body[at + 1 :]
            elif change == 1:
                body = body[:at]
            elif change == 2:
                body = body[:at] + self._junk(9) + body[at:]
            elif change == 3:
                node += r.choice((1, -1, 1 << 30, 1 << 31, 1 << 62))
            elif change == 4:
                body = b"9" * r.choice((6, 9, 10, 20, 200)) + b"." + content.ext.encode() + b"\0"
            else:
                node = r.getrandbits(64)
            node %= 1 << 64
            good = self._is_file(node, body)
        message = self._message(Opcode.LOOKUP, unique, node, body)
        if not good:
            return self._forward(expected, message)
        root = node & ~ids.WITHIN
        name = next(known for known in self._names if known.inode == root)
        size = name.content.size
        entry = self.loop.entry.copy()
        inode = root + int(body.partition(b".")[0]) + 1
        entry[fuse.ENTRY_NODEID] = entry[fuse.ENTRY_INO] = inode
        entry[fuse.ENTRY_SIZE], entry[fuse.ENTRY_BLOCKS] = size, -(-size // 512)
        expected.replies[unique] = data_of(entry.tobytes())
        self.answered["LOOKUP"] += 1
        return message

    def _is_file(self, node: int, body: bytes) -> bool:
        """Whether a directory has a file of the name in a LOOKUP."""
        for name in self._names:
            if name.content.tree and node & ~ids.WITHIN == name.inode:
                digits = body.partition(b".")[0]
                # Not isdigit(), which takes other digits too.
                if not digits or set(digits) - set(b"0123456789") or len(digits) > 12:
                    return False
                if int(digits) >= name.content.files:
                    return False
                path = oracle.tree_path(name.content, int(digits))
                folder, _, text = path.rpartition("/")
                within = ids.DIRECTORIES + int(folder) if folder else 0
                return node & ids.WITHIN == within and body == text.encode() + b"\0"
        return False

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

    def _release(self, expected: Expected) -> bytes:
        r = self._random
        fh = r.getrandbits(64) >> r.choice((0, 1, 30))
        body = (struct.pack("<Q", fh) + r.randbytes(16))[: r.choice((24, 24, 24, 8, 7, 0))]
        unique = self._unique(expected)
        message = self._message(Opcode.RELEASE, unique, r.getrandbits(64), body)
        if len(body) < 8 or fh >= ids.CONTROL:
            return self._forward(expected, message)
        expected.replies[unique] = error_of(0)
        self.answered["RELEASE"] += 1
        return message

    def _flush(self, expected: Expected) -> bytes:
        unique = self._unique(expected)
        expected.replies[unique] = error_of(errno.ENOSYS)
        self.answered["FLUSH"] += 1
        return self._message(Opcode.FLUSH, unique, self._random.getrandbits(64), self._junk(24))

    def _interrupt(self, expected: Expected) -> bytes:
        self.answered["INTERRUPT"] += 1
        return self._message(Opcode.INTERRUPT, self._unique(expected), 0, self._junk(8))

    def _short(self, _expected: Expected) -> bytes:
        """Less than a header: passed over."""
        return self._random.randbytes(self._random.randrange(1, 40))

    def _any(self, expected: Expected) -> bytes:
        """Any opcode and any length; what is not the loop's own arrives unchanged."""
        r = self._random
        opcode = r.choice(OPCODES) if r.random() < 0.9 else r.getrandbits(32)
        own = (
            Opcode.LOOKUP,
            Opcode.OPEN,
            Opcode.READ,
            Opcode.RELEASE,
            Opcode.GETXATTR,
            Opcode.FLUSH,
            Opcode.INTERRUPT,
        )
        if opcode in own:
            opcode = 3
        length = r.choice((0, 8, 64, r.randrange(300), r.randrange(5000)))
        if r.random() < 0.01:
            length = r.choice((REQUEST_BYTES - 40, REQUEST_BYTES - 39, 100_000))
        node = r.getrandbits(64)
        return self._forward(
            expected, self._message(opcode, self._unique(expected), node, r.randbytes(length))
        )

    def handle_of(self, text: str) -> int:
        """A handle of the file ``text``, which is known."""
        return next(fh for fh, name, _ in self._files if name.text == text)

    # Runs.

    def run(self, count: int) -> None:
        """Send ``count`` requests and check what comes of them."""
        for batch in range(-(-count // BATCH)):
            if batch % 40 == 39:
                self._change_names()
            expected = Expected()
            for _ in range(min(BATCH, count - batch * BATCH)):
                self.loop.kernel.send(self._random.choice(self._makers)(expected))
            self._receive(expected)
        self._finish()

    def _receive(self, expected: Expected) -> None:
        """Take what comes; either way of a request that may go both ways comes last."""
        kernel, control = self.loop.kernel, self.loop.control
        while expected.replies:
            self._answered(expected, self._recv(kernel, (1 << 20) + 100))
        while expected.forwarded:
            self._forwarded(expected, self._recv(control, REQUEST_BYTES + 100))
        deadline = time.monotonic() + ANSWER_SECONDS
        while expected.either:
            if time.monotonic() > deadline:
                raise Wrong(f"no answer to {expected.either}")
            for end, take in ((kernel, self._answered), (control, self._forwarded)):
                end.setblocking(False)
                try:
                    take(expected, end.recv((1 << 20) + 100))
                except BlockingIOError:
                    pass
                finally:
                    end.settimeout(ANSWER_SECONDS)

    def _recv(self, end: socket.socket, most: int) -> bytes:
        try:
            message = end.recv(most)
        except TimeoutError:
            raise Wrong(f"no answer in {ANSWER_SECONDS} s; workers: {self.loop.ends}") from None
        if not message:
            raise Wrong(f"the loop ended: {self.loop.ends}")
        return message

    def _answered(self, expected: Expected, reply: bytes) -> None:
        if len(reply) < 16:
            raise Wrong(f"a reply of {len(reply)} B")
        unique = struct.unpack_from("<Q", reply, 8)[0]
        if unique in expected.either:
            del expected.either[unique]
            error_of(errno.ENODATA)(reply)
            return
        check = expected.replies.pop(unique, None)
        if check is None:
            raise Wrong(f"a reply to {unique:#x}, which nobody asked: {reply[:64].hex()}")
        check(reply)

    def _forwarded(self, expected: Expected, message: bytes) -> None:
        if message in expected.forwarded:
            expected.forwarded[message] -= 1
            if not expected.forwarded[message]:
                del expected.forwarded[message]
            return
        unique = struct.unpack_from("<Q", message.ljust(16, b"\0"), 8)[0]
        if expected.either.pop(unique, None) != message:
            raise Wrong(f"passed on what was not to be, or changed: {message[:128].hex()}")

    def _change_names(self) -> None:
        """Forget some names, whose handles are then stale, and look others up in their rows."""
        for name in self._brief:
            self._inodes.forget(name.inode, 1)
        gone = {bits for bits, name in self._contents.items() if name in self._brief}
        self._stale = (self._stale + sorted(gone))[-50:]
        for bits in gone:
            del self._contents[bits]
        self._files = [handle for handle in self._files if handle[1] not in self._brief]
        self._brief = [self._know(text) for text in self._random.sample(BRIEF_NAMES, 4)]

    def _finish(self) -> None:
        """Nothing is left over, and the counters agree."""
        for end in (self.loop.kernel, self.loop.control):
            end.setblocking(False)
            try:
                raise Wrong(f"one message too many: {end.recv(1 << 21)[:64].hex()}")
            except BlockingIOError:
                end.settimeout(ANSWER_SECONDS)
        self.loop.close()
        if self.loop.ends != [0] * len(self.loop.counters):
            raise Wrong(f"workers ended with {self.loop.ends}")
        total = np.sum(self.loop.counters, axis=0).tolist()
        found = {
            name: total[counters.REQUESTS + Opcode[name]]
            for name in ("LOOKUP", "OPEN", "READ", "RELEASE", "GETXATTR", "FLUSH", "INTERRUPT")
        }
        found["bytes"], found["errors"] = total[counters.BYTES], total[counters.ERRORS]
        slack = found["GETXATTR"] - self.answered["GETXATTR"]
        if not 0 <= slack <= self.unsure:
            raise Wrong(f"{slack} of {self.unsure} GETXATTR")
        found["GETXATTR"] -= slack
        if found != {name: self.answered[name] for name in found}:
            raise Wrong(f"counted {found}, sent {dict(self.answered)}")
        latencies = sum(total[counters.LATENCY : counters.LATENCY + counters.LATENCIES])
        if (latencies, total[counters.REFUSED], total[counters.BUSY_WITH]) != (found["READ"], 0, 0):
            raise Wrong(f"{latencies} latencies, {total[counters.REFUSED]} replies refused")
        if self.loop.cache.slots[:, cache.PINS].any():
            raise Wrong("blocks are still in use")


def main() -> int:
    parser = argparse.ArgumentParser(description="Random requests to the compiled loop.")
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    fuzzer = Fuzzer(arguments.seed, arguments.workers)
    started = time.monotonic()
    fuzzer.run(arguments.count)
    seconds = time.monotonic() - started
    answered = ", ".join(f"{name} {count}" for name, count in sorted(fuzzer.answered.items()))
    sys.stdout.write(f"{arguments.count} requests in {seconds:.1f} s: {answered}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

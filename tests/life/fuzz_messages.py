"""Requests, random and malformed, and what must come of each."""

import errno
import struct

import numpy as np
import oracle

from dgenfs.kernels import fuse, ids
from dgenfs.kernels.fuse import Opcode
from dgenfs.mount.inodes import ROOT
from life.fuzz_attributes import AttributeRequests
from life.fuzz_loop import REQUEST_BYTES, open_flags
from life.fuzz_model import Expected, Name, Wrong, data_of, error_of

MAX_READ = 1 << 20
OPEN_FILES = 400  # handles to read from
OPCODES = (*range(1, 54), 4096, 0, 63, 64, 255, 2**31, 2**32 - 1)

CONTAINERS = ("300001_d2_c1.5_r30000.npz", "300K_b4K.tfrecord", "9999_r1.tar", "5000_r9.parquet")
PLAIN_NAMES = ("3M+5_d2_c2_s3.bin", "9M-1_c1.5_b4K", "1M_d4_b4K.img", "5000", "1", "0", *CONTAINERS)
HUGE_NAMES = ("8E-1_d3_c1.2", "8E-4096")  # too large to keep, read in small pieces
TREES = (
    *("25x3000_d2_c2_f10.dat", "7x100K_c3", "1000000000x1K_d2_f1000", "64x0"),
    *("25x5001_d2_r1000_f10.npz", "1000000000x300_r7.safetensors", "9x5001_r7.tfrecord"),
)
# Forgotten while others are in use
BRIEF_NAMES = tuple(
    f"64K_s{seed}{end}" for seed in range(1, 20) for end in ("", ".npz", ".tfrecord")
)


class Requests(AttributeRequests):
    """Makes requests and knows what must come of them."""

    def __init__(self, seed: int, workers: int) -> None:
        names = (*PLAIN_NAMES, *HUGE_NAMES, *TREES)
        super().__init__(seed, names, workers)
        self._contents: dict[int, Name] = {}  # by the bits of a handle that are not the file's
        self._stale = [ids.TAGS << ids.ROW_BITS]  # such bits of names that were forgotten
        self._files: list[tuple[int, Name, int]] = []  # handles
        self._makers = [
            *[self._read] * 12,
            *[self._bad_read] * 6,
            *[self._open] * 4,
            *[self._lookup] * 4,
            *[self._getxattr, self._getattr, self._listxattr] * 2,
            self._ioctl,
            self._forget,
            self._batch_forget,
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
        self._learning = [name]
        # Any handle of a name that the kernel knows is good, so all of them must be known here.
        expected = Expected()
        self.loop.kernel.send(self._open_file(expected, name, 0))
        self.loop.receive(expected)
        return name

    def _open_file(self, expected: Expected, name: Name, file: int) -> bytes:
        unique = self._unique(expected)

        def check(reply: bytes) -> None:
            if len(reply) != 32:
                raise Wrong(f"OPEN answered with {reply.hex()}")
            length, error, _, fh, flags, backing = struct.unpack("<IiQQIi", reply)
            if (length, error, flags, backing) != (32, 0, open_flags(name.content.size), 0):
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

    def one(self, expected: Expected) -> bytes:
        """A message; what must come of it is noted in ``expected``, as by each maker."""
        return self._random.choice(self._makers)(expected)

    def change_names(self) -> None:
        """Forget some names, whose handles are then stale, and look others up in their rows."""
        for name in self._brief:
            self._inodes.forget(name.inode, 1)
        gone = {bits for bits, name in self._contents.items() if name in self._brief}
        self._stale = (self._stale + sorted(gone))[-50:]
        for bits in gone:
            del self._contents[bits]
        self._files = [handle for handle in self._files if handle[1] not in self._brief]
        self._brief = [self._know(text) for text in self._random.sample(BRIEF_NAMES, 4)]

    def handle_of(self, text: str) -> int:
        """A handle of the file ``text``, which is known."""
        return next(fh for fh, name, _ in self._files if name.text == text)

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
                node += r.choice((1, -1, 1 << 30, 1 << 31, ids.PLAIN))
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
        inode = root + int(body.partition(b".")[0]) + 1
        entry = np.concatenate([self.loop.entry[:5], self.attributes(inode, name.content.size)])
        entry[fuse.ENTRY_NODEID] = inode
        entry[fuse.ENTRY_GENERATION] = self._inodes.generation(root)
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

    def _release(self, expected: Expected) -> bytes:
        r = self._random
        fh, inode = r.getrandbits(64) >> r.choice((0, 1, 30)), r.getrandbits(64)
        if len(self._files) > OPEN_FILES // 4 and r.random() < 0.7:
            fh, name, file = self._files.pop(r.randrange(len(self._files)))
            inode = name.inode + (file + 1 if name.content.tree else 0)
        body = (struct.pack("<Q", fh) + r.randbytes(16))[: r.choice((24, 24, 24, 8, 7, 0))]
        unique = self._unique(expected)
        message = self._message(Opcode.RELEASE, unique, inode, body)
        if len(body) < 8 or fh >= ids.CONTROL:
            return self._forward(expected, message)
        expected.replies[unique] = error_of(0)
        self.answered["RELEASE"] += 1
        return message

    def _flush(self, expected: Expected) -> bytes:
        r = self._random
        fh = r.getrandbits(64) >> r.choice((0, 1, 30))
        body = (struct.pack("<Q", fh) + r.randbytes(16))[: r.choice((24, 24, 24, 8, 7, 0))]
        unique = self._unique(expected)
        message = self._message(Opcode.FLUSH, unique, r.getrandbits(64), body)
        if len(body) >= 8 and fh >= ids.CONTROL:
            return self._forward(expected, message)
        expected.replies[unique] = error_of(0)
        self.answered["FLUSH"] += 1
        return message

    def _interrupt(self, expected: Expected) -> bytes:
        self.answered["INTERRUPT"] += 1
        # Of a request that is not there: the kernel's numbers do not come again.
        body = struct.pack("<Q", self._random.getrandbits(63) | 1 << 63) + self._junk(8)
        if self._random.random() < 0.3:
            body = body[: self._random.randrange(8)]
        return self._message(Opcode.INTERRUPT, self._unique(expected), 0, body)

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
            Opcode.GETATTR,
            Opcode.GETXATTR,
            Opcode.LISTXATTR,
            Opcode.IOCTL,
            Opcode.FORGET,
            Opcode.BATCH_FORGET,
            Opcode.FLUSH,
            Opcode.INTERRUPT,
        )
        if opcode in own:
            opcode = Opcode.SETATTR
        length = r.choice((0, 8, 64, r.randrange(300), r.randrange(5000)))
        if r.random() < 0.01:
            length = r.choice((REQUEST_BYTES - 40, REQUEST_BYTES - 39, 100_000))
        node = r.getrandbits(64)
        return self._forward(
            expected, self._message(opcode, self._unique(expected), node, r.randbytes(length))
        )

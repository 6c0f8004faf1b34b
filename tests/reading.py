"""Every way in which a client can read a range of a file."""

import ctypes
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes.util import find_library
from pathlib import Path

import kernel_offer
import numpy as np

MIB = 1 << 20
MAX_SIZE = 2**63 - 1  # bytes of a file
Client = Callable[[Path, int, int], bytes]  # offset, length

PIPE = 64 << 10  # bytes that a pipe takes
LAST_MAPPED = 2**63 - 4096  # mmap(2) gives EOVERFLOW for the page that ends at 2^63


@contextmanager
def opened(path: Path, flags: int = 0) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | flags)
    try:
        yield fd
    finally:
        os.close(fd)


def all_of(read: Callable[[int, int], bytes], offset: int, length: int) -> bytes:
    """Repeat a call that may give less than asked for, until it gives nothing."""
    data = b""
    while len(data) < length:
        piece = read(offset + len(data), length - len(data))
        if not piece:
            break
        data += piece
    return data


def odd_buffers(length: int) -> list[bytearray]:
    buffers: list[bytearray] = []
    sizes = [1, 511, 4096, 7, 65536, 0, 13]
    while length:
        size = min(length, sizes[len(buffers) % len(sizes)])
        buffers.append(bytearray(size))
        length -= size
        if len(buffers) == 100:
            buffers.append(bytearray(length))
            break
    return buffers


def pread(path: Path, offset: int, length: int) -> bytes:
    with opened(path) as fd:
        return os.pread(fd, length, offset)


def preadv(path: Path, offset: int, length: int) -> bytes:
    buffers = odd_buffers(length)
    with opened(path) as fd:
        count = os.preadv(fd, buffers, offset) if buffers else 0
    return b"".join(buffers)[:count]


def readv(path: Path, offset: int, length: int) -> bytes:
    buffers = odd_buffers(length)
    with opened(path) as fd:
        os.lseek(fd, offset, os.SEEK_SET)
        count = os.readv(fd, buffers) if buffers else 0
        assert os.lseek(fd, 0, os.SEEK_CUR) == offset + count
    return b"".join(buffers)[:count]


def buffered(path: Path, offset: int, length: int) -> bytes:
    # The kernel refuses to look past the largest offset, as a buffer would.
    buffering = -1 if offset + length < MAX_SIZE - MIB else 0
    with path.open("rb", buffering) as file:
        file.seek(offset)
        return bytes(file.read(length))


def direct_unaligned(path: Path, offset: int, length: int) -> bytes:
    buffer = mmap.mmap(-1, length + 4096)
    with opened(path, os.O_DIRECT) as fd, memoryview(buffer) as view:
        count = os.preadv(fd, [view[1000 : 1000 + length]], offset)
        return bytes(view[1000 : 1000 + count])


def direct_aligned(path: Path, offset: int, length: int) -> bytes:
    start = offset // 4096 * 4096
    size = -(-(offset + length - start) // 4096) * 4096
    size = min(size, MAX_SIZE - start)
    buffer = mmap.mmap(-1, size + 1)
    with opened(path, os.O_DIRECT) as fd, memoryview(buffer) as view:
        count = os.preadv(fd, [view[:size]], start)
        return bytes(view[offset - start : min(count, offset + length - start)])


def mapped(flags: int, path: Path, offset: int, length: int) -> bytes:
    size = path.stat().st_size
    length = min(length, size - offset)
    if length <= 0:
        # There is nothing to map.
        return b""
    if offset + length > LAST_MAPPED:
        return pread(path, offset, length)
    start = offset // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
    with opened(path) as fd:
        area = mmap.mmap(
            fd, offset + length - start, flags=flags, prot=mmap.PROT_READ, offset=start
        )
    with area:
        return area[offset - start :]


def mapped_privately(path: Path, offset: int, length: int) -> bytes:
    return mapped(mmap.MAP_PRIVATE, path, offset, length)


def mapped_shared(path: Path, offset: int, length: int) -> bytes:
    return mapped(mmap.MAP_SHARED, path, offset, length)


def memmap(path: Path, offset: int, length: int) -> bytes:
    length = min(length, path.stat().st_size - offset)
    if length <= 0:
        return b""
    if offset + length > LAST_MAPPED:
        return pread(path, offset, length)
    array = np.memmap(path, np.uint8, "r", offset, (length,))
    return array.tobytes()


def sendfile(path: Path, offset: int, length: int) -> bytes:
    out = os.memfd_create("out")
    try:
        with opened(path) as fd:
            copied = 0
            while copied < length:
                count = os.sendfile(out, fd, offset + copied, length - copied)
                if count == 0:
                    break
                copied += count
        return os.pread(out, length, 0)
    finally:
        os.close(out)


def splice(path: Path, offset: int, length: int) -> bytes:
    reading, writing = os.pipe()

    def once(at: int, size: int) -> bytes:
        count = os.splice(fd, writing, min(size, PIPE), offset_src=at)
        return os.read(reading, count) if count else b""

    try:
        with opened(path) as fd:
            return all_of(once, offset, length)
    finally:
        os.close(reading)
        os.close(writing)


class Iocb(ctypes.Structure):
    """struct iocb of libaio, with the members of a read."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("key", ctypes.c_uint),
        ("rw_flags", ctypes.c_uint),
        ("opcode", ctypes.c_short),
        ("priority", ctypes.c_short),
        ("fd", ctypes.c_int),
        ("buffer", ctypes.c_void_p),
        ("length", ctypes.c_ulong),
        ("offset", ctypes.c_longlong),
        ("rest", ctypes.c_ulonglong * 2),
    )


class IoEvent(ctypes.Structure):
    """struct io_event of libaio."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("object", ctypes.c_void_p),
        ("result", ctypes.c_long),
        ("result2", ctypes.c_ulong),
    )


def libaio(path: Path, offset: int, length: int) -> bytes:
    """Four reads under way at once."""
    found = find_library("aio")  # libaio.so.1t64 from Debian 13 and Ubuntu 24.04 on
    assert found
    library = ctypes.CDLL(found)
    library.io_submit.argtypes = [ctypes.c_void_p, ctypes.c_long, ctypes.c_void_p]
    library.io_getevents.argtypes = [
        ctypes.c_void_p,
        ctypes.c_long,
        ctypes.c_long,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]
    library.io_destroy.argtypes = [ctypes.c_void_p]
    context = ctypes.c_void_p()
    assert library.io_setup(4, ctypes.byref(context)) == 0
    quarter = -(-length // 4)
    buffers = [ctypes.create_string_buffer(quarter + 1) for _ in range(4)]
    lengths = [max(0, min(quarter, length - i * quarter)) for i in range(4)]
    blocks = []
    with opened(path, os.O_DIRECT) as fd:
        for i, buffer in enumerate(buffers):
            block = Iocb()
            block.data, block.opcode, block.fd = i, 0, fd
            block.buffer, block.length = ctypes.addressof(buffer), lengths[i]
            block.offset = min(offset + i * quarter, MAX_SIZE)
            blocks.append(block)
        pointers = (ctypes.POINTER(Iocb) * 4)(*map(ctypes.pointer, blocks))
        events = (IoEvent * 4)()
        assert library.io_submit(context, 4, pointers) == 4
        assert library.io_getevents(context, 4, 4, events, None) == 4
        assert library.io_destroy(context) == 0
    results = {event.data or 0: event.result for event in events}
    data = b""
    for i, buffer in enumerate(buffers):
        assert results[i] >= 0, os.strerror(-results[i])
        data += buffer.raw[: results[i]]
    return data


CLIENTS: list[Client] = [
    pread,
    preadv,
    readv,
    buffered,
    direct_unaligned,
    direct_aligned,
    mapped_privately,
    mapped_shared,
    memmap,
    sendfile,
    splice,
    libaio,
]


def clients(io_mode: str) -> list[Client]:
    """Those that can read files of any size on this kernel with ``--io io_mode``."""
    if io_mode != "direct" or kernel_offer.direct_mmap():
        return CLIENTS
    return [client for client in CLIENTS if client not in (mapped_shared, memmap)]

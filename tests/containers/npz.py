"""npz files, slow and obvious, written from docs/format.md alone."""

import struct
import zlib

LEAST = 4408
ZIP64 = 2**32
VECTORS = {
    "5000_d2_c2.npz": "c456fa010c7e8259636d7488c73a9c608f575ac98a2e38251c3a4bf1cd79e34e",
    "1M_d4_c2_r1000.npz": "c285d508df8d80f35a268c92f7c6cb19455419fc34b00d1bb12c3b1624e30045",
    "3MB_d3_c1.5_r112K.npz": "e80116aa043ee321d67af5d55f4718d03c590f8581fcf7f63ee0e5b178554bd7",
}


def shape(size: int, record: int | None) -> tuple[int, int, int, int]:
    """R, n, pad and rest."""
    room = size - (4399 if size < ZIP64 else 4559)
    bytes_of_one = room - 8
    if record is not None and record < bytes_of_one:
        bytes_of_one = record
    n = room // (bytes_of_one + 8)
    gap = room - n * (bytes_of_one + 8)
    pad = 0
    while pad < gap and (pad + (179 if size < ZIP64 else 207) + 8 * n) % 4096 != 0:
        pad += 1
    return bytes_of_one, n, pad, gap - pad


def npy_header(text: str) -> bytes:
    head = b"\x93NUMPY\x01\x00\x76\x00" + text.encode()
    return head + b" " * (127 - len(head)) + b"\n"


def array_headers(size: int, record: int | None) -> tuple[bytes, bytes]:
    r, n, _, _ = shape(size, record)
    return (
        npy_header(f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({r}, {n}), }}"),
        npy_header(f"{{'descr': '<i8', 'fortran_order': False, 'shape': ({n},), }}"),
    )


def u16(*values: int) -> bytes:
    return b"".join(struct.pack("<H", value) for value in values)


def u32(*values: int) -> bytes:
    return b"".join(struct.pack("<I", value) for value in values)


def u64(*values: int) -> bytes:
    return b"".join(struct.pack("<Q", value) for value in values)


def own_bytes(size: int, record: int | None, x_crc: int) -> tuple[bytes, bytes, bytes]:
    """What stands before the payload, behind its whole records, and behind its rest."""
    r, n, pad, rest = shape(size, record)
    x_header, y_header = array_headers(size, record)
    labels = bytes(8 * n)
    y_crc = zlib.crc32(y_header + labels)
    x_size, y_size = 128 + r * n, 128 + 8 * n
    if size < ZIP64:
        needed = 20
        x_extra = u16(0xA11E, 3929, 128) + bytes(3927)
        x_local_sizes = u32(0, 0)
        descriptor = b"PK\x07\x08" + u32(x_crc, x_size, x_size)
        y_extra = b""
        y_local_sizes = u32(y_size, y_size)
    else:
        needed = 45
        x_extra = u16(1, 16) + u64(0, 0) + u16(0xA11E, 3909, 128) + bytes(3907)
        x_local_sizes = y_local_sizes = u32(0xFFFFFFFF, 0xFFFFFFFF)
        descriptor = b"PK\x07\x08" + u32(x_crc) + u64(x_size, x_size)
        y_extra = u16(1, 16) + u64(y_size, y_size)
    head = b"PK\x03\x04" + u16(needed, 8, 0, 0, 0x21) + u32(0) + x_local_sizes
    head += u16(5, len(x_extra)) + b"x.npy" + x_extra + x_header
    assert len(head) == 4096
    y_at = 4096 + r * n + len(descriptor)
    middle = descriptor + b"PK\x03\x04" + u16(needed, 0, 0, 0, 0x21) + u32(y_crc) + y_local_sizes
    middle += u16(5, len(y_extra)) + b"y.npy" + y_extra + y_header + labels
    middle += bytes(pad)
    directory = entry(size, b"x.npy", 8, x_crc, x_size, 0)
    directory += entry(size, b"y.npy", 0, y_crc, y_size, y_at)
    directory_at = 4096 + r * n + len(middle) + rest
    return head, middle, directory + end(size, len(directory), directory_at)


def entry(size: int, name: bytes, flags: int, crc: int, member: int, at: int) -> bytes:
    """Of the central directory."""
    if size < ZIP64:
        versions, sizes, extra, offset = u16(20, 20), u32(member, member), b"", u32(at)
    else:
        versions, sizes, offset = u16(45, 45), u32(0xFFFFFFFF, 0xFFFFFFFF), u32(0xFFFFFFFF)
        extra = u16(1, 24) + u64(member, member, at)
    data = b"PK\x01\x02" + versions + u16(flags, 0, 0, 0x21) + u32(crc) + sizes
    return data + u16(5, len(extra), 0, 0, 0) + u32(0) + offset + name + extra


def end(size: int, directory: int, directory_at: int) -> bytes:
    if size < ZIP64:
        return b"PK\x05\x06" + u16(0, 0, 2, 2) + u32(directory, directory_at) + u16(0)
    data = b"PK\x06\x06" + u64(44) + u16(45, 45) + u32(0, 0) + u64(2, 2, directory, directory_at)
    data += b"PK\x06\x07" + u32(0) + u64(directory_at + directory) + u32(1)
    return data + b"PK\x05\x06" + u16(0, 0, 2, 2) + u32(directory, 0xFFFFFFFF) + u16(0)


def file(size: int, record: int | None, _repeats: bool, content: bytes) -> bytes:
    r, n, _, rest = shape(size, record)
    x_header, _ = array_headers(size, record)
    x_crc = zlib.crc32(x_header + content[: r * n])
    head, middle, tail = own_bytes(size, record, x_crc)
    return head + content[: r * n] + middle + content[r * n : r * n + rest] + tail

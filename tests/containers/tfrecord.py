"""TFRecord files and their indexes, slow and obvious, from docs/format.md alone."""

import struct

from crc32c import crc32c

LEAST = 55
VECTORS = {
    "10000_d1.5_c2_r100B.tfrecord": (
        "6ee6f03337d5ccfb32d9768596a544d021608b5bdfb19651310a9375d1dfc513"
    ),
    "300000_d2_c1.5_s7.tfrecord": (
        "a00131998fbd403e984e5e818e2e91d066964456bd43238473e328e0b9a77871"
    ),
    "1M_d2_c2_r64K.tfrecord": ("587e434c272dcfda6f870c2f69ca24699547aedaf4d571ac0a3c745c3dd87842"),
    "1MB_d3_c1.5_r100KB.tfrecord": (
        "76877b5629c325ad6c0406b786b8d4e584d1e9c6caae1c158eb19ed73bd2aeae"
    ),
}


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32)


def varint(value: int, width: int) -> bytes:
    out = b""
    for _ in range(width - 1):
        out += bytes([0x80 + value % 128])
        value //= 128
    assert value < 128
    return out + bytes([value])


def width_of(r: int) -> int:
    most = 2 * r + (256 if r < 65536 else 12288)
    return next(width for width in range(1, 11) if 2 ** (7 * width) > most)


def pad_feature(p: int) -> bytes:
    assert 128 <= p < 16000
    return (
        b"\x0a"
        + varint(p + 14, 2)
        + b"\x0a\x03pad\x12"
        + varint(p + 6, 2)
        + b"\x0a"
        + varint(p + 3, 2)
        + b"\x0a"
        + varint(p, 2)
        + bytes(p)
    )


def example(payload: bytes, w: int, p: int | None) -> bytes:
    """Built from its end, so that what is to follow is known."""
    out = payload
    for tag in (b"\x0a", b"\x0a", b"\x12"):
        out = tag + varint(len(out), w) + out
    out = b"\x0a\x05image" + out
    out = b"\x0a" + varint(len(out), w) + out
    size = b"\x0a\x04size\x12" + bytes([w + 4, 0x1A, w + 2, 0x0A, w]) + varint(len(payload), w)
    out = b"\x0a" + bytes([w + 12]) + size + out
    if p is not None:
        out = pad_feature(p) + out
    return b"\x0a" + varint(len(out), w) + out


def geometry(r: int, *, repeats: bool) -> tuple[int, int]:
    """First and stride."""
    w = width_of(r)
    if r < 65536:
        return 38 + 6 * w, r + 42 + 6 * w
    if repeats:
        return 4096, r + 4096
    return 4096, -(-(r + 187 + 6 * w) // 4096) * 4096


def file(size: int, record: int | None, repeats: bool, content: bytes) -> bytes:
    r = min(131072 if record is None else record, size)
    w = width_of(r)
    first, stride = geometry(r, repeats=repeats)
    n = 1
    while first + r + 4 + n * stride <= size:
        n += 1
    pieces = []
    for index in range(n):
        last = r + size - (first + r + 4 + (n - 1) * stride)
        length = last if index == n - 1 else r
        p = first - 55 - 6 * w if index == 0 else stride - r - 59 - 6 * w
        data = example(content[index * r : index * r + length], w, p if r >= 65536 else None)
        frame = struct.pack("<Q", len(data))
        pieces += [frame, masked(frame), data, masked(data)]
    return b"".join(pieces)


def index(data: bytes) -> bytes:
    """The index of a file."""
    lines, offset = [], 0
    while offset < len(data):
        length = 16 + struct.unpack_from("<Q", data, offset)[0]
        lines.append(f"{offset} {length}\n")
        offset += length
    return "".join(lines).encode()

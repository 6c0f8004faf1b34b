"""A container's bytes out of its runs and fields, slow and obvious.

What a format's module returns is compared with the format's oracle through this, and so is what the
compiled kernel makes of it.
"""

import zlib

from dgenfs.content.containers.frames import Container, Crc, CrcKind, Encoding, Number, Run


def expand(container: Container, content: bytes) -> bytes:
    """All bytes of the file; ``content`` is that of the same name, at least the payload."""
    pieces = []
    for run in container.runs:
        for k in range(run.count):
            head, tail = ends(run, k, content)
            pieces += [head, hole(run, k, content), tail]
    return b"".join(pieces)


def hole(run: Run, k: int, content: bytes) -> bytes:
    """What stands between the ends of repetition ``k``, counted from 0."""
    if run.payload is None:
        return bytes([run.filler]) * run.hole
    start = run.payload + k * run.hole
    piece = content[start : start + run.hole]
    assert len(piece) == run.hole
    return piece


def ends(run: Run, k: int, content: bytes | memoryview) -> tuple[bytes, bytes]:
    """Head and tail of repetition ``k``, with their fields."""
    head, tail = bytearray(run.head), bytearray(run.tail)
    behind = len(head) + run.hole
    for field in run.fields:
        value = written(field, k) if isinstance(field, Number) else checked(field, k, content)
        assert len(value) == field.width
        end, at = (head, field.at) if field.at < len(head) else (tail, field.at - behind)
        assert 0 <= at <= len(end) - field.width
        end[at : at + field.width] = value
    return bytes(head), bytes(tail)


def written(field: Number, k: int) -> bytes:
    """A number in repetition ``k``."""
    value = field.base + k * field.step
    assert value >= 0
    match field.encoding:
        case Encoding.DECIMAL:
            return str(value).rjust(field.width, "0").encode()
        case Encoding.SPACED:
            return str(value).rjust(field.width, " ").encode()
        case Encoding.VARINT:
            return varint(value, field.width)
        case Encoding.TAR_CHECKSUM:
            total = field.more + sum(int(digit) for digit in str(value))
            return f"{total:o}".rjust(field.width, "0").encode()


def varint(value: int, width: int) -> bytes:
    assert value < 1 << 7 * width
    septets = [value >> 7 * index & 127 for index in range(width)]
    return bytes([*(septet | 128 for septet in septets[:-1]), septets[-1]])


def checked(field: Crc, k: int, content: bytes | memoryview) -> bytes:
    """A CRC in repetition ``k``."""
    if field.payload is None:
        covered: bytes | memoryview = bytes(field.length)
    else:
        start = field.payload + k * field.step
        covered = content[start : start + field.length]
        assert len(covered) == field.length
    if field.kind is CrcKind.CRC_32:
        crc = zlib.crc32(covered, zlib.crc32(field.before))
    else:
        crc = masked(crc_32c(field.before + covered))
    return crc.to_bytes(4, "little")


def remainder(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


REMAINDERS = [remainder(byte) for byte in range(256)]


def crc_32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ REMAINDERS[crc & 255 ^ byte]
    return crc ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """As TFRecord stores a CRC."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF

"""HDF5, as its library wrote it from the first: an array of records, and a label for each.

Source: HDF5 File Format Specification, version 3.0, with superblock, symbol table entries and
object headers of the versions 0, 1 and 1, which every release reads.
"""

import struct

from dgenfs.content.containers.frames import (
    PAGE,
    RECORD,
    Container,
    Run,
    runs_of,
)

_NOWHERE = 2**64 - 1  # an address that is none
_LEAF_RANK, _INTERNAL_RANK = 4, 16  # K of symbol table nodes and B-trees, the library's defaults
_ROOT, _TREE, _HEAP, _NAMES, _SYMBOLS, _LABELS, _RECORDS = 96, 136, 680, 712, 800, 1128, 1240
_LABELS_NAME, _RECORDS_NAME, _NO_NAME = 8, 16, 32  # within the names
_NAMES_SIZE = _SYMBOLS - _NAMES
_UINT8 = struct.pack("<B3BIHH", 0x10, 0, 0, 0, 1, 0, 8)
_INT64 = struct.pack("<B3BIHH", 0x10, 8, 0, 0, 8, 0, 64)


def _object_header(*messages: tuple[int, bytes]) -> bytes:
    packed = b""
    for kind, data in messages:
        data += bytes(-len(data) % 8)
        packed += struct.pack("<HHB3x", kind, len(data), 0) + data
    return struct.pack("<BxHII4x", 1, len(messages), 1, len(packed)) + packed


def _dataset(shape: tuple[int, ...], datatype: bytes, address: int, size: int) -> bytes:
    """Return the object header of a contiguous dataset."""
    return _object_header(
        (0x01, struct.pack(f"<BB6x{len(shape)}Q", 1, len(shape), *shape)),
        (0x03, datatype),
        (0x05, struct.pack("<4B4x", 2, 2, 2, 1)),  # what was never written is zeros
        (0x08, struct.pack("<BBQQ", 3, 1, address, size)),
    )


def _group() -> bytes:
    """Return the root group, and all that finds its datasets."""
    tree = struct.pack("<4sBBHQQ", b"TREE", 0, 0, 1, _NOWHERE, _NOWHERE)
    tree += struct.pack("<QQQ", 0, _SYMBOLS, _RECORDS_NAME)
    tree += bytes(16 * (2 * _INTERNAL_RANK - 1))
    heap = struct.pack("<4sB3xQQQ", b"HEAP", 0, _NAMES_SIZE, _NO_NAME, _NAMES)
    names = struct.pack("<8x8s16sQQ", b"labels", b"records_0", 1, _NAMES_SIZE - _NO_NAME)
    symbols = struct.pack("<4sBxH", b"SNOD", 1, 2)
    symbols += struct.pack("<QQ24x", _LABELS_NAME, _LABELS)
    symbols += struct.pack("<QQ24x", _RECORDS_NAME, _RECORDS)
    return (
        _object_header((0x11, struct.pack("<QQ", _TREE, _HEAP)))
        + tree
        + heap
        + names.ljust(_NAMES_SIZE, b"\0")
        + symbols.ljust(8 + 40 * 2 * _LEAF_RANK, b"\0")
    )


def _metadata(size: int, record: int, records: int) -> bytes:
    """Return all that stands ahead of the records."""
    superblock = b"\x89HDF\r\n\x1a\n"
    superblock += struct.pack("<5B2BxHHI", 0, 0, 0, 0, 0, 8, 8, _LEAF_RANK, _INTERNAL_RANK, 0)
    superblock += struct.pack("<QQQQ", 0, _NOWHERE, size, _NOWHERE)
    superblock += struct.pack("<QQI4xQQ", 0, _ROOT, 1, _TREE, _HEAP)
    labels = _dataset((records,), _INT64, size - 8 * records, 8 * records)
    images = _dataset((records, record), _UINT8, PAGE, records * record)
    return superblock + _group() + labels + images


LEAST = PAGE + 9  # bytes of the smallest file


def container(size: int, record: int | None, _: bool) -> Container:
    """Return the file of ``size`` bytes: a dataset of uint8 of (records, bytes), and labels."""
    record = min(record or RECORD, size - PAGE - 8)
    records = (size - PAGE) // (record + 8)
    labels = 8 * records
    payload = size - PAGE - labels
    metadata = _metadata(size, record, records)
    runs = runs_of(
        Run("header", metadata),
        Run("padding", hole=PAGE - len(metadata)),
        Run("records", hole=payload, payload=0),
        Run("labels", hole=labels),
    )
    return Container(runs, record, records, record, payload - records * record)

"""NumPy's format for one array.

Source: NumPy Enhancement Proposal 1, version 1.0 of the format.
"""

import struct

from dgenfs.content.containers.frames import PAGE, Container, Run

_MAGIC = b"\x93NUMPY\x01\x00"


def header(shape: str, size: int, descr: str = "|u1") -> bytes:
    """Return the header of a C-ordered array.

    Args:
        shape: as Python writes it.
        size: bytes of the header, a multiple of 64 that it fits in.
        descr: the type of the array's numbers, as NumPy writes it.
    """
    fields = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    length = size - len(_MAGIC) - 2
    return _MAGIC + struct.pack("<H", length) + fields.ljust(length - 1) + b"\n"


LEAST = PAGE + 1  # bytes of the smallest file


def container(size: int, record: int | None, _: bool) -> Container:
    """Return the file of ``size`` bytes: an array of uint8 with one dimension.

    It has no records; ``record`` only says what somebody takes at a time.
    """
    payload = size - PAGE
    record = min(record or payload, payload)
    records = payload // record
    last = payload - (records - 1) * record
    head = header(f"({payload},)", PAGE)
    return Container((Run("header", head, payload, payload=0),), record, records, last)

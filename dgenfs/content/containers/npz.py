"""NumPy's format for several arrays: npy files in a zip archive, stored as they are.

Source: PKWARE's APPNOTE.TXT, version 6.3.10; the members are those that DLIO gives numpy.savez.
"""

import struct
from typing import NamedTuple

from dgenfs.content.containers import npy
from dgenfs.content.containers.frames import PAGE, Container, Crc, CrcKind, Run, runs_of

_ZIP64 = 1 << 32  # bytes of the smallest file whose sizes and offsets have 8 bytes
_ARRAY = 128  # bytes of each array's header
_LABEL = 8  # bytes of a label, an int64
_IN_DESCRIPTOR = 1 << 3  # the flag of a member whose CRC and sizes stand behind its data
_DATE = 1 << 5 | 1  # 1 January 1980, the earliest
_ALIGNMENT = 0xA11E  # the extra field that pads, Data Stream Alignment
_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q4sLQL")  # the record, and the locator of it


class _Member(NamedTuple):
    """A file in the archive.

    Attributes:
        name: of five bytes.
        flags: general purpose bits.
        size: bytes.
        at: where its local header starts, bytes.
        zip64: whether sizes and offsets have 8 bytes.
    """

    name: bytes
    flags: int
    size: int
    at: int
    zip64: bool

    @property
    def _common(self) -> tuple[int, ...]:
        """Version needed, flags, method, time, date, and a place for the CRC."""
        return 45 if self.zip64 else 20, self.flags, 0, 0, _DATE, 0

    def local_header(self, end: int = 0) -> bytes:
        """Return what stands ahead of the member, padded to end at ``end`` if that is not 0."""
        size = 0 if self.flags & _IN_DESCRIPTOR else self.size
        extra = struct.pack("<2H2Q", 1, 16, size, size) if self.zip64 else b""
        if end:
            padding = end - _LOCAL.size - len(self.name) - len(extra) - 4
            extra += struct.pack("<3H", _ALIGNMENT, padding, _ARRAY).ljust(4 + padding, b"\0")
        size = 0xFFFFFFFF if self.zip64 else size
        lengths = len(self.name), len(extra)
        return _LOCAL.pack(b"PK\3\4", *self._common, size, size, *lengths) + self.name + extra

    def descriptor(self) -> bytes:
        """Return what stands behind the member."""
        layout = "<4sL2Q" if self.zip64 else "<4s3L"
        return struct.pack(layout, b"PK\7\x08", 0, self.size, self.size)

    def central_header(self) -> bytes:
        """Return its entry in the central directory."""
        size, at, extra = self.size, self.at, b""
        if self.zip64:
            extra = struct.pack("<2H3Q", 1, 24, size, size, at)
            size = at = 0xFFFFFFFF
        fields = size, size, len(self.name), len(extra), 0, 0, 0, 0, at
        made_by = self._common[0]
        return _CENTRAL.pack(b"PK\1\2", made_by, *self._common, *fields) + self.name + extra


def _end(at: int, size: int, zip64: bool) -> bytes:
    """Return what stands behind the central directory, which starts at ``at``."""
    if not zip64:
        return _END.pack(b"PK\5\6", 0, 0, 2, 2, size, at, 0)
    record = b"PK\6\6", 44, 45, 45, 0, 0, 2, 2, size, at
    locator = b"PK\6\7", 0, at + size, 1
    return _END_64.pack(*record, *locator) + _END.pack(b"PK\5\6", 0, 0, 2, 2, size, 0xFFFFFFFF, 0)


def _own(zip64: bool) -> int:
    """Return the bytes of the format's own, labels left out."""
    member = _Member(b"x.npy", _IN_DESCRIPTOR, 0, 0, zip64)
    behind = 2 * len(member.central_header()) + len(_end(0, 0, zip64))
    labels = _Member(b"y.npy", 0, 0, 0, zip64)
    return PAGE + len(member.descriptor()) + len(labels.local_header()) + _ARRAY + behind


LEAST = _own(False) + _LABEL + 1  # bytes of the smallest file


def container(size: int, record: int | None, _: bool) -> Container:
    """Return the file of ``size`` bytes: an array x of records and an array y of their labels.

    x is uint8 of shape (record, records), C-ordered, as DLIO writes it: a record is x[..., i], and
    its bytes stand ``records`` bytes apart. y is int64 of shape (records,), all zero.
    """
    zip64 = size >= _ZIP64
    room = size - _own(zip64)
    record = min(record or room, room - _LABEL)
    records, gap = divmod(room, record + _LABEL)
    payload = record * records

    x_head = npy.header(f"({record}, {records})", _ARRAY)
    y_head = npy.header(f"({records},)", _ARRAY, "<i8")
    x = _Member(b"x.npy", _IN_DESCRIPTOR, _ARRAY + payload, 0, zip64)
    descriptor = x.descriptor()
    y_at = PAGE + payload + len(descriptor)
    y = _Member(b"y.npy", 0, _ARRAY + _LABEL * records, y_at, zip64)
    y_local = y.local_header()
    # Payload behind it then stands as far from a page as in the payload, so that repeats align.
    padding = min(gap, -(len(descriptor) + len(y_local) + y.size) % PAGE)
    rest = gap - padding
    directory = x.central_header() + y.central_header()
    end = _end(size - len(directory) - len(_end(0, 0, zip64)), len(directory), zip64)

    def x_crc(at: int) -> Crc:
        return Crc(at, CrcKind.CRC_32, x_head, payload, payload=0)

    def y_crc(at: int) -> Crc:
        return Crc(at, CrcKind.CRC_32, y_head, _LABEL * records)

    runs = runs_of(
        Run("header", x.local_header(PAGE - _ARRAY) + x_head, payload, payload=0),
        Run("data descriptor", descriptor, fields=(x_crc(4),)),
        Run("labels", y_local + y_head, _LABEL * records, fields=(y_crc(14),)),
        Run("padding", hole=padding),
        Run("rest", hole=rest, payload=payload),
        Run(
            "central directory",
            directory + end,
            fields=(x_crc(16), y_crc(len(directory) // 2 + 16)),
        ),
    )
    return Container(runs, record, records, record, rest)

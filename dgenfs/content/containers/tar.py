"""Tar archives of samples as WebDataset reads them: a `.bin` and a `.cls` member each.

Sources: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Header Block"; GNU tar 1.34,
src/create.c, for sizes that have no eleven octal digits; WebDataset 1.0.2, tariterators.py, for
names of members.
"""

from dgenfs.content.containers.frames import (
    LARGE,
    PAGE,
    RECORD,
    Container,
    Encoding,
    Number,
    Run,
    most_records,
    round_up,
    runs_of,
    stride_of,
)

_BLOCK = 512  # bytes
_LABEL = 2 * _BLOCK  # bytes of the member behind a record's payload
_END = 2 * _BLOCK  # bytes of zeros that end an archive
_LEAST_PAX = 3 * _BLOCK  # bytes of a pax header's member, and of the header behind it
_OCTAL = 1 << 33  # bytes; the first size that eleven octal digits do not hold
_MTIME = 1577836800  # 2020-01-01, as files of a mount have
_DIGITS = 6  # of a member's name, at the least
_CHECKSUM = 148  # where a header's checksum stands


def _header(name: bytes, size: int, kind: bytes = b"0") -> bytes:
    """Return a member's header, 512 bytes, with its checksum."""
    octal = b"%011o\0" % size
    head = (
        bytearray()
        .join(
            (
                name.ljust(100, b"\0"),
                b"0000644\0" + b"0000000\0" * 2,  # mode, uid and gid
                octal if size < _OCTAL else b"\x80" + size.to_bytes(11, "big"),
                b"%011o\0" % _MTIME,
                b" " * 8,  # what the checksum counts in its own place
                kind + bytes(100) + b"ustar\00000",
                bytes(64) + b"0000000\0" * 2,  # names of user and group, device numbers
            )
        )
        .ljust(_BLOCK, b"\0")
    )
    head[_CHECKSUM : _CHECKSUM + 8] = b"%06o\0 " % sum(head)
    return bytes(head)


def _pax(size: int, room: int) -> bytes:
    """Return a pax header of ``room`` bytes for a member of ``size`` bytes, as a member."""
    value = b""
    if size >= _OCTAL:
        record = b" size=%d\n" % size
        value = b"%d" % (len(record) + 2) + record
    left = room - _BLOCK - len(value)
    value += (b"%d comment=" % left).ljust(left - 1) + b"\n"
    return _header(b"././@PaxHeader", len(value), b"x") + value


def _name(at: int, header: bytes, digits: int, first: int) -> tuple[Number, Number]:
    """Return what numbers the members whose header, numbered 0, stands at byte ``at``."""
    others = header[:_CHECKSUM] + b" " * 8 + header[_CHECKSUM + 8 :]
    return (
        Number(at, digits, Encoding.DECIMAL, first, 1),
        Number(at + _CHECKSUM, 6, Encoding.TAR_CHECKSUM, first, 1, sum(others)),
    )


def _run(frame: int, length: int, digits: int, first: int, count: int, payload: int) -> Run:
    """Return records of ``length`` bytes, of which ``frame`` bytes ahead of the payload."""
    number = b"0" * digits
    member = _header(number + b".bin", length)
    pax = _pax(length, frame - _BLOCK) if frame > _BLOCK else b""
    padding = bytes(-length % _BLOCK)
    label = _header(number + b".cls", 1)
    return Run(
        "record header",
        head=pax + member,
        hole=length,
        tail=padding + label + b"0".ljust(_BLOCK, b"\0"),
        payload=payload,
        count=count,
        fields=(
            *_name(len(pax), member, digits, first),
            *_name(frame + length + len(padding), label, digits, first),
        ),
    )


LEAST = 2 * _BLOCK + _LABEL + _END  # bytes of the smallest file


def container(size: int, record: int | None, repeats: bool) -> Container:
    """Return the file of ``size`` bytes: members of ``record`` bytes each, 128 KiB by default.

    The last has what is left, in whole blocks of 512 bytes.
    """
    record = min(record or RECORD, size)
    large = record >= LARGE
    own = (_LEAST_PAX if large else _BLOCK) + _LABEL
    stride = stride_of(record, own, _BLOCK, repeats=repeats)
    room = round_up(record, _BLOCK)
    first = PAGE if large else _BLOCK

    def end(records: int) -> int:
        return first + room + _LABEL + (records - 1) * stride + _END

    records = most_records(end, size)
    rest = size % _BLOCK
    last = room + size - rest - end(records)
    digits = max(_DIGITS, len(str(records - 1)))
    frame = stride - room - _LABEL
    if records == 1:
        runs: tuple[Run, ...] = (_run(first, last, digits, 0, 1, 0),)
    else:
        runs = (
            _run(first, record, digits, 0, 1, 0),
            _run(frame, record, digits, 1, records - 2, record),
            _run(frame, last, digits, records - 1, 1, (records - 1) * record),
        )
    footer = Run("footer", hole=_END + rest)
    return Container(runs_of(*runs, footer), min(record, last), records, last)

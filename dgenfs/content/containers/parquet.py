"""Apache Parquet: one column of byte arrays of fixed length, in row groups of one page each.

Source: parquet-format 2.11 (README, Encodings, parquet.thrift) and Thrift's compact protocol.
"""

from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from itertools import count

from dgenfs.content.containers.frames import (
    LARGE,
    PAGE,
    RECORD,
    Container,
    ContainerError,
    Encoding,
    Number,
    Run,
    most_records,
    runs_of,
    stride_of,
    varint,
)

MOST_PAGE = 2**31 - 1  # bytes; pages and records have lengths of 32 bits with a sign
MOST_GROUPS = 1_000_000  # Arrow's readers refuse longer lists
_MOST_ROWS = 1024  # of a row group

# A field of a struct starts with how much its number exceeds the one before, in the upper half of a
# byte, and its type: 5 and 6 are integers of 32 and 64 bits, 8 strings, 9 lists, 12 structs.
_INT32, _INT64, _STRUCT = 5, 6, 12


def _field(step: int, kind: int, value: int) -> bytes:
    """Return an integer that is not negative, ``step`` field numbers on."""
    return bytes([step << 4 | kind]) + varint(2 * value)


def _list(items: int) -> bytes:
    """Return what stands ahead of the structs of a list."""
    return bytes([items << 4 | _STRUCT]) if items < 15 else b"\xfc" + varint(items)


def _page_header(record: int, rows: int) -> bytes:
    size = record * rows
    page = _field(1, _INT32, 0) + _field(1, _INT32, size) + _field(1, _INT32, size)
    plain = _field(1, _INT32, rows) + b"\x15\x00\x15\x06\x15\x06"  # levels would be RLE
    return page + b"\x2c" + plain + b"\x00\x00"


@dataclass(frozen=True)
class _Table:
    """Where things stand in a file.

    Attributes:
        size: bytes of the file.
        record: bytes of a row.
        repeats: whether units of the content repeat.
    """

    size: int
    record: int
    repeats: bool

    @cached_property
    def rows(self) -> int:
        """Rows of a row group that is not the last."""
        return max(1, min(_MOST_ROWS, MOST_PAGE // self.record))

    @cached_property
    def page_header(self) -> bytes:
        """What stands ahead of the values of such a row group."""
        return _page_header(self.record, self.rows)

    @cached_property
    def first(self) -> int:
        """Where the values start, bytes."""
        large = min(self.size, self.rows * self.record) >= LARGE
        return PAGE if large else 4 + len(self.page_header)

    @cached_property
    def stride(self) -> int:
        """Bytes from the values of a row group to those of the next."""
        page, own = self.rows * self.record, len(self.page_header)
        return stride_of(page, own, 1, repeats=self.repeats)

    def groups(self, records: int) -> tuple[int, int]:
        """Return the row groups, and the rows of the last."""
        groups = -(-records // self.rows)
        return groups, records - (groups - 1) * self.rows

    def schema(self, records: int) -> bytes:
        """Return what the footer has ahead of the row groups."""
        record = b"\x15\x0e" + _field(1, _INT32, self.record) + b"\x15\x00\x18\x04data\x00"
        schema = b"\x19\x2c" + b"\x48\x06schema\x15\x02\x00" + record
        rows = _field(1, _INT64, records) + b"\x19" + _list(self.groups(records)[0])
        return b"\x15\x02" + schema + rows

    def entry(self, rows: int, offset: int, step: int) -> tuple[bytes, tuple[Number, ...]]:
        """Return a row group in the footer, and where it says how its place varies.

        Args:
            rows: its rows.
            offset: where its page header starts, bytes.
            step: bytes from there to the next one's.
        """
        width = len(varint(2 * self.size))
        total = len(_page_header(self.record, rows)) + self.record * rows
        column = b"\x15\x0e\x19\x15\x00\x19\x18\x04data\x15\x00" + _field(1, _INT64, rows)
        column += _field(1, _INT64, total) + _field(1, _INT64, total)
        head = b"\x19\x1c\x26\x00\x1c" + column + b"\x26"
        middle = b"\x00\x00" + _field(1, _INT64, total) + _field(1, _INT64, rows) + b"\x26"
        tail = _field(1, _INT64, total) + b"\x00"
        places = len(head), len(head) + width + len(middle)
        return head + bytes(width) + middle + bytes(width) + tail, tuple(
            Number(at, width, Encoding.VARINT, 2 * offset, 2 * step) for at in places
        )

    @cached_property
    def entry_size(self) -> int:
        """Bytes of a row group in the footer, but of the last."""
        return len(self.entry(self.rows, 0, 0)[0])

    def footer(self, records: int) -> int:
        """Return the bytes of the footer, less its length and the signature."""
        groups, last = self.groups(records)
        entries = (groups - 1) * self.entry_size + len(self.entry(last, 0, 0)[0])
        return len(self.schema(records)) + entries + 1

    def end(self, records: int) -> int:
        """Return the bytes of a file of so many rows."""
        groups, last = self.groups(records)
        values = (groups - 1) * self.stride + last * self.record
        return self.first + values + self.footer(records) + 8

    @property
    def records(self) -> int:
        """How many rows there is room for."""
        return most_records(self.end, self.size)


LEAST = next(size for size in count(1) if _Table(size, 1, False).end(1) <= size)


def _table(size: int, record: int, repeats: bool) -> _Table:
    """Return a table of records as large as asked, if one of them fits, and within the limits."""
    if _Table(size, record, repeats).end(1) > size:
        record = most_records(lambda r: _Table(size, r, repeats).end(1), size)
    if record > MOST_PAGE:
        raise ContainerError(
            f"a value of parquet has at most {MOST_PAGE} bytes, and a record of {record} has more; "
            f"name an r of at most {MOST_PAGE}"
        )
    table = _Table(size, record, repeats)
    groups, _ = table.groups(table.records)
    if groups > MOST_GROUPS:
        best = MOST_PAGE // _MOST_ROWS

        def fits(record: int) -> bool:
            table = _Table(size, record, repeats)
            return table.groups(table.records)[0] <= MOST_GROUPS

        enough = 1 + bisect_left(range(1, best), x=True, key=fits)
        raise ContainerError(
            f"a parquet file has at most {MOST_GROUPS} row groups, each below 2 GiB, and {size} "
            f"bytes in records of {record} take {groups}; "
            + (
                f"name an r of {enough} to {best}"
                if fits(enough)
                else "no parquet file is above 1.9 PiB"
            )
        )
    return table


def container(size: int, record: int | None, repeats: bool) -> Container:
    """Return the file of ``size`` bytes: a column of byte arrays, each a record.

    Raises:
        ContainerError: if a record is 2 GiB or more, or if there are more row groups than readers
            take.
    """
    table = _table(size, record or RECORD, repeats)
    records, record = table.records, table.record
    groups, last = table.groups(records)
    rest = size - table.end(records)
    own, page = len(table.page_header), table.rows * record
    before = (groups - 1) * table.stride
    header = _page_header(record, last)
    entry, fields = table.entry(table.rows, table.first - own, table.stride)
    end, end_fields = table.entry(last, table.first + before - len(header), 0)
    footer = table.footer(records)
    runs = runs_of(
        Run("header", b"PAR1", table.first - own - 4),
        Run(
            "page header",
            table.page_header,
            page,
            bytes(table.stride - page - own),
            payload=0,
            count=groups - 1,
        ),
        Run(
            "page header",
            bytes(own - len(header)) + header,
            last * record + rest,
            payload=(groups - 1) * page,
        ),
        Run("footer", table.schema(records)),
        Run("footer", entry, count=groups - 1, fields=fields),
        Run("footer", end + b"\0" + footer.to_bytes(4, "little") + b"PAR1", fields=end_fields),
    )
    return Container(runs, record, records, record, rest)

"""TFRecord: a tf.train.Example in each record, and the index that DALI reads beside the file.

Sources: TensorFlow 2.21, tensorflow/core/lib/io/record_writer.cc, for the record, and
tensorflow/core/example/{example,feature}.proto for what is in it; Protocol Buffers, Encoding;
DALI 2.4.0, tfrecord2idx, for the index.
"""

from collections.abc import Iterator
from typing import NamedTuple

from dgenfs.content.containers.frames import (
    LARGE,
    PAGE,
    RECORD,
    Container,
    ContainerError,
    Crc,
    CrcKind,
    Encoding,
    Number,
    Run,
    most_records,
    stride_of,
    varint,
)

_LENGTH = 12  # bytes ahead of a record's data: its length, and the CRC of that
_CRC = 4  # bytes behind a record's data
_LEAST_PAD = 128  # bytes; with fewer, lengths would fit in one byte where others take two
_MESSAGE = (1 << 31) - PAGE  # bytes; parsers take less than 2 GiB, and keep some to themselves
_SAFE_RECORD = 1000 << 20  # bytes; twice that, and framing, is below _MESSAGE


class _Span(NamedTuple):
    """Records that are alike.

    Attributes:
        frame: bytes from a record's start to its payload.
        length: bytes of its payload.
        records: how many.
    """

    frame: int
    length: int
    records: int

    @property
    def stride(self) -> int:
        """Bytes of a record."""
        return self.frame + self.length + _CRC


class _Plan(NamedTuple):
    """How a file is made up.

    Attributes:
        record: bytes of payload of all records but the last.
        width: bytes of each varint that depends on a record's payload.
        spans: all records, in order.
    """

    record: int
    width: int
    spans: tuple[_Span, ...]


def _delimited(tag: bytes, value: bytes, width: int, more: int = 0) -> bytes:
    """Return a field; ``more`` bytes of its value are to follow, its length has ``width``."""
    return tag + varint(len(value) + more, width) + value


def _feature(name: bytes, kind: bytes, value: bytes, width: int, more: int = 0) -> bytes:
    """Return an entry of the map in Features, whose list ``kind`` has one value."""
    values = _delimited(b"\x0a", value, width, more)
    feature = _delimited(kind, values, width, more)
    entry = _delimited(b"\x0a", name, 1) + _delimited(b"\x12", feature, width, more)
    return _delimited(b"\x0a", entry, width, more)


def _example(length: int, width: int, pad: bytes = b"") -> bytes:
    """Return an Example up to its ``length`` bytes of payload, the last of its bytes."""
    features = _feature(b"pad", b"\x0a", pad, 2) if pad else b""
    features += _feature(b"size", b"\x1a", varint(length, width), 1)
    features += _feature(b"image", b"\x0a", b"", width, length)
    return _delimited(b"\x0a", features, width, length)


def _width(record: int) -> int:
    """Return the bytes of a varint that holds any length in a file of such records.

    The last record has less than two records' payload, and their framing.
    """
    most = 2 * record + (256 if record < LARGE else 3 * PAGE)
    return (most.bit_length() + 6) // 7


def _plan(size: int, record: int | None, repeats: bool) -> _Plan:
    record = min(record or RECORD, size)
    width = _width(record)
    if record < LARGE:
        frame = first = _LENGTH + len(_example(0, width))
    else:
        frame, first = _LENGTH + len(_example(0, width, bytes(_LEAST_PAD))), PAGE
    stride = stride_of(record, frame + _CRC, 1, repeats=repeats)
    frame = stride - record - _CRC

    def end(records: int) -> int:
        return first + record + _CRC + (records - 1) * stride

    records = most_records(end, size)
    last = record + size - end(records)
    if records == 1:
        return _Plan(min(record, last), width, _readable(_Span(first, last, 1)))
    spans = _readable(
        _Span(first, record, 1),
        _Span(frame, record, records - 2),
        _Span(frame, last, 1),
    )
    return _Plan(record, width, spans)


def _readable(*spans: _Span) -> tuple[_Span, ...]:
    """Return those of the spans that have records."""
    for span in spans:
        message = span.frame - _LENGTH + span.length
        if message > _MESSAGE:
            raise ContainerError(
                f"a record of {span.length} bytes makes a message of {message}, and Protocol"
                f" Buffers reads at most {_MESSAGE}; name an r of at most {_SAFE_RECORD}"
            )
    return tuple(span for span in spans if span.records)


def _run(span: _Span, width: int, payload: int) -> Run:
    """Return the records of a span, whose payload starts at byte ``payload`` of all payload."""
    data = span.frame - _LENGTH
    room = data - len(_example(span.length, width))
    if room:
        room -= len(_feature(b"pad", b"\x0a", b"", 2))
    example = _example(span.length, width, bytes(room))
    length = (data + span.length).to_bytes(8, "little")
    return Run(
        "record header",
        head=length + bytes(4) + example,
        hole=span.length,
        tail=bytes(_CRC),
        payload=payload,
        count=span.records,
        fields=(
            Crc(8, CrcKind.CRC_32C_MASKED, length),
            Crc(
                span.frame + span.length,
                CrcKind.CRC_32C_MASKED,
                example,
                span.length,
                payload,
                span.length,
            ),
        ),
    )


LEAST = _LENGTH + len(_example(1, _width(1))) + 1 + _CRC  # bytes of the smallest file


def container(size: int, record: int | None, repeats: bool) -> Container:
    """Return the file of ``size`` bytes: ``record`` bytes of payload a record, 128 KiB by default.

    The last takes what is left.

    Raises:
        ContainerError: a record is too long for Protocol Buffers.
    """
    plan = _plan(size, record, repeats)
    runs: list[Run] = []
    payload = 0
    for span in plan.spans:
        runs.append(_run(span, plan.width, payload))
        payload += span.length * span.records
    return _container(plan, tuple(runs))


def index(size: int, record: int | None, repeats: bool) -> Container:
    """Return the index of the file that ``container`` returns for the same arguments.

    Each record has a line: where it starts and its length, both bytes, in decimal.

    Raises:
        ContainerError: see ``container``.
    """
    plan = _plan(size, record, repeats)
    runs: list[Run] = []
    start = 0
    for span in plan.spans:
        runs += _lines(start, span)
        start += span.stride * span.records
    return _container(plan, tuple(runs))


def _lines(start: int, span: _Span) -> Iterator[Run]:
    """Yield a run for each number of digits that a record's start has."""
    count = span.records
    while count:
        digits = len(str(start))
        alike = min(count, -(-(10**digits - start) // span.stride))
        yield Run(
            "index",
            head=b"%0*d %d\n" % (digits, 0, span.stride),
            count=alike,
            fields=(Number(0, digits, Encoding.DECIMAL, start, span.stride),),
        )
        start, count = start + alike * span.stride, count - alike


def _container(plan: _Plan, runs: tuple[Run, ...]) -> Container:
    records = sum(span.records for span in plan.spans)
    return Container(runs, plan.record, records, plan.spans[-1].length)

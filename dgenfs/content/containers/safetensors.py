"""The format of Hugging Face's safetensors library: tensors of bytes, one behind the other.

Source: the section "Format" of the library's README, and what its version 0.4 and later check.
"""

from bisect import bisect_left
from itertools import count

from dgenfs.content.containers.frames import (
    LARGE,
    PAGE,
    Container,
    ContainerError,
    Encoding,
    Number,
    Run,
    most_records,
    round_up,
    runs_of,
)

MOST_HEADER = 100_000_000  # bytes; the library refuses more


def _entry(index: int, digits: int, start: int, end: int, width: int) -> bytes:
    """Return a tensor's place in the header, with a comma behind it."""
    return (
        f'"layer.{index:0{digits}}.weight":{{"dtype":"U8","shape":[{end - start:{width}}],'
        f'"data_offsets":[{start:{width}},{end:{width}}]}},'
    ).encode()


def _digits(records: int) -> int:
    """Return the digits of a tensor's number."""
    return max(3, len(str(records - 1)))


def _first(size: int, record: int, records: int) -> int:
    """Return where the payload starts, bytes."""
    entry = len(_entry(0, _digits(records), 0, 0, len(str(size))))
    return round_up(9 + records * entry, PAGE if min(record, size) >= LARGE else 8)


LEAST = next(size for size in count() if _first(size, 1, 1) < size)


def _records(size: int, record: int) -> int:
    """Return how many tensors a file has."""
    return most_records(lambda n: _first(size, record, n) + n * record, size)


def container(size: int, record: int | None, _: bool) -> Container:
    """Return the file of ``size`` bytes: tensors of ``record`` bytes, or one of all the payload.

    Raises:
        ContainerError: if the header were larger than the library takes.
    """
    record = record or size
    records = _records(size, record)
    first = _first(size, record, records)
    if first - 8 > MOST_HEADER:
        enough = bisect_left(
            range(1, size),
            x=True,
            key=lambda r: _first(size, r, _records(size, r)) - 8 <= MOST_HEADER,
        )
        raise ContainerError(
            f"a safetensors header has at most {MOST_HEADER} bytes, and {size} bytes in records of "
            f"{record} take one of {first - 8}; name an r of at least {1 + enough}"
        )
    payload = size - first
    record = min(record, payload)
    digits, width = _digits(records), len(str(size))
    entry = _entry(0, digits, 0, record, width)
    before = (records - 1) * record
    # The end's comma is the one character too many.
    end = _entry(records - 1, digits, before, payload, width)[:-1] + b"}"
    runs = runs_of(
        Run("header", (first - 8).to_bytes(8, "little") + b"{"),
        Run(
            "header",
            entry,
            count=records - 1,
            fields=(
                Number(len('"layer.'), digits, Encoding.DECIMAL, 0, 1),
                Number(len(entry) - 2 * width - 4, width, Encoding.SPACED, 0, record),
                Number(len(entry) - width - 3, width, Encoding.SPACED, record, record),
            ),
        ),
        Run("header", end),
        Run("padding", hole=first - 9 - records * len(entry), filler=ord(" ")),
        Run("tensors", hole=payload, payload=0),
    )
    return Container(runs, record, records, payload - before)

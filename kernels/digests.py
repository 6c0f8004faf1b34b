"""CRCs of content, each range of it computed once: by its distinct bytes, and kept.

Called by frames. The table of what is kept is shared by all threads of the process, without a lock:
an entry is two words, of which one is exclusive or of the other and the hash of what it is of, so
that one that another thread is writing is of nothing.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from dgenfs.kernels.crc import combine, crc, repeat
from dgenfs.kernels.fill import fill
from dgenfs.kernels.jit import BYTES, ROW, inlined, kernel
from dgenfs.kernels.memory import set_word_at, word_at
from dgenfs.kernels.row import KEY, PERIOD
from dgenfs.kernels.words import GAMMA, mix

DONE = 0
TOO_LONG = 1  # more bytes would have to be generated than the caller allows
STOPPED = 2

UNLIMITED = np.uint64(2**64 - 1)


class Patience(NamedTuple):
    """How long somebody waits for a CRC.

    Attributes:
        most: uint64, most bytes to generate for it.
        ended: uint64, address of a word that ends it when it is not 0; 0 for none.
        given_up: uint64, address of a word that ends it when it is ``unique``; 0 for none.
        unique: uint64.
    """

    most: np.uint64
    ended: np.uint64
    given_up: np.uint64
    unique: np.uint64


PATIENCE = types.NamedUniTuple(types.uint64, 4, Patience)
_NONE = np.uint64(0)
ENDLESS = Patience(UNLIMITED, _NONE, _NONE, _NONE)
MOST = 4 << 20  # bytes of a CRC that is not long: 0.3 ms
SOON = Patience(np.uint64(MOST), _NONE, _NONE, _NONE)


def until(ended: NDArray[Any]) -> Patience:
    """Return the patience that ends when the first of ``ended`` (uint64 or int64) is not 0.

    The array must be there as long as somebody has the patience.
    """
    return Patience(UNLIMITED, np.uint64(ended.ctypes.data), _NONE, _NONE)


ENTRIES = 1 << 16
TABLE: NDArray[np.uint64] = np.zeros((ENTRIES, 2), np.uint64)

# Bytes that are kept apart when a range is longer, so that who was stopped goes on from there.
PIECE = 16 << 20
# Bytes of the ranges that are not kept: so many are generated as fast as others push them out.
SHORT = 1 << 20
_CHUNK = 64 << 10  # bytes generated at a time, which a core's own cache holds

_ENTRIES = np.uint64(ENTRIES)
_LOWER_HALF = np.uint64(0xFFFFFFFF)
_ZERO = np.uint64(0)


@inlined
def entry_of(table, key, offset, length, kind):
    """Return the address (uint64) of the entry of a range, and two hashes (uint64) of the range."""
    first = mix(mix(key + offset * GAMMA) ^ (length + np.uint64(kind) * GAMMA))
    second = mix(first + GAMMA)
    return table + (first % _ENTRIES) * np.uint64(16), mix(first ^ key), second & ~_LOWER_HALF


@inlined
def look_up(table, key, offset, length, kind):
    """Return whether the CRC of a range is kept, and it (uint64)."""
    entry, mark, half = entry_of(table, key, offset, length, kind)
    value = word_at(entry + np.uint64(8))
    known = word_at(entry) ^ value == mark and value & ~_LOWER_HALF == half
    return known, value & _LOWER_HALF


@inlined
def keep(table, key, offset, length, kind, value):
    """Keep the CRC of a range, in place of another's."""
    entry, mark, half = entry_of(table, key, offset, length, kind)
    set_word_at(entry, _ZERO)
    set_word_at(entry + np.uint64(8), half | value)
    set_word_at(entry, mark ^ (half | value))


@kernel(
    types.void(types.uint64, types.uint64, types.uint64, types.uint64, types.int64, types.uint64)
)
def keep_crc(table, key, offset, length, kind, value):
    """Keep the CRC of a range that is no longer than the period.

    Args:
        table: uint64, address of TABLE.
        key: uint64, the content's.
        offset: uint64, content offset of the first byte.
        length: uint64, bytes.
        kind: int64, crc.CRC_32 or crc.CRC_32C.
        value: uint64, the CRC.
    """
    keep(table, key, offset, length, kind, value)


@inlined
def is_over(patience):
    """Return whether nobody waits any longer."""
    if patience.ended != _ZERO and word_at(patience.ended) != _ZERO:
        return True
    return patience.given_up != _ZERO and word_at(patience.given_up) == patience.unique


@kernel(
    types.UniTuple(types.uint64, 2)(
        ROW,
        types.uint64,
        types.uint64,
        types.int64,
        types.uint64,
        PATIENCE,
        types.uint8[::1],
    )
)
def crc_of_piece(row, offset, length, kind, table, patience, buffer):
    """Return whether it was stopped (uint64), and the CRC of content of at most a piece.

    A whole piece is kept.
    """
    key = row[KEY]
    whole = length == np.uint64(PIECE)
    if whole:
        known, value = look_up(table, key, offset, length, kind)
        if known:
            return _ZERO, value
    value = _ZERO
    done = _ZERO
    while done < length:
        if is_over(patience):
            return np.uint64(STOPPED), _ZERO
        chunk = buffer[: np.int64(min(np.uint64(buffer.size), length - done))]
        fill(chunk, (offset + done) % row[PERIOD], row)
        value = crc(chunk, value, kind)
        done += np.uint64(chunk.size)
    if whole:
        keep(table, key, offset, length, kind, value)
    return _ZERO, value


@kernel(
    types.UniTuple(types.uint64, 2)(
        ROW,
        types.uint64,
        types.uint64,
        types.int64,
        BYTES,
        types.uint64,
        PATIENCE,
    )
)
def crc_within_period(row, offset, length, kind, ready, table, patience):
    """Return what ``crc_of_content`` does, of a range that is no longer than the period."""
    key = row[KEY]
    kept = length > np.uint64(SHORT)
    missing = length
    if kept:
        # What the caller has it may also have overwritten, and others would get that CRC.
        known, value = look_up(table, key, offset, length, kind)
        if known:
            return np.uint64(DONE), value
    else:
        missing -= np.uint64(ready.size)
        if missing == _ZERO:
            return np.uint64(DONE), crc(ready, _ZERO, kind)
    if missing > patience.most:
        return np.uint64(TOO_LONG), _ZERO
    value = _ZERO
    done = _ZERO
    buffer = np.empty(np.int64(min(np.uint64(_CHUNK), missing)), np.uint8)
    while done < missing:
        piece = min(np.uint64(PIECE), missing - done)
        at = (offset + done) % row[PERIOD]
        status, more = crc_of_piece(row, at, piece, kind, table, patience, buffer)
        if status != np.uint64(DONE):
            return status, _ZERO
        value = combine(value, more, piece, kind)
        done += piece
    if kept:
        keep(table, key, offset, length, kind, value)
    else:
        value = crc(ready, value, kind)
    return np.uint64(DONE), value


@kernel(
    types.UniTuple(types.uint64, 2)(
        ROW,
        types.uint64,
        types.uint64,
        types.int64,
        BYTES,
        types.uint64,
        PATIENCE,
    )
)
def crc_of_content(row, offset, length, kind, ready, table, patience):
    """Return the CRC of a range of content.

    Of what repeats, one period is looked at: the others follow from it.

    Args:
        row: uint64[ROW_WORDS].
        offset: uint64, content offset of the first byte.
        length: uint64, bytes.
        kind: int64, crc.CRC_32 or crc.CRC_32C.
        ready: uint8[::1], the last bytes of the range, as far as the caller has them; used of
            short ranges only.
        table: uint64, address of TABLE.
        patience: Patience.

    Returns:
        uint64 each: DONE, TOO_LONG or STOPPED; the CRC.
    """
    period = row[PERIOD]
    if length <= period:
        return crc_within_period(row, offset, length, kind, ready, table, patience)
    rest = length % period
    nothing = ready[:0]
    status, head = crc_within_period(row, offset, rest, kind, nothing, table, patience)
    if status != np.uint64(DONE):
        return status, _ZERO
    at = (offset + rest) % period
    size = period - rest
    status, tail = crc_within_period(row, at, size, kind, nothing, table, patience)
    whole = combine(head, tail, size, kind)
    return status, combine(repeat(whole, period, length // period, kind), head, rest, kind)

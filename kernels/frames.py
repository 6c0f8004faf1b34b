"""Containers: any bytes of a file of content between a format's own bytes.

Called by files. A row's FRAMES is the address of a program, uint64[], that
``dgenfs.content.containers.packing`` writes: runs that repeat, the bytes they consist of, and the
fields among these that differ from repetition to repetition. The reference is tests/containers.
"""

import numpy as np
from numba import types

from dgenfs.kernels.compare import are_equal, compare
from dgenfs.kernels.crc import combine, masked
from dgenfs.kernels.digests import DONE, PATIENCE, crc_of_content
from dgenfs.kernels.fill import file_offset, fill
from dgenfs.kernels.jit import BYTES, ROW, inlined, kernel
from dgenfs.kernels.memory import copy_from, word_at
from dgenfs.kernels.row import FRAMES, SECTOR, WORD

# Words of a program
RUNS = 0  # how many
TABLE = 1  # address of digests.TABLE
FIRST = 2  # of the first run

# Words of a run, by Run's attributes
START = 0  # bytes of the file before it
COUNT = 1
STRIDE = 2
HEAD = 3  # bytes
HOLE = 4
TEXT = 5  # of head and tail, bytes from the program's start
PAYLOAD = 6  # NO_PAYLOAD for padding
FILLER = 7
FIELDS = 8  # of the first one, words from the program's start
FIELD_COUNT = 9
RUN_WORDS = 10

NO_PAYLOAD = 2**64 - 1

# Words of a field, by Number's and Crc's attributes
AT = 0
WIDTH = 1
ENCODING = 2  # of a number; CRC and the kind for a CRC
BASE = 3  # of a CRC, where the payload that it covers starts
STEP = 4
MORE = 5  # of a CRC, that of the bytes ahead of the payload
LENGTH = 6  # of a CRC, bytes of payload
FIELD_WORDS = 7

# How numbers are written: Encoding's, then what checksums come down to
DECIMAL, SPACED, VARINT, TAR_CHECKSUM, OCTAL, LITTLE = range(6)
CRC = 8

DIFFERENT = 3  # beside the statuses of digests

# Bytes that are made to compare them: own ones, and payload, whose ends, where they are no whole
# sectors, take longer to compare than to make.
_OWN = 8192
_RUN = np.uint64(WORD * RUN_WORDS)
_NO_PAYLOAD = np.uint64(NO_PAYLOAD)
_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_TEN = np.uint64(10)
_ZERO_DIGIT = np.uint64(ord("0"))
_SPACE = np.uint64(ord(" "))


@inlined
def word(base, number):
    """Return word ``number`` behind the address ``base`` (uint64)."""
    return word_at(base + np.uint64(WORD * number))


@inlined
def run_at(program, offset):
    """Return the address (uint64) of the run that byte ``offset`` (uint64) is in."""
    run = program + np.uint64(WORD * FIRST)
    last = run + (word(program, RUNS) - _ONE) * _RUN
    while run < last and word(run + _RUN, START) <= offset:
        run += _RUN
    return run


@inlined
def sum_of_digits(number):
    """Return the sum (uint64) of the decimal digits of ``number`` (uint64)."""
    total = _ZERO
    while number != _ZERO:
        total += number % _TEN
        number //= _TEN
    return total


@kernel(
    types.void(types.uint8[::1], types.int64, types.int64, types.int64, types.uint64, types.uint64)
)
def put_number(out, at, width, first, encoding, number):
    """Write a number, as far as it is within ``out``.

    Args:
        out: uint8[::1].
        at: int64, index of its first byte, which may be outside.
        width: int64, bytes.
        first: int64, the lowest index that may be written.
        encoding: uint64, one of those above.
        number: uint64.
    """
    base = np.uint64(8) if encoding == OCTAL else _TEN
    for i in range(width):
        # Digits are written from the last, bits from the first.
        place = at + (i if encoding in (LITTLE, VARINT) else width - 1 - i)
        if encoding == LITTLE:
            byte = number & np.uint64(255)
            number >>= np.uint64(8)
        elif encoding == VARINT:
            more = np.uint64(0x80) if i < width - 1 else _ZERO
            byte = (number & np.uint64(0x7F)) | more
            number >>= np.uint64(7)
        else:
            padding = encoding == SPACED and number == _ZERO and i > 0
            byte = _SPACE if padding else _ZERO_DIGIT + number % base
            number //= base
        if first <= place < out.size:
            out[place] = np.uint8(byte)


@kernel(
    types.UniTuple(types.uint64, 2)(
        types.uint64,
        types.uint64,
        types.uint64,
        types.uint64,
        BYTES,
        types.uint64,
        ROW,
        PATIENCE,
    )
)
def crc_field(field, table, file, repetition, ready, ready_at, row, patience):
    """Return the status, and what a CRC's field holds (uint64 each).

    Args:
        field: uint64, address of it.
        table: uint64, address of digests.TABLE.
        file: uint64, number of the file.
        repetition: uint64.
        ready: uint8[::1], bytes of payload that the caller has.
        ready_at: uint64, where in the payload they start.
        row: uint64[ROW_WORDS], with FRAMES.
        patience: Patience.
    """
    kind = np.int64(word(field, ENCODING)) - CRC
    start = word(field, BASE) + repetition * word(field, STEP)
    length = word(field, LENGTH)
    usable = ready if ready_at + np.uint64(ready.size) == start + length else ready[:0]
    if np.uint64(usable.size) > length:
        usable = usable[usable.size - np.int64(length) :]
    offset = file_offset(row, file, start)
    status, value = crc_of_content(row, offset, length, kind, usable, table, patience)
    value = combine(word(field, MORE), value, length, kind)
    return status, value if kind == 0 else masked(value)


@kernel(
    types.uint64(
        types.uint8[::1],
        types.int64,
        types.int64,
        types.uint64,
        types.uint64,
        types.uint64,
        types.uint64,
        types.uint64,
        BYTES,
        ROW,
        PATIENCE,
    )
)
def put_own(out, at, length, program, run, within, repetition, file, ready, row, patience):
    """Write a run's own bytes at ``out[at:]``, of the head or of the tail.

    Args:
        out: uint8[::1].
        at: int64, index of the first byte.
        length: int64, bytes.
        program: uint64, address.
        run: uint64, address of the run.
        within: uint64, bytes of the repetition before the first.
        repetition: uint64.
        file: uint64, number of the file.
        ready: uint8[::1], the end of the repetition's payload, as far as the caller has it.
        row: uint64[ROW_WORDS], with FRAMES.
        patience: Patience.

    Returns:
        uint64, see ``fill_frames``.
    """
    text = program + word(run, TEXT) + within
    if within >= word(run, HEAD):
        text -= word(run, HOLE)
    copy_from(out, at, text, length)
    written = out[: at + length]
    field = program + np.uint64(WORD) * word(run, FIELDS)
    for _ in range(np.int64(word(run, FIELD_COUNT))):
        place = at + np.int64(word(field, AT) - within)
        width = np.int64(word(field, WIDTH))
        if place < at + length and place + width > at:
            encoding = word(field, ENCODING)
            if encoding >= np.uint64(CRC):
                end = word(run, PAYLOAD) + (repetition + _ONE) * word(run, HOLE)
                status, value = crc_field(
                    field,
                    word(program, TABLE),
                    file,
                    repetition,
                    ready,
                    end - np.uint64(ready.size),
                    row,
                    patience,
                )
                if status != np.uint64(DONE):
                    return status
                encoding = np.uint64(LITTLE)
            else:
                value = word(field, BASE) + repetition * word(field, STEP)
                if encoding == TAR_CHECKSUM:
                    value = word(field, MORE) + sum_of_digits(value)
                    encoding = np.uint64(OCTAL)
            put_number(written, place, width, at, encoding, value)
        field += np.uint64(WORD * FIELD_WORDS)
    return np.uint64(DONE)


@inlined
def piece_at(run, offset, rest):
    """Return where a byte of a file is in its run, and how many that follow are of the same.

    Args:
        run: uint64, address of the run.
        offset: uint64, of the byte.
        rest: uint64, the most bytes.

    Returns:
        The repetition and the bytes of it before the byte (uint64 each); whether it is in the hole;
        the number of bytes (int64).
    """
    head, stride = word(run, HEAD), word(run, STRIDE)
    behind = head + word(run, HOLE)
    repetition = (offset - word(run, START)) // stride
    within = (offset - word(run, START)) % stride
    end = head if within < head else behind if within < behind else stride
    return repetition, within, head <= within < behind, np.int64(min(rest, end - within))


@inlined
def payload_position(run, repetition, within):
    """Return where in the payload (uint64) a byte of a run's hole is."""
    return word(run, PAYLOAD) + repetition * word(run, HOLE) + (within - word(run, HEAD))


@inlined
def run_behind(run, repetition, within):
    """Return the run (uint64) of the next byte after ``within`` bytes of a repetition."""
    ends = repetition + _ONE == word(run, COUNT) and within == word(run, STRIDE)
    return run + _RUN if ends else run


@inlined
def payload_before(data, at, run, within):
    """Return the payload of a run's hole that stands in ``data`` right before index ``at``."""
    behind = within == word(run, HEAD) + word(run, HOLE)
    if behind and word(run, PAYLOAD) != _NO_PAYLOAD:
        return data[at - np.int64(min(np.uint64(at), word(run, HOLE))) : at]
    return data[at:at]


@kernel(
    types.uint64(
        types.uint8[::1],
        types.uint64,
        types.uint64,
        ROW,
        PATIENCE,
    )
)
def fill_frames(out, file, offset, row, patience):
    """Fill ``out`` with the bytes of a container from ``offset`` on.

    Args:
        out: uint8[::1], filled whole; within the file.
        file: uint64, number of the file.
        offset: uint64, bytes.
        row: uint64[ROW_WORDS], with FRAMES.
        patience: Patience, for CRCs.

    Returns:
        uint64: digests.DONE; TOO_LONG or STOPPED, and ``out`` is of no use.
    """
    program = row[FRAMES]
    run = run_at(program, offset)
    at = np.int64(0)
    while at < out.size:
        repetition, within, in_hole, length = piece_at(run, offset, np.uint64(out.size - at))
        if in_hole:
            if word(run, PAYLOAD) == _NO_PAYLOAD:
                out[at : at + length] = np.uint8(word(run, FILLER))
            else:
                position = payload_position(run, repetition, within)
                fill(out[at : at + length], file_offset(row, file, position), row)
        else:
            ready = payload_before(out, at, run, within)
            status = put_own(
                out, at, length, program, run, within, repetition, file, ready, row, patience
            )
            if status != np.uint64(DONE):
                return status
        at += length
        offset += np.uint64(length)
        run = run_behind(run, repetition, within + np.uint64(length))
    return np.uint64(DONE)


@kernel(types.uint64(BYTES, types.uint64, types.uint64, ROW, PATIENCE))
def compare_frames(data, file, offset, row, patience):
    """Compare ``data`` with the bytes of a container from ``offset`` on.

    Args:
        data: uint8[::1], no longer than what the file has from there on.
        file: uint64, number of the file.
        offset: uint64, bytes.
        row: uint64[ROW_WORDS], with FRAMES.
        patience: Patience, for CRCs.

    Returns:
        uint64: digests.DONE if they are the same; DIFFERENT; TOO_LONG or STOPPED.
    """
    program = row[FRAMES]
    run = run_at(program, offset)
    own = np.empty(_OWN, np.uint8)
    at = np.int64(0)
    while at < data.size:
        repetition, within, in_hole, length = piece_at(run, offset, np.uint64(data.size - at))
        if in_hole:
            if word(run, PAYLOAD) == _NO_PAYLOAD:
                length = min(length, _OWN)
                own[:length] = np.uint8(word(run, FILLER))
                same = are_equal(data[at : at + length], own[:length])
            else:
                position = file_offset(row, file, payload_position(run, repetition, within))
                ends = (position | np.uint64(length)) % np.uint64(SECTOR) != _ZERO
                if ends and length <= _OWN:
                    fill(own[:length], position, row)
                    same = are_equal(data[at : at + length], own[:length])
                else:
                    same = compare(data[at : at + length], position, row)[0] < 0
        else:
            length = min(length, _OWN)
            # The payload was compared just now, and a CRC of it is wanted.
            ready = payload_before(data, at, run, within)
            status = put_own(
                own, 0, length, program, run, within, repetition, file, ready, row, patience
            )
            if status != np.uint64(DONE):
                return status
            same = are_equal(data[at : at + length], own[:length])
        if not same:
            return np.uint64(DIFFERENT)
        at += length
        offset += np.uint64(length)
        run = run_behind(run, repetition, within + np.uint64(length))
    return np.uint64(DONE)

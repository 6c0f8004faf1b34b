"""The amended reply to FUSE_INIT, without a mount."""

import errno
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgenfs.kernels.fuse import FOPEN_DIRECT_IO, Opcode
from dgenfs.kernels.opening import STORES_TAILS, open_flags
from dgenfs.mount.init_reply import (
    CONGESTION_THRESHOLD,
    MAX_BACKGROUND,
    MAX_PAGES,
    MAX_WRITE,
    Offer,
    ProtocolError,
    amend_init,
    error_reply,
    offer_of,
)
from dgenfs.mount.io_mode import Io
from dgenfs.mount.opening import SMALL, keeps_pages, opening_of, suit

# Linux include/uapi/linux/fuse.h
AUTO_INVAL_DATA = 1 << 12
MAX_PAGES_FLAG = 1 << 22
EXPLICIT_INVAL_DATA = 1 << 25
INIT_EXT = 1 << 30
DIRECT_IO_ALLOW_MMAP = 1 << 36
OVER_IO_URING = 1 << 41
ADDED = MAX_PAGES_FLAG | EXPLICIT_INVAL_DATA | INIT_EXT | DIRECT_IO_ALLOW_MMAP
OFFERED = INIT_EXT | DIRECT_IO_ALLOW_MMAP  # without INIT_EXT the upper half is not the kernel's
ALL = (1 << 64) - 1
UNIQUE = 0x8000_0000_1234_5678

flag_sets = st.integers(0, ALL)


def request(flags: int, length: int = 104) -> bytes:
    words = struct.pack(
        "<IIQQIIIIIIIII",
        *(length, Opcode.INIT, UNIQUE, 0, 0, 0, 0, 0),
        *(7, 45, 131072, flags & 0xFFFFFFFF, flags >> 32),
    )
    return words.ljust(length, b"\0")[:length]


def reply(flags: int, unique: int = UNIQUE, length: int = 80) -> bytes:
    words = struct.pack(
        "<IiQIIIIHHIIHHIIH",
        *(length, 0, unique, 7, 38, 131072, flags & 0xFFFFFFFF),
        *(0, 0, 1 << 20, 1, 256, 0, flags >> 32, 0, 0),
    )
    return words.ljust(length, b"\0")[:length]


def flags_of(message: bytes) -> int:
    return int(
        struct.unpack_from("<I", message, 28)[0] | struct.unpack_from("<I", message, 48)[0] << 32
    )


@given(offered=flag_sets, answered=flag_sets)
def test_flags(offered: int, answered: int) -> None:
    """What libfuse said and what was offered, nothing else."""
    answered &= offered
    found = flags_of(amend_init(request(offered), reply(answered)))
    # Without INIT_EXT the kernel's upper half is not one.
    seen = offered if offered & INIT_EXT else offered & 0xFFFFFFFF
    expected = answered | (seen & ADDED)
    if expected & EXPLICIT_INVAL_DATA:
        expected &= ~AUTO_INVAL_DATA
    assert found == expected & ~OVER_IO_URING
    if answered & ~offered == 0 and offered & INIT_EXT:
        assert found & ~offered == 0


def test_a_new_kernel() -> None:
    offered = 0x73FFFFFB | 0x7FD << 32
    found = flags_of(amend_init(request(offered), reply(offered & 0x7FFFFFFF)))
    assert found & ADDED == ADDED
    assert not found & (AUTO_INVAL_DATA | OVER_IO_URING)


def test_an_old_kernel_gets_no_more_than_it_knows() -> None:
    offered = AUTO_INVAL_DATA
    assert flags_of(amend_init(request(offered), reply(offered))) == AUTO_INVAL_DATA


@pytest.mark.parametrize("io_mode", Io)
@pytest.mark.parametrize("offered", [0, INIT_EXT, DIRECT_IO_ALLOW_MMAP, OFFERED], ids=hex)
def test_files_are_opened_as_the_kernel_can(
    offered: int, io_mode: Io, caplog: pytest.LogCaptureFixture
) -> None:
    opening = opening_of(io_mode)
    suit(opening, io_mode, offer_of(request(offered)))
    past = {SMALL: io_mode is Io.DIRECT, SMALL + 1: io_mode is not Io.CACHED}
    if io_mode is Io.AUTO and offered != OFFERED:
        past[SMALL + 1] = False
        assert "through the page cache" in caplog.text
    else:
        assert caplog.records == []
    for size in (SMALL, SMALL + 1):
        flags = int(open_flags(np.uint64(size), opening.limits))
        assert bool(flags & FOPEN_DIRECT_IO) == past[size]
    assert keeps_pages(opening) == (not past[SMALL + 1])


@pytest.mark.parametrize(("minor", "stores"), [(38, 0), (40, 0), (41, 1), (45, 1)])
def test_ends_within_a_page_are_stored_where_the_kernel_clears_the_rest(
    minor: int, stores: int
) -> None:
    opening = opening_of(Io.AUTO)
    suit(opening, Io.AUTO, Offer(minor, direct_mmap=True))
    assert opening.limits[STORES_TAILS] == stores


@given(offered=flag_sets, answered=flag_sets, length=st.sampled_from([60, 64, 80, 104, 200]))
def test_the_rest(offered: int, answered: int, length: int) -> None:
    before = reply(answered)
    after = amend_init(request(offered, max(length, 60)), before)
    assert len(after) == len(before)
    assert after[:28] == before[:28]
    assert struct.unpack_from("<HHI", after, 32) == (
        MAX_BACKGROUND,
        CONGESTION_THRESHOLD,
        MAX_WRITE,
    )
    assert struct.unpack_from("<I", after, 40) == (1,)
    assert struct.unpack_from("<H", after, 44) == (MAX_PAGES,)
    assert after[52:] == before[52:]


@pytest.mark.parametrize("error", [errno.EPROTO, errno.EINVAL])
def test_an_error_is_refused(error: int) -> None:
    with pytest.raises(ProtocolError, match=errno.errorcode[error]):
        amend_init(request(0), error_reply(UNIQUE, error))


@pytest.mark.parametrize(
    "answer",
    [
        reply(0, unique=UNIQUE + 2),
        reply(0, length=40),
        reply(0)[:-1],
        reply(0) + b"\0",
    ],
    ids=["another request's", "short", "cut", "long"],
)
def test_what_is_no_reply_is_refused(answer: bytes) -> None:
    with pytest.raises(ProtocolError):
        amend_init(request(0), answer)


@pytest.mark.parametrize(
    "asked",
    [
        struct.pack("<II", 104, Opcode.LOOKUP) + request(0)[8:],
        request(0)[:-1],
        request(0)[:48],
        struct.pack("<I", 48) + request(0)[4:48],
    ],
    ids=["another opcode", "cut", "cut more", "too short"],
)
def test_what_is_no_request_is_refused(asked: bytes) -> None:
    with pytest.raises(ProtocolError, match="FUSE_INIT"):
        amend_init(asked, reply(0))


def test_error_replies() -> None:
    assert error_reply(UNIQUE, errno.EIO) == struct.pack("<IiQ", 16, -5, UNIQUE)

"""CRCs by the kernels are those of zlib, of RFC 3720 and of tests/crcs.py.

tests/property/test_instruction_sets.py runs this on each instruction set.
"""

import random
import zlib

import numpy as np
import pytest
from crcs import crc_of, extended
from guarded import guarded

from dgenfs.kernels.crc import combine, crc, masked, repeat, zeros
from dgenfs.kernels.polynomials import CRC_32, CRC_32C

KINDS = (CRC_32, CRC_32C)
SEED = 20260102
MOST = 300  # bytes of a short buffer
LONG = 100_000
# Around the bytes that are folded at once: 16, and 128 to 512.
LENGTHS = (15, 16, 17, 127, 128, 129, 255, 256, 257, 511, 512, 513, 1023, 1024, 1025, 4096, LONG)

DATA = random.Random(SEED).randbytes(LONG)
ARRAY = np.frombuffer(DATA, np.uint8)
PREFIXES = [extended(DATA, 0, kind) for kind in KINDS]  # CRCs of DATA[:0], DATA[:1] ...


@pytest.mark.parametrize(
    ("data", "kind", "expected"),
    [
        (b"", CRC_32, 0),
        (b"", CRC_32C, 0),
        (b"123456789", CRC_32, 0xCBF43926),
        (b"123456789", CRC_32C, 0xE3069283),
        # RFC 3720, B.4
        (bytes(32), CRC_32C, 0x8A9136AA),
        (b"\xff" * 32, CRC_32C, 0x62A8AB43),
        (bytes(range(32)), CRC_32C, 0x46DD794E),
        (bytes(reversed(range(32))), CRC_32C, 0x113FDB5C),
    ],
)
def test_known(data: bytes, kind: int, expected: int) -> None:
    assert crc(np.frombuffer(data, np.uint8), 0, kind) == expected
    assert crc_of(data, kind) == expected


def test_the_reference_is_zlib() -> None:
    for length in (*range(MOST), *LENGTHS):
        assert PREFIXES[CRC_32][length] == zlib.crc32(DATA[:length])


@pytest.mark.parametrize("kind", KINDS)
def test_every_length_at_every_alignment(kind: int) -> None:
    memory = np.empty(MOST + 64, np.uint8)
    at_16 = -memory.ctypes.data % 16
    for before in (0, 1, 0x80000000, 0xFFFFFFFF, 0x12345678):
        expected = extended(DATA[:MOST], before, kind)
        for alignment in range(16):
            start = at_16 + alignment
            memory[start : start + MOST] = ARRAY[:MOST]
            found = [crc(memory[start : start + n], before, kind) for n in range(MOST + 1)]
            assert found == expected, alignment


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_beside_the_buffer_is_read(kind: int) -> None:
    memory = guarded(4096, np.uint8)
    memory[:] = ARRAY[: memory.size]
    for length in (*range(MOST + 1), *(n for n in LENGTHS if n <= memory.size)):
        assert crc(memory[:length], 0, kind) == PREFIXES[kind][length]
    memory[:] = memory[::-1].copy()
    for length in (*range(MOST + 1), *(n for n in LENGTHS if n <= memory.size)):
        end = memory[memory.size - length :]
        assert crc(end, 0, kind) == crc(end.copy(), 0, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", LENGTHS)
def test_long(length: int, kind: int) -> None:
    assert crc(ARRAY[:length], 0, kind) == PREFIXES[kind][length]


def test_very_long() -> None:
    data = np.random.default_rng(SEED).integers(0, 256, (32 << 20) + 77, np.uint8)
    assert crc(data, 5, CRC_32) == zlib.crc32(data.data, 5)


@pytest.mark.parametrize("kind", KINDS)
def test_parts(kind: int) -> None:
    source = random.Random(SEED)
    for _ in range(200):
        first, second = sorted(source.choices(range(LONG + 1), k=2))
        before = PREFIXES[kind][first]
        part = ARRAY[first:second]
        assert crc(part, before, kind) == PREFIXES[kind][second]
        assert combine(before, crc(part, 0, kind), second - first, kind) == PREFIXES[kind][second]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [0, 1, 3, 8, 100, 512])
def test_repeated(length: int, kind: int) -> None:
    one = PREFIXES[kind][length]
    for times in (0, 1, 2, 3, 7, 64, 100):
        again = np.tile(ARRAY[:length], times)
        assert repeat(one, length, times, kind) == crc(again, 0, kind), times


@pytest.mark.parametrize("kind", KINDS)
def test_zeros(kind: int) -> None:
    expected = extended(bytes(MOST), 0, kind)
    assert [zeros(n, kind) for n in range(MOST + 1)] == expected
    many = np.zeros(10_000_000, np.uint8)
    assert zeros(many.size, kind) == crc(many, 0, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_as_long_as_files_may_be(kind: int) -> None:
    """x^(2^32 - 1) is 1 modulo the one, x^(2^31 - 1) modulo the other polynomial."""
    period = (1 << 32) - 1 if kind == CRC_32 else (1 << 31) - 1
    for length in (2**63, 2**63 - 1, 2**64 - 1, 2**40 + 12345, period + 1, period, period - 1):
        short = length % period
        assert zeros(length, kind) == zeros(short, kind)
        assert combine(1, 2, length, kind) == combine(1, 2, short, kind)
        assert repeat(3, length, 1000, kind) == repeat(3, short, 1000, kind)
    one = zeros(2**20, kind)
    assert repeat(one, 2**20, 2**43, kind) == zeros(2**63, kind)


def test_before_is_of_32_bits() -> None:
    assert crc(ARRAY[:20], (7 << 32) + 5, CRC_32) == zlib.crc32(DATA[:20], 5)


def test_masked() -> None:
    """As TFRecord's reader undoes it."""
    for one in (0, 1, 0xFFFFFFFF, 0x12345678, *PREFIXES[CRC_32C][:100]):
        rotated = (masked(one) - 0xA282EAD8) % 2**32
        assert (rotated >> 17 | rotated << 15) % 2**32 == one

"""CRCs of parts are those of the whole, however it is made of them."""

import functools
import zlib

import numpy as np
from crcs import crc_of
from hypothesis import given
from hypothesis import strategies as st

from dgenfs.kernels.crc import combine, crc, repeat, zeros
from dgenfs.kernels.polynomials import CRC_32, CRC_32C

KINDS = st.sampled_from([CRC_32, CRC_32C])
CRCS = st.integers(0, 2**32 - 1)
LENGTHS = st.integers(0, 2**63 - 1)  # two are within 64 bits


def of(data: bytes, kind: int, before: int = 0) -> int:
    found: int = crc(np.frombuffer(data, np.uint8), before, kind)
    return found


@given(st.binary(max_size=3000), KINDS)
def test_bytes(data: bytes, kind: int) -> None:
    assert of(data, kind) == crc_of(data, kind)


@given(st.binary(max_size=3000), CRCS)
def test_zlib(data: bytes, before: int) -> None:
    assert of(data, CRC_32, before) == zlib.crc32(data, before)


@given(st.lists(st.binary(max_size=1000), max_size=10), KINDS)
def test_parts(parts: list[bytes], kind: int) -> None:
    whole = of(b"".join(parts), kind)
    going_on = functools.reduce(lambda before, part: of(part, kind, before), parts, 0)
    combined = 0
    for part in parts:
        combined = combine(combined, of(part, kind), len(part), kind)
    from_the_end, length = 0, 0
    for part in reversed(parts):
        from_the_end = combine(of(part, kind), from_the_end, length, kind)
        length += len(part)
    assert going_on == combined == from_the_end == whole


@given(st.binary(max_size=200), st.integers(0, 100), KINDS)
def test_repeated(data: bytes, times: int, kind: int) -> None:
    assert repeat(of(data, kind), len(data), times, kind) == of(data * times, kind)


@given(st.integers(0, 100_000), KINDS)
def test_zeros(length: int, kind: int) -> None:
    assert zeros(length, kind) == of(bytes(length), kind)


@given(CRCS, st.integers(0, 2**31), st.integers(0, 2**31), st.integers(0, 2**31), KINDS)
def test_repeated_so_often_and_again(one: int, length: int, a: int, b: int, kind: int) -> None:
    first, second = repeat(one, length, a, kind), repeat(one, length, b, kind)
    assert repeat(one, length, a + b, kind) == combine(first, second, length * b, kind)


@given(CRCS, CRCS, CRCS, LENGTHS, LENGTHS, KINDS)
def test_combined_in_any_order(a: int, b: int, c: int, second: int, third: int, kind: int) -> None:
    left = combine(combine(a, b, second, kind), c, third, kind)
    assert combine(a, combine(b, c, third, kind), second + third, kind) == left


@given(LENGTHS, LENGTHS, KINDS)
def test_zeros_and_zeros(one: int, other: int, kind: int) -> None:
    both = combine(zeros(one, kind), zeros(other, kind), other, kind)
    assert zeros(one + other, kind) == both

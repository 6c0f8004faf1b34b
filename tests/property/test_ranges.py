"""Ranges compared apart, in any order: they merge into what one comparison finds."""

import itertools
import random
from collections.abc import Sequence

import numpy as np
import oracle
import pytest
from findings import findings
from hypothesis import given, settings
from hypothesis import strategies as st

from dgenfs import SpecError, verify_range
from dgenfs.verifying.findings import Extent, Findings, Kind

PLAIN = ("300000_d1_c1", "300000_d2_c2_s7", "7x40000_d3_c1.5")
FRAMED = ("60000_d2_c2_r5000.npy", "60000_c1.5_r1000.npz", "60000_c3_r700.tfrecord")


def damaged(name: str, file: int, seed: int) -> bytes:
    """A copy with wrong bits, zeros, what belongs elsewhere, random bytes, and more or fewer."""
    content = oracle.parse(name)
    data = bytearray(oracle.read(content, file, 0, content.size))
    source = random.Random(seed)
    for _ in range(source.randrange(5)):
        at = source.randrange(len(data))
        length = min(source.choice([1, 3, 100, 512, 4096, 20_000]), len(data) - at)
        kind = source.randrange(4)
        if kind == 0:
            data[at] ^= 1 << source.randrange(8)
        elif kind == 1:
            data[at : at + length] = bytes(length)
        elif kind == 2:
            there = source.randrange(len(data) - length + 1)
            data[at : at + length] = oracle.read(content, file, there, length)
        else:
            data[at : at + length] = source.randbytes(length)
    return bytes(data) + source.randbytes(source.choice([0, 0, 700]))


def apart(name: str, file: int, data: bytes, cuts: Sequence[int], seed: int) -> Findings:
    """What is found in ranges that end at ``cuts``, merged in some order."""
    ends = sorted({0, *cuts, len(data)})
    ranges = list(itertools.pairwise(ends))
    random.Random(seed).shuffle(ranges)
    found = Findings()
    for start, end in ranges:
        found.merge(verify_range(name, file, start, data[start:end]))
    return found


@settings(max_examples=60)
@given(
    st.sampled_from(PLAIN + FRAMED),
    st.integers(0, 2**32),
    st.lists(st.integers(0, 300_000), max_size=6),
)
def test_ranges_merge(name: str, seed: int, cuts: list[int]) -> None:
    """At multiples of a sector nothing tells that they were apart."""
    file = seed % oracle.parse(name).files
    data = damaged(name, file, seed)
    # Some sectors tell where they are from by the one before: cut where nothing is wrong.
    whole = verify_range(name, file, 0, data)
    inside = [cut // 512 * 512 for cut in cuts if cut < len(data)]
    inside = [
        cut for cut in inside if not any(one.start - 512 < cut <= one.end for one in whole.extents)
    ]
    found = apart(name, file, data, inside, seed)
    assert found.extents == whole.extents
    assert found.totals == whole.totals
    assert found.wrong_sectors == whole.wrong_sectors
    assert found.ranges == whole.ranges == [(0, len(data))]
    assert found.identical == whole.identical


@settings(max_examples=60)
@given(
    st.sampled_from(PLAIN + FRAMED),
    st.integers(0, 2**32),
    st.lists(st.integers(0, 300_000), max_size=6),
)
def test_ranges_of_any_size_count_the_same_bytes(name: str, seed: int, cuts: list[int]) -> None:
    file = seed % oracle.parse(name).files
    data = damaged(name, file, seed)
    content = oracle.parse(name)
    right = np.frombuffer(oracle.read(content, file, 0, content.size), np.uint8)
    wrong = np.flatnonzero(right != np.frombuffer(data, np.uint8, right.size))
    found = apart(name, file, data, [cut for cut in cuts if cut < len(data)], seed)
    assert found.wrong_bytes == wrong.size + len(data) - right.size
    covered = np.zeros(len(data), bool)
    for extent in found.extents:
        assert not covered[extent.start : extent.end].any()
        covered[extent.start : extent.end] = True
    assert covered[wrong].all()
    bits = sum(total.wrong_bits for total in found.totals.values())
    both = right ^ np.frombuffer(data, np.uint8, right.size)
    assert bits == int(np.bitwise_count(both).sum())


def test_a_range_is_what_the_oracle_finds() -> None:
    name = "300000_d2_c2_s7"
    for seed in range(5):
        data = damaged(name, 0, seed)[100_000:200_000]
        found = verify_range(name, 0, 100_000, data)
        assert [(one.start, one.end, one.wrong_bytes) for one in found.extents] == [
            (100_000 + one.start, 100_000 + one.end, one.wrong_bytes)
            for one in findings(data, 100_000, oracle.parse(name), [])
        ]


def test_any_buffer() -> None:
    content = oracle.parse("4M+100_d2")
    data = oracle.read(content, 0, 0, content.size)
    for buffer in (data, bytearray(data), memoryview(data), np.frombuffer(data, np.uint32)):
        assert verify_range("4M+100_d2", 0, 0, buffer).identical
    odd = verify_range("4M+100_d2", 0, 4 << 20, data[4 << 20 :] + b"more")
    assert odd.extents == [Extent(content.size, content.size + 4, Kind.EXCESS, 4)]
    assert verify_range("4M+100_d2", 0, 5 << 20, b"").ranges == []
    with pytest.raises(ValueError, match="not C-contiguous"):
        verify_range("4K", 0, 0, memoryview(data)[::2])
    with pytest.raises(ValueError, match="offset -1: must be at least 0"):
        verify_range("4K", 0, -1, data)
    with pytest.raises(SpecError):
        verify_range("no name", 0, 0, data)
    with pytest.raises(IndexError):
        verify_range("3x4K", 3, 0, data)


def test_another_seed_is_recognized() -> None:
    content = oracle.parse("64K_s9")
    data = oracle.read(content, 0, 0, content.size)
    assert verify_range("64K", 0, 0, data, seeds=(3, 9)).totals.keys() == {Kind.OTHER_SEED}


def test_what_is_compared_twice_does_not_merge() -> None:
    found = verify_range("64K", 0, 0, bytes(100))
    with pytest.raises(ValueError, match="bytes 50 to 100 are in ranges of both"):
        found.merge(verify_range("64K", 0, 50, bytes(100)))

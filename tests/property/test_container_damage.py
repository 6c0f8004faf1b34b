"""Random damage of containers: what verify finds is what a comparison of two arrays finds."""

import random
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import oracle
from containers.regions import Region, regions
from findings import findings, period_of
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dgenfs import Spec
from dgenfs.names.catalog import File
from dgenfs.verifying.findings import Extent, Kind
from dgenfs.verifying.verifier import Verifier

NAMES = (
    "30000_d2_c2_r5000.npy",
    "30000_c1.5_r1000.npz",
    "30000_c3_r700.tfrecord",
    "180000_d2_r70000.tfrecord",
    "30000_d1.5_r1500.h5",
    "40000_c2_r100.parquet",
    "40000_d2_c1.3_r2500.safetensors",
    "40000_d3_c2_r1500.tar",
    "9000_r1.tfrecord",
)


@cache
def right(name: str) -> bytes:
    content = oracle.parse(name)
    return oracle.read(content, 0, 0, content.size)


@cache
def of(name: str) -> list[Region]:
    container = Spec.parse(name).container
    assert container is not None
    return regions(container)


Merged = tuple[int, int, str, int, int]


def merged(found: list[Merged]) -> list[Merged]:
    """What is found of content, adjoining sectors of one kind together.

    What came from elsewhere in the file may be from two places of the content, with the format's
    own bytes in between, which a report tells by the one and the oracle by the other.
    """
    extents: list[Merged] = []
    for start, end, kind, wrong_bytes, wrong_bits in found:
        extent = (start, end, kind, wrong_bytes, wrong_bits)
        if extents and extents[-1][2] == kind and start // 512 <= (extents[-1][1] - 1) // 512 + 1:
            last = extents.pop()
            extent = (last[0], end, kind, last[3] + wrong_bytes, last[4] + wrong_bits)
        extents.append(extent)
    return extents


def damaged(data: bytearray, source: random.Random, times: int) -> None:
    for _ in range(times):
        start = source.randrange(len(data))
        length = min(source.choice((1, 4, 100, 512, 5000)), len(data) - start)
        there = source.randrange(len(data) - length + 1)
        flip = data[start] ^ 1 << source.randrange(8)
        data[start : start + length] = {
            "zeros": bytes(length),
            "noise": source.randbytes(length),
            "elsewhere": bytes(data[there : there + length]),
            "flip": bytes([flip]) + bytes(data[start + 1 : start + length]),
        }[source.choice(("zeros", "noise", "elsewhere", "flip"))]


def check_region(region: Region, wrong: NDArray[np.int64], found: list[Extent]) -> None:
    """Every wrong byte is covered, from the first to the last of an extent."""
    covered = np.zeros(region.end - region.start, bool)
    for one in found:
        assert one.part == region.part
        assert region.start <= one.start < one.end <= region.end
        assert {one.start, one.end - 1} <= set(wrong.tolist())
        assert not covered[one.start - region.start : one.end - region.start].any()
        covered[one.start - region.start : one.end - region.start] = True
        inside = wrong[(wrong >= one.start) & (wrong < one.end)]
        assert one.wrong_bytes == inside.size
    assert covered[wrong - region.start].all()


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(NAMES), st.integers(1, 6), st.integers(), st.integers(-700, 700))
def test_random_damage(name: str, times: int, seed: int, more: int) -> None:
    data = bytearray(right(name))
    damaged(data, random.Random(seed), times)
    whole = bytes(data)
    copy = whole[:more] if more < 0 else whole + bytes(more)
    with tempfile.TemporaryDirectory() as folder, Verifier() as verifier:
        path = Path(folder) / "copy"
        path.write_bytes(copy)
        report = verifier.verify_file(path, File(Spec.parse(name)))
    common = min(len(whole), len(copy))
    one, two = (np.frombuffer(some, np.uint8, common) for some in (right(name), copy))
    wrong = np.flatnonzero(one != two)
    assert report.wrong_bytes == wrong.size + abs(more)
    assert report.wrong_sectors == np.unique(wrong // 512).size
    assert report.omitted_extents == 0
    tails = [one for one in report.extents if one.kind in (Kind.MISSING, Kind.EXCESS)]
    assert [(one.wrong_bytes, one.part) for one in tails] == [(abs(more), None)] * (more != 0)
    extents = [one for one in report.extents if one not in tails]
    assert extents == sorted(extents, key=lambda one: one.start)
    content = oracle.parse(name)
    for region in of(name):
        inside = wrong[(wrong >= region.start) & (wrong < region.end)]
        found = [one for one in extents if region.start <= one.start < region.end]
        check_region(region, inside, found)
        if region.payload is None or not inside.size:
            continue
        part = copy[region.start : min(region.end, common)]
        expected = [
            (
                region.start + one.start,
                region.start + one.end,
                one.kind,
                one.wrong_bytes,
                one.wrong_bits,
            )
            for one in findings(part, region.payload % period_of(content), content, [])
        ]
        assert merged(expected) == merged(
            [(one.start, one.end, str(one.kind), one.wrong_bytes, one.wrong_bits) for one in found]
        )

"""Compiled code that compares containers where they are: what it says and what it touches."""

import random
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pytest
from containers.regions import regions
from guarded import guarded

from dgenfs import Spec
from dgenfs.content.digests import Range
from dgenfs.kernels.digests import DONE, ENDLESS, STOPPED, TABLE, Patience, until
from dgenfs.kernels.frames import DIFFERENT, compare_frames

NAMES = (
    "100000_d2_c2_r7K.npy",
    "100000_c1.5_r1000.npz",
    "100000_c3_r700.tfrecord",
    "300000_r70000.tfrecord",
    "100000_r70.tfrecord.idx",
    "100000_r3000.h5",
    "300000_r100.parquet",
    "100000_d3_r2500.safetensors",
    "100000_c2_r1500.tar",
    "3x9000_r300.tar",
    "3x9000_r1.tfrecord",
)


@pytest.mark.parametrize("name", NAMES)
def test_every_range(name: str) -> None:
    """Memory beside it is not touched, and any wrong bit is found."""
    spec = Spec.parse(name)
    source = random.Random(name)
    for _ in range(150):
        file = source.randrange(spec.files)
        length = source.choice((1, 64, 511, 512, 4096, 8193, source.randrange(1, spec.size)))
        length = min(length, spec.size)
        offset = source.randrange(spec.size - length + 1)
        data = guarded(length, np.uint8)
        spec.view(file).read_into(data, offset)
        numbers = (np.uint64(file), np.uint64(offset))
        assert compare_frames(data, *numbers, spec.row, ENDLESS) == DONE
        for at in {0, length - 1, source.randrange(length)}:
            data[at] ^= 1 << source.randrange(8)
            assert compare_frames(data, *numbers, spec.row, ENDLESS) == DIFFERENT
            spec.view(file).read_into(data, offset)


@pytest.mark.parametrize("name", NAMES)
def test_where_payload_stands(name: str) -> None:
    container = Spec.parse(name).container
    assert container is not None
    count = 0
    for region in regions(container):
        if region.payload is not None:
            length = region.end - region.start
            assert region.payload == count
            assert container.offset_of(count) == region.start
            assert container.offset_of(count + length - 1) == region.end - 1
            count += length
    assert count == container.payload


def test_nobody_waits_any_longer() -> None:
    spec = Spec.parse("1P_c2.npz")
    assert spec.container is not None
    stop = np.ones(1, np.uint64)
    patience = until(stop)
    at, _ = spec.container.long_crcs[0]
    data = np.zeros(4, np.uint8)
    assert compare_frames(data, np.uint64(0), np.uint64(at), spec.row, patience) == STOPPED


@pytest.mark.parametrize("name", ["200M_c20.npz", "200M_d3_c20.npz", "3x100M_d1.5_c20_r5K.npz"])
def test_a_long_crc_is_computed_once(name: str) -> None:
    """By pieces, by whoever; reading what has it is a look-up then."""
    view = Spec.parse(name).view(Spec.parse(name).files - 1)
    assert view.files is not None
    expected, found = (np.empty(4096, np.uint8) for _ in range(2))
    TABLE.fill(0)
    view.files.read_into(expected, view.size - 4096)
    TABLE.fill(0)
    looked_at: list[int] = []

    def each(
        function: Callable[[Range], int | None], pieces: Iterable[Range]
    ) -> Iterator[int | None]:
        for piece in pieces:
            looked_at.append(piece.length)
            yield function(piece)

    view.compute_digests(0, view.size, each)
    container = Spec.parse(name).container
    assert container is not None
    assert sum(looked_at) == min(container.long_crcs[0][1].length, Spec.parse(name).layout.period)
    brief = Patience(np.uint64(1 << 20), np.uint64(0), np.uint64(0), np.uint64(0))
    view.files.read_into(found, view.size - 4096, brief)
    assert np.array_equal(expected, found)
    view.compute_digests(0, view.size, lambda *_: pytest.fail("again"))

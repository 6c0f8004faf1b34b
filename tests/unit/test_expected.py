"""Ratios that are calculated; what real chunkers and codecs make of contents is in tests/ratios."""

from itertools import pairwise

import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgenfs import Spec
from dgenfs.content.chunkers import BORG, RESTIC, SMALL, content_defined_dedup
from dgenfs.content.compression import CODECS, compression
from dgenfs.content.prediction import fixed_dedup, gaps


def counted(content: oracle.Content, chunk: int) -> float:
    """The ratio that comes out when every chunk is written down as the content units it shows."""
    seen: dict[tuple[tuple[int, int, int], ...], int] = {}
    for file in range(content.files):
        for start in range(0, content.size, chunk):
            end = min(content.size, start + chunk)
            shown = []
            at = start
            while at < end:
                i, within = divmod(at, content.unit)
                length = min(content.unit - within, end - at)
                q = (file * content.units_per_file + i) % content.content_units
                shown.append((q, within, length))
                at += length
            seen[tuple(shown)] = end - start
    return content.files * content.size / sum(seen.values())


@st.composite
def names(draw: st.DrawFn) -> str:
    files = draw(st.sampled_from([1, 1, 2, 3, 5, 20]))
    size = draw(st.integers(1, 300)) * 4096 + draw(st.sampled_from([0, 0, 9, 777, 5000]))
    dedup = draw(st.sampled_from(["1", "1.5", "2", "2.5", "3", "4", "7", "10"]))
    return f"{files}x{size}_d{dedup}_b{draw(st.sampled_from([4, 8, 16]))}K"


@settings(max_examples=300)
@given(names(), st.integers(9, 22))
def test_fixed_chunks(name: str, power: int) -> None:
    ratio = fixed_dedup(Spec.parse(name).layout, 1 << power)
    assert ratio == pytest.approx(counted(oracle.parse(name), 1 << power), rel=1e-12)


@given(st.integers(1, 300), st.data())
def test_gaps(places: int, data: st.DataObject) -> None:
    advance = data.draw(st.integers(0, places - 1))
    count = data.draw(st.integers(1, 400))
    starts = sorted({start * advance % places for start in range(count)})
    by_hand = [after - before for before, after in pairwise([*starts, starts[0] + places])]
    found = [gap for gap, often in gaps(places, advance, count) for _ in range(often)]
    assert sorted(found) == sorted(by_hand)
    assert gaps(places, advance, 0) == []


@st.composite
def huge_names(draw: st.DrawFn) -> str:
    files = draw(st.integers(1, 60))
    size = draw(st.integers(1 << 40, (2**63 - 1) // files))
    dedup = draw(st.integers(1000, 1_000_000))
    unit = draw(st.sampled_from(["", "_b4K", "_b64K", "_b4M"]))
    return f"{files}x{size}_d{dedup // 1000}.{dedup % 1000:03}{unit}"


@given(huge_names(), st.integers(9, 22))
def test_fixed_chunks_of_huge_files(name: str, power: int) -> None:
    """Files are a few ranges of a circle, whose union can be taken whatever their length."""
    content = oracle.parse(name)
    chunk = min(1 << power, content.unit)
    per_unit = content.unit // chunk
    circle = content.content_units * per_unit
    whole, tail = divmod(content.size, chunk)
    ranges = []
    for file in range(content.files):
        start = file * content.units_per_file * per_unit % circle
        end = start + min(whole, circle)
        ranges += [(start, min(end, circle)), (0, max(0, end - circle))]
    distinct = reached = 0
    for start, end in sorted(ranges):
        distinct += max(0, end - max(start, reached))
        reached = max(reached, end)
    tails = {
        (file * content.units_per_file * per_unit + whole) % circle for file in range(content.files)
    }
    ratio = content.files * content.size / (distinct * chunk + len(tails) * tail)
    found = fixed_dedup(Spec.parse(name).layout, chunk)
    assert found == ratio or (tail < 8 and found == pytest.approx(ratio, rel=1e-9))


@pytest.mark.parametrize(
    ("name", "ratio"),
    [
        ("8E-1_d1000", 1000),
        ("1000000000x8G_d1000", 1000),
        ("1000000000x1", 1e9 / 256),  # every byte there is
        ("1000000000x2", 2e9 / (2 * 65536)),
        ("1000000000x8", 1),
        # Of 10^9 chosen among so many, those that are left out: n - n (1 - 1 / n)^(10^9).
        ("1000000000x3", 1e9 / 16777216),
        ("1000000000x4", 1e9 / 892117358),
    ],
)
def test_what_cannot_be_counted(name: str, ratio: float) -> None:
    assert fixed_dedup(Spec.parse(name).layout, 4096) == pytest.approx(ratio, rel=1e-6)


def test_nothing() -> None:
    layout = Spec.parse("0").layout
    assert fixed_dedup(layout, 1 << 20) == 1
    assert content_defined_dedup(layout, BORG).ratio == 1
    assert [compression(layout, codec, 4096) for codec in CODECS] == [1, 1, 1]


@given(names() | huge_names())
def test_content_defined_chunks_of_any_name(name: str) -> None:
    layout = Spec.parse(name).layout
    for chunker in (SMALL, BORG, RESTIC):
        expected = content_defined_dedup(layout, chunker)
        assert 0.999 < expected.ratio < 1.001 * layout.effective_dedup
        assert 0 <= expected.spread < 3


def test_content_defined_chunks() -> None:
    huge = content_defined_dedup(Spec.parse("1T_d4").layout, BORG)
    assert huge.ratio == pytest.approx(4, rel=1e-3)
    assert huge.spread < 1e-3
    for whole in ("1G_d1", "1000x1M_d4", "64x10M_d1"):
        spec = Spec.parse(whole)
        for chunker in (SMALL, BORG, RESTIC):
            assert content_defined_dedup(spec.layout, chunker).ratio == spec.effective_dedup
    # A file that is one chunk.
    assert content_defined_dedup(Spec.parse("3x500K_d2").layout, BORG).ratio == 1
    # A Rabin fingerprint of zeros ends a chunk.
    layout = Spec.parse("48M_d3_c4_b4K").layout
    assert content_defined_dedup(layout, RESTIC).ratio == fixed_dedup(layout, 512 << 10)

import math

import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgenfs import Spec
from dgenfs.content.prediction import content_defined_dedup, fixed_dedup


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
    size = draw(st.integers(1, 300)) * 4096 + draw(st.sampled_from([0, 0, 1, 777, 5000]))
    dedup = draw(st.sampled_from(["1", "1.5", "2", "2.5", "3", "4", "7", "10"]))
    return f"{files}x{size}_d{dedup}_b{draw(st.sampled_from([4, 8, 16]))}K"


@settings(max_examples=300)
@given(names(), st.sampled_from([15, 16, 17, 18, 20]))
def test_chunks_above_the_unit(name: str, power: int) -> None:
    chunk = 1 << power
    spec = Spec.parse(name)
    given_ratio = counted(oracle.parse(name), chunk)
    ratio = fixed_dedup(spec.layout, chunk)
    assert ratio <= given_ratio * 1.001
    phase = spec.layout.content_units // math.gcd(chunk // spec.unit, spec.layout.content_units)
    if spec.files == 1 or spec.size // chunk >= phase:
        assert ratio == pytest.approx(given_ratio, rel=1e-3)


@pytest.mark.parametrize("name", ["3M_d4_c2", "5x5M_d2", "200x5000_d3", "300x20K_d2.5_c3"])
def test_chunks_up_to_the_unit(name: str) -> None:
    spec = Spec.parse(name)
    chunk = spec.unit
    while chunk >= 512:
        ratio = fixed_dedup(spec.layout, chunk)
        assert ratio == pytest.approx(counted(oracle.parse(name), chunk), rel=0.01)
        chunk //= 2


def test_nothing() -> None:
    layout = Spec.parse("0").layout
    assert fixed_dedup(layout, 1 << 20) == 1
    assert content_defined_dedup(layout, 1 << 20) == 1


def test_content_defined_chunks() -> None:
    """Borg's measured ratios are in tests/ratios."""
    assert content_defined_dedup(Spec.parse("1T_d4").layout, 1 << 20) == pytest.approx(4, rel=1e-3)
    assert content_defined_dedup(Spec.parse("1G_d1").layout, 1 << 20) == 1
    assert content_defined_dedup(Spec.parse("1000x1M_d4").layout, 8192) == 4

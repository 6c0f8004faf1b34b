"""Distributions of sizes: what they are near to, and what they are for ever."""

import _pydecimal
import decimal
import math
import statistics
import struct
from decimal import Decimal
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgenfs.content.layout import MAX_SIZE
from dgenfs.names import distributions
from dgenfs.names.distributions import Fixed, LogNormal, Normal, Weighted, deviate

WORDS = st.integers(0, 2**64 - 1) | st.builds(
    lambda low, top: (2**64 - 1 - low) if top else low, st.integers(0, 2**40), st.booleans()
)
UNET = Normal(Decimal(146_600_628), Decimal(68_341_808), 4097, MAX_SIZE)
HOMES = LogNormal(Decimal("9.48"), Decimal("2.46"), 0, MAX_SIZE)


@pytest.mark.parametrize(
    "sizes",
    [
        UNET,
        Normal(Decimal(1000), Decimal(900), 0, 1500),
        LogNormal(Decimal("9.48"), Decimal("1.2"), 0, MAX_SIZE),
        LogNormal(Decimal("9.48"), Decimal("2.46"), 100, 50_000),
        LogNormal(Decimal(100), Decimal(100), 0, MAX_SIZE),
        Weighted((10, 5000, 20), (3, 4, 9)),
        Fixed(7),
    ],
)
def test_means(sizes: Normal | LogNormal | Weighted | Fixed) -> None:
    drawn = [sizes.size(word) for word in range(1 << 50, 1 << 64, 1 << 50)]
    assert sizes.mean == pytest.approx(statistics.mean(drawn), rel=0.01)


def words(count: int) -> list[int]:
    """As a data set of seed 0 has them."""
    found = []
    for index in range(count):
        numbers = struct.pack("<3Q", 0, 0, index)
        digest = blake2b(numbers, digest_size=16, person=b"dgenfs-profile").digest()
        found.append(int.from_bytes(digest[8:], "little"))
    return found


@given(word=WORDS)
def test_deviates_are_those_of_the_normal_distribution(word: int) -> None:
    u = (2 * min(word, 2**64 - 1 - word) + 1) / 2**65  # near 1, doubles have few digits
    expected = statistics.NormalDist().inv_cdf(u)
    below = -deviate(word) if word >= 2**63 else deviate(word)
    assert math.isclose(below, expected, rel_tol=1e-9, abs_tol=1e-12)


@given(word=WORDS)
def test_another_arithmetic_gives_the_same(word: int) -> None:
    """Python's decimals written in Python, by the formula of docs/profiles.md."""
    context = _pydecimal.Context(prec=28, rounding=_pydecimal.ROUND_HALF_EVEN)
    number = _pydecimal.Decimal

    def ratio(name: str, x: _pydecimal.Decimal) -> _pydecimal.Decimal:
        values = []
        for polynomial in getattr(distributions, name):
            value = number(str(polynomial[0]))
            for coefficient in polynomial[1:]:
                value = context.fma(value, x, number(str(coefficient)))
            values.append(value)
        return context.divide(*values)

    q = context.divide(number(2 * word + 1 - 2**64), number(2**65))
    if abs(q) <= number("0.425"):
        r = context.subtract(number("0.180625"), context.multiply(q, q))
        z = context.multiply(ratio("_CENTER", r), q)
    else:
        u = context.divide(number(2 * min(word, 2**64 - 1 - word) + 1), number(2**65))
        r = context.sqrt(context.minus(context.ln(u)))
        name, start = ("_BESIDE", "1.6") if r <= 5 else ("_FAR", "5")
        z = ratio(name, context.subtract(r, number(start)))
        z = context.minus(z) if q < 0 else z
    assert str(z) == str(deviate(word))


@given(word=WORDS, mean=st.integers(0, 2**63 - 1), share=st.floats(0, 10))
def test_doubles_decide_nothing(word: int, mean: int, share: float) -> None:
    """A size is that of decimals, whose calculation is used only where it must be."""
    deviation = min(MAX_SIZE, int(mean * share))
    normal = Normal(Decimal(mean), Decimal(deviation), 0, MAX_SIZE)
    context = decimal.Context(prec=28, rounding=decimal.ROUND_HALF_EVEN)
    exact = context.fma(deviate(word), normal.deviation, normal.center)
    assert normal.size(word) == clipped(exact)
    for mu, sigma in (("9.48", "2.46"), (str(Decimal(mean % 4000) / 100), f"{share:.3f}")):
        made = LogNormal(Decimal(mu), Decimal(sigma), 0, MAX_SIZE)
        exact = context.exp(context.fma(deviate(word), made.sigma, made.mu))
        assert made.size(word) == clipped(exact)


def test_doubles_are_not_asked_where_sizes_meet() -> None:
    """Of sizes that are half between two whole ones, or nearly so."""
    word = 2**63 + 12345
    z = deviate(word)
    context = decimal.Context(prec=28, rounding=decimal.ROUND_HALF_EVEN)
    for half in ("1000.5", "1000.49999999999999", "1000.50000000000001", "1001.5", "1e9"):
        mean = context.subtract(Decimal(half), context.multiply(z, Decimal(100)))
        exact = context.fma(z, Decimal(100), mean)
        assert Normal(mean, Decimal(100), 0, MAX_SIZE).size(word) == clipped(exact)


def clipped(value: Decimal) -> int:
    rounded = int(value.to_integral_value(decimal.ROUND_HALF_EVEN))
    return min(max(rounded, 0), MAX_SIZE)


def test_the_precision_of_a_caller_changes_nothing() -> None:
    some = words(50)
    sizes = [(UNET.size(word), HOMES.size(word)) for word in some]
    with decimal.localcontext(prec=3, rounding=decimal.ROUND_UP):
        assert [(UNET.size(word), HOMES.size(word)) for word in some] == sizes


def test_mean_and_deviation() -> None:
    some = words(100_000)
    sizes = [UNET.size(word) for word in some]
    # 1.6 % are below the least size, which lifts the mean by 0.3 % and cuts the deviation by 1.2 %.
    assert statistics.mean(sizes) == pytest.approx(146_600_628, rel=0.01)
    assert statistics.pstdev(sizes) == pytest.approx(68_341_808, rel=0.02)
    assert min(sizes) == 4097
    assert sizes.count(4097) == pytest.approx(0.0160 * len(sizes), rel=0.1)
    narrow = [Normal(Decimal(2_828_486), Decimal(71_311), 0, MAX_SIZE).size(one) for one in some]
    assert statistics.mean(narrow) == pytest.approx(2_828_486, rel=0.001)
    assert statistics.pstdev(narrow) == pytest.approx(71_311, rel=0.01)


def test_logarithms_are_normal() -> None:
    logarithms = [math.log(max(1, HOMES.size(word))) for word in words(100_000)]
    assert statistics.mean(logarithms) == pytest.approx(9.48, abs=0.03)
    assert statistics.pstdev(logarithms) == pytest.approx(2.46, rel=0.01)


def test_weights() -> None:
    sizes = Weighted((10, 20, 30), (1, 4, 8))
    found = [sizes.size(word) for word in words(100_000)]
    for size, share in ((10, 1 / 8), (20, 3 / 8), (30, 4 / 8)):
        assert found.count(size) / len(found) == pytest.approx(share, rel=0.03)
    # The first word of each, and the last.
    assert [sizes.size(k * 2**61) for k in range(8)] == [10, 20, 20, 20, 30, 30, 30, 30]
    assert [sizes.size(k * 2**61 - 1) for k in (1, 4, 8)] == [10, 20, 30]


@given(word=WORDS, least=st.integers(0, 2**40), more=st.integers(0, 2**40))
def test_bounds(word: int, least: int, more: int) -> None:
    for made in (
        Normal(Decimal(2**39), Decimal(2**39), least, least + more),
        LogNormal(Decimal(20), Decimal(100), least, least + more),
    ):
        assert least <= made.size(word) <= least + more
        low, high = made.extremes
        assert low <= made.size(word) <= high
    assert Fixed(least).size(word) == least


def test_vectors() -> None:
    """For ever: docs/profiles.md."""
    some = [0, 1, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1, *words(3)]
    assert [UNET.size(word) for word in some] == VECTORS_NORMAL
    assert [HOMES.size(word) for word in some] == VECTORS_LOG_NORMAL


VECTORS_NORMAL = [
    4097,
    4097,
    4097,
    100504779,
    146600628,
    146600628,
    772289957,
    236315525,
    134512243,
    98241686,
]
VECTORS_LOG_NORMAL = [0, 0, 0, 2492, 13095, 13095, 79122838683844, 330822, 8475, 2297]

"""Distributions of file sizes: a size is a function of a 64-bit word, on every machine the same.

docs/profiles.md says bit by bit what is calculated. Binary floating point decides nothing: its
logarithms and exponentials differ in their last bits from one C library to the next, and products
and sums where a compiler joins the two. Decimal arithmetic does not: Python's is that of the
General Decimal Arithmetic Specification, and its ln, exp and sqrt are correctly rounded. It takes
20 to 45 us a size, so doubles are tried first, in 2 us: what they say is taken where it is so far
from the next size that none of their errors matters.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from itertools import pairwise
from statistics import NormalDist
from typing import Protocol

DIGITS = 28
WORDS = 1 << 64

_DOUBLES = NormalDist()
_DOUBT = 1e-12  # relative error of a calculation in doubles, thousands of times what it is at most
_STEPS = 64  # of an integral, in each deviation
_ENDS = 9  # deviations to both sides, about where the last of 2^64 words is
_MOST_EXPONENT = 32.0  # of a size that doubles may decide; larger ones have no digits to spare

_ARITHMETIC = Context(prec=DIGITS, rounding=ROUND_HALF_EVEN)


def _coefficients(text: str) -> tuple[Decimal, ...]:
    return tuple(map(Decimal, text.split()))


# Wichura, M. J. (1988). Algorithm AS 241: The Percentage Points of the Normal Distribution.
# Applied Statistics 37 (3): 477-484. PPND16: numerator and denominator, the highest power first.
_CENTER = (
    _coefficients("""
        2509.0809287301226727 33430.575583588128105 67265.770927008700853 45921.953931549871457
        13731.693765509461125 1971.5909503065514427 133.14166789178437745 3.3871328727963666080
    """),
    _coefficients("""
        5226.4952788528545610 28729.085735721942674 39307.895800092710610 21213.794301586595867
        5394.1960214247511077 687.18700749205790830 42.313330701600911252 1
    """),
)
_BESIDE = (
    _coefficients("""
        7.74545014278341407640E-4 2.27238449892691845833E-2 2.41780725177450611770E-1
        1.27045825245236838258 3.64784832476320460504 5.76949722146069140550
        4.63033784615654529590 1.42343711074968357734
    """),
    _coefficients("""
        1.05075007164441684324E-9 5.47593808499534494600E-4 1.51986665636164571966E-2
        1.48103976427480074590E-1 6.89767334985100004550E-1 1.67638483018380384940
        2.05319162663775882187 1
    """),
)
_FAR = (
    _coefficients("""
        2.01033439929228813265E-7 2.71155556874348757815E-5 1.24266094738807843860E-3
        2.65321895265761230930E-2 2.96560571828504891230E-1 1.78482653991729133580
        5.46378491116411436990 6.65790464350110377720
    """),
    _coefficients("""
        2.04426310338993978564E-15 1.42151175831644588870E-7 1.84631831751005468180E-5
        7.86869131145613259100E-4 1.48753612908506148525E-2 1.36929880922735805310E-1
        5.99832206555887937690E-1 1
    """),
)
_CENTER_ENDS = Decimal("0.425")
_CENTER_SQUARED = Decimal("0.180625")
_FROM_BESIDE = Decimal("1.6")
_BESIDE_ENDS = Decimal(5)
_HALVES = Decimal(2 * WORDS)


class Distribution(Protocol):
    """A distribution of sizes."""

    def size(self, word: int) -> int:
        """Return the bytes that belong to ``word``, 0 to 2^64 - 1."""

    @property
    def extremes(self) -> tuple[int, ...]:
        """Sizes that are possible, the least and the largest among them."""

    @property
    def mean(self) -> float:
        """Mean of the sizes, bytes."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """All files have the same size.

    Attributes:
        bytes: it.
    """

    bytes: int

    def size(self, word: int) -> int:  # noqa: ARG002
        """Return the size."""
        return self.bytes

    @property
    def extremes(self) -> tuple[int, ...]:
        """It."""
        return (self.bytes,)

    @property
    def mean(self) -> float:
        """It."""
        return self.bytes


@dataclass(frozen=True, slots=True)
class Normal:
    """Sizes are normally distributed.

    Attributes:
        center: their mean before they are clipped, bytes.
        deviation: bytes.
        least: sizes below it become it.
        most: sizes above it become it.
    """

    center: Decimal
    deviation: Decimal
    least: int
    most: int

    def size(self, word: int) -> int:
        """Return center + z * deviation."""
        center, deviation = float(self.center), float(self.deviation)
        nearly = center + _nearly_deviate(word) * deviation
        size = _certain(nearly, _DOUBT * (center + 10 * deviation))
        if size is not None:
            return min(max(size, self.least), self.most)
        value = _ARITHMETIC.fma(deviate(word), self.deviation, self.center)
        return _clipped(value, self.least, self.most)

    @property
    def mean(self) -> float:
        """Mean of the sizes, which are clipped."""
        center, deviation = float(self.center), float(self.deviation)
        return _mean(lambda z: min(max(center + z * deviation, self.least), self.most))

    @property
    def extremes(self) -> tuple[int, ...]:
        """Of the first word and the last."""
        return self.size(0), self.size(WORDS - 1)


@dataclass(frozen=True, slots=True)
class LogNormal:
    """The natural logarithm of the sizes is normally distributed.

    Attributes:
        mu: its mean.
        sigma: its deviation.
        least: sizes below it become it.
        most: sizes above it become it.
    """

    mu: Decimal
    sigma: Decimal
    least: int
    most: int

    def size(self, word: int) -> int:
        """Return exp(mu + z * sigma)."""
        mu, sigma = float(self.mu), float(self.sigma)
        exponent = mu + _nearly_deviate(word) * sigma
        if exponent < _MOST_EXPONENT:
            nearly = math.exp(exponent)
            size = _certain(nearly, _DOUBT * nearly * (1 + abs(mu) + 10 * sigma))
            if size is not None:
                return min(max(size, self.least), self.most)
        value = _ARITHMETIC.exp(_ARITHMETIC.fma(deviate(word), self.sigma, self.mu))
        return _clipped(value, self.least, self.most)

    @property
    def mean(self) -> float:
        """Mean of the sizes, which are clipped."""
        mu, sigma = float(self.mu), float(self.sigma)
        most = math.log(max(1, self.most))
        return _mean(lambda z: max(math.exp(min(mu + z * sigma, most)), self.least))

    @property
    def extremes(self) -> tuple[int, ...]:
        """Of the first word and the last."""
        return self.size(0), self.size(WORDS - 1)


@dataclass(frozen=True, slots=True)
class Weighted:
    """One of some sizes.

    Attributes:
        sizes: bytes.
        sums: of the weights up to each size's.
    """

    sizes: tuple[int, ...]
    sums: tuple[int, ...]

    def size(self, word: int) -> int:
        """Return the first size whose sum is above word * (sum of all) / 2^64."""
        return self.sizes[bisect_right(self.sums, word * self.sums[-1] // WORDS)]

    @property
    def extremes(self) -> tuple[int, ...]:
        """All of them."""
        return self.sizes

    @property
    def mean(self) -> float:
        """Mean of the sizes by their weights."""
        weights = (after - before for before, after in pairwise((0, *self.sums)))
        total = sum(size * weight for size, weight in zip(self.sizes, weights, strict=True))
        return total / self.sums[-1]


def deviate(word: int) -> Decimal:
    """Return z such that a standard normal variable is below it with a probability of u.

    Args:
        word: 0 to 2^64 - 1; u = (word + 1/2) / 2^64.
    """
    arithmetic = _ARITHMETIC
    q = arithmetic.divide(Decimal(2 * word + 1 - WORDS), _HALVES)  # u - 1/2
    if q.copy_abs() <= _CENTER_ENDS:
        squared = arithmetic.subtract(_CENTER_SQUARED, arithmetic.multiply(q, q))
        return arithmetic.multiply(_ratio(_CENTER, squared), q)
    tail = arithmetic.divide(Decimal(2 * min(word, WORDS - 1 - word) + 1), _HALVES)
    r = arithmetic.sqrt(arithmetic.ln(tail).copy_negate())
    if r <= _BESIDE_ENDS:
        z = _ratio(_BESIDE, arithmetic.subtract(r, _FROM_BESIDE))
    else:
        z = _ratio(_FAR, arithmetic.subtract(r, _BESIDE_ENDS))
    return z.copy_negate() if q.is_signed() else z


def _nearly_deviate(word: int) -> float:
    """Return ``deviate`` of a word in doubles."""
    # Of the lower half, as probabilities near 1 have few digits.
    z = _DOUBLES.inv_cdf((2 * min(word, WORDS - 1 - word) + 1) / (2 * WORDS))
    return z if word < WORDS // 2 else -z


def _mean(size: Callable[[float], float]) -> float:
    """Return the mean of what is a function of a normal deviate, by the trapezoidal rule."""
    steps = [step / _STEPS for step in range(-_ENDS * _STEPS, _ENDS * _STEPS + 1)]
    densities = list(map(_DOUBLES.pdf, steps))
    return sum(size(z) * density for z, density in zip(steps, densities, strict=True)) / sum(
        densities
    )


def _certain(value: float, doubt: float) -> int | None:
    """Return what a number rounds to if all that are within ``doubt`` of it do, else None."""
    size = round(value)
    return size if abs(value - size) + doubt < 0.5 else None


def _ratio(polynomials: Sequence[Sequence[Decimal]], x: Decimal) -> Decimal:
    """Return the quotient of two polynomials, by Horner's rule."""
    fma = _ARITHMETIC.fma
    values = []
    for coefficients in polynomials:
        value = coefficients[0]
        for coefficient in coefficients[1:]:
            value = fma(value, x, coefficient)
        values.append(value)
    return _ARITHMETIC.divide(*values)


def _clipped(value: Decimal, least: int, most: int) -> int:
    """Return ``value`` rounded to a whole number, half to even, and into its bounds."""
    if value <= least:
        return least
    if value >= most:
        return most
    return int(value.to_integral_value(ROUND_HALF_EVEN))

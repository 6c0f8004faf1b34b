"""Whole numbers as callers give them: Python's, NumPy's, and whatever else is one."""

import operator
from typing import SupportsIndex


def whole_number(
    what: str, value: SupportsIndex, least: int | None = None, most: int | None = None
) -> int:
    """Return ``value`` as Python's int, whose sums do not wrap.

    Args:
        what: the number's name, for the error.
        value: anything that operator.index takes.
        least: None for no bound.
        most: None for no bound.

    Raises:
        TypeError: ``value`` is no whole number, but a float or an array, say.
        ValueError: it is out of bounds.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{what} {value!r}: must be a whole number, not a {type(value).__name__}"
        ) from None
    if (least is not None and number < least) or (most is not None and number > most):
        rule = f"at least {least}" if most is None else f"{least} to {most}"
        raise ValueError(f"{what} {number}: must be {rule}")
    return number

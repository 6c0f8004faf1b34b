"""Numbers and vectors of dgenfs.compat.dgen_py beside those of dgen-py itself."""

import array
import math

import dgen_py as real
import numpy as np
import pytest

from dgenfs.compat import dgen_py as ours

REFUSED = [
    "generate_uniform(-1)",
    "generate_uniform(5, 1, 1)",
    "generate_uniform(5, math.nan)",
    "generate_uniform(5, seed=1 << 64)",
    "generate_uniform_vectors(5, 0)",
    "generate_uniform_vectors(1 << 40, 1 << 40)",
    "normalize_rows(bytearray(13), 3)",
    "normalize_rows(bytearray(12), 0)",
    "normalize_rows(np.ones(6), 3)",
    'normalize_rows(array.array("i", [1, 2, 3]), 3)',
    "normalize_rows(bytes(12), 3)",
    "normalize_rows(np.ones(12, np.float32)[::2], 3)",
]


def test_even_numbers() -> None:
    for low, high in ((0.0, 1.0), (-5, 3), (1, 1.0000002), (-1e38, 1e38)):
        data = ours.generate_uniform(100_001, low, high, seed=4)
        assert len(data) == len(real.generate_uniform(100_001, low, high, seed=4))
        values = np.frombuffer(data, np.float32).astype(np.float64)
        low, high = float(np.float32(low)), float(np.float32(high))
        assert low <= values.min()
        assert values.max() < high
        if high - low > 0.1:
            tenths = np.histogram(values, 10, (low, high))[0]
            assert np.abs(tenths - 10_000).max() < 500
        assert data == ours.generate_uniform(100_001, low, high, 1, seed=4)
    assert ours.generate_uniform(0) == b""
    with pytest.raises(ValueError, match="low 0, high inf"):
        ours.generate_uniform(5, 0, math.inf)


def test_vectors() -> None:
    data = ours.generate_uniform_vectors(1000, 96, -1, 1, seed=7)
    assert len(data) == len(real.generate_uniform_vectors(1000, 96))
    rows = np.frombuffer(data, np.float32).reshape(1000, 96)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-6)
    flat = bytearray(ours.generate_uniform(96_000, -1, 1, seed=7))
    assert flat == ours.generate_uniform_vectors(1000, 96, -1, 1, normalize=False, seed=7)
    ours.normalize_rows(flat, 96)
    assert flat == data
    assert ours.generate_uniform_vectors(0, 5) == b""


def test_rows_are_scaled() -> None:
    rows = np.array([[3, 4], [0, 0], [-1e30, 1e30], [1e-30, 0]], np.float32)
    own, theirs = rows.copy(), rows[:2].copy()
    ours.normalize_rows(own, dim=2)
    real.normalize_rows(theirs, dim=2)
    np.testing.assert_allclose(own[:2], theirs, rtol=1e-6)
    half = math.sqrt(0.5)
    lengths = np.array([[0.6, 0.8], [0, 0], [-half, half], [1, 0]])
    np.testing.assert_allclose(own, lengths, rtol=1e-6)
    ours.normalize_rows(bytearray(0), 3)


@pytest.mark.parametrize("call", REFUSED)
def test_refused(call: str) -> None:
    for module in (ours, real):
        with pytest.raises((ValueError, OverflowError)):
            eval(call, {**vars(module), "np": np, "math": math, "array": array})

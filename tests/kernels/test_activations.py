"""exp, sigmoid and tanh against float64, within the errors that `lmkit.kernels.activations` states."""

import math

import numpy as np
import pytest
from reference_rnn import sigmoid

from lmkit.kernels import activations

E88 = math.exp(88)


def in_place(function, x, *arguments):
    y = x.copy()
    function(y, *arguments)
    return y


def exp(x):
    return in_place(activations.exp_in_place, x, x.dtype.type(0))


def sigmoid_of(x):
    return in_place(activations.sigmoid_in_place, x)


def tanh_of(x):
    return in_place(activations.tanh_in_place, x)


def grid(low, high):
    """A million numbers, evenly spread, and those closest to where n = round(x / ln 2) changes, or r its sign."""
    halves = np.arange(np.ceil(low * 2 / math.log(2)), high * 2 / math.log(2)) * math.log(2) / 2
    near = (halves.astype(np.float32).view(np.int32)[:, None] + np.arange(-5, 6, dtype=np.int32)).view(np.float32)
    tiny = np.float32(10) ** np.arange(-45, 0, dtype=np.float32)
    x = np.concatenate([np.linspace(low, high, 1_000_000).astype(np.float32), near.reshape(-1), tiny, -tiny])
    return x[(x >= low) & (x <= high)]


def test_exp_in_float32():
    x = grid(-87, 88)
    exact = np.exp(x.astype(np.float64))
    assert (np.abs(exp(x) - exact) < 1.2e-7 * exact).all()


def test_sigmoid_in_float32():
    x = grid(-100, 100)
    assert (np.abs(sigmoid_of(x) - sigmoid(x.astype(np.float64))) < 0.9e-7).all()


def test_tanh_in_float32():
    x = grid(-100, 100)
    found = tanh_of(x)
    assert (np.abs(found - np.tanh(x.astype(np.float64))) < 1.8e-7).all()
    assert (np.abs(found) <= 1).all()


def test_exp_ends_at_0_and_at_e_to_the_88():
    """Below -87 e^x is exactly 0, as a softmax wants it for what it shuts out. Above 88 it stays finite."""
    below = [np.nextafter(np.float32(-87), np.float32(-88)), -88, -100, -103.9, -104, -1e30, -np.inf]
    assert exp(np.array(below, np.float32)).tolist() == [0] * len(below)
    assert exp(np.array([-87, -0.0, 0, 1e-45, -1e-45], np.float32)).tolist() == [
        pytest.approx(math.exp(-87), rel=1.2e-7), 1, 1, 1, 1,
    ]  # fmt: skip
    assert exp(np.array([88, 89, 1e30, np.inf], np.float32)).tolist() == pytest.approx([E88] * 4, rel=1.2e-7)


def test_sigmoid_and_tanh_level_off():
    far = np.array([20, 88, 89, 1e30, np.inf], np.float32)
    assert sigmoid_of(far).tolist() == [1] * 5 == tanh_of(far).tolist()
    assert tanh_of(-far).tolist() == [-1] * 5
    below = sigmoid_of(-far)
    assert (below[1:] <= 2 / E88).all() and (below > 0).all()
    zeros = np.array([0.0, -0.0], np.float32)
    assert sigmoid_of(zeros).tolist() == [0.5, 0.5] and tanh_of(zeros).tolist() == [0, 0]


def test_what_is_no_number_stays_none():
    """NaN as arithmetic makes it; one whose low bits were set by hand may become a number in float32."""
    for dtype in (np.float32, np.float64):
        x = np.full(9, np.nan, dtype)
        x[::2] *= -1
        for function in (exp, sigmoid_of, tanh_of):
            assert np.isnan(function(x)).all()


def test_float64_is_exact():
    """Finite differences need it. Four units in the last place: C libraries differ."""
    x = np.concatenate([np.linspace(-700, 700, 10_001), np.linspace(-1, 1, 10_001)])
    np.testing.assert_allclose(exp(x), np.exp(x), rtol=1e-15)
    np.testing.assert_allclose(sigmoid_of(x), sigmoid(x), rtol=1e-15)
    np.testing.assert_allclose(tanh_of(x), np.tanh(x), rtol=1e-15)
    far = np.array([-1e30, -np.inf, 1e30, np.inf])
    assert exp(far).tolist() == [0, 0, np.inf, np.inf]
    assert sigmoid_of(far).tolist() == [0, 0, 1, 1] and tanh_of(far).tolist() == [-1, -1, 1, 1]


def test_a_number_does_not_depend_on_its_place():
    """Bit for bit, whether LLVM computes it in a vector or in the rest of the loop."""
    x = np.linspace(-9, 9, 61).astype(np.float32)
    for function in (exp, sigmoid_of, tanh_of):
        together = function(x)
        for size in (1, 2, 3, 7, 8, 9, 31):
            parts = [function(x[i : i + size].copy()) for i in range(0, len(x), size)]
            np.testing.assert_array_equal(np.concatenate(parts), together)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
def test_tanh_to_another_array(dtype):
    x = np.linspace(-3, 3, 37).astype(dtype)
    y = np.full_like(x, np.nan)
    activations.tanh_to(y, x)
    np.testing.assert_array_equal(y, tanh_of(x))
    np.testing.assert_array_equal(x, np.linspace(-3, 3, 37).astype(dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
def test_the_shift_of_exp_is_subtracted_first(dtype):
    x = np.array([1000, 999, 990], dtype)
    np.testing.assert_allclose(in_place(activations.exp_in_place, x, x[0]), np.exp([0, -1, -10]), rtol=1.2e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
def test_the_largest_and_the_total_are_found_wherever_they_are(dtype):
    for size in (1, 2, 7, 8, 33, 100):
        x = np.random.default_rng(size).integers(-1000, 0, size).astype(dtype)
        assert activations.total(x) == x.sum()
        for i in range(size):
            y = x.copy()
            y[i] = 5
            assert activations.largest(y) == 5
        x[0] = -np.inf
        assert activations.largest(x) == x.max()

"""Products with packed matrices against NumPy's, in small whole numbers: float32 holds their sums exactly."""

import importlib.util

import numba
import numpy as np
import pytest

import lmkit.kernels
from lmkit.kernels import products, recurrent
from lmkit.kernels.products import PLAIN_WIDTH, SCRATCH, WIDTH

DTYPES = [np.float32, np.float64]
WIDTHS = [WIDTH, PLAIN_WIDTH]
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
each_width = pytest.mark.parametrize("width", WIDTHS, ids=["vectors", "plain"])


def whole(rng, *shape):
    """Whole numbers up to 8: 1100 products of two of them are less than 2^24."""
    return rng.integers(-8, 9, shape).astype(np.float64)


def panels_of(w, width):
    """The twin of `pack`: cut the columns into panels, zeros behind the last."""
    depth, columns = w.shape
    count = -(-columns // width)
    padded = np.zeros((depth, count * width), w.dtype)
    padded[:, :columns] = w
    return np.ascontiguousarray(padded.reshape(depth, count, width).transpose(1, 0, 2))


def scratch_for(width, dtype):
    return np.full(SCRATCH if width == WIDTH else 0, np.nan, dtype)


@each_dtype
@each_width
def test_packing_is_cutting_into_panels(dtype, width):
    rng = np.random.default_rng(0)
    for depth, columns in [(1, 1), (3, width - 1), (7, width), (2, width + 1), (5, 3 * width + 2)]:
        w = rng.normal(size=(depth, columns)).astype(dtype)
        expected = panels_of(w, width)
        found = np.full_like(expected, np.nan)
        products.pack(found, w, 0, len(found))
        np.testing.assert_array_equal(found, expected)

        twin = np.full_like(expected, np.nan)
        products.pack_transposed(twin, np.ascontiguousarray(w.T), 0, 0, len(twin))
        np.testing.assert_array_equal(twin, expected)


@each_dtype
@each_width
def test_packing_can_be_shared_out(dtype, width):
    """Only the panels from `first` to `last` are written, so that threads can divide a large matrix."""
    w = np.random.default_rng(1).normal(size=(4, 3 * width + 5)).astype(dtype)
    for function, source, start in [
        (products.pack, w, ()),
        (products.pack_transposed, np.ascontiguousarray(w.T), (0,)),
    ]:
        found = np.full((4, 4, width), np.nan, dtype)
        function(found, source, *start, 1, 3)
        assert np.isnan(found[[0, 3]]).all()
        np.testing.assert_array_equal(found[1:3], panels_of(w, width)[1:3])


@each_dtype
@each_width
def test_a_part_of_the_columns_can_be_transposed(dtype, width):
    w = np.random.default_rng(2).normal(size=(width + 3, 20)).astype(dtype)
    found = np.full((2, 6, width), np.nan, dtype)
    products.pack_transposed(found, w, 9, 0, 2)
    np.testing.assert_array_equal(found, panels_of(w[:, 9:15].T, width))


@each_dtype
@each_width
@pytest.mark.parametrize("depth", [0, 1, 3, 511, 512, 513, 1100])
def test_multiply_adds_the_product(dtype, width, depth):
    """C += A B, for all row counts that tiles are made of and more; nothing beside the target changes."""
    rng = np.random.default_rng(depth)
    for columns in (1, width - 1, 4 * width, 5 * width + 3):
        a, b = whole(rng, 200, depth + 2), whole(rng, depth, columns)
        product = a[:, :depth] @ b
        a[:, depth:] = np.nan  # columns of A that are not part of the product
        a, packed = a.astype(dtype), panels_of(b, width).astype(dtype)
        for rows in [*range(1, 14), 97, 100, 200]:
            memory = whole(rng, rows + 2, packed.shape[0] * width + 3).astype(dtype)
            expected = memory.copy()
            expected[1:-1, :columns] += product[:rows].astype(dtype)
            recurrent.add_product(memory[1:-1], a[:rows], depth, packed)
            np.testing.assert_array_equal(memory, expected)


@each_dtype
@each_width
@pytest.mark.parametrize("depth", [1, 5, 7, 37, 257, 300])
def test_outer_products_add_up(dtype, width, depth):
    """C += A' B over all rows; neither stale scratch memory nor what stands beside A and B matters."""
    rng = np.random.default_rng(depth)
    for columns in (width, 9 * width):
        a, b = whole(rng, 600, depth + 3), whole(rng, 600, columns + width)
        given_a, given_b = a.astype(dtype), b.astype(dtype)
        given_a[:, depth:], given_b[:, columns:] = np.nan, np.nan
        for rows in (1, 2, 255, 257, 600):
            memory = whole(rng, depth, columns + 2 * width).astype(dtype)
            expected = memory.copy()
            expected[:, width:-width] += (a[:rows, :depth].T @ b[:rows, :columns]).astype(dtype)
            recurrent.add_weight_gradient(
                memory, width, given_a[:rows], given_b[:rows], columns, scratch_for(width, dtype)
            )
            np.testing.assert_array_equal(memory, expected)


@each_dtype
@each_width
def test_rounding_is_that_of_a_sum(dtype, width):
    """Of real numbers, the error is within the bound of any order of summation, K eps |A| |B| (Higham 2002, 3.5)."""
    rng = np.random.default_rng(6)
    a, b = rng.normal(size=(50, 700)).astype(dtype), rng.normal(size=(700, 2 * width)).astype(dtype)
    found = np.zeros((50, 2 * width), dtype)
    recurrent.add_product(found, a, 700, panels_of(b, width))
    exact = a.astype(np.longdouble) @ b.astype(np.longdouble)
    assert (np.abs(found - exact) <= 700 * np.finfo(dtype).eps * (np.abs(a) @ np.abs(b))).all()


@each_dtype
@each_width
@pytest.mark.parametrize("depth", [3, 64, 513, 1100])
def test_a_row_does_not_depend_on_its_company(dtype, width, depth):
    """Bit for bit: a stream is scored the same alone and in any batch."""
    rng = np.random.default_rng(depth)
    a, c = rng.normal(size=(200, depth)).astype(dtype), rng.normal(size=(200, 7 * width)).astype(dtype)
    b = panels_of(rng.normal(size=(depth, 7 * width)).astype(dtype), width)
    alone = c.copy()
    for r in range(200):
        recurrent.add_product(alone[r : r + 1], a[r : r + 1], depth, b)
    for rows in (2, 3, 7, 12, 97, 200):
        together = c[:rows].copy()
        recurrent.add_product(together, a[:rows], depth, b)
        np.testing.assert_array_equal(together, alone[:rows])


@pytest.mark.parametrize("feature", ["neon", "avx2", "avx512f"])
def test_other_processors_tiles(monkeypatch, feature):
    """Vectors of 4, 8 and 16 lanes: LLVM makes all of them out of what the processor here has.

    Of the two products, the one that depends more on their number; compiling takes two seconds each.
    """
    lanes = {"neon": 4, "avx2": 8, "avx512f": 16}[feature]
    if lanes == products.LANES:
        pytest.skip("this processor's own")
    monkeypatch.setattr(products.llvm, "get_host_cpu_features", lambda: {feature: True})
    for name, options in {"kernel": {}, "routine": {"_nrt": False}}.items():  # never in the cache of the real ones
        monkeypatch.setattr(lmkit.kernels, name, numba.njit(error_model="numpy", **options))
    spec = importlib.util.spec_from_file_location("other_products", products.__file__)
    other = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(other)
    assert lanes == other.LANES
    width, rng = other.WIDTH, np.random.default_rng(7)
    for rows, depth, columns in [(1, 5, 2 * width), (9, 513, width), (100, 37, 2 * width), (300, 261, 9 * width)]:
        a, b = whole(rng, rows, depth), whole(rng, rows, columns)
        found, scratch = np.zeros((depth, columns), np.float32), np.full(other.SCRATCH, np.nan, np.float32)
        other.add_outer(found, a.astype(np.float32), b.astype(np.float32), scratch)
        np.testing.assert_array_equal(found, a.T @ b)

"""The cells, the look-up of tokens and dropout against their twins in `reference_rnn`."""

import numpy as np
import pytest
import reference_rnn as reference

from lmkit.kernels import products, recurrent
from lmkit.kernels.products import PLAIN_WIDTH, WIDTH
from lmkit.rnn.network import Dropout

DTYPES = [np.float32, np.float64]
STEPS, STREAMS = 6, 3
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
each_width = pytest.mark.parametrize("width", [WIDTH, PLAIN_WIDTH], ids=["vectors", "plain"])
each_size = pytest.mark.parametrize("hidden", [5, 16, 37])


class Layer:
    """Random numbers for one layer, as its twin wants them, and as the kernels do: padded, packed, of one dtype."""

    def __init__(self, gates, hidden, width, dtype, steps=STEPS, streams=STREAMS, seed=0):
        rng = np.random.default_rng([seed, hidden])
        self.hidden, self.width, self.dtype = hidden, width, dtype
        self.w = rng.normal(0, hidden**-0.5, (hidden, gates, hidden))
        self.b_hn = rng.normal(size=hidden)
        self.z = rng.normal(size=(steps, streams, gates, hidden))
        self.h0, self.c0 = rng.normal(size=(2, streams, hidden))
        self.dh = rng.normal(size=(steps, streams, hidden))
        self.starts = rng.random((steps, streams)) < 0.3
        self.starts[:, 0] = False

    def pad(self, x):
        """Put zeros behind the last axis, up to whole panels."""
        x = np.asarray(x)
        return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, -x.shape[-1] % self.width)]).astype(self.dtype)

    def side_by_side(self, x):
        """(..., G, H) -> (..., G P): how gates lie in memory."""
        return self.pad(x).reshape(*x.shape[:-2], -1)

    def after(self, first):
        """(T + 1, B, P) whose first row is given, as memory that was never written looks like."""
        first = self.pad(first)
        return np.concatenate([first[None], np.full((len(self.z), *first.shape), np.nan, self.dtype)])

    def packed(self, gates=slice(None)):
        w = self.side_by_side(self.w[:, gates])
        panels = np.empty((w.shape[1] // self.width, self.hidden, self.width), self.dtype)
        products.pack(panels, w, 0, len(panels))
        return panels

    def packed_transpose(self, gates=slice(None)):
        w = self.side_by_side(self.w[:, gates])
        panels = np.empty((-(-self.hidden // self.width), w.shape[1], self.width), self.dtype)
        products.pack_transposed(panels, w, 0, 0, len(panels))
        return panels

    def check(self, found, expected):
        """Compare with the twin; what was added to fill panels must be zero, and stay zero."""
        found = found.reshape(*expected.shape[:-1], -1)
        tolerance = 1e-5 if self.dtype == np.float32 else 1e-13
        np.testing.assert_allclose(found[..., : self.hidden], expected, rtol=tolerance, atol=tolerance)
        self.check_padding(found)

    def check_padding(self, x):
        assert x.shape[-1] % self.width == 0 and not x[..., self.hidden :].any()


@each_dtype
@each_width
@each_size
def test_elman(dtype, width, hidden):
    layer = Layer(1, hidden, width, dtype)
    h, z, dh = layer.after(layer.h0), layer.side_by_side(layer.z), layer.pad(layer.dh)
    recurrent.elman_forward(h, z, layer.packed(), layer.starts)
    recurrent.elman_backward(z, dh, h, layer.packed_transpose(), layer.starts)
    expected_h, expected_dz = reference.elman(layer.z, layer.h0, layer.w, layer.dh, layer.starts)
    layer.check(h, expected_h)
    layer.check(z, expected_dz)
    layer.check_padding(dh)


@each_dtype
@each_width
@each_size
def test_lstm(dtype, width, hidden):
    layer = Layer(4, hidden, width, dtype)
    h, c, z, dh = (
        layer.after(layer.h0),
        layer.after(layer.c0),
        layer.side_by_side(layer.z),
        layer.pad(layer.dh),
    )
    recurrent.lstm_forward(h, c, z, layer.packed(), layer.starts)
    scratch = np.full(h.shape[2], np.nan, dtype)
    dc = np.zeros_like(h[0])
    recurrent.lstm_backward(z, dh, dc, c, layer.packed_transpose(), layer.starts, scratch)
    expected_h, expected_c, expected_dz = reference.lstm(layer.z, layer.h0, layer.c0, layer.w, layer.dh, layer.starts)
    layer.check(h, expected_h)
    layer.check(c, expected_c)
    layer.check(z, expected_dz)
    layer.check_padding(dh)
    layer.check_padding(dc)


@each_dtype
@each_width
@each_size
def test_gru(dtype, width, hidden):
    layer = Layer(3, hidden, width, dtype)
    h, z, dh = layer.after(layer.h0), layer.side_by_side(layer.z), layer.pad(layer.dh)
    a = layer.pad(np.broadcast_to(layer.b_hn, layer.dh.shape))
    recurrent.gru_forward(h, z, a, layer.packed(slice(0, 2)), layer.packed(slice(2, 3)), layer.starts)
    seen = np.where(layer.starts[:, :, None], 0, h[:-1, :, :hidden])
    layer.check(a, seen @ layer.w[:, 2] + layer.b_hn)
    recurrent.gru_backward(
        z, dh, a, h, layer.packed_transpose(slice(0, 2)), layer.packed_transpose(slice(2, 3)), layer.starts
    )
    expected_h, expected_dz, expected_da = reference.gru(layer.z, layer.b_hn, layer.h0, layer.w, layer.dh, layer.starts)
    layer.check(h, expected_h)
    layer.check(z, expected_dz)
    layer.check(a, expected_da)
    layer.check_padding(dh)


def run_forward(arch, layer, streams):
    """h of the first so many streams."""
    z = layer.side_by_side(layer.z[:, :streams])
    starts = np.ascontiguousarray(layer.starts[:, :streams])
    h, c = layer.after(layer.h0[:streams]), layer.after(layer.c0[:streams])
    if arch == "elman":
        recurrent.elman_forward(h, z, layer.packed(), starts)
    elif arch == "lstm":
        recurrent.lstm_forward(h, c, z, layer.packed(), starts)
    else:
        a = layer.pad(np.broadcast_to(layer.b_hn, layer.dh[:, :streams].shape))
        recurrent.gru_forward(h, z, a, layer.packed(slice(0, 2)), layer.packed(slice(2, 3)), starts)
    return h


@each_width
@pytest.mark.parametrize(("arch", "gates"), [("elman", 1), ("gru", 3), ("lstm", 4)])
def test_a_stream_does_not_depend_on_its_company(arch, gates, width):
    """Bit for bit, whatever the number of streams that run beside it."""
    layer = Layer(gates, 37, width, np.float32, streams=20)
    together = run_forward(arch, layer, 20)
    for streams in (1, 2, 7):
        np.testing.assert_array_equal(run_forward(arch, layer, streams), together[:, :streams])


@each_dtype
def test_looking_up_is_a_product_with_one_hot_vectors(dtype):
    rng = np.random.default_rng(0)
    table, bias, d_out = rng.normal(size=(9, 20)), rng.normal(size=20), rng.normal(size=(13, 20))
    ids = rng.integers(0, 6, 13).astype(np.int32)  # some twice, some never
    found, d_table = np.full((13, 20), np.nan, dtype), np.zeros((9, 20), dtype)
    recurrent.gather_rows(found, table.astype(dtype), bias.astype(dtype), ids)
    expected, expected_d_table = reference.gather(table, bias, ids, d_out)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    for times in (1, 2):  # gradients are added
        recurrent.scatter_rows(d_table, d_out.astype(dtype), ids)
        np.testing.assert_allclose(d_table, times * expected_d_table, rtol=1e-5, atol=1e-5)


@each_dtype
def test_sums_over_rows(dtype):
    """Whole numbers, so that sums are exact; of wider rows only the first columns are wanted."""
    rng = np.random.default_rng(1)
    rows, sums = rng.integers(-9, 9, (50, 24)).astype(dtype), np.full(16, 3, dtype)
    recurrent.add_column_sums(sums, rows)
    np.testing.assert_array_equal(sums, 3 + rows[:, :16].sum(0))
    out = np.ones((50, 24), dtype)
    recurrent.repeat_row(out, rows[7])
    np.testing.assert_array_equal(out, np.tile(rows[7], (50, 1)))


def drop(x, key, keep, locked=False):
    out = np.full_like(x, np.nan)
    recurrent.dropout(out, x, np.uint64(key), x.dtype.type(keep), locked)
    return out


@each_dtype
@pytest.mark.parametrize("locked", [False, True])
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.75])
def test_dropout_is_its_twin(dtype, keep, locked):
    """Also where a row is no whole number of random words, and where the key is as large as can be."""
    for key in (0, 12345, 2**64 - 1):
        for size in (1, 6, 16):
            x = np.random.default_rng(size).normal(size=(4, 3, size)).astype(dtype)
            mask = reference.dropout_mask(key, x.shape, float(dtype(keep)), locked)
            np.testing.assert_allclose(drop(x, key, keep, locked), x * mask / keep, rtol=1e-6)


@pytest.mark.parametrize("locked", [False, True])
def test_the_backward_pass_finds_the_same_mask(locked):
    """The mask is a function of key and place alone, and gradients may be dropped in place."""
    x, dh = np.random.default_rng(0).normal(size=(2, 5, 4, 32))
    dropped, gradient = drop(x, 7, 0.5, locked), dh.copy()
    recurrent.dropout(gradient, gradient, np.uint64(7), 0.5, locked)
    kept = dropped != 0
    assert 0 < kept.sum() < kept.size
    np.testing.assert_array_equal(gradient, np.where(kept, 2 * dh, 0))
    np.testing.assert_array_equal(dropped, np.where(kept, 2 * x, 0))


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.8, 0.999])
def test_dropout_keeps_its_share_and_the_mean(keep):
    """Within five standard deviations of the binomial distribution: overall, and for each place, stream and step."""
    mask = drop(np.ones((100, 20, 64)), 42, keep) * keep
    np.testing.assert_allclose(np.unique(mask), [0, 1])
    for counts, trials in [
        (mask.sum(), mask.size),
        (mask.reshape(-1, 4).sum(0), mask.size / 4),
        (mask.sum((0, 1)), 2000),
        (mask.sum((1, 2)), 1280),
        (mask.sum((0, 2)), 6400),
    ]:
        bound = 5 * np.sqrt(trials * keep * (1 - keep)) + 1
        assert (np.abs(counts - trials * keep) <= bound).all()


def test_neighbours_are_dropped_independently():
    """Along each axis: chi-square of the 2 x 2 table of neighbours, one degree of freedom."""
    mask = drop(np.ones((100, 20, 64)), 3, 0.5) > 0
    for axis in range(3):
        first, second = mask.take(range(mask.shape[axis] - 1), axis), mask.take(range(1, mask.shape[axis]), axis)
        table = np.array([[(first == i) & (second == j) for j in (0, 1)] for i in (0, 1)]).sum((2, 3, 4))
        expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
        assert ((table - expected) ** 2 / expected).sum() < 15.1  # one table in 10,000


def test_a_locked_mask_is_the_same_for_all_steps():
    ones = np.ones((10, 4, 32))
    locked, free = drop(ones, 5, 0.5, True), drop(ones, 5, 0.5, False)
    assert (locked == locked[0]).all()
    assert len(np.unique(locked[0], axis=0)) == 4, "each stream has its own"
    assert len(np.unique(free.reshape(40, 32), axis=0)) == 40


def test_each_key_and_each_place_has_its_own_mask():
    ones = np.ones((10, 4, 32))
    masks = []
    for key in (1, 2, 2**64 - 1):
        for place in range(3):
            out = np.empty_like(ones)
            Dropout(0.5, key)(out, ones, place)
            masks.append(out > 0)
    for i in range(len(masks)):
        for j in range(i):
            agree = (masks[i] == masks[j]).mean()
            assert abs(agree - 0.5) < 5 * 0.5 / np.sqrt(ones.size)


def test_nothing_is_dropped_at_rate_0():
    x = np.random.default_rng(0).normal(size=(5, 4, 32))
    np.testing.assert_array_equal(drop(x, 1, 1.0), x)

"""The last layer against its twins: one softmax, and the factorised one that is made of several."""

import numpy as np
import pytest
import reference_rnn as reference

from lmkit.kernels import products
from lmkit.kernels.products import PLAIN_WIDTH, WIDTH
from lmkit.model import BOS
from lmkit.rnn.network import Network, Shape
from lmkit.rnn.outputs import CHUNK, block_rows

DTYPES = [np.float32, np.float64]
HIDDEN, VOCABULARY = 13, 43
LARGE = 2 * CHUNK + 20  # columns in three chunks
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
each_width = pytest.mark.parametrize("width", [WIDTH, PLAIN_WIDTH], ids=["vectors", "plain"])
each_size = pytest.mark.parametrize("size", [VOCABULARY, LARGE])
each_wiring = pytest.mark.parametrize("tied", [False, True], ids=["own weights", "tied"])


class Layer:
    """A softmax with random weights, as its twin wants it and as a network has it."""

    def __init__(self, rows, width, dtype, size=VOCABULARY, tied=False, scale=1.0):
        rng = np.random.default_rng(rows)
        self.dtype, self.tied = dtype, tied
        self.h, self.w = rng.normal(size=(rows, HIDDEN)), rng.normal(0, scale, (HIDDEN, size))
        self.bias = rng.normal(size=size)
        self.bias[BOS] = -np.inf
        self.targets = rng.choice(np.delete(np.arange(size), BOS), rows).astype(np.int32)
        shape = Shape("elman", size, 1, HIDDEN, embedding=HIDDEN if tied else 0, tied=tied)
        self.network = Network(shape, width=width, dtype=dtype)
        self.weight = "embedding" if tied else "output.weight"
        layout, flat = self.network.layout, self.network.flat
        layout[self.weight].true(flat)[:, 0] = self.w.T if tied else self.w
        layout["output.bias"].true(flat)[0, 0] = np.where(np.isinf(self.bias), 7, self.bias)
        self.network.pack(training=True)
        self.head = self.network.output.head
        self.h_padded = np.zeros((rows, self.network.padded), dtype)
        self.h_padded[:, :HIDDEN] = self.h

    def work(self, training):
        memory = self.network.output.work(len(self.h_padded), training)
        memory[:] = np.nan
        return memory

    def losses(self):
        losses = np.full(len(self.h_padded), np.nan, self.dtype)
        self.head.losses(losses, self.h_padded, self.targets, self.work(False))
        return losses

    def log_softmax(self):
        return self.head.log_probs(self.h_padded)

    def backward(self, share, times=1):
        """Return the losses, dh, dW and db, all padded."""
        losses, dh = np.full(len(self.h), np.nan, self.dtype), np.zeros_like(self.h_padded)
        gradient = np.zeros_like(self.network.flat)
        scratch = np.full(products.SCRATCH if self.network.width == WIDTH else 0, np.nan, self.dtype)
        for _ in range(times):
            self.head.backward(losses, dh, self.h_padded, self.targets, self.work(True), gradient, scratch, share)
        return losses, dh, *(self.network.view(name, gradient) for name in (self.weight, "output.bias"))

    def check(self, found, expected):
        """Compare with the twin, of which `found` has more columns, all zero."""
        tolerance = 2e-5 if self.dtype == np.float32 else 1e-12
        size = expected.shape[-1]
        np.testing.assert_allclose(found[..., :size], expected, rtol=tolerance, atol=tolerance)
        assert not found[..., size:].any()


@each_dtype
@each_width
@each_wiring
@each_size
@pytest.mark.parametrize("rows", [1, 5, block_rows(LARGE), block_rows(LARGE) + 3])
def test_softmax_is_its_twin(dtype, width, tied, size, rows):
    """Losses and gradients, for weights (H, V) and for embeddings (V, P); fewer rows than a block, and more."""
    layer = Layer(rows, width, dtype, size, tied)
    share = 1 / rows
    losses, dh, dw, db = layer.backward(share)
    expected = reference.softmax(layer.h, layer.w, layer.bias, layer.targets, share)
    layer.check(losses, expected[0])
    layer.check(dh, expected[1])
    layer.check(dw, expected[2].T if tied else expected[2])
    layer.check(db, expected[3])
    np.testing.assert_array_equal(layer.losses(), losses)


@each_dtype
def test_gradients_are_added(dtype):
    layer = Layer(5, WIDTH, dtype)
    once, twice = layer.backward(0.5), layer.backward(0.5, times=2)
    np.testing.assert_array_equal(twice[0], once[0])
    for one, two in zip(once[1:], twice[1:], strict=True):
        np.testing.assert_allclose(two, 2 * one, rtol=1e-4, atol=1e-6)


@each_dtype
@each_width
@each_size
def test_the_distribution_is_its_twin(dtype, width, size):
    layer = Layer(7, width, dtype, size)
    log_p = layer.log_softmax()
    expected = reference.log_softmax(layer.h @ layer.w + layer.bias)
    tokens = np.delete(np.arange(size), BOS)
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(log_p[:, tokens], expected[:, tokens], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(np.exp(log_p.astype(np.float64)).sum(1), 1, rtol=tolerance)
    np.testing.assert_allclose(layer.losses(), -log_p[np.arange(7), layer.targets], rtol=tolerance, atol=tolerance)


@each_dtype
@each_width
@each_wiring
@each_size
def test_what_cannot_come_has_no_probability_and_no_gradient(dtype, width, tied, size):
    """`<s>`, and the columns that fill the last panel: exactly zero, not nearly."""
    layer = Layer(9, width, dtype, size, tied)
    assert not np.exp(layer.log_softmax()[:, BOS]).any()
    _, _, dw, db = layer.backward(1.0)
    never = [BOS, *range(size, db.size)]
    assert not db[never].any() and np.delete(db[:size], BOS).all()
    assert not (dw[BOS] if tied else dw[:, never]).any()


@each_dtype
@each_size
def test_large_logits_neither_overflow_nor_vanish(dtype, size):
    """The largest is subtracted first. e^(-10000) is 0, its logarithm is not."""
    layer = Layer(6, WIDTH, dtype, size, scale=1e4)
    losses, dh, _, db = layer.backward(1.0)
    expected = reference.softmax(layer.h, layer.w, layer.bias, layer.targets, 1.0)
    np.testing.assert_allclose(losses, expected[0], rtol=1e-5)
    np.testing.assert_allclose(dh[:, :HIDDEN], expected[1], rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(db[:size], expected[3], atol=1e-4)
    assert losses.max() > 1e4


@each_width
@each_size
def test_a_row_does_not_depend_on_its_company(width, size):
    """Bit for bit: a position is scored the same alone and in any block."""
    rows = block_rows(LARGE)
    layer = Layer(rows + 30, width, np.float32, size)
    losses, log_p = layer.losses(), layer.log_softmax()
    h, targets = layer.h_padded, layer.targets
    for first, last in [(0, 1), (3, 5), (11, 18), (rows - 1, rows), (rows, rows + 30)]:
        layer.h_padded, layer.targets = (np.ascontiguousarray(x[first:last]) for x in (h, targets))
        np.testing.assert_array_equal(layer.losses(), losses[first:last])
        np.testing.assert_array_equal(layer.log_softmax(), log_p[first:last])


# The whole output layer, as a network has it.
SHAPES = {
    "full": {},
    "tied": {"embedding": HIDDEN, "tied": True},
    "one cluster": {"cutoffs": (10,)},
    "three clusters": {"cutoffs": (5, 9, 26)},
    "a cluster of one": {"cutoffs": (20, 42)},
}


def some_output(kind, width, dtype):
    """An output layer with random weights, and h (R, P) for it."""
    shape = Shape("elman", VOCABULARY, 1, HIDDEN, **SHAPES[kind])
    network, rng = Network(shape, width=width, dtype=dtype), np.random.default_rng(4)
    for part in network.layout.parts.values():
        values = part.true(network.flat)
        values[:] = rng.normal(size=values.shape)
    network.pack(training=True)
    h = np.zeros((3 * VOCABULARY, network.padded), dtype)
    h[:, :HIDDEN] = rng.normal(size=(len(h), HIDDEN))
    return network, h


@each_dtype
@each_width
@pytest.mark.parametrize("kind", SHAPES)
def test_every_output_layer_is_a_distribution(dtype, width, kind):
    """Every token has its probability, `<s>` has none, all sum to one: what the twin says."""
    network, h = some_output(kind, width, dtype)
    tensors = {name: x.astype(np.float64) for name, x in network.layout.tensors(network.flat).items()}
    log_p = network.output.log_probs(h)
    expected = reference.factorised(h[:, :HIDDEN].astype(np.float64), tensors, network.shape.cutoffs, VOCABULARY)
    tolerance = 2e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(log_p, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(np.exp(log_p.astype(np.float64)).sum(1), 1, rtol=tolerance)
    assert (log_p[:, BOS] == -np.inf).all()

    targets = np.resize(np.delete(np.arange(VOCABULARY), BOS), len(h)).astype(np.int32)
    losses = network.output.losses(h, targets, network.output.work(len(h), training=False))
    np.testing.assert_allclose(losses, -expected[np.arange(len(h)), targets], rtol=tolerance, atol=tolerance)


@each_width
@pytest.mark.parametrize("kind", SHAPES)
def test_bos_gets_no_gradient(width, kind):
    network, h = some_output(kind, width, np.float32)
    targets = np.resize(np.delete(np.arange(VOCABULARY), BOS), len(h)).astype(np.int32)
    gradient, dh = np.zeros_like(network.flat), np.zeros_like(h)
    scratch = np.zeros(products.SCRATCH if width == WIDTH else 0, np.float32)
    network.output.backward(h, targets, network.output.work(len(h), True), dh, gradient, 1.0, scratch)
    assert network.layout["output.bias"].true(gradient)[0, 0, BOS] == 0
    if network.shape.tied:
        assert not network.layout["embedding"].true(gradient)[BOS].any()
    else:
        assert not network.layout["output.weight"].true(gradient)[:, 0, BOS].any()
    assert gradient.any()

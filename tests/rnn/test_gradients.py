"""The gradient of the whole network against finite differences, in float64."""

import itertools

import numpy as np
import pytest
import reference_rnn as reference

from lmkit.kernels.products import PLAIN_WIDTH
from lmkit.model import BOS
from lmkit.rnn.network import Dropout, Network, Shape, Shard

HIDDEN, VOCABULARY, STEPS, STREAMS = 5, 19, 4, 3
STEP = 1e-5  # central differences: errors of STEP^2 from the third derivative, 1e-16 / STEP from rounding
SAMPLE = 5  # entries of each part

ARCHS = ["elman", "gru", "lstm"]
WIRINGS = {
    "one-hot": {},
    "embedding": {"embedding": 4},
    "tied": {"embedding": HIDDEN, "tied": True},
    "one-hot, clusters": {"cutoffs": (8,)},
    "embedding, clusters": {"embedding": 20, "cutoffs": (6, 13)},
}
DROPS = {"no dropout": None, "dropout": Dropout(0.4, 11), "locked dropout": Dropout(0.4, 12, locked=True)}


def some_network(shape, width=None, dtype=np.float64, seed=0):
    """Random weights; padding stays zero."""
    network, rng = Network(shape, width=width, dtype=dtype), np.random.default_rng(seed)
    for part in network.layout.parts.values():
        values = part.true(network.flat)
        values[:] = rng.normal(0, 0.5, values.shape)
    network.pack(training=True)
    return network


def some_text(steps=STEPS, streams=STREAMS, seed=1):
    """Inputs, `<s>` among them, and what follows, never `<s>`."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, VOCABULARY, (steps, streams)).astype(np.int32)
    ids[-1, 0], ids[0, 0] = BOS, ids[-1, -1]  # one token occurs twice
    return ids, rng.choice(np.delete(np.arange(VOCABULARY), BOS), (steps, streams)).astype(np.int32)


class Window:
    """A second window, which begins in the state that a first one left behind; its mean loss and its gradient."""

    def __init__(self, network, drop, resets=None):
        self.network, self.drop, self.resets, self.shard = network, drop, resets, Shard(network, STEPS, STREAMS)
        self.shard.forward(some_text(seed=1)[0], drop)
        self.state = self.shard.state.copy()
        self.ids, self.targets = some_text(seed=2)

    def gradient(self):
        """Return the mean loss and its gradient."""
        self.shard.state[:], self.shard.gradient[:] = self.state, 0
        total = self.shard.backward(self.ids, self.targets, 1 / self.ids.size, self.drop, self.resets)
        return total / self.ids.size, self.shard.gradient.copy()

    def loss(self, change):
        """Return the mean loss with changed weights, from the same state."""
        before = self.network.flat.copy()
        self.network.flat += change
        self.network.pack()
        self.shard.state[:] = self.state
        h = self.shard.forward(self.ids, self.drop, self.resets)
        loss = self.network.output.losses(h, self.targets.reshape(-1), self.shard.work).mean()
        self.network.flat[:] = before
        return loss

    def slope(self, direction):
        """Return the derivative in a direction, by central differences."""
        return (self.loss(STEP * direction) - self.loss(-STEP * direction)) / (2 * STEP)


def true_places(layout, name=None):
    """Places in the flat array, of one part or all, without the padding."""
    places = np.arange(layout.size)
    parts = [layout[name]] if name else layout.parts.values()
    return np.concatenate([part.true(places).reshape(-1) for part in parts])


@pytest.mark.parametrize(("drop", "width"), [*((drop, None) for drop in DROPS), ("dropout", PLAIN_WIDTH)])
@pytest.mark.parametrize("wiring", WIRINGS)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("arch", ARCHS)
def test_gradients_are_finite_differences(arch, layers, wiring, drop, width):
    """Of every part, entry by entry, and of all weights together in a random direction; relative errors under 1e-6."""
    network = some_network(Shape(arch, VOCABULARY, layers, HIDDEN, **WIRINGS[wiring]), width)
    check(Window(network, DROPS[drop]))


RESETS = np.array([[1, 0, 0], [0, 0, 0], [1, 1, 0], [0, 1, 0]], bool)  # of steps and streams; the last has none


@pytest.mark.parametrize("drop", DROPS)
@pytest.mark.parametrize("wiring", ["one-hot", "embedding"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("arch", ARCHS)
def test_gradients_with_resets_are_finite_differences(arch, layers, wiring, drop):
    check(Window(some_network(Shape(arch, VOCABULARY, layers, HIDDEN, **WIRINGS[wiring])), DROPS[drop], RESETS))


@pytest.mark.parametrize("width", [None, PLAIN_WIDTH])
@pytest.mark.parametrize("arch", ARCHS)
def test_a_reset_is_a_window_that_begins_there(arch, width):
    """Each piece of a stream between two resets is a window of its own, from the zero state: losses and gradients."""
    network = some_network(Shape(arch, VOCABULARY, 2, HIDDEN, embedding=4), width)
    window = Window(network, None, RESETS)
    loss, gradient = window.gradient()
    after, total, gradients = window.shard.state.copy(), 0.0, np.zeros_like(gradient)
    for b in range(STREAMS):
        cuts = [0, *(t for t in range(1, STEPS) if RESETS[t, b]), STEPS]
        for begin, end in itertools.pairwise(cuts):
            alone = Shard(network, end - begin, 1)
            if not RESETS[begin, b]:
                alone.state[:] = window.state[:, :, b : b + 1]
            piece = slice(begin, end), slice(b, b + 1)
            ids, targets = (np.ascontiguousarray(x[piece]) for x in (window.ids, window.targets))
            total += alone.backward(ids, targets, 1 / window.ids.size)
            gradients += alone.gradient
        np.testing.assert_allclose(alone.state[:, :, 0], after[:, :, b], rtol=1e-12, atol=1e-14)
    assert loss == pytest.approx(total / window.ids.size, rel=1e-12)
    np.testing.assert_allclose(gradient, gradients, rtol=1e-9, atol=1e-14)


def check(window):
    """See that the gradient of a window is that of finite differences, of every part and of all together."""
    network, rng = window.network, np.random.default_rng(3)
    loss, gradient = window.gradient()
    assert loss == pytest.approx(window.loss(0), rel=1e-14)
    for name in network.layout.parts:
        places = true_places(network.layout, name)
        touched = places[gradient[places] != 0]
        assert touched.size, f"{name} has no gradient"
        sample = rng.choice(touched, min(SAMPLE, touched.size), replace=False)
        found = np.array([window.slope(np.eye(1, network.layout.size, place)[0]) for place in sample])
        error = np.linalg.norm(found - gradient[sample]) / np.linalg.norm(gradient[sample])
        assert error < 1e-6, f"{name}: {error}"
    places, direction = true_places(network.layout), np.zeros(network.layout.size)
    direction[places] = rng.normal(size=places.size) / np.sqrt(places.size)
    usual = np.linalg.norm(gradient) / np.sqrt(places.size)  # standard deviation of the slope over all directions
    assert window.slope(direction) == pytest.approx(gradient @ direction, rel=0, abs=1e-6 * usual)


@pytest.mark.parametrize("wiring", WIRINGS)
@pytest.mark.parametrize("arch", ARCHS)
def test_what_cannot_change_the_loss_has_no_gradient(arch, wiring):
    """Padding, the logit of `<s>`, and the embeddings of tokens that do not occur: exactly zero."""
    network = some_network(Shape(arch, VOCABULARY, 2, HIDDEN, **WIRINGS[wiring]))
    window = Window(network, None)
    _, gradient = window.gradient()
    assert not np.delete(gradient, true_places(network.layout)).any()
    assert network.layout["output.bias"].true(gradient)[0, 0, BOS] == 0
    if not network.shape.tied:
        first = "embedding" if network.shape.embedding else "layer0.input"
        rows = network.view(first, gradient)
        absent = np.setdiff1d(np.arange(VOCABULARY), window.ids)
        assert absent.size and not rows[absent].any() and rows[BOS].any()
        assert not network.layout["output.weight"].true(gradient)[:, 0, BOS].any()


@pytest.mark.parametrize("width", [None, PLAIN_WIDTH], ids=["vectors", "plain"])
@pytest.mark.parametrize("wiring", WIRINGS)
@pytest.mark.parametrize("arch", ARCHS)
def test_a_network_is_its_twin(arch, wiring, width):
    """Losses and states of two windows, one after the other, are those of the textbook."""
    network = some_network(Shape(arch, VOCABULARY, 2, HIDDEN, **WIRINGS[wiring]), width)
    shard, tensors = Shard(network, STEPS, STREAMS, training=False), network.layout.tensors(network.flat)
    state = np.zeros((2, network.shape.cell.state_parts, STREAMS, HIDDEN))
    for seed in (1, 2):
        ids, targets = some_text(seed=seed)
        losses = shard.losses(ids, targets)
        log_p, state = reference.network(network.shape, tensors, ids, state)
        expected = -np.take_along_axis(log_p, targets[:, :, None].astype(int), 2)[:, :, 0]
        np.testing.assert_allclose(losses, expected, rtol=1e-12)
        np.testing.assert_allclose(shard.state[..., :HIDDEN], state, rtol=1e-11, atol=1e-13)
        assert not shard.state[..., HIDDEN:].any()


@pytest.mark.parametrize("arch", ARCHS)
def test_the_gradient_of_a_batch_is_the_sum_over_its_shards(arch):
    """So is the loss; states go on stream by stream."""
    network = some_network(Shape(arch, VOCABULARY, 2, HIDDEN, **WIRINGS["embedding, clusters"]))
    ids, targets = some_text(streams=7)
    whole = Shard(network, STEPS, 7)
    loss = whole.backward(ids, targets, 1 / ids.size)
    parts, losses = [Shard(network, STEPS, 2), Shard(network, STEPS, 5)], []
    for shard, streams in zip(parts, (slice(0, 2), slice(2, 7)), strict=True):
        part = np.ascontiguousarray(ids[:, streams]), np.ascontiguousarray(targets[:, streams])
        losses.append(shard.backward(*part, 1 / ids.size))
    assert sum(losses) == pytest.approx(loss, rel=1e-13)
    np.testing.assert_allclose(sum(shard.gradient for shard in parts), whole.gradient, rtol=1e-11, atol=1e-15)
    np.testing.assert_array_equal(np.concatenate([shard.state for shard in parts], 2), whole.state)


@pytest.mark.parametrize("drop", ["dropout", "locked dropout"])
@pytest.mark.parametrize("arch", ARCHS)
def test_dropout_is_between_layers_and_never_between_steps(arch, drop):
    """What the first layer carries on is untouched; what the second one reads and what leaves it has gaps."""
    network = some_network(Shape(arch, VOCABULARY, 2, HIDDEN))
    dropped, plain = Shard(network, 20, STREAMS), Shard(network, 20, STREAMS)
    ids, _ = some_text(20)
    h, plain_h = dropped.forward(ids, DROPS[drop]), plain.forward(ids)
    np.testing.assert_array_equal(dropped.state[0], plain.state[0])
    assert not np.isclose(dropped.state[1, ..., :HIDDEN], plain.state[1, ..., :HIDDEN]).any()
    assert (plain_h[..., :HIDDEN] != 0).all()
    for out in (dropped.dropped[0], h):
        gaps = (out[..., :HIDDEN] == 0).mean()
        # masks that are the same for all steps decide about 15 numbers, others about 300
        assert abs(gaps - 0.4) < 4 * np.sqrt(0.24 / (15 if DROPS[drop].locked else 300))
    assert ((dropped.dropped[0] == 0) != (h == 0)).any(), "each place has a mask of its own"


@pytest.mark.parametrize("drop", DROPS)
@pytest.mark.parametrize("arch", ARCHS)
def test_gradients_are_added_and_passes_leave_nothing_behind(arch, drop):
    """Backward twice is twice the gradient, bit for bit: nothing of the first pass is in the buffers of the second."""
    window = Window(some_network(Shape(arch, VOCABULARY, 2, HIDDEN, **WIRINGS["tied"])), DROPS[drop])
    loss, once = window.gradient()
    window.shard.backward(*some_text(seed=5), 1.0, DROPS[drop])
    again, twice = window.gradient()
    assert again == loss
    np.testing.assert_array_equal(twice, once)
    window.shard.state[:] = window.state
    window.shard.backward(window.ids, window.targets, 1 / window.ids.size, DROPS[drop])
    np.testing.assert_allclose(window.shard.gradient, 2 * once, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("drop", DROPS)
@pytest.mark.parametrize("arch", ARCHS)
def test_a_shorter_window_may_use_the_memory_of_a_longer_one(arch, drop):
    """The last window of a text, after full ones: as in a shard of its own size."""
    network = some_network(Shape(arch, VOCABULARY, 2, HIDDEN, **WIRINGS["embedding, clusters"]))
    ids, targets = some_text(seed=6)
    long, short = Shard(network, 3 * STEPS, STREAMS), Shard(network, STEPS, STREAMS)
    long.backward(*some_text(3 * STEPS, seed=7), 1.0, DROPS[drop])
    long.gradient[:] = 0
    short.state[:] = long.state
    assert long.backward(ids, targets, 1.0, DROPS[drop]) == short.backward(ids, targets, 1.0, DROPS[drop])
    np.testing.assert_array_equal(long.gradient, short.gradient)
    np.testing.assert_array_equal(long.state, short.state)

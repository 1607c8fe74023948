"""Training: the same bits for any number of threads, and the numbers of the textbook."""

import math

import numpy as np
import pytest

from lmkit.kernels import optimizers, products
from lmkit.model import EOS
from lmkit.rnn.initialisation import initialise, orthogonal
from lmkit.rnn.network import Network, Shape, Shard
from lmkit.rnn.options import RNNOptions
from lmkit.rnn.trainer import MAX_WINDOWS_READ, RESET_SHARE, Diverged, Trainer

V = 11


def a_text(length=1500, seed=5):
    """A text with something to learn: mostly each token's successor is the next one."""
    rng = np.random.default_rng(seed)
    jumps = np.where(rng.random(length) < 0.2, rng.integers(0, V - 2, length), 1)
    return (2 + np.cumsum(jumps) % (V - 2)).astype(np.int32)


def trainer(arch="lstm", width=None, held_out=200, text=None, **options):
    settings = {"layers": 2, "hidden": 10, "batch": 6, "bptt": 7, "dropout": 0.0, "epochs": 4, "warmup": 5, **options}
    chosen = RNNOptions(**settings)
    ids = a_text() if text is None else text
    ids, valid = (ids[:-held_out], ids[-held_out:]) if held_out else (ids, ids[:0])
    shape = Shape(arch, V, chosen.layers, chosen.hidden)
    network = Network(shape, width=width)
    counts = np.bincount(ids, minlength=V)
    network.flat[:] = initialise(shape, network.layout, counts, chosen.init, np.random.default_rng(chosen.seed))
    return Trainer(network, ids, valid, chosen)


def losses(of, steps):
    found = [of.step() for _ in range(steps)]
    of.close()
    return found


@pytest.mark.parametrize("arch", ["elman", "gru", "lstm"])
@pytest.mark.parametrize("shards", [1, 2, 3])
def test_threads_change_no_bit(arch, shards):
    """Same seed, text and shards: the same losses and weights for every number of threads."""
    runs = []
    for threads in (1, 2, 3):
        one = trainer(arch, shards=shards, threads=threads, dropout=0.3)
        runs.append((losses(one, 40), one.network.flat.tobytes()))
    assert runs[0] == runs[1] == runs[2]


def test_another_seed_gives_other_masks_and_weights():
    assert losses(trainer(dropout=0.3, seed=1), 3) != losses(trainer(dropout=0.3, seed=2), 3)


@pytest.mark.parametrize("arch", ["elman", "gru", "lstm"])
def test_plain_loops_give_the_same_first_hundred_losses(arch):
    """The fast products and their plain twin agree within 1e-4 for a hundred steps."""
    fast, plain = (losses(trainer(arch, width=width), 100) for width in (products.WIDTH, products.PLAIN_WIDTH))
    np.testing.assert_allclose(fast, plain, atol=1e-4)


@pytest.mark.parametrize("arch", ["elman", "gru", "lstm"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_it_learns(arch, optimizer):
    """The loss comes near the entropy of the text: 0.8 of all jumps are known."""
    one = trainer(arch, optimizer=optimizer, learning_rate=0.5 if optimizer == "sgd" else 0.02, epochs=25, decay="none")
    first = one.reading()[0]
    one.run(lambda *_: None)
    one.close()
    assert first > 2 and one.progress.best_loss < 1.35
    assert one.progress.best_loss == min(record["valid_loss"] for record in one.progress.history)


def test_validation_covers_the_held_out_text_and_leaves_the_training_alone():
    a, b = trainer(validate_every=1), trainer(validate_every=1)
    first = [a.step(), a.reading()[0], a.reading()[0], a.step()]
    second = [b.step(), b.step()]
    assert first[1] == first[2] and [first[0], first[3]] == second


def test_validation_is_the_mean_over_all_tokens():
    """As many streams as the batch, from zero states: computed token by token here."""
    one = trainer()
    found = one.reading()[0]
    total = 0.0
    for stream in range(one.held_out.count):
        shard = type(one.readers[0])(one.network, 1, 1, training=False)
        for t in range(one.held_out.length):
            inputs, targets = one.held_out.window(t // one.held_out.steps, stream, stream + 1)
            if one.held_out.real(t // one.held_out.steps, stream, stream + 1)[t % one.held_out.steps, 0]:
                row = slice(t % one.held_out.steps, t % one.held_out.steps + 1)
                total += float(shard.losses(inputs[row].copy(), targets[row].copy()).sum())
    assert found == pytest.approx(total / one.held_out.tokens, abs=1e-6)


def test_learning_rates():
    """Warm-up is linear; cosine is the rate at the start, half in the middle and nothing at the end."""
    one = trainer(epochs=10, warmup=0, learning_rate=0.5)
    rates = []
    for done in (0, 0.5, 1):
        one.progress.step = round(done * one.total_steps)
        rates.append(one.learning_rate())
    np.testing.assert_allclose(rates, [0.5, 0.25, 0], atol=1e-12)
    one = trainer(warmup=10, decay="none", learning_rate=0.5)
    assert one.learning_rate() == pytest.approx(0.05)
    one.progress.step = 9
    assert one.learning_rate() == pytest.approx(0.5)


def test_a_time_limit_ends_the_training_and_leads_the_learning_rate():
    one = trainer(time_limit="100s", epochs=None, steps=None, learning_rate=0.5, warmup=0)
    one.progress.seconds = 50
    assert one.learning_rate() == pytest.approx(0.25) and not one.finished
    one.progress.seconds = 100
    assert one.finished


def test_plateaus_halve_the_rate_and_patience_ends():
    one = trainer(decay="plateau", patience=3, warmup=0, learning_rate=0.5)
    for loss in (1.0, 0.9, 0.95, 0.93, 0.91):
        one._judge(loss)
    assert one.progress.best_loss == 0.9 and one.learning_rate() == pytest.approx(0.5 / 8) and one.finished
    assert not trainer(patience=0).finished


@pytest.mark.parametrize("where", ["weights", "rate"])
def test_what_diverges_is_told(where):
    one = trainer(learning_rate=1e30 if where == "rate" else 0.01, warmup=0, clip=0, optimizer="sgd", momentum=0)
    if where == "weights":
        one.network.view("layer1.recurrent")[3, 4] = np.nan
    with pytest.raises(Diverged, match="at step"):
        for _ in range(20):
            one.step()
            one.validate()


def test_orthogonal_matrices_keep_lengths():
    q = orthogonal(20, np.random.default_rng(1))
    np.testing.assert_allclose(q @ q.T, np.eye(20), atol=1e-12)


def test_a_network_begins_as_a_unigram_model():
    """With the output's weights at zero its predictions are the shares of the tokens."""
    shape = Shape("lstm", V, 1, 6, cutoffs=(6,))
    network = Network(shape)
    counts = np.array([0, 0, 3, 10, 20, 1, 7, 0, 2, 5, 5])
    network.flat[:] = initialise(shape, network.layout, counts, "orthogonal", np.random.default_rng(1))
    for name in ("output.weight", "cluster1.weight"):
        network.view(name)[:] = 0
    network.pack()
    row = np.exp(network.output.log_probs(np.ones((1, network.padded), np.float32))[0].astype(float))
    expected = counts + 1.0
    expected[1] = 0
    np.testing.assert_allclose(row, expected / expected.sum(), rtol=1e-5)


class TestOptimizers:
    size = 3 * optimizers.BLOCK - 7

    def arrays(self, n, seed=0):
        return [np.random.default_rng(seed + i).normal(size=self.size).astype(np.float32) for i in range(n)]

    def test_adam_is_the_formula(self):
        w, m, v, g = self.arrays(4)
        v = np.abs(v)
        number = np.float32
        rate, b1, b2, correction, epsilon, decay, shorten = 0.1, 0.9, 0.999, 1.5, 1e-3, 0.01, 0.5
        g1 = g.astype(float) * shorten
        m1, v1 = b1 * m + (1 - b1) * g1, b2 * v + (1 - b2) * g1**2
        w1 = (1 - decay) * w - rate * m1 / (np.sqrt(v1) * correction + epsilon)
        arguments = [number(x) for x in (shorten, rate, b1, b2, correction, epsilon, decay)]
        for first, last in ((0, 1), (1, 3)):
            optimizers.adam(w, m, v, g, first, last, *arguments)
        for found, expected in ((m, m1), (v, v1), (w, w1), (g, 0 * g)):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)

    def test_momentum_is_the_formula(self):
        w, m, g = self.arrays(3)
        m1 = 0.9 * m + 0.5 * g
        w1 = w - 0.1 * m1
        optimizers.sgd(w, m, g, 0, 3, *(np.float32(x) for x in (0.5, 0.1, 0.9)))
        np.testing.assert_allclose(m, m1, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(w, w1, rtol=1e-5, atol=1e-6)
        assert not g.any()

    def test_merged_gradients_are_sums_in_order(self):
        shards = np.array(self.arrays(3))
        expected = (shards[0] + shards[1]) + shards[2]
        squares = np.zeros(3, np.float32)
        for first, last in ((0, 2), (2, 3)):
            optimizers.merge(shards, squares, first, last)
        np.testing.assert_array_equal(shards[0], expected)
        assert not shards[1:].any()
        assert math.sqrt(squares.sum()) == pytest.approx(np.linalg.norm(expected.astype(float)), rel=1e-5)

    def test_gradients_are_shortened_to_the_clip(self):
        """One step of plain SGD at rate 1 moves the weights by no more than the clip."""
        one = trainer(optimizer="sgd", momentum=0.0, learning_rate=1.0, warmup=0, clip=0.01, decay="none")
        before = one.network.flat.copy()
        one.step()
        assert np.linalg.norm(one.network.flat - before) == pytest.approx(0.01, rel=1e-3)


OF_VERSION_0_1 = {
    "elman": [2.240601508390336, 2.2621910799117315, 2.2586376326424733],
    "gru": [2.203216870625814, 2.195318857828776, 2.2149249655859813],
    "lstm": [2.1919926348186674, 2.1884629329045615, 2.202156810533433],
}


class TestResets:
    """Where the state begins anew in training."""

    @pytest.mark.parametrize("arch", ["elman", "gru", "lstm"])
    def test_without_resets_nothing_has_changed(self, arch):
        """The losses are those of lmkit 0.1, which had no resets."""
        assert losses(trainer(arch, reset="file", dropout=0.3), 3) == pytest.approx(OF_VERSION_0_1[arch], rel=1e-6)

    def test_some_sentence_ends_are_chosen_by_seed_step_and_place_alone(self):
        inputs = np.random.default_rng(2).integers(2, 4, (7, 6)).astype(np.int32)
        chosen = []
        for shards in (1, 3):
            one, parts = trainer(reset="some", shards=shards), []
            for first, last in one.parts:
                parts.append(one._resets(np.ascontiguousarray(inputs[:, first:last]), first, last))
            chosen.append(np.concatenate(parts, axis=1))
        np.testing.assert_array_equal(*chosen)
        assert not chosen[0][inputs != EOS].any()
        one = trainer(reset="some")
        ends = np.full((7, 6), EOS, np.int32)
        shares = []
        for one.progress.step in range(200):
            shares.append(one._resets(ends, 0, 6).mean())
        assert abs(np.mean(shares) - RESET_SHARE) < 4 * 0.5 / math.sqrt(200 * 42) and len(set(shares)) > 5
        assert trainer(reset="sentence")._resets(inputs, 0, 6).tolist() == (inputs == EOS).tolist()

    @pytest.mark.parametrize("arch", ["elman", "lstm"])
    @pytest.mark.parametrize("held_out", [0, 200])
    def test_a_text_begins_in_the_mean_of_the_states_before_sentence_ends(self, arch, held_out):
        """Of the held-out text, or of the training text where there is none: a token at a time here."""
        one = trainer(arch, held_out=held_out, reset="some", validate_every=5)
        for _ in range(5):
            one.step()
        one.validate()
        found, read, model = [], one.read, one.network
        for stream in range(read.count):
            shard = Shard(model, 1, 1, training=False)
            for t in range(min(read.length, MAX_WINDOWS_READ * read.steps if not held_out else read.length)):
                inputs, targets = read.window(t // read.steps, stream, stream + 1)
                row = slice(t % read.steps, t % read.steps + 1)
                if t and inputs[row] == EOS and read.real(t // read.steps, stream, stream + 1)[row]:
                    found.append(shard.state[:, :, 0, : model.shape.hidden].copy())
                shard.losses(inputs[row].copy(), targets[row].copy())
        assert len(found) > 5
        np.testing.assert_allclose(one.best_resting, np.mean(found, axis=0), atol=1e-6)
        one = trainer(arch, held_out=held_out, reset="sentence", validate_every=5)
        one.validate()
        assert one.best_resting is None

"""Dynamic evaluation: the textbook with gradients by finite differences, and what adapting promises."""

import copy
import json
import math

import numpy as np
import pytest
import reference_rnn as reference
from contract import CHECKS, NOTHING, parts, pick, some_ids, some_state, uniforms
from test_contract import ngram, recurrent

from lmkit.decoding import generate
from lmkit.errors import CorpusError, LmkitError, ModelError, OptionError
from lmkit.mixture.dynamic import CLIP, DynamicEvaluation, DynamicParameters, gradient_rms, read_rms, tune_dynamic
from lmkit.mixture.neural import NeuralCache, NeuralParameters
from lmkit.model import EOS, UNK
from lmkit.threads import in_threads

STEP = 1e-5  # of central differences


def adapting(base, learning_rate=0.5, decay=0.05, segment=6, **more):
    return DynamicEvaluation(base, DynamicParameters(learning_rate, decay, segment), **more)


MODELS = {
    "elman": lambda: adapting(recurrent("elman")),
    "gru": lambda: adapting(recurrent("gru", 2, embedding=6), segment=1),
    "lstm": lambda: adapting(recurrent("lstm", 2), segment=17),
    "tied": lambda: adapting(recurrent("lstm", embedding=10, tied=True), decay=1.0),
    "clusters": lambda: adapting(recurrent("gru", cutoffs=(5, 9))),
    "rms": lambda: with_rms(recurrent("lstm")),
}


def with_rms(base):
    return adapting(base, 0.01, rms=gradient_rms(base, some_ids(base, (200,)), 6))


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param]()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(model, check):
    check(model, draws=300)


def mean_loss(shape, weights, tokens, state):
    """Return the mean loss of tokens[1:], log p of each, and the state in which the last is read."""
    log_p, after = reference.network(shape, weights, tokens[:-1, None], state)
    found = log_p[np.arange(len(tokens) - 1), 0, tokens[1:]]
    return -found.mean(), found, after


def slow_gradient(shape, weights, tokens, state):
    """Central differences, one weight after the other."""
    gradient = {name: np.zeros(w.shape) for name, w in weights.items()}
    for name, w in weights.items():
        for place in np.ndindex(w.shape):
            losses = []
            for step in (STEP, -STEP):
                w[place] += step
                losses.append(mean_loss(shape, weights, tokens, state)[0])
                w[place] -= step
            gradient[name][place] = (losses[0] - losses[1]) / (2 * STEP)
    return gradient


def slow_scores(base, parameters, ids, rms=None):
    """Krause et al. (2018), equations 5 and 6, in float64: log p of each token, segment by segment."""
    trained = {name: w.astype(float) for name, w in base.network.layout.tensors(base.flat).items()}
    weights, state = copy.deepcopy(trained), np.zeros((base.shape.layers, base.shape.cell.state_parts, 1, 10))
    tokens, scores = np.concatenate([[EOS], ids]), []
    for begin in range(0, len(ids), parameters.segment):
        segment = tokens[begin : begin + parameters.segment + 1]
        _, log_p, after = mean_loss(base.shape, weights, segment, state)
        scores.append(log_p)
        if len(segment) <= parameters.segment:
            break
        gradient = slow_gradient(base.shape, weights, segment, state)
        norm = math.sqrt(sum((g**2).sum() for g in gradient.values()))
        mean = rms and np.mean([r for part in rms.values() for r in part.ravel() if r > 0])
        for name, w in weights.items():
            rate, decay = parameters.learning_rate, parameters.decay
            if rms:
                rate, decay = rate / (rms[name] + mean), np.minimum(1, decay * rms[name] / mean)
            w += -rate * gradient[name] * min(1, CLIP / norm) + decay * (trained[name] - w)
        state = after
    return np.concatenate(scores)


@pytest.mark.parametrize("kind", ["elman", "lstm"])
def test_scores_are_those_of_the_slow_twin(kind):
    base = recurrent(kind, tokens="abcd")
    ids = some_ids(base, (17,))
    model = adapting(base, 0.7, 0.2, 5)
    slow = slow_scores(base, model.parameters, ids)
    np.testing.assert_allclose(model.score(model.begin(), ids[None, :])[0][0], slow, atol=2e-5)
    assert np.abs(slow - base.score(base.begin(), ids[None, :])[0][0]).max() > 0.01  # there was something to see


def test_scores_with_root_mean_squares_are_those_of_the_slow_twin():
    base = recurrent("elman", tokens="abcd")
    ids = some_ids(base, (14,))
    rms = gradient_rms(base, some_ids(base, (60,), 7), 5)
    model = adapting(base, 0.02, 0.3, 4, rms=rms)
    slow = slow_scores(base, model.parameters, ids, base.network.layout.tensors(rms))
    np.testing.assert_allclose(model.score(model.begin(), ids[None, :])[0][0], slow, atol=2e-5)


def test_root_mean_squares_are_those_of_the_slow_twin():
    base = recurrent("gru", tokens="abc")
    ids = some_ids(base, (11,))  # a last, shorter segment does not count
    weights = {name: w.astype(float) for name, w in base.network.layout.tensors(base.flat).items()}
    tokens, state, gradients = np.concatenate([[EOS], ids]), np.zeros((1, 1, 1, 10)), []
    for begin in (0, 5):
        segment = tokens[begin : begin + 6]
        gradients.append(slow_gradient(base.shape, weights, segment, state))
        state = mean_loss(base.shape, weights, segment, state)[2]
    found = base.network.layout.tensors(gradient_rms(base, ids, 5))
    for name, rms in found.items():
        np.testing.assert_allclose(rms, np.sqrt(np.mean([g[name] ** 2 for g in gradients], 0)), atol=2e-5)


def test_a_step_is_the_clipped_gradient_and_decay_forgets_the_one_before():
    """With a decay of 1 nothing is left of the first step; both are as long as the rate times the longest gradient."""
    base = recurrent("lstm")
    base.flat[:] *= 3  # unsure of nothing: gradients are longer than 1
    base.weights_changed()
    model = adapting(base, 0.25, 1.0, 5)
    ids = some_ids(base, (1, 10))
    first, second = (model.score(model.begin(), ids[:, :n])[1][3] for n in (5, 10))
    assert first.shape == second.shape == (1, base.flat.size)
    np.testing.assert_allclose([np.linalg.norm(first), np.linalg.norm(second)], 0.25 * CLIP, rtol=1e-4)
    kept = adapting(base, 0.25, 0.5, 5).score(model.begin(), ids)[1][3]
    assert not np.allclose(kept, second)


def test_nothing_is_learnt_before_a_segment_is_whole():
    model = MODELS["lstm"]()
    ids = some_ids(model, (2, 17))
    log_p, state = model.score(model.begin(2), ids[:, :16])
    plain, after = model.base.score(model.base.begin(2), ids[:, :16])
    np.testing.assert_array_equal(log_p, plain)
    np.testing.assert_array_equal(state[0], after)
    assert state[3].size == 0
    state = model.advance(state, ids[:, 16])
    assert np.abs(state[3]).max(axis=1).min() > 0 and state[2].tolist() == ids[:, 16:].tolist()


@pytest.mark.parametrize("kind", ["elman", "gru", "lstm"])
def test_a_rate_of_zero_is_the_base(kind):
    base = recurrent(kind, 2, embedding=6)
    model = adapting(base, 0.0)
    ids = some_ids(base, (2, 40))
    log_p, state = model.score(model.begin(2), ids)
    plain, after = base.score(base.begin(2), ids)
    np.testing.assert_array_equal(log_p, plain)
    np.testing.assert_array_equal(model.log_probs(state), base.log_probs(after))


def test_a_text_that_repeats_itself_is_less_and_less_of_a_surprise():
    base = recurrent("lstm")
    model, ids = adapting(base), np.tile(some_ids(base, (1, 24)), 10)
    means = model.score(model.begin(), ids)[0].reshape(10, 24).mean(axis=1)
    plain = base.score(base.begin(), ids)[0].reshape(10, 24).mean(axis=1)
    assert means[-1] > plain[-1] + 0.4 and means[-1] > means[4] > means[1]


def test_each_stream_learns_for_itself_and_the_base_nothing():
    model = adapting(recurrent("gru"))
    before = model.base.flat.copy()
    ids = some_ids(model, (3, 40))
    state = model.score(model.begin(3), ids)[1]
    for i in range(3):
        alone = model.score(model.begin(1), ids[i : i + 1])[1]
        for ours, its in zip(parts(pick(state, i)), parts(alone), strict=True):
            np.testing.assert_array_equal(ours, its)
    np.testing.assert_array_equal(model.base.flat, before)
    assert not np.array_equal(state[3][0], state[3][1])


def test_two_continuations_of_one_state_know_nothing_of_each_other():
    model = adapting(recurrent("elman"))
    start = some_state(model, 2, 20)
    ids = some_ids(model, (2, 30), 9)
    alone = model.score(copy.deepcopy(start), ids)[0]
    model.score(start, some_ids(model, (2, 30), 10))
    other = model.advance(start, np.array([4, 5], np.int32))
    model.draw(other, 10, uniforms(2), NOTHING)
    np.testing.assert_array_equal(model.score(start, ids)[0], alone)


def test_the_state_after_a_draw_is_that_of_scoring_it():
    """What is drawn is learnt from, as what is read."""
    model = adapting(recurrent("lstm"))
    start = some_state(model, 3)
    ids, after = model.draw(start, 25, uniforms(3), np.array([UNK], np.int32))
    for drawn, scored in zip(parts(after), parts(model.score(start, ids)[1]), strict=True):
        np.testing.assert_array_equal(drawn, scored)


def test_draws_at_a_temperature_are_those_of_the_network():
    model = adapting(recurrent("elman"), 0.0)
    drawn = [next(generate(m, m.begin(2), n=1, uniforms=uniforms(2), temperature=0.5)) for m in (model, model.base)]
    np.testing.assert_array_equal(*drawn)


def test_a_neural_cache_goes_around_it():
    model = NeuralCache(adapting(recurrent("elman")), NeuralParameters(0.3, 0.4, 9))
    for check in CHECKS:
        check(model, draws=100)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DynamicParameters(-0.1, 0, 5), "learning rate of dynamic evaluation is -0.1, expected a number from"),
        (lambda: DynamicParameters(math.nan, 0, 5), "learning rate"),
        (lambda: DynamicParameters(1e9, 0, 5), "learning rate"),
        (lambda: DynamicParameters(0.1, 1.1, 5), "decay"),
        (lambda: DynamicParameters(0.1, -1, 5), "decay"),
        (lambda: DynamicParameters(0.1, 0.1, 0), "segment"),
        (lambda: DynamicParameters(0.1, 0.1, 2.5), "segment of dynamic evaluation is 2.5, expected a whole number"),
        (lambda: adapting(ngram(2, smoothing="mle")), "needs a recurrent model, not one of the family ngram"),
    ],
)  # fmt: skip
def test_parameters_out_of_range_are_told_in_one_line(make, message):
    with pytest.raises(OptionError) as caught:
        make()
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_ids_must_go_with_the_state():
    model = adapting(recurrent("elman"))
    state = some_state(model, 2, 20)
    for call in (
        lambda: model.score(state, some_ids(model, (3, 4))),
        lambda: model.advance(state, np.array([4, 5, 6])),
        lambda: model.score(state, np.full((2, 4), model.vocabulary_size)),
    ):
        with pytest.raises(ValueError, match=r"do not go with|ids go from"):
            call()


def test_one_thread_may_draw_while_another_one_scores():
    """As the sampler does, which scores what it has drawn while more is drawn."""
    model = adapting(recurrent("lstm", 2))
    state, ids = some_state(model, 2, 20), some_ids(model, (2, 60))
    jobs = [lambda: model.score(state, ids)[0], lambda: model.draw(state, 60, uniforms(2), NOTHING)[0]]
    alone = [job() for job in jobs]
    for _ in range(3):
        for together, expected in zip(in_threads(2, lambda i: jobs[i](), [(0,), (1,)]), alone, strict=True):
            np.testing.assert_array_equal(together, expected)


def test_weights_that_run_away_are_told(monkeypatch):
    """A gradient that is no number is not learnt from."""
    model = adapting(recurrent("elman"))
    monkeypatch.setattr("lmkit.mixture.dynamic._Adapted.gradient", lambda self, before, _: (np.full(3, np.inf), before))
    with pytest.raises(LmkitError, match=r"learning rate, 0\.5, is too high"):
        model.score(model.begin(), some_ids(model, (1, 30)))


def test_rates_as_high_as_they_may_be_give_distributions():
    model = adapting(recurrent("lstm"), 100.0, 0.0, 2)
    rows = model.log_probs(some_state(model, 2, 300))
    np.testing.assert_allclose(np.exp(rows.astype(float)).sum(axis=1), 1, atol=1e-5)


def test_settings_and_what_is_stored():
    model = MODELS["rms"]()
    settings = json.loads(json.dumps(model.settings()))
    assert (settings["arch"], settings["dynamic_segment"], settings["dynamic_rms"]) == ("lstm", 6, True)
    assert model.config()["parameters"] == {"learning_rate": 0.01, "decay": 0.05, "segment": 6}
    np.testing.assert_array_equal(read_rms(model.base, model.own_tensors(), "m"), model.rms)
    assert MODELS["elman"]().own_tensors() == {} and read_rms(model.base, {}, "m") is None


@pytest.mark.parametrize("value", [-1e-9, math.nan, math.inf])
def test_damaged_root_mean_squares_are_told_with_the_file(value):
    model = MODELS["rms"]()
    tensors = {name: tensor.copy() for name, tensor in model.own_tensors().items()}
    tensors["rms.layer0.bias"][3] = value
    with pytest.raises(ModelError, match=r"^m\.lm: tensor rms\.[^\n]*$"):
        read_rms(model.base, tensors, "m.lm")
    del tensors["rms.layer0.bias"]
    with pytest.raises(ModelError, match=r"^m\.lm: tensor rms\.layer0\.bias is missing"):
        read_rms(model.base, tensors, "m.lm")


def test_tuned_parameters_are_better_than_others():
    base = recurrent("lstm")
    ids = np.tile(some_ids(base, (20,)), 8)
    tuned = tune_dynamic(base, ids, 10)
    assert tuned.parameters.segment == 10 and tune_dynamic(base, ids, 10) == tuned
    model = DynamicEvaluation(base, tuned.parameters)
    log_p = model.score(model.begin(), ids[None, :])[0].mean(dtype=float)
    assert log_p == pytest.approx(tuned.log_likelihood, abs=1e-6) == max(t.log_likelihood for t in tuned.trials)
    for rate, decay in ((0.0, 0.0), (0.02, 0.01), (0.1, 0.5)):
        other = adapting(base, rate, decay, 10)
        assert other.score(other.begin(), ids[None, :])[0].mean(dtype=float) < log_p


def test_texts_that_nothing_can_be_tuned_on():
    with pytest.raises(CorpusError, match="no tokens"):
        tune_dynamic(recurrent("elman"), NOTHING)
    with pytest.raises(CorpusError, match="has 3 tokens, fewer than the 5 of a segment"):
        gradient_rms(recurrent("elman"), np.array([4, 5, 6]), 5)

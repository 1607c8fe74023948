"""Caches: their shares against slow twins and by hand, and what mixing with them promises."""

import copy
import json
import math

import numpy as np
import pytest
from contract import CHECKS, NOTHING, chi_square_is_fine, parts, repeat, some_ids, some_state, uniforms
from test_contract import ngram, recurrent

from lmkit.errors import CorpusError, LmkitError, ModelError, OptionError
from lmkit.kernels import mixture_cache as kernels
from lmkit.mixture import cache, neural
from lmkit.mixture.cache import UnigramCache, UnigramParameters, mixed, tune_unigram, unigram_shares
from lmkit.mixture.neural import NeuralCache, NeuralParameters, neural_shares, tune_neural
from lmkit.mixture.parameters import read
from lmkit.mixture.search import Trial, best, best_weight, refine
from lmkit.model import BOS, EOS, UNK

FALLBACK = (0.5, 1, 1.5)


def trigrams():
    return ngram(3, discount_fallback=FALLBACK)


def unigram(base, weight=0.3, decay=0.2):
    return UnigramCache(base, UnigramParameters(weight, decay))


def neighbours(base, weight=0.3, theta=0.4, size=12):
    return NeuralCache(base, NeuralParameters(weight, theta, size))


MODELS = {
    "unigram of n-grams": lambda: unigram(trigrams()),
    "unigram of mle": lambda: unigram(ngram(2, smoothing="mle"), 0.5),
    "unigram, short window": lambda: unigram(trigrams(), 0.6, 3.0),
    "unigram of a network": lambda: unigram(recurrent("lstm", 2, embedding=7)),
    "neural of elman": lambda: neighbours(recurrent("elman")),
    "neural of gru": lambda: neighbours(recurrent("gru", 2, cutoffs=(5, 9)), size=3),
    "neural of lstm": lambda: neighbours(recurrent("lstm", embedding=10, tied=True), theta=5.0, size=500),
    "unigram of neural of elman": lambda: unigram(neighbours(recurrent("elman"))),
}
NETWORKS = {"unigram": unigram, "neural": neighbours}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param]()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(model, check):
    check(model, draws=2000)


def test_the_kernels_know_the_reserved_ids():
    assert (kernels.UNK, kernels.BOS) == (UNK, BOS)


# Shares


def slow_unigram_shares(tokens, first, decay, window):
    """A student's p_cache: every position of the window, for every token, anew."""
    shares = []
    for t in range(first, len(tokens)):
        weights = {}
        for i in range(max(0, t - window), t):
            if tokens[i] not in (UNK, BOS):
                weights[tokens[i]] = weights.get(tokens[i], 0) + math.exp(-decay * (t - i))
        total = sum(weights.values())
        shares.append(weights.get(tokens[t], 0) / total if weights else math.nan)
    return shares


@pytest.mark.parametrize("decay", [0, 0.001, 0.05, 0.7, 4.0, 10.0])
@pytest.mark.parametrize("first", [0, 40])
def test_unigram_shares_are_those_of_the_slow_twin(decay, first):
    rng = np.random.default_rng(int(decay * 1000) + first)
    tokens = np.minimum(rng.geometric(0.2, (3, 900)) - 1, 30).astype(np.int32)
    parameters = UnigramParameters(0.5, decay)
    slow = [slow_unigram_shares(row.tolist(), first, decay, parameters.window) for row in tokens]
    np.testing.assert_allclose(unigram_shares(tokens, first, parameters, 31), slow, rtol=1e-9, atol=1e-12)


def test_windows_that_tokens_leave(monkeypatch):
    """Without decay nothing is fainter than the rest when it leaves the window."""
    monkeypatch.setattr(cache, "LONGEST", 17)
    tokens = np.random.default_rng(8).integers(0, 9, (2, 300)).astype(np.int32)
    for decay in (0, 0.05):
        parameters = UnigramParameters(0.5, decay)
        assert parameters.window == 17
        slow = [slow_unigram_shares(row.tolist(), 5, decay, 17) for row in tokens]
        np.testing.assert_allclose(unigram_shares(tokens, 5, parameters, 9), slow, rtol=1e-12, atol=1e-14)


def test_unigram_shares_by_hand():
    """Each weighs half of the next: before the fourth token 1/4 x, 1/2 y, 1 x; 7/4 in all; `<unk>` is a position."""
    x, y = 4, 5
    tokens = np.array([[x, y, x, y, UNK, x, UNK]], np.int32)
    shares = unigram_shares(tokens, 0, UnigramParameters(0.5, math.log(2)), 6)[0]
    assert math.isnan(shares[0])
    # x of {x: 1}; x of {x: 1/2, y: 1}; y of {x: 5/4, y: 1/2}; `<unk>` never; x of {x: 5/16 ..., y: 5/8} (two back)
    np.testing.assert_allclose(shares[1:], [0, 1 / 3, 2 / 7, 0, 1 / 3, 0], atol=1e-12)


def test_a_window_of_unknown_words_predicts_nothing():
    tokens = np.array([[UNK, UNK, UNK, 4, 4]], np.int32)
    shares = unigram_shares(tokens, 0, UnigramParameters(0.5, 10.0), 6)[0]
    np.testing.assert_array_equal(shares, [math.nan] * 4 + [1])
    model = unigram(trigrams())
    state = model.score(model.begin(2), np.full((2, 5), UNK, np.int32))[1]
    np.testing.assert_array_equal(model.log_probs(state), model.base.log_probs(state[0]))


def test_sums_stay_sums_over_long_texts():
    """The growing weights are counted anew many times over (e^100000 is no number); the last shares are still right."""
    tokens = np.minimum(np.random.default_rng(2).geometric(0.3, (1, 100_000)) + 2, 20).astype(np.int32)
    parameters = UnigramParameters(0.5, 1.0)
    shares = unigram_shares(tokens, 0, parameters, 21)[0]
    np.testing.assert_allclose(shares[-50:], slow_unigram_shares(tokens[0].tolist(), 99_950, 1.0, 14), rtol=1e-9)


def slow_neural_shares(keys, values, first, theta, size):
    """Grave et al. (2017) in float64: softmax over the window, one position after the other."""
    keys, shares = keys.astype(float), []
    for t in range(first, len(values)):
        weights = {}
        window = [i for i in range(max(0, t - size), t) if values[i] not in (UNK, BOS)]
        top = max((theta * keys[t] @ keys[i] for i in window), default=0)
        for i in window:
            weights[values[i]] = weights.get(values[i], 0) + math.exp(theta * keys[t] @ keys[i] - top)
        shares.append(weights.get(values[t], 0) / sum(weights.values()) if weights else math.nan)
    return shares


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
@pytest.mark.parametrize(("first", "theta"), [(0, 0.0), (30, 0.3), (5, 40.0)])
def test_neural_shares_are_those_of_the_slow_twin(size, first, theta, monkeypatch):
    monkeypatch.setattr(neural, "PART", 70)
    monkeypatch.setattr(neural, "BLOCK", 32)
    rng = np.random.default_rng(size)
    keys = np.tanh(rng.normal(size=(2, 300, 11))).astype(np.float32)
    values = rng.integers(0, 6, (2, 300)).astype(np.int32)
    slow = [slow_neural_shares(*stream, first, theta, size) for stream in zip(keys, values.tolist(), strict=True)]
    for threads in (1, 2):
        shares = neural_shares(keys, values, first, NeuralParameters(0.5, theta, size), threads)
        np.testing.assert_allclose(shares, slow, rtol=2e-4, atol=1e-6)  # e to theta times float32 products


def test_neural_shares_by_hand():
    """Products 0 and ln 3 with the two keys: e^0 to e^(ln 3) is 1 to 3."""
    keys = np.array([[[0, 1], [1, 0], [math.log(3), 0]]], np.float32)
    shares = neural_shares(keys, np.array([[4, 5, 5]], np.int32), 0, NeuralParameters(0.5, 1.0, 9))[0]
    np.testing.assert_allclose(shares, [math.nan, 0, 3 / 4], rtol=1e-6)


def test_a_network_reads_its_own_hidden_vectors():
    """`hidden` gives what `top` gives step by step, and scores and states of `score`."""
    base = recurrent("lstm", 2, embedding=7)
    ids = some_ids(base, (3, 30))
    h, log_p, after = base.hidden(base.begin(3), ids)
    whole, end = base.score(base.begin(3), ids)
    np.testing.assert_array_equal(log_p, whole)
    np.testing.assert_array_equal(after, end)
    state = base.begin(3)
    for t in range(30):
        np.testing.assert_array_equal(h[:, t], base.top(state))
        state = base.advance(state, ids[:, t])
    assert h.shape == (3, 30, 10) and np.abs(h).min() > 0


# Mixing


def test_probabilities_by_hand():
    """After x y x with weight 0.3: 0.7 p_base(x) + 0.3 5/7, where x weighs 1 + 1/4 of 7/4."""
    model = unigram(trigrams(), 0.3, math.log(2))
    x, y = 4, 5
    state = model.score(model.begin(), np.array([[x, y, x]], np.int32))[1]
    p, p_base = np.exp(model.log_probs(state)[0].astype(float)), np.exp(model.base.log_probs(state[0])[0].astype(float))
    expected = 0.7 * p_base
    expected[x] += 0.3 * 5 / 7
    expected[y] += 0.3 * 2 / 7
    np.testing.assert_allclose(p, expected, rtol=1e-6)


@pytest.mark.parametrize("made", [unigram, neighbours])
def test_a_cache_of_no_weight_is_the_base(made):
    base = recurrent("gru", 2)
    model = made(base, 0.0)
    ids = some_ids(base, (3, 40))
    log_p, state = model.score(model.begin(3), ids)
    plain, after = base.score(base.begin(3), ids)
    np.testing.assert_array_equal(log_p, plain)
    np.testing.assert_array_equal(model.log_probs(state), base.log_probs(after))


@pytest.mark.parametrize("made", [unigram, neighbours])
def test_a_text_that_repeats_itself_is_less_of_a_surprise(made):
    base = recurrent("lstm")
    model, ids = made(base), np.tile(np.array([[4, 5, 6, 9]], np.int32), 50)
    assert model.score(model.begin(), ids)[0].mean() > base.score(base.begin(), ids)[0].mean() + 0.1


def test_the_first_token_is_the_bases_alone():
    model = unigram(trigrams(), 0.9)
    np.testing.assert_array_equal(model.log_probs(model.begin(2)), model.base.log_probs(model.base.begin(2)))


def test_unknown_words_are_left_to_the_base():
    """Neither does one that came make the next one likelier, nor is there anything else for it in the cache."""
    model = unigram(trigrams(), 0.25)
    ids = np.array([[4, UNK, UNK, UNK, 5, UNK]], np.int32)
    log_p, plain = model.score(model.begin(), ids)[0], model.base.score(model.base.begin(), ids)[0]
    np.testing.assert_allclose((log_p - plain)[ids == UNK], math.log(0.75), rtol=1e-5)


def test_sentence_ends_are_remembered_and_gone_through():
    model = unigram(ngram(2, smoothing="mle"), 0.5)
    state = model.score(model.begin(), np.array([[4, EOS, 4, EOS]], np.int32))[1]
    p = np.exp(model.log_probs(state)[0].astype(float))
    assert p[EOS] > 0.2 and p[4] > 0.2


def test_what_is_impossible_for_both_stays_so():
    assert mixed(np.array([-np.inf], np.float32), np.array([0.0]), 0.5)[0] == -np.inf
    assert mixed(np.array([-np.inf], np.float32), np.array([0.5]), 0.5)[0] == np.float32(math.log(0.25))


def test_what_stands_outside_the_vocabulary_is_unknown():
    model = unigram(trigrams())
    states = [model.score(model.begin(), np.array([ids], np.int32))[1] for ids in ([4, 2**31 - 1, -5], [4, UNK, UNK])]
    np.testing.assert_array_equal(model.log_probs(states[0]), model.log_probs(states[1]))


# States


@pytest.mark.parametrize("made", [unigram, neighbours])
def test_two_continuations_of_one_state_know_nothing_of_each_other(made):
    model = made(recurrent("elman"))
    start = some_state(model, 2)
    ids = some_ids(model, (2, 30), 9)
    alone = model.score(copy.deepcopy(start), ids)[0]
    model.score(start, some_ids(model, (2, 30), 10))
    other = model.advance(start, np.array([4, 5], np.int32))
    model.draw(other, 10, uniforms(2), NOTHING)
    np.testing.assert_array_equal(model.score(start, ids)[0], alone)


@pytest.mark.parametrize(("made", "window"), [(unigram, 70), (neighbours, 12)])
def test_states_are_no_larger_than_the_window(made, window):
    model = made(recurrent("elman"))
    state = model.score(model.begin(2), some_ids(model, (2, 400)))[1]
    assert [part.shape[1] for part in parts(state)[1:]] == [window] * (len(state) - 1)
    assert all(part.base is None for part in parts(state)[1:])  # nothing longer is held on to


def test_texts_longer_than_the_memory_at_once(monkeypatch):
    model = neighbours(recurrent("gru"), size=30)
    ids = some_ids(model, (3, 100))
    whole = model.score(model.begin(3), ids)[0]
    monkeypatch.setattr(neural, "ROWS", 21)
    np.testing.assert_array_equal(model.score(model.begin(3), ids)[0], whole)


# Draws


@pytest.mark.parametrize("made", [unigram, neighbours])
def test_bans_leave_their_share_to_what_is_allowed(made):
    """Rejection must weigh cache and base by what is left of each: here two tokens, most likely in the cache, go."""
    model = made(recurrent("elman"), 0.6)
    state = model.score(model.begin(), np.array([[4, 4, 5, 6, 4, 5]], np.int32))[1]
    banned = np.array([4, 6, EOS], np.int32)
    p = np.exp(model.log_probs(state)[0].astype(float))
    p[banned] = 0
    ids, _ = model.draw(repeat(state, 4000), 1, uniforms(4000), banned)
    assert chi_square_is_fine(ids[:, 0], p / p.sum())


def test_where_nearly_all_is_banned_whole_rows_are_drawn_from(monkeypatch):
    monkeypatch.setattr(cache, "TRIES", 1)
    model = unigram(trigrams(), 0.5)
    state = model.score(model.begin(), np.array([[4, 5, 4]], np.int32))[1]
    allowed = [6, 7]
    banned = np.setdiff1d(np.arange(model.vocabulary_size), allowed).astype(np.int32)
    p = np.exp(model.log_probs(state)[0].astype(float))
    p[banned] = 0
    ids, _ = model.draw(repeat(state, 2000), 1, uniforms(2000), banned)
    assert chi_square_is_fine(ids[:, 0], p / p.sum())


def test_where_nothing_may_come_it_says_so():
    model = unigram(trigrams())
    with pytest.raises(LmkitError, match="nothing can be drawn"):
        model.draw(model.begin(2), 3, uniforms(2), np.arange(model.vocabulary_size, dtype=np.int32))


def impossible_pair(base):
    """Return a token after which another one has no probability."""
    rows = base.log_probs(base.advance(base.begin(9), np.arange(9, dtype=np.int32)))
    rows[:, BOS] = 0
    return np.argwhere(np.isneginf(rows))[-1].astype(np.int32)


def test_a_context_that_has_only_what_is_banned_leaves_it_to_a_shorter_one():
    """By maximum likelihood; the window is empty, and all that followed the context in training is banned."""
    model = unigram(ngram(2, smoothing="mle"), 0.5)
    first, second = impossible_pair(model.base)
    state = (model.base.advance(model.base.begin(), np.array([first])), model.begin()[1])
    known = np.flatnonzero(np.isfinite(model.log_probs(state)[0])).astype(np.int32)
    ids, _ = model.draw(state, 1, uniforms(1), known)
    assert second not in known and ids[0, 0] not in known


def test_uniforms_must_go_with_the_state():
    model = unigram(trigrams())
    with pytest.raises(ValueError, match="do not go with"):
        model.draw(model.begin(2), 3, uniforms(3), NOTHING)


# Parameters


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UnigramParameters(1.0, 0.1), "weight of the unigram cache is 1.0, expected a number from 0 below 1"),
        (lambda: UnigramParameters(-0.1, 0.1), "weight"),
        (lambda: UnigramParameters(math.nan, 0.1), "weight"),
        (lambda: UnigramParameters(True, 0.1), "weight"),
        (lambda: UnigramParameters("0.5", 0.1), "weight"),
        (lambda: UnigramParameters(0.5, -1), "decay"),
        (lambda: UnigramParameters(0.5, 10.5), "decay of the unigram cache is 10.5, expected a number from 0 to 10"),
        (lambda: UnigramParameters(0.5, math.inf), "decay"),
        (lambda: NeuralParameters(1, 0.1, 10), "weight"),
        (lambda: NeuralParameters(0.5, -0.1, 10), "theta"),
        (lambda: NeuralParameters(0.5, 1001, 10), "theta"),
        (lambda: NeuralParameters(0.5, 0.1, 0), "size"),
        (lambda: NeuralParameters(0.5, 0.1, 10.0), "size of the neural cache is 10.0, expected a whole number"),
        (lambda: NeuralParameters(0.5, 0.1, 2**40), "size"),
        (lambda: neighbours(trigrams()), "family ngram have none"),
    ],
)  # fmt: skip
def test_parameters_out_of_range_are_told_in_one_line(make, message):
    with pytest.raises(OptionError) as caught:
        make()
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("parameters", [UnigramParameters(0.25, 0.01), NeuralParameters(0.5, 0.3, 1000)])
def test_parameters_come_back_from_json(parameters):
    assert read(type(parameters), json.loads(json.dumps(parameters.describe())), "m") == parameters


@pytest.mark.parametrize(
    "found",
    [None, [], "x", {}, {"weight": 0.5}, {"weight": 0.5, "decay": 0.1, "more": 1}, {"weight": 2, "decay": 0.1},
     {"weight": 0.5, "decay": None}, {"weight": 0.5, "decay": 1e400}, {"weight": [0.5], "decay": 0.1},
     {"weight": 10**400, "decay": 0.1}, {1: 0.5, "decay": 0.1}],
)  # fmt: skip
def test_damaged_parameters_are_told_with_the_file(found):
    with pytest.raises(ModelError) as caught:
        read(UnigramParameters, found, "m.lm")
    assert str(caught.value).startswith("m.lm: ") and "\n" not in str(caught.value)


def test_settings_name_the_cache_and_its_base():
    model = unigram(neighbours(recurrent("lstm")))
    settings = json.loads(json.dumps(model.settings()))
    assert settings["arch"] == "lstm" and settings["unigram_cache_decay"] == 0.2 and settings["neural_cache_size"] == 12
    assert (model.config()["parameters"], model.own_tensors()) == ({"weight": 0.3, "decay": 0.2}, {})


def test_threads_are_those_of_the_base():
    model = unigram(trigrams())
    model.threads = 3
    assert model.base.threads == model.threads == 3


@pytest.mark.parametrize("decay", [0, 1e-300, 1e-5, 0.001, 0.5, 10])
def test_what_has_left_the_window_is_a_millionth_of_the_newest(decay):
    window = UnigramParameters(0.5, decay).window
    assert 1 <= window <= cache.LONGEST
    assert window == cache.LONGEST or math.exp(-decay * window) <= 1e-6 < math.exp(-decay * (window - 1))


# Tuning


def bursts(words=13, seed=5):
    """A text that speaks of one thing at a time."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.choice(rng.integers(2, words, 3), 40) for _ in range(12)]).astype(np.int32)


def test_the_best_weight_is_the_best_of_all():
    rng = np.random.default_rng(4)
    log_p, shares = np.log(rng.random(200)), rng.random(200) ** 3
    shares[::7], shares[::5], log_p[3] = np.nan, 0, -800  # less than a float64 can be
    weight, mean = best_weight(log_p, shares)
    others = [mixed(log_p, shares, w).mean() for w in np.linspace(0, 0.999, 1000)]
    assert mean == pytest.approx(mixed(log_p, shares, weight).mean(), rel=1e-12)
    assert max(others) - 1e-12 <= mean <= max(others) + 1e-4 and 0.01 < weight < 0.99


@pytest.mark.parametrize(("log_p", "share", "weight"), [(-1.0, 0.0, 0.0), (-1.0, 1.0, 0.999), (-1.0, math.nan, 0.0)])
def test_best_weights_at_the_ends(log_p, share, weight):
    assert best_weight(np.full(5, log_p), np.full(5, share))[0] == weight


def test_golden_sections_end_beside_the_top():
    """In the middle of the grid, and at both its ends."""
    for top in (0.02, 1.3, 70.0):
        trials = refine(lambda x, top=top: Trial(x, -abs(math.log(x / top))), [0.01, 0.1, 1.0, 10.0, 100.0])
        assert best(trials).parameters == pytest.approx(top, rel=0.3)


@pytest.mark.parametrize("base", [trigrams, lambda: recurrent("lstm")], ids=["n-grams", "network"])
def test_tuned_unigram_caches_are_better_than_others(base):
    base, ids = base(), np.minimum(bursts(), 8)
    tuned = tune_unigram(base, ids)
    assert tune_unigram(base, ids) == tuned
    model = UnigramCache(base, tuned.parameters)
    log_p = model.score(model.begin(), ids[None, :])[0].astype(float).mean()
    assert log_p == pytest.approx(tuned.log_likelihood, abs=1e-6)
    assert log_p == pytest.approx(max(trial.log_likelihood for trial in tuned.trials), abs=1e-6)
    for weight, decay in ((0.0, 0.05), (0.1, 0.05), (0.5, 0.5), (0.5, 0.001), (0.9, 0.05)):
        other = unigram(base, weight, decay)
        assert other.score(other.begin(), ids[None, :])[0].astype(float).mean() < log_p


def test_tuned_neural_caches_are_better_than_others():
    base, ids = recurrent("lstm"), np.tile(some_ids(recurrent("lstm"), (40,)), 6)
    tuned = tune_neural(base, ids, (30, 150))
    assert tune_neural(base, ids, (30, 150)) == tuned and tuned.parameters.size == 150
    model = NeuralCache(base, tuned.parameters)
    log_p = model.score(model.begin(), ids[None, :])[0].astype(float).mean()
    assert log_p == pytest.approx(tuned.log_likelihood, abs=1e-6)
    for weight, theta, size in ((0.0, 1.0, 150), (0.3, 0.01, 150), (0.9, 1.0, 30)):
        other = neighbours(base, weight, theta, size)
        assert other.score(other.begin(), ids[None, :])[0].astype(float).mean() < log_p


def test_texts_that_nothing_can_be_tuned_on():
    with pytest.raises(CorpusError, match="no tokens"):
        tune_unigram(trigrams(), NOTHING)
    with pytest.raises(CorpusError, match="no tokens"):
        tune_neural(recurrent("elman"), NOTHING)
    with pytest.raises(CorpusError, match="no probability"):
        tune_unigram(ngram(2, smoothing="mle"), impossible_pair(ngram(2, smoothing="mle")))
    with pytest.raises(OptionError, match="family ngram have none"):
        tune_neural(trigrams(), np.array([4, 5], np.int32))

"""Drawing: the die rolled inside the trie falls as the full distribution says."""

import dataclasses
import itertools

import numpy as np
import pytest
from contract import chi_square_is_fine, some_ids
from ngram.reference_ngram import a_text, model_of

from lmkit.errors import LmkitError
from lmkit.model import BOS, EOS, UNK
from lmkit.uniforms import Uniforms

NOTHING = np.empty(0, np.int32)
SMOOTHINGS = {
    "kneser-ney": {},
    "kneser-ney, all taken off": {"discount_fallback": (1.0, 2.0, 3.0)},
    "kneser-ney, nothing taken off": {"discount_fallback": (0.0, 0.0, 0.0)},
    "cut off": {"cutoffs": (0, 1)},
    "mle": {"smoothing": "mle"},
    "add-k": {"smoothing": "add-k", "k": 0.5},
    "limited": {"limit_vocabulary": ("w3", "w4", "w6", "w9")},
    "kneser-ney, backing off": {"interpolate": False},
    "katz": {"smoothing": "katz"},
    "witten-bell, cut off, backing off": {"smoothing": "witten-bell", "interpolate": False, "cutoffs": (0, 1)},
    "absolute, all taken off": {"smoothing": "absolute", "discount": 1.0, "interpolate": False},
    "stupid-backoff": {"smoothing": "stupid-backoff"},
}
DRAWS = 20_000
FROM_ROWS = ("stupid-backoff", "absolute, all taken off")  # are drawn one by one, again and again or always


def dice(n, seed=5):
    return Uniforms.from_generator(np.random.default_rng(seed), n)


def a_model(smoothing, order=4, size=14, length=3000):
    return model_of(a_text(size, length, 31), size, order=order, **SMOOTHINGS[smoothing])


def busiest_contexts(model):
    """Of each length of context, the one with the most children."""
    children = np.diff(model.trie.nodes[:, 4].astype(int))
    firsts = np.cumsum(model.trie.sizes[:-1])
    return [first + children[first:last].argmax() for first, last in itertools.pairwise(firsts)]


@pytest.mark.parametrize("order", [2, 4, 7])
@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_frequencies_are_probabilities(smoothing, order):
    """Chi-square in the deepest contexts and shorter ones, without bans and with the two likeliest banned."""
    model = a_model(smoothing, order)
    draws = DRAWS // 10 if smoothing in FROM_ROWS else DRAWS
    starts = [model.begin()[0], 0, *busiest_contexts(model)]
    for number, start in enumerate(starts):
        state = np.full(draws, start, np.uint32)
        row = np.exp(model.log_probs(state[:1])[0].astype(float))
        for banned in (NOTHING, np.argsort(-row)[:2].astype(np.int32)):
            p = row.copy()
            p[banned] = 0
            if p.sum() < 1e-6:
                continue
            ids, _ = model.draw(state, 1, dice(draws, number), banned)
            assert chi_square_is_fine(ids[:, 0], p / p.sum())


@pytest.mark.parametrize("smoothing", ["kneser-ney", "add-k", "mle", "katz"])
def test_long_samples_follow_their_contexts(smoothing):
    """One long sample: the probability that the model gives its tokens is what it expects of them."""
    model = a_model(smoothing)
    ids, _ = model.draw(model.begin(40), 500, dice(40), NOTHING)
    log_p, _ = model.score(model.begin(40), ids)
    assert np.isfinite(log_p).all()
    state = model.begin(40)
    expected, spread = 0.0, 0.0
    for t in range(500):
        rows = model.log_probs(state).astype(float)
        p = np.exp(rows)
        surprise = np.where(p > 0, -rows, 0)
        mean = (p * surprise).sum(1)
        expected += mean.sum()
        spread += (p * surprise**2).sum() - (mean**2).sum()
        state = model.advance(state, ids[:, t])
    assert abs(-log_p.sum(dtype=float) - expected) < 5 * np.sqrt(spread)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_the_state_after_drawing_is_that_after_reading(smoothing):
    model = a_model(smoothing)
    start = model.score(model.begin(70), some_ids(model, (70, 5)))[1]
    ids, after = model.draw(start, 37, dice(70), NOTHING)
    np.testing.assert_array_equal(after, model.score(start, ids)[1])


@pytest.mark.parametrize("smoothing", ["kneser-ney", "add-k", "mle", "katz"])
@pytest.mark.parametrize("streams", [1, 31, 32, 33, 150])
def test_chunks_streams_and_threads_change_nothing(smoothing, streams):
    model = a_model(smoothing)
    banned = np.array([UNK, 4], np.int32)
    start = model.begin(streams)
    model.threads = 1
    source = dice(streams)
    whole, after = model.draw(start, 90, source, banned)
    for threads in (2, 3):
        model.threads = threads
        again, state = model.draw(start, 90, dice(streams), banned)
        np.testing.assert_array_equal(again, whole)
        np.testing.assert_array_equal(state, after)
    chunked, state, pieces = dice(streams), start, []
    for t in (1, 0, 2, 50, 37):
        ids, state = model.draw(state, t, chunked, banned)
        pieces.append(ids)
    np.testing.assert_array_equal(np.concatenate(pieces, 1), whole)
    np.testing.assert_array_equal(chunked.counters, source.counters)
    np.testing.assert_array_equal(state, after)
    alone, _ = model.draw(start[-1:], 90, Uniforms(dice(streams).keys[-1:]), banned)
    np.testing.assert_array_equal(alone[0], whole[-1])
    assert not np.isin(whole, [UNK, BOS, 4]).any()


def test_where_all_that_is_likely_is_banned_the_full_row_decides():
    """Rejection would take thousands of rolls here: the tokens left have a probability of a few per cent."""
    model = a_model("kneser-ney")
    start = model.score(model.begin(), a_text(14, 60, 31)[None, :20])[1]
    row = np.exp(model.log_probs(start)[0].astype(float))
    banned = np.argsort(-row)[: np.searchsorted(np.cumsum(np.sort(row)[::-1]), 0.99) + 1].astype(np.int32)
    row[banned] = 0
    assert 0 < row.sum() < 0.02
    ids, after = model.draw(np.repeat(start, 4000), 1, dice(4000), banned)
    assert chi_square_is_fine(ids[:, 0], row / row.sum())
    np.testing.assert_array_equal(after, model.advance(np.repeat(start, 4000), ids[:, 0]))


def test_a_dead_end_of_maximum_likelihood_asks_the_shorter_context():
    """`a b` twice: after "a" only "b" came. With "b" banned the unigrams a 2, </s> 2 answer: 1/2 each."""
    ids = np.array([3, 4, 2, 3, 4, 2], np.int32)
    model = model_of(ids, 5, order=2, smoothing="mle")
    after_a = np.repeat(model.advance(model.begin(), np.array([3], np.int32)), 2000)
    drawn, _ = model.draw(after_a, 1, dice(2000), np.array([4], np.int32))
    assert chi_square_is_fine(drawn[:, 0], np.array([0, 0, 0.5, 0.5, 0]))


def test_arrays_that_do_not_go_with_the_state_are_refused():
    model = a_model("kneser-ney")
    with pytest.raises(ValueError, match="5 streams"):
        model.draw(model.begin(5), 3, dice(2), NOTHING)
    with pytest.raises(ValueError, match="5 streams"):
        model.advance(model.begin(5), np.array([3], np.int32))
    with pytest.raises(ValueError, match="1 streams"):
        model.score(model.begin(1), np.full((2, 4), 3, np.int32))


def test_no_token_at_all_is_an_error():
    model = a_model("kneser-ney")
    with pytest.raises(LmkitError, match="nothing can be drawn"):
        model.draw(model.begin(2), 3, dice(2), np.arange(14, dtype=np.int32))


def test_maximum_likelihood_never_draws_what_it_has_not_seen():
    """A model of order 3 goes over bigrams and trigrams of its text only, whatever happens."""
    ids = a_text(14, 500, 33)
    model = model_of(ids, 14, order=3, smoothing="mle")
    drawn, _ = model.draw(model.begin(20), 400, dice(20), NOTHING)
    padded = np.concatenate([np.full((20, 1), EOS), drawn], axis=1)
    seen = set(zip([EOS, *ids[:-1].tolist()], ids.tolist(), strict=True))
    assert {(a, b) for row in padded for a, b in zip(row[:-1].tolist(), row[1:].tolist(), strict=True)} <= seen


def test_drawing_leaves_state_and_bans_alone():
    model = a_model("kneser-ney")
    state = model.score(model.begin(3), some_ids(model, (3, 9)))[1]
    state.flags.writeable = False
    banned = np.array([UNK], np.int32)
    banned.flags.writeable = False
    model.draw(state, 20, dice(3), banned)


@pytest.mark.parametrize("above", [0, 1])
def test_the_child_is_the_first_whose_mass_exceeds_the_roll(above):
    """`a b`, `a c`: with the mass of "b" set to exactly the roll, "c" comes; with one more, "b" does."""
    ids = np.array([3, 4, 2, 3, 5, 2], np.int32)
    model = model_of(ids, 6, order=2, smoothing="mle")
    after_a = model.advance(model.begin(), np.array([3], np.int32))
    roll = int(dice(1).bits()[0] >> np.uint64(32))
    begin = int(model.trie.nodes[after_a[0], 4]) - model.trie.internal
    leaves = model.trie.leaves.copy()
    assert leaves[begin : begin + 2, 0].tolist() == [4, 5]
    leaves[begin, 3] = roll + above
    model.trie = dataclasses.replace(model.trie, leaves=leaves)
    drawn, _ = model.draw(after_a, 1, dice(1), NOTHING)
    assert drawn[0, 0] == (4 if above else 5)

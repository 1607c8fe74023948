"""Scoring and states: the fast paths say what one step at a time says, to the last bit."""

import numpy as np
import pytest
from contract import CHECKS, some_ids
from ngram.reference_ngram import a_text, grams_of, model_of, walk
from reference import NGramReference

from lmkit.model import BOS, EOS
from lmkit.ngram.packed import pack
from lmkit.ngram.pieces import PIECE

SMOOTHINGS = {
    "kneser-ney": {},
    "cut off": {"cutoffs": (0, 0, 1)},
    "mle": {"smoothing": "mle"},
    "add-k": {"smoothing": "add-k", "k": 0.2},
    "backing off": {"smoothing": "witten-bell", "interpolate": False},
}


def a_model(smoothing, order, size=10, length=1500, seed=21):
    options = dict(SMOOTHINGS[smoothing])
    if "cutoffs" in options:
        options["cutoffs"] = options["cutoffs"][:order]
    return model_of(a_text(size, length, seed), size, order=order, **options)


@pytest.fixture(scope="module", params=[1, 2, 3, 5, 8, 32], ids="order-{}".format)
def order(request):
    return request.param


@pytest.fixture(scope="module", params=SMOOTHINGS)
def model(request, order):
    return a_model(request.param, order)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(model, check):
    check(model)


def same_bits(a, b):
    """Equal, and minus infinity where the other has it."""
    assert a.dtype == b.dtype and a.shape == b.shape
    np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))


@pytest.mark.parametrize("length", [1, 2, 63, 1000])
def test_scores_in_chunks_are_the_same_bits(model, length):
    ids = some_ids(model, (3, length), seed=length)
    whole, after = model.score(model.begin(3), ids)
    rng = np.random.default_rng(length)
    for _ in range(3):
        cuts = np.sort(rng.integers(0, length + 1, 4))
        state, pieces = model.begin(3), []
        for part in np.split(ids, cuts, axis=1):
            log_p, state = model.score(state, part)
            pieces.append(log_p)
        same_bits(np.concatenate(pieces, axis=1), whole)
        np.testing.assert_array_equal(state, after)


def test_one_token_at_a_time_is_the_same_state(model):
    """The state is a node: `advance`, `score` and a dictionary agree on which."""
    ids = some_ids(model, (1, 150), seed=9)
    grams = grams_of(model.trie.nodes, model.trie.leaves)
    state = model.begin()
    for t in range(ids.shape[1]):
        state = model.advance(state, ids[:, t])
        np.testing.assert_array_equal(model.score(model.begin(), ids[:, : t + 1])[1], state)
        if model.order > 1:
            assert grams[state[0]] == walk(grams, ids[0, : t + 1].tolist())
        else:
            assert state[0] == 0


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("length", [PIECE - 1, 2 * PIECE - 1, 2 * PIECE, 2 * PIECE + 1, 3 * PIECE + 5])
def test_long_texts_are_cut_into_pieces_unseen(smoothing, length):
    model = a_model(smoothing, 4)
    ids = some_ids(model, (2, length), seed=2)
    model.threads = 1
    whole, after = model.score(model.begin(2), ids)
    state, parts = model.begin(2), []
    for part in np.split(ids, range(1000, length, 1000), axis=1):
        log_p, state = model.score(state, part)
        parts.append(log_p)
    same_bits(np.concatenate(parts, axis=1), whole)
    np.testing.assert_array_equal(after, state)
    for threads in (2, 3):
        model.threads = threads
        log_p, state = model.score(model.begin(2), ids)
        same_bits(log_p, whole)
        np.testing.assert_array_equal(state, after)


@pytest.mark.parametrize("streams", [2, 19, 20, 21, 200])
def test_streams_do_not_know_of_each_other(streams):
    model = a_model("kneser-ney", 5)
    ids = some_ids(model, (streams, 300), seed=3)
    start = model.score(model.begin(streams), some_ids(model, (streams, 7), seed=4))[1]
    whole, after = model.score(start, ids)
    for i in range(0, streams, 7):
        log_p, state = model.score(start[i : i + 1], ids[i : i + 1])
        same_bits(log_p[0], whole[i])
        assert state[0] == after[i]


def test_a_text_of_no_tokens():
    model = a_model("kneser-ney", 3)
    state = model.advance(model.begin(2), np.array([3, 4], np.int32))
    log_p, after = model.score(state, np.zeros((2, 0), np.int32))
    assert log_p.shape == (2, 0)
    np.testing.assert_array_equal(after, state)
    assert after is not state


@pytest.mark.parametrize("order", [1, 2, 4])
@pytest.mark.parametrize("smoothing", ["kneser-ney", "mle", "add-k"])
def test_scores_are_the_slow_models(smoothing, order):
    ids = a_text(10, 1500, 21)
    fast = a_model(smoothing, order)
    options = {**SMOOTHINGS[smoothing], "fallback": (0.5, 1, 1.5)}
    slow = slow_model(fast, ids, order, options)
    text = some_ids(fast, (1, 400), seed=5)
    np.testing.assert_allclose(
        fast.score(fast.begin(), text)[0], slow.score(slow.begin(), text)[0], rtol=1e-5, atol=1e-5
    )


def slow_model(fast, ids, order, options):
    class Text:
        vocabulary = range(fast.vocabulary_size)

    return NGramReference(Text(), ids, order, **options)


def test_no_method_changes_a_state(model):
    state = model.score(model.begin(4), some_ids(model, (4, 9)))[1]
    state.flags.writeable = False
    model.log_probs(state)
    model.advance(state, np.array([0, EOS, 3, 4], np.int32))
    model.score(state, some_ids(model, (4, 5)))
    model.context_counts(state)


def test_ids_of_other_types_are_taken():
    model = a_model("kneser-ney", 3)
    ids = some_ids(model, (2, 50))
    for other in (ids.astype(np.int64), np.asfortranarray(ids), ids[:, ::1]):
        same_bits(model.score(model.begin(2), other)[0], model.score(model.begin(2), ids)[0])


@pytest.mark.parametrize("smoothing", ["mle", "add-k"])
@pytest.mark.parametrize("order", [1, 2, 3, 6])
def test_context_counts_are_the_texts(smoothing, order):
    ids = a_text(10, 1500, 21)
    model = a_model(smoothing, order)
    slow = slow_model(model, ids, order, {"smoothing": smoothing})
    state, slow_state = model.begin(), slow.begin()
    for word in some_ids(model, (60,), seed=7).tolist():
        counts = model.context_counts(state)
        assert counts.shape == (1, 10)
        expected = slow.context_counts(slow_state)
        np.testing.assert_array_equal(counts, np.reshape(expected, (1, 10)))
        state = model.advance(state, np.array([word], np.int32))
        slow_state = slow.advance(slow_state, np.array([word], np.int32))


def test_context_counts_of_several_streams_and_of_the_cut_off():
    """What was cut off is not counted: the counts are those the probabilities were made of."""
    model = model_of(a_text(10, 1500, 21), 10, order=3, smoothing="mle", cutoffs=(0, 0, 2))
    state = model.score(model.begin(50), some_ids(model, (50, 9)))[1]
    counts = model.context_counts(state)
    rows = np.exp(model.log_probs(state).astype(float))
    np.testing.assert_allclose(counts / counts.sum(1, keepdims=True), rows, rtol=1e-5, atol=1e-9)
    assert (counts[:, BOS] == 0).all()


def test_kneser_ney_keeps_no_counts():
    model = a_model("kneser-ney", 3)
    assert model.context_counts(model.begin()) is None


@pytest.mark.parametrize("quantize", [None, 8])
def test_orders_of_a_long_text_are_those_of_its_sentences(quantize):
    """Long texts are looked up in parts: of one sentence, of short ones, and with an end in the middle of one."""
    model = model_of(a_text(20, 3000, seed=2), 20, order=4)
    model = model if quantize is None else pack(model, quantize)
    for ids in (np.full(40_000, 3, np.int32), a_text(20, 40_000, seed=3)[:-7], np.full(40_000, EOS, np.int32)):
        cuts = np.flatnonzero(ids == EOS) + 1
        expected = np.concatenate([model.orders(part) for part in np.split(ids, cuts)])
        for threads in (1, 2, 3):
            model.threads = threads
            np.testing.assert_array_equal(model.orders(ids), expected)

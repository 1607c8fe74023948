"""Filters by worked numbers; generation by what it promises."""

import itertools

import numpy as np
import pytest
from contract import chi_square_is_fine, uniforms
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from reference import ElmanReference, NGramReference

import lmkit
from lmkit import decoding
from lmkit.errors import LmkitError, OptionError
from lmkit.model import BOS, EOS, UNK


class Sized:
    def __init__(self, size):
        self.vocabulary = range(size)


@pytest.fixture(scope="module")
def elman():
    return ElmanReference(Sized(12), seed=2)


def tokens(model, n, streams=1, seed=5, **options):
    blocks = decoding.generate(model, model.begin(streams), n=n, uniforms=uniforms(streams, seed), **options)
    return np.concatenate([np.empty((streams, 0), np.int32), *blocks], axis=1)


def probabilities(rows):
    return np.exp(decoding.normalise(rows)).round(6).tolist()


ROW = np.log([[0.1, 0.4, 0.2, 0.3]])


def test_top_k_keeps_the_k_best():
    assert probabilities(decoding.keep_top_k(ROW, 2)) == [
        [0, pytest.approx(4 / 7, abs=1e-6), 0, pytest.approx(3 / 7, abs=1e-6)]
    ]
    assert decoding.keep_top_k(ROW, 9) is ROW


def test_of_equal_tokens_the_first_stay():
    rows = np.log([[0.25, 0.25, 0.25, 0.25], [0.2, 0.4, 0.2, 0.2]])
    assert probabilities(decoding.keep_top_k(rows, 2)) == [
        [0.5, 0.5, 0, 0],
        [pytest.approx(1 / 3, abs=1e-6), pytest.approx(2 / 3, abs=1e-6), 0, 0],
    ]


@pytest.mark.parametrize(
    ("p", "kept"),
    [(0.01, [1]), (0.4, [1]), (0.41, [1, 3]), (0.7, [1, 3]), (0.71, [1, 2, 3]), (1, [0, 1, 2, 3])],
)
def test_top_p_keeps_the_fewest_that_reach_p(p, kept):
    assert np.flatnonzero(np.isfinite(decoding.keep_top_p(ROW - 3, p - 1e-9)[0])).tolist() == kept


@pytest.mark.parametrize(("p", "kept"), [(0, 4), (0.2, 4), (0.3, 3), (0.6, 2), (0.8, 1), (1, 1)])
def test_min_p_is_relative_to_the_best(p, kept):
    assert np.isfinite(decoding.keep_min_p(ROW, p - 1e-9 if p else 0)).sum() == kept


def test_a_penalty_raises_to_a_power():
    seen = np.array([[True, False, False, True]])
    rows = decoding.penalise_repetition(ROW, seen, 2.0)
    np.testing.assert_allclose(np.exp(rows), [[0.01, 0.4, 0.2, 0.09]])
    rows = decoding.penalise_repetition(np.array([[-np.inf, -1.0]]), np.array([[True, True]]), 2.0)
    assert rows.tolist() == [[-np.inf, -2.0]]


@given(arrays.arrays(np.float64, (2, 7), elements=st.floats(-50, 0)), st.floats(0.05, 1), st.integers(1, 9))
def test_filters_keep_the_best_token_and_no_new_one(rows, p, k):
    """Whatever the numbers, a filter leaves something, and leaves it as it was."""
    rows[0, 0] = -np.inf
    for filtered in (
        decoding.keep_top_k(rows, k),
        decoding.keep_top_p(rows, p),
        decoding.keep_min_p(rows, p),
    ):
        kept = np.isfinite(filtered)
        assert kept.any(axis=1).all() and not kept[0, 0]
        lowest = np.where(kept, rows, np.inf).min(axis=1)
        dropped = np.where(kept, -np.inf, rows).max(axis=1)
        assert (dropped <= lowest + 1e-12).all()


def test_inverse_cdf_never_picks_the_impossible():
    rows = np.log(
        [[0.0, 0.5, 0.0, 0.5, 0.0]] * 4,
        where=np.array([False, True, False, True, False]),
        out=np.full((4, 5), -np.inf),
    )
    ids = decoding.choose(rows, np.array([0, 0.4999, 0.5, 1 - 2**-53]))
    assert ids.tolist() == [1, 1, 3, 3]


@pytest.mark.parametrize(
    "options",
    [{}, {"temperature": 0.7}, {"top_p": 0.8}, {"temperature": 0, "top_k": 3}, {"repetition_penalty": 1.3}],
)
def test_exactly_n_tokens_and_the_same_for_any_number_of_streams(elman, options):
    ids = tokens(elman, 37, streams=3, **options)
    assert ids.shape == (3, 37) and ids.dtype == np.int32
    assert not np.isin(ids, [UNK, BOS]).any()
    np.testing.assert_array_equal(tokens(elman, 37, streams=1, **options), ids[:1])
    np.testing.assert_array_equal(tokens(elman, 20, streams=3, **options), ids[:, :20])


def test_blocks_grow_from_one(elman):
    blocks = decoding.generate(elman, elman.begin(), n=1 + 2 + 4 + 3, uniforms=uniforms(1), temperature=0.5)
    assert [b.shape[1] for b in blocks] == [1, 2, 4, 3]
    assert tokens(elman, 0).shape == (1, 0)


def test_without_n_it_goes_on(elman):
    blocks = decoding.generate(elman, elman.begin(), n=None, uniforms=uniforms(1))
    assert sum(b.shape[1] for b in itertools.islice(blocks, 6)) >= 6


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.6},
        {"temperature": 1.7},
        {"top_k": 4},
        {"top_p": 0.6},
        {"min_p": 0.2},
        {"allow_unk": True, "temperature": 1.0001},
    ],
)
def test_drawn_frequencies_are_those_of_the_changed_distribution(elman, options):
    row = elman.log_probs(elman.begin())
    if not options.get("allow_unk"):
        row[:, UNK] = -np.inf
    p = np.exp(decoding.normalise(row))
    p = p ** (1 / options.get("temperature", 1))
    p = (p / p.sum())[0]
    order = np.argsort(-p)
    if "top_k" in options:
        p[order[4:]] = 0
    if "top_p" in options:
        p[order[np.searchsorted(np.cumsum(p[order]), 0.6) + 1 :]] = 0
    if "min_p" in options:
        p[p < 0.2 * p.max()] = 0
    assert chi_square_is_fine(tokens(elman, 1, streams=5000, **options)[:, 0], p / p.sum())


def test_greedy_takes_the_most_probable(elman):
    ids = tokens(elman, 10, temperature=0)
    state = elman.begin()
    for w in ids[0]:
        row = elman.log_probs(state)
        row[:, UNK] = -np.inf
        assert w == row.argmax()
        state = elman.advance(state, np.array([w]))


def test_a_heavy_penalty_forbids_repetition(elman):
    ids = tokens(elman, 9, repetition_penalty=1e6, history=np.array([3], np.int32))
    assert len(set(ids[0].tolist()) | {3}) == 10


class Single(ElmanReference):
    """A model that computes in float32, as fast ones do."""

    def log_probs(self, state):
        return super().log_probs(state).astype(np.float32)


@pytest.mark.parametrize("kind", [ElmanReference, Single])
@pytest.mark.parametrize("temperature", [1e-300, 1e-50, 1e-40, 9e-7])
def test_tiny_temperatures_are_greedy(kind, temperature):
    model = kind(Sized(12), seed=2)
    np.testing.assert_array_equal(tokens(model, 20, temperature=temperature), tokens(model, 20, temperature=0))


@pytest.mark.parametrize("kind", [ElmanReference, Single])
@pytest.mark.parametrize("filters", [{}, {"top_k": 30}, {"top_p": 0.9999}, {"min_p": 0.9}])
def test_a_huge_temperature_makes_all_equal(kind, filters):
    ids = tokens(kind(Sized(12), seed=2), 1, streams=2000, temperature=1e300, **filters)[:, 0]
    p = np.full(12, 0.1)
    p[[UNK, BOS]] = 0
    assert chi_square_is_fine(ids, p)


@pytest.mark.parametrize("kind", [ElmanReference, Single])
@pytest.mark.parametrize("temperature", [0, 1e-6, 1, 1e300])
@pytest.mark.parametrize("penalty", [1e-300, 1e50, 1e300, 1.7e308])
def test_extreme_penalties(kind, temperature, penalty):
    """Longer than the vocabulary: at last every token is penalised, and one comes all the same."""
    ids = tokens(kind(Sized(12), seed=2), 30, temperature=temperature, repetition_penalty=penalty)[0].tolist()
    assert not {UNK, BOS} & set(ids)
    if penalty > 1 > temperature:
        assert len(set(ids[:10])) == 10


def test_a_penalty_never_rewards():
    """A sure token's log-probability may be a little over 0 by rounding."""
    rows = decoding.penalise_repetition(np.array([[1e-7, -40.0]], np.float32), np.array([[True, False]]), 1e9)
    assert rows.tolist() == [[0.0, -40.0]]


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": -1},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"top_k": 0},
        {"top_p": 0},
        {"top_p": 1.1},
        {"min_p": -0.1},
        {"repetition_penalty": 0},
        {"n": -1},
    ],
)
def test_numbers_out_of_range_are_refused_at_the_call(elman, options):
    with pytest.raises(OptionError, match=r"expected a number"):
        decoding.generate(elman, elman.begin(), **{"n": 1, "uniforms": uniforms(1), **options})


@pytest.mark.parametrize("temperature", [0, 0.5, 1])
def test_only_unk_left_is_said(temperature):
    """After "3" only <unk> has ever come, and this model has no shorter memory to ask."""
    model = NGramReference(Sized(4), np.array([3, UNK, EOS], np.int32), 2, "mle")
    said = "nothing can be drawn: the model knows no token but <unk>; --allow-unk lets it come"
    with pytest.raises(LmkitError, match="banned tokens" if temperature == 1 else said):  # at 1 the model's own word
        tokens(model, 5, temperature=temperature)
    assert tokens(model, 3, temperature=temperature, allow_unk=True).tolist() == [[3, UNK, EOS]]


@pytest.mark.parametrize("temperature", [1.0, 0.5, 0.0])
def test_where_only_unk_came_the_shorter_context_answers_at_every_temperature(temperature):
    """`a <unk>` and `b`: after "a" only <unk> came; without it the unigrams <s> leaves out answer: a, b or </s>."""
    text = ("text", b"a <unk>\nb\n")
    model = lmkit.train([text], order=2, smoothing="mle", tokenizer="whitespace", reserved="keep")
    state = model.advance(model.begin(3), np.repeat(model.text.vocabulary.id("a"), 3))
    blocks = decoding.generate(model, state, n=1, uniforms=uniforms(3), temperature=temperature)
    ids = np.concatenate(list(blocks), axis=1)
    assert set(ids.ravel().tolist()) <= {2, 3, 4}

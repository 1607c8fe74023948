"""What every language model promises (`lmkit.model`), as checks that raise AssertionError.

A family's tests call `check_all(model)`; each check can also be run alone.
"""

from __future__ import annotations

import copy
import math

import numpy as np

from lmkit.model import BOS, EOS, UNK
from lmkit.uniforms import Uniforms

NOTHING = np.empty(0, np.int32)


def check_all(model, **options):
    """Run every check; models whose numbers are rounded say by how much their `sums` may differ from one."""
    for check in CHECKS:
        check(model, **options)


def some_ids(model, shape, seed=0, **_):
    """Random texts, `</s>` not rare; never `<s>`."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, model.vocabulary_size, shape)
    ids[ids == BOS] = EOS
    return np.where(rng.random(shape) < 0.15, EOS, ids).astype(np.int32)


def some_state(model, n=1, t=6, seed=1):
    return model.score(model.begin(n), some_ids(model, (n, t), seed))[1]


def score_is_the_loop_of_steps(model, tolerance=1e-5, **_):
    ids = some_ids(model, (3, 40))
    log_p, after = model.score(model.begin(3), ids)
    assert log_p.shape == ids.shape
    state = model.begin(3)
    for t in range(ids.shape[1]):
        rows = model.log_probs(state)
        assert rows.shape == (3, model.vocabulary_size)
        np.testing.assert_allclose(log_p[:, t], rows[np.arange(3), ids[:, t]], rtol=tolerance, atol=tolerance)
        state = model.advance(state, ids[:, t])
    same_states(model, state, after, tolerance)


def rows_of_a_text_are_those_of_its_states(model, tolerance=1e-5, **_):
    """The whole distribution at each place, however a text is cut."""
    ids = some_ids(model, (3, 17), 8)
    start = some_state(model, 3)
    whole, after = model.rows(start, ids)
    assert whole.dtype == np.float32 and whole.shape == (3, 17, model.vocabulary_size)
    state = start
    for t in range(17):
        np.testing.assert_allclose(whole[:, t], model.log_probs(state), rtol=tolerance, atol=tolerance)
        state = model.advance(state, ids[:, t])
    same_states(model, state, after, tolerance)
    state, parts = start, []
    for part in np.split(ids, [1, 1, 6], axis=1):
        rows, state = model.rows(state, np.ascontiguousarray(part))
        parts.append(rows)
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, rtol=tolerance, atol=tolerance)
    same_states(model, state, after, tolerance)


def chunks_equal_the_whole(model, tolerance=1e-5, **_):
    ids = some_ids(model, (2, 50), 2)
    whole, after = model.score(model.begin(2), ids)
    state, parts = model.begin(2), []
    for part in np.split(ids, [1, 2, 5, 5, 30], axis=1):
        log_p, state = model.score(state, np.ascontiguousarray(part))
        parts.append(log_p)
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, rtol=tolerance, atol=tolerance)
    same_states(model, state, after, tolerance)


def streams_do_not_mix(model, tolerance=1e-5, **_):
    ids = some_ids(model, (4, 30), 3)
    together, _ = model.score(model.begin(4), ids)
    for i in range(4):
        alone, _ = model.score(model.begin(1), ids[i : i + 1])
        np.testing.assert_allclose(together[i : i + 1], alone, rtol=tolerance, atol=tolerance)


def rows_sum_to_one(model, sums=1e-5, **_):
    rows = model.log_probs(some_state(model, 8))
    assert (rows[:, BOS] == -np.inf).all()
    np.testing.assert_allclose(np.exp(rows.astype(float)).sum(1), 1, atol=sums)


def begins_after_tokens(model, sums=1e-5, tolerance=1e-5, **_):
    """Somewhere in a text: the same for all streams, and a distribution, also where nothing is known."""
    for ids in ((), (3,), (5, EOS, 4)):
        state = model.begin_after(ids, 3)
        rows = model.log_probs(state)
        assert rows.shape == (3, model.vocabulary_size)
        np.testing.assert_allclose(np.exp(rows.astype(float)).sum(1), 1, atol=sums)
        np.testing.assert_allclose(rows, np.repeat(model.log_probs(model.begin_after(ids)), 3, axis=0), rtol=tolerance)
        assert model.score(state, some_ids(model, (3, 4)))[0].shape == (3, 4)


def states_are_values(model, **_):
    state = some_state(model, 3)
    before = copy.deepcopy(state)
    model.log_probs(state)
    model.advance(state, np.full(3, EOS, np.int32))
    model.score(state, some_ids(model, (3, 5)))
    model.draw(state, 5, uniforms(3), NOTHING)
    for now, then in zip(parts(state), parts(before), strict=True):
        np.testing.assert_array_equal(now, then)


def sentence_end_leads_on(model, sums=1e-5, **_):
    """Advancing over `</s>` is legal, and what follows is a distribution."""
    state = model.advance(some_state(model, 2), np.full(2, EOS, np.int32))
    np.testing.assert_allclose(np.exp(model.log_probs(state).astype(float)).sum(1), 1, atol=sums)
    again, _ = model.score(state, some_ids(model, (2, 4)))
    assert again.shape == (2, 4)


def draws_follow_the_distribution(model, draws=4000, **_):
    """Chi-square of the first and of the third token, with and without bans; one in a million right models
    fails."""
    start = some_state(model, 1, 5, seed=4)
    banned = np.array([UNK, EOS], np.int32)
    for bans in (NOTHING, banned):
        row = np.exp(model.log_probs(start)[0].astype(float))
        row[bans] = 0
        if not row.sum():
            continue
        state = repeat(start, draws)
        ids, _ = model.draw(state, 1, uniforms(draws), bans)
        assert chi_square_is_fine(ids[:, 0], row / row.sum())
        ids, _ = model.draw(state, 3, uniforms(draws, seed=6), bans)
        rows = np.exp(model.log_probs(model.score(state, ids[:, :2])[1]).astype(float))
        rows[:, bans] = 0
        assert chi_square_is_fine(ids[:, 2], (rows / rows.sum(1, keepdims=True)).mean(0))


def draws_do_not_depend_on_chunks_or_streams(model, **_):
    banned = np.array([UNK], np.int32)
    state = some_state(model, 5)
    source = uniforms(5)
    whole, after = model.draw(state, 20, source, banned)
    assert whole.dtype == np.int32 and whole.shape == (5, 20)
    chunked, s = uniforms(5), state
    pieces = []
    for t in (1, 7, 12):
        ids, s = model.draw(s, t, chunked, banned)
        pieces.append(ids)
    np.testing.assert_array_equal(np.concatenate(pieces, 1), whole)
    np.testing.assert_array_equal(chunked.counters, source.counters)
    same_states(model, s, after, 1e-9)
    for i in range(5):
        alone = Uniforms(uniforms(5).keys[i : i + 1])
        ids, _ = model.draw(pick(state, i), 20, alone, banned)
        np.testing.assert_array_equal(ids[0], whole[i])


def banned_ids_never_come(model, **_):
    state = some_state(model, 4)
    row = model.log_probs(state)[0]
    banned = np.array([UNK, int(row.argmax())], np.int32)
    ids, _ = model.draw(state, 200, uniforms(4), banned)
    assert not np.isin(ids, [*banned.tolist(), BOS]).any()


def counts_are_of_each_stream(model, **_):
    """Where a model keeps counts: one row per stream, none below zero, and none of `<s>`."""
    state = some_state(model, 3)
    counts = model.context_counts(state)
    if counts is not None:
        assert counts.shape == (3, model.vocabulary_size)
        assert counts.dtype == np.int64 and counts.min() >= 0 and not counts[:, BOS].any()
        np.testing.assert_array_equal(counts[1:2], model.context_counts(pick(state, 1)))


def token_vectors_have_cosines(model, **_):
    """Where a model has vectors for tokens: no token is more like another one than like itself."""
    for vectors in model.token_vectors() or ():
        ids = np.arange(model.vocabulary_size)
        cosines = vectors.cosines(ids)
        assert cosines.shape == (len(ids), len(ids)) and cosines.dtype == np.float32
        np.testing.assert_allclose(cosines, cosines.T, atol=1e-6)
        own = cosines.diagonal()
        assert (np.abs(cosines) <= np.minimum(own[:, None], own) + 1e-6).all() and own.max() <= 1 + 1e-6
        np.testing.assert_allclose(vectors.cosines(ids[[5, 3]]), cosines[[5, 3]], atol=1e-6)


CHECKS = [
    score_is_the_loop_of_steps,
    rows_of_a_text_are_those_of_its_states,
    chunks_equal_the_whole,
    streams_do_not_mix,
    rows_sum_to_one,
    begins_after_tokens,
    states_are_values,
    sentence_end_leads_on,
    draws_follow_the_distribution,
    draws_do_not_depend_on_chunks_or_streams,
    banned_ids_never_come,
    counts_are_of_each_stream,
    token_vectors_have_cosines,
]


def uniforms(n, seed=5):
    return Uniforms.from_generator(np.random.default_rng(seed), n)


def parts(state):
    return list(state) if isinstance(state, tuple) else [state]


def on_parts(state, function):
    return tuple(map(function, state)) if isinstance(state, tuple) else function(state)


def pick(state, i):
    return on_parts(state, lambda part: part[i : i + 1])


def repeat(state, n):
    return on_parts(state, lambda part: np.repeat(part, n, axis=0))


def same_states(model, a, b, tolerance):
    """Equal for what they are for: the distributions that follow."""
    np.testing.assert_allclose(model.log_probs(a), model.log_probs(b), rtol=tolerance, atol=tolerance)


def chi_square_is_fine(ids, p):
    """Pearson's test at five standard deviations; tokens expected less than five times are put together."""
    counts = np.bincount(ids, minlength=len(p)).astype(float)
    if counts[p == 0].any():
        return False
    expected = p * len(ids)
    rare = expected < 5
    counts = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    counts, expected = counts[expected > 0], expected[expected > 0]
    degrees = len(expected) - 1
    if degrees <= 0:
        return True
    statistic = ((counts - expected) ** 2 / expected).sum()
    # Wilson and Hilferty (1931): the cube root of chi-square over its degrees is nearly normal
    z = ((statistic / degrees) ** (1 / 3) - (1 - 2 / (9 * degrees))) / math.sqrt(2 / (9 * degrees))
    return z < 5

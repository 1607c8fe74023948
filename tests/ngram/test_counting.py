"""Counting: the sort and its links say what dictionaries say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ngram.reference_ngram import a_text, column, dropped_grams, grams_of
from reference import adjusted_counts, raw_counts

from lmkit.model import BOS, EOS
from lmkit.ngram.counts import NOTHING, count_ngrams, link_levels

WIDE = 2**21 + 7  # words of 22 bits: two to a sort key


def check_counts(ids, order, size, threads=1):
    for n, (grams, counts) in enumerate(count_ngrams(ids, order, size, threads), start=1):
        found = {tuple(g): c for g, c in zip(grams.tolist(), counts.tolist(), strict=True)}
        expected = raw_counts(ids, n)
        expected.pop((BOS,), None)  # `<s>` is no word of the text
        assert found == expected
        assert len(found) == len(grams)
        assert grams.tolist() == sorted(grams.tolist())


def check_levels(ids, order, size, adjusted, threads=1):
    levels = link_levels(ids, order, np.bincount(ids, minlength=size), adjusted=adjusted, threads=threads)
    grams = grams_of(levels.nodes, levels.leaves)
    expected = [None, *(raw_counts(ids, n) for n in range(1, order + 1))]
    if adjusted:
        expected = adjusted_counts(expected)
    counts = dict(zip(grams, column(levels.nodes, levels.leaves, 2).tolist(), strict=True))
    assert len(counts) == len(grams)
    suffixes = column(levels.nodes, levels.leaves, 1)
    for n in range(1, order + 1):
        level = [gram for gram in grams if len(gram) == n]
        assert len(level) == levels.sizes[n] and level == sorted(level)
        wanted = {(w,): expected[1].get((w,), 0) for w in range(size) if w != BOS} if n == 1 else expected[n]
        assert {gram: counts[gram] for gram in level if gram != (BOS,)} == wanted
    for gram, suffix in zip(grams, suffixes.tolist(), strict=True):
        if len(gram) > 1:
            assert grams[suffix] == gram[1:]


@pytest.mark.parametrize("order", [2, 3, 6])
def test_occurrences_beside_adjusted_counts(order):
    ids = a_text(9, 700, seed=order)
    levels = link_levels(
        ids, order, np.bincount(ids, minlength=9), adjusted=True, occurrences=True, cutoffs=[0] + [1] * (order - 1),
        threads=2,
    )  # fmt: skip
    grams = grams_of(levels.nodes, levels.leaves)
    assert len(levels.occurrences) == len(grams)
    raw = [None, *(raw_counts(ids, n) for n in range(1, order + 1))]
    for gram, count in zip(grams, levels.occurrences.tolist(), strict=True):
        if gram and gram != (BOS,):
            assert count == raw[len(gram)].get(gram, 0)


def small_texts():
    return st.lists(st.sampled_from([0, EOS, 3, 4, 5]), min_size=1, max_size=60).map(
        lambda ids: np.array([*ids, EOS], np.int32)
    )


@settings(max_examples=60, deadline=None)
@given(small_texts(), st.integers(1, 7), st.integers(1, 3))
def test_any_text_of_few_words_is_counted_right(ids, order, threads):
    check_counts(ids, order, 6, threads)


@settings(max_examples=60, deadline=None)
@given(small_texts(), st.integers(1, 7), st.booleans(), st.integers(1, 3))
def test_any_text_of_few_words_makes_the_trie_of_its_counts(ids, order, adjusted, threads):
    check_levels(ids, order, 6, adjusted, threads)


REPEATS = {
    "one word": np.append(np.full(90, 3), EOS),
    "one word in sentences": np.tile([3, EOS], 45),
    "sentences without words": np.full(40, EOS),
    "long repeats": np.append(np.tile([3, 4, 3, 5, 3, 3], 20), EOS),
    "repeated sentences": np.tile([3, 4, 3, 5, EOS], 20),
    "one sentence of one word": np.array([3, EOS]),
    "unknown words": np.tile([0, 0, 3, EOS], 12),
    "random": a_text(8, 400, seed=1),
}


@pytest.mark.parametrize("order", [1, 2, 3, 5, 7, 32])
@pytest.mark.parametrize("name", REPEATS)
def test_repetitive_texts(name, order):
    ids = REPEATS[name].astype(np.int32)
    check_counts(ids, order, 8)
    check_levels(ids, order, 8, True)
    check_levels(ids, order, 8, False)


@pytest.mark.parametrize("order", [2, 3, 4, 5, 6, 9])
def test_a_wide_vocabulary_needs_several_sort_keys(order):
    ids = a_text(8, 500, seed=order)
    spread = np.array([0, 1, 2, 3, 2**20, 2**21, 2**21 + 1, WIDE - 1], np.int32)[ids]
    check_counts(spread, order, WIDE)
    for (grams, counts), (narrow, same) in zip(
        count_ngrams(spread, order, WIDE, 2), count_ngrams(ids, order, 8), strict=True
    ):
        np.testing.assert_array_equal(counts, same)
        assert grams.shape == narrow.shape


def test_a_wide_vocabulary_makes_the_same_trie():
    """Levels of 2**21 words cannot be walked in Python here; above the unigrams they equal those of few words."""
    ids = a_text(8, 500, seed=3)
    spread = np.array([0, 1, 2, 3, 2**20, 2**21, 2**21 + 1, WIDE - 1], np.int32)[ids]
    wide = link_levels(spread, 5, np.bincount(spread, minlength=WIDE), adjusted=True)
    narrow = link_levels(ids, 5, np.bincount(ids, minlength=8), adjusted=True)
    for n in range(2, 6):
        np.testing.assert_array_equal(wide.level(n)[:, 2], narrow.level(n)[:, 2])
    np.testing.assert_array_equal(wide.leaves[:, 1] - (WIDE - 8), narrow.leaves[:, 1])


@pytest.mark.parametrize("order", [2, 4, 11])
@pytest.mark.parametrize("adjusted", [True, False])
def test_threads_do_not_change_a_bit(adjusted, order):
    ids = a_text(30, 5000, seed=4)
    counts = np.bincount(ids, minlength=30)
    excluded = np.zeros(30, np.uint8)
    excluded[[7, 9]] = 1
    cutoffs = [0] + [1] * (order - 1)
    one, *others = (
        link_levels(ids, order, counts, adjusted=adjusted, cutoffs=cutoffs, excluded=excluded, threads=threads)
        for threads in (1, 2, 3)
    )
    for other in others:
        assert other.sizes == one.sizes
        np.testing.assert_array_equal(other.nodes, one.nodes)
        np.testing.assert_array_equal(other.leaves, one.leaves)
        for a, b in zip(other.dropped, one.dropped, strict=True):
            np.testing.assert_array_equal(a, b)


def test_more_than_a_radix_sort_of_one_bigram():
    """Runs of one bigram above the threshold of 2048 take the radix sort."""
    rng = np.random.default_rng(5)
    ids = np.column_stack([np.full((5000, 2), 3), rng.integers(3, 12, (5000, 3))]).ravel()
    ids = np.append(ids, EOS).astype(np.int32)
    check_counts(ids, 5, 12)


def test_a_worked_count():
    """<s> a b </s>, <s> b </s>, <s> a b </s>: b follows a and <s>, so its adjusted count is 2; raw 3."""
    ids = np.array([3, 4, 2, 4, 2, 3, 4, 2], np.int32)
    counts = np.bincount(ids, minlength=5)
    adjusted = link_levels(ids, 3, counts, adjusted=True)
    raw = link_levels(ids, 3, counts, adjusted=False)
    assert adjusted.level(1)[:, 2].tolist() == [0, 0, 1, 1, 2]  # </s> after b only, a after <s> only
    assert raw.level(1)[:, 2].tolist() == [0, 0, 3, 2, 3]
    bigrams = [gram for gram in grams_of(adjusted.nodes, adjusted.leaves) if len(gram) == 2]
    assert bigrams == [(1, 3), (1, 4), (3, 4), (4, 2)]
    # <s> a twice and <s> b once, as they occur: nothing stands before <s>. a b after <s>; b </s> after a and <s>.
    assert adjusted.level(2)[:, 2].tolist() == [2, 1, 1, 2]
    assert raw.level(2)[:, 2].tolist() == [2, 1, 2, 3]
    assert adjusted.level(3)[:, 2].tolist() == raw.level(3)[:, 2].tolist() == [2, 1, 2]


@pytest.mark.parametrize("order", [2, 3, 5])
@pytest.mark.parametrize("cut", [(0, 0, 1), (0, 1), (0, 2, 2, 3), (0, 0, 9)])
@pytest.mark.parametrize("words", [(), (4,), (3, 5)])
def test_cutoffs_and_excluded_words_mark_what_they_should(order, cut, words):
    ids = a_text(8, 400, seed=6)
    cutoffs = [*cut, *[cut[-1]] * order][:order]
    excluded = np.zeros(8, np.uint8)
    excluded[list(words)] = 1
    levels = link_levels(
        ids,
        order,
        np.bincount(ids, minlength=8),
        adjusted=True,
        cutoffs=cutoffs,
        excluded=excluded if words else NOTHING,
    )
    expected = dropped_grams(ids, order, cutoffs, excluded)
    grams = grams_of(levels.nodes, levels.leaves)
    for n in range(1, order + 1):
        if not levels.dropped[n].size:
            assert not expected[n]
            continue
        level = [gram for gram in grams if len(gram) == n]
        marked = {g for g, gone in zip(level, levels.dropped[n].tolist(), strict=True) if gone}
        assert marked == expected[n]


def test_too_many_tokens_are_refused(monkeypatch):
    from lmkit.errors import CorpusError
    from lmkit.ngram import counts

    monkeypatch.setattr(counts, "MAX_TOKENS", 10)
    with pytest.raises(CorpusError, match="11 tokens"):
        counts.sort_text(np.full(11, EOS, np.int32), 2, 3)


def test_a_text_ends_with_a_sentence_end():
    """No kernel looks for the end of the array, only for the last `</s>`."""
    with pytest.raises(ValueError, match="does not end with </s>"):
        count_ngrams(np.array([3, 4, 5], np.int32), 3, 6)
    assert [len(grams) for grams, _ in count_ngrams(np.zeros(0, np.int32), 3, 6)] == [0, 0, 0]

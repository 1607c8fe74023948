"""One count serves several models: each is the same to the bit as if it had been trained alone."""

import warnings

import numpy as np
import pytest
from ngram.reference_ngram import a_text, words
from reference import raw_counts

from lmkit.errors import LmkitWarning
from lmkit.ngram import several
from lmkit.ngram.counts import link_levels
from lmkit.ngram.model import train
from lmkit.ngram.options import SMOOTHINGS, NGramOptions
from lmkit.text import TextLayer, TextSettings, Vocabulary

WORDS, ORDERS = 12, (1, 2, 4)
LAYER = TextLayer(TextSettings("whitespace"), Vocabulary.from_tokens(words(WORDS)))


def same(a, b):
    assert a.options == b.options and a.trie.sizes == b.trie.sizes
    for name in ("nodes", "leaves", "alias", "counts"):
        np.testing.assert_array_equal(getattr(a.trie, name), getattr(b.trie, name), err_msg=name)


@pytest.fixture
def text():
    ids = a_text(WORDS, 900, seed=3)
    return ids, np.bincount(ids, minlength=WORDS)


@pytest.mark.parametrize("cutoffs", [(0,), (0, 0, 1)])
@pytest.mark.parametrize(
    "smoothings", [SMOOTHINGS, ("witten-bell", "mle", "katz")], ids=["all", "of occurrences alone"]
)
def test_they_are_what_each_alone_is(text, smoothings, cutoffs):
    ids, counts = text
    choices = [
        NGramOptions(order=order, smoothing=name, cutoffs=cutoffs[:order], keep_counts=order == 4, threads=2)
        for order in ORDERS
        for name in smoothings
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LmkitWarning)
        made = list(several.train_several(ids, counts, LAYER, choices, held_out=ids[-90:]))
        for options, model in zip(choices, made, strict=True):
            same(model, train(ids, counts, LAYER, options, held_out=ids[-90:] if options.holds_out else None))


@pytest.mark.parametrize(("room", "times"), [(None, 1), (1000, 0)])
def test_the_text_is_sorted_once_where_memory_allows_it(text, monkeypatch, room, times):
    counted = []
    monkeypatch.setattr(several, "link_levels", lambda *a, **k: counted.append(a) or link_levels(*a, **k))
    monkeypatch.setattr(several, "allowed", lambda memory: None if room is None else several.resident() + room)
    choices = [NGramOptions(order=n, smoothing="witten-bell") for n in (1, 2, 3)]
    for options, model in zip(choices, several.train_several(*text, LAYER, choices), strict=True):
        same(model, train(*text, LAYER, options))
    assert len(counted) == times


def test_other_cutoffs_are_counted_apart(text):
    choices = [NGramOptions(order=3, smoothing="witten-bell", cutoffs=c) for c in ((0,), (0, 1))]
    for options, model in zip(choices, several.train_several(*text, LAYER, choices), strict=True):
        same(model, train(*text, LAYER, options))


@pytest.mark.parametrize("adjusted", [True, False])
@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_levels_up_to_an_order_are_those_of_that_order(text, order, adjusted):
    ids, counts = text
    long = link_levels(ids, 5, counts, adjusted=True, occurrences=True)
    before = long.nodes.copy()
    found = long.up_to(order, adjusted=adjusted)
    expected = link_levels(ids, order, counts, adjusted=adjusted, occurrences=adjusted)
    assert found.sizes == expected.sizes
    np.testing.assert_array_equal(found.leaves, expected.leaves)
    np.testing.assert_array_equal(found.nodes, expected.nodes)
    if order > 1:
        np.testing.assert_array_equal(found.occurrences, expected.occurrences)
    found.nodes[:] = found.leaves[:] = 0  # it is a copy
    np.testing.assert_array_equal(long.nodes, before)


def test_the_highest_order_counts_occurrences(text):
    ids, counts = text
    pairs = link_levels(ids, 4, counts, adjusted=True, occurrences=True).up_to(2, adjusted=True)
    assert sorted(pairs.leaves[:, 2].tolist()) == sorted(raw_counts(ids, 2).values())

"""Tries from n-grams in any order, against dictionaries."""

import math
import re

import numpy as np
import pytest
from ngram.reference_ngram import a_text, column, grams_of, model_of

from lmkit.errors import ModelError
from lmkit.kernels import ngram_assembly as kernels
from lmkit.kernels.ngram_walk import refuses
from lmkit.ngram.arpa import arpa_lines, read_arpa
from lmkit.ngram.assembly import Level, assemble, row_order, structure
from lmkit.ngram.trie import BACKOFF, BEGIN, LOG_P, MASS, SUFFIX
from lmkit.text import Corpus, TextSettings

SIZE = 7


def some_levels(rng, order, share):
    """Return n-grams of each length in any order, with probabilities and weights, and the same as a dictionary."""
    levels, numbers = [], {(): (0.0, 0.0)}
    for k in range(1, order + 1):
        grams = np.array(list(np.ndindex(*[SIZE] * k)), np.int32)
        if k > 1:
            grams = rng.permutation(grams)[: max(1, int(share * len(grams)))]
        log_p = -rng.random(len(grams)).astype(np.float32)
        backoffs = -rng.random(len(grams)).astype(np.float32) if k < order else np.zeros(len(grams), np.float32)
        levels.append(Level(grams, log_p, backoffs, np.zeros(len(grams), bool)))
        numbers |= {
            tuple(gram): pair for gram, *pair in zip(grams.tolist(), log_p.tolist(), backoffs.tolist(), strict=True)
        }
    return levels, numbers


def by_backing_off(numbers, gram):
    """Return the logarithm of p(last word | the others) as the numbers have it, the longest n-gram first."""
    if gram in numbers:
        return numbers[gram][0]
    return numbers.get(gram[:-1], (0.0, 0.0))[1] + by_backing_off(numbers, gram[1:])


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("order", "share"), [(1, 1), (2, 0.3), (3, 1), (4, 0.5), (4, 0.02), (5, 0.004)])
def test_n_grams_in_any_order_become_a_trie(order, share, threads):
    """All n-grams and what they begin with, in the order of their words, linked to the longest suffix there is."""
    levels, numbers = some_levels(np.random.default_rng(order), order, share)
    built = structure(levels, "a model", threads)
    firsts = built.firsts
    found = grams_of(built.nodes, built.leaves)
    closed = {gram[:j] for gram in numbers for j in range(len(gram) + 1)}
    assert found == sorted(closed, key=lambda gram: (len(gram), gram))
    assert firsts == [0, *(sum(len(gram) < k for gram in closed) for k in range(1, order + 2))]
    number = {gram: i for i, gram in enumerate(found)}
    for k in range(1, order + 1):
        records = built.records(k)
        for gram, record, parent in zip(found[firsts[k] : firsts[k + 1]], records, built.parents[k - 1], strict=True):
            assert record[SUFFIX] == next(number[gram[j:]] for j in range(1, k + 1) if gram[j:] in number)
            assert parent == number[gram[:-1]]
            floats, expected = record.view(np.float32).tolist(), numbers.get(gram, (0.0, 0.0))
            assert (floats[LOG_P], floats[BACKOFF] if k < order else 0.0) == tuple(expected)
    trie, blanks = built.finished()
    assert blanks.tolist() == [number[gram] for gram in found if gram not in numbers]
    for gram in found[1:]:
        records = trie.nodes if len(gram) < order else trie.leaves
        log_p = records.view(np.float32)[number[gram] - (0 if len(gram) < order else firsts[order]), LOG_P]
        assert log_p == pytest.approx(by_backing_off(numbers, gram), abs=1e-5)


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ({}, {True}),
        ({"smoothing": "katz"}, {True, False}),
        ({"smoothing": "absolute", "interpolate": False}, {True, False}),
        ({"smoothing": "mle"}, {True}),
    ],
)
def test_masses_are_what_children_have_beyond_backing_off_or_all_they_have(options, kinds):
    """The first where it adds up to 1 - gamma; the last child's mass tells which it is."""
    model = model_of(a_text(9, 300, 2), 9, order=3, **options)
    read = read_arpa(Corpus("m.arpa", data=b"".join(arpa_lines(model))), TextSettings("whitespace")).trie
    numbers = {
        gram: (p, b)
        for gram, p, b in zip(
            grams_of(read.nodes, read.leaves),
            column(read.nodes, read.leaves, LOG_P).view(np.float32).tolist(),
            [*read.nodes[:-1, BACKOFF].view(np.float32).tolist(), *[0.0] * len(read.leaves)],
            strict=True,
        )
    }
    masses = dict(zip(numbers, (column(read.nodes, read.leaves, MASS) / 2**32).tolist(), strict=True))
    found = set()
    for context in {gram[:-1] for gram in numbers if len(gram) > 1}:
        children = [gram for gram in numbers if gram[:-1] == context and gram]
        gamma = math.exp(numbers[context][1])
        p = np.exp([numbers[gram][0] for gram in children])
        lower = gamma * np.exp([by_backing_off(numbers, gram[1:]) for gram in children])
        interpolates = bool((p >= lower * (1 - 1e-5)).all() and abs((p - lower).sum() - (1 - gamma)) < 1e-5)
        expected = np.cumsum(np.maximum(p - lower, 0) if interpolates else p)
        np.testing.assert_allclose([masses[gram] for gram in children], expected, atol=1e-5)
        c = list(numbers).index(context)
        low, high = read.nodes[c : c + 2, BEGIN].astype(int).tolist()
        assert refuses(read.nodes, read.leaves, c, low, high) != interpolates
        found.add(interpolates)
    assert found == kinds


def test_an_n_gram_that_is_there_twice_is_named():
    levels, _ = some_levels(np.random.default_rng(0), 3, 0.2)
    levels[2].grams[17] = levels[2].grams[3]
    with pytest.raises(
        ModelError, match=re.escape(f"a model: the 3-gram with the words {levels[2].grams[3].tolist()} is there twice")
    ):
        assemble(levels, "a model")


@pytest.mark.parametrize("largest", [0, 1, 255, 2047, 2048, 70_000, 2**22, 2**31 - 1])
@pytest.mark.parametrize("columns", [1, 2, 5])
def test_rows_are_sorted(largest, columns):
    """Equal rows stay in their order."""
    rng = np.random.default_rng(columns)
    grams = rng.integers(0, largest, (500, columns), dtype=np.int32, endpoint=True)
    grams[rng.integers(0, 500, 200)] = grams[rng.integers(0, 500, 200)]
    rows = grams.tolist()
    assert row_order(grams).tolist() == sorted(range(500), key=lambda i: rows[i])


@pytest.mark.parametrize("rows", [[], [[3, 1]], [[1, 2], [1, 3], [2, 0]], [[1, 2], [1, 2]], [[1, 2], [2, 5], [2, 4]]])
def test_where_rows_stop_climbing(rows):
    expected = next((i for i in range(1, len(rows)) if rows[i] <= rows[i - 1]), len(rows))
    assert kernels.climb(np.array(rows, np.int32).reshape(-1, 2)) == expected

"""Pruning: against the formula written down slowly, and what must stay as it was."""

import dataclasses
import math

import numpy as np
import pytest
from contract import check_all
from ngram.reference_ngram import a_text, model_of, table_of

from lmkit.errors import ModelError, OptionError
from lmkit.ngram.arpa import arpa_lines
from lmkit.ngram.model import NGramModel
from lmkit.ngram.pruning import prune
from lmkit.ngram.trie import BEGIN, SUFFIX, WORD

SIZE = 11


def slowly(model, threshold):
    """Stolcke (1998), with dictionaries: the n-grams that stay, and the new back-off weights, natural logarithms."""
    table = {gram: (p * math.log(10), b * math.log(10)) for gram, (p, b) in table_of(model).items()}
    order = max(map(len, table))

    def log_p(gram):
        if gram in table:
            return table[gram][0]
        return table.get(gram[:-1], (0, 0.0))[1] + log_p(gram[1:])

    def history(words):
        total = 0.0
        for i, word in enumerate(words):
            total += table[(b"</s>",)][0] if i == 0 and word == b"<s>" else log_p(words[: i + 1])
        return total

    kept, weights = set(table), {}
    for n in range(order, 1, -1):
        prefixes = {gram[:-1] for gram in kept}
        for context in {gram[:-1] for gram in table if len(gram) == n}:
            seen = [gram for gram in table if gram[:-1] == context]
            unseen = 1 - sum(math.exp(table[gram][0]) for gram in seen)
            lower = 1 - sum(math.exp(log_p(gram[1:])) for gram in seen)
            gone = []
            for gram in seen:
                if gram in prefixes and gram in kept:
                    continue
                p, q = table[gram][0], log_p(gram[1:])
                alpha = math.log(unseen + math.exp(p)) - math.log(lower + math.exp(q))
                growth = math.exp(p) * (q + alpha - p) + unseen * (alpha - table[context][1])
                if math.expm1(-math.exp(history(context)) * growth) < threshold:
                    gone.append(gram)
            kept -= set(gone)
    small = {gram: table[gram][0] for gram in kept}

    def log_q(gram):
        if gram in small:
            return small[gram]
        return weights.get(gram[:-1], 0.0) + log_q(gram[1:])

    for n in range(2, order + 1):
        for context in {gram[:-1] for gram in kept if len(gram) == n}:
            seen = [gram for gram in kept if gram[:-1] == context]
            unseen = 1 - sum(math.exp(small[gram]) for gram in seen)
            weights[context] = math.log(unseen) - math.log(1 - sum(math.exp(log_q(gram[1:])) for gram in seen))
    return kept, weights


@pytest.mark.parametrize("threshold", [1e-5, 1e-3, 1e-2])
def test_what_goes_is_what_the_formula_says(threshold):
    model = model_of(a_text(SIZE, 700, 5), SIZE, order=3)
    pruned = table_of(prune(model, threshold))
    kept, weights = slowly(model, threshold)
    assert set(pruned) == kept and len(kept) < len(table_of(model))
    before = table_of(model)
    for gram, (p, backoff) in pruned.items():
        if gram != (b"<s>",):
            assert p == before[gram][0]
        if gram in weights:
            assert backoff * math.log(10) == pytest.approx(weights[gram], abs=1e-4)


@pytest.mark.parametrize("options", [{}, {"smoothing": "katz"}, {"smoothing": "absolute", "interpolate": False}])
def test_what_is_left_is_a_model(options):
    model = model_of(a_text(SIZE, 900, 6), SIZE, order=4, **options)
    pruned = prune(model, 1e-4)
    check_all(pruned)
    ids = a_text(SIZE, 5000, 6)[None]
    loss = [-m.score(m.begin(), ids)[0].mean() for m in (model, pruned)]
    assert abs(loss[1] - loss[0]) < 0.3


def test_a_threshold_of_nothing_keeps_the_numbers():
    model = model_of(a_text(SIZE, 900, 6), SIZE, order=3)
    pruned, ids = prune(model, 0.0), a_text(SIZE, 300, 7)[None]
    np.testing.assert_allclose(pruned.score(pruned.begin(), ids)[0], model.score(model.begin(), ids)[0], atol=1e-4)


def test_at_most_so_many_ngrams():
    model = model_of(a_text(SIZE, 900, 6), SIZE, order=4)
    for n in (50, 100, 200):
        pruned = prune(model, ngrams=n)
        assert sum(pruned.trie.sizes[1:]) <= n
        assert sum(prune(model, 0.95 * pruned.options["pruned"]).trie.sizes[1:]) > n
    with pytest.raises(OptionError, match="more than the 5 n-grams"):
        prune(model, ngrams=5)


@pytest.mark.parametrize(("array", "column"), [("nodes", WORD), ("nodes", SUFFIX), ("nodes", BEGIN), ("leaves", WORD)])
def test_damaged_links_are_refused(array, column):
    """Walks over the whole trie do not clamp: no number of a file may lead them outside."""
    model = model_of(a_text(SIZE, 300, 6), SIZE, order=3)
    for row in (0, 5, -1):
        damaged = getattr(model.trie, array).copy()
        damaged[row, column] = 2**31
        if array == "nodes" and (row == -1 or (row == 0 and column != BEGIN)):
            continue  # the root's and the closing row's are not read
        broken = NGramModel(model.text, dataclasses.replace(model.trie, **{array: damaged}), model.options)
        for walk in (lambda broken=broken: prune(broken, 1e-5), lambda broken=broken: list(arpa_lines(broken))):
            with pytest.raises(ModelError, match="are damaged"):
                walk()


@pytest.mark.parametrize("smoothing", ["mle", "add-k", "stupid-backoff"])
def test_what_cannot_be_pruned(smoothing):
    with pytest.raises(OptionError, match="train with another --smoothing"):
        prune(model_of(a_text(SIZE, 100), SIZE, order=2, smoothing=smoothing), 1e-5)

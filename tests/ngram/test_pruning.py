"""Pruning: against the formula written down slowly, and what must stay as it was."""

import dataclasses
import math

import numpy as np
import pytest
from contract import check_all
from ngram.reference_ngram import a_text, grams_of, model_of, table_of
from reference import raw_counts

from lmkit import api
from lmkit.errors import ModelError, OptionError
from lmkit.ngram.arpa import arpa_lines
from lmkit.ngram.model import NGramModel
from lmkit.ngram.packed import pack
from lmkit.ngram.pruning import cut_off, prune
from lmkit.ngram.trie import BACKOFF, BEGIN, LOG_P, SUFFIX, WORD

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
        pruned = prune(model, fits=lambda sizes, n=n: sum(sizes[1:]) <= n)
        assert sum(pruned.trie.sizes[1:]) <= n
        assert sum(prune(model, 0.95 * pruned.options["pruned"]).trie.sizes[1:]) > n
    with pytest.raises(OptionError, match="cannot be dropped, which is more than the 5 n-grams"):
        api.prune(api.Model(model), ngrams=5)


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


@pytest.mark.parametrize("number", [np.nan, np.inf, 1000.0, 3e38])
@pytest.mark.parametrize(("array", "column"), [("nodes", LOG_P), ("nodes", BACKOFF), ("leaves", LOG_P)])
def test_numbers_that_are_no_logarithms_are_refused(array, column, number):
    model = model_of(a_text(SIZE, 300, 6), SIZE, order=3)
    damaged = getattr(model.trie, array).copy()
    damaged.view(np.float32)[5, column] = number
    broken = NGramModel(model.text, dataclasses.replace(model.trie, **{array: damaged}), model.options)
    for walk in (lambda: prune(broken, 1e-5), lambda: list(arpa_lines(broken)), lambda: pack(broken, 8)):
        with pytest.raises(ModelError, match=r"are damaged: .* is not the logarithm"):
            walk()


def test_children_out_of_order_are_refused():
    """Two children with one word, too."""
    model = model_of(a_text(SIZE, 300, 6), SIZE, order=3)
    context = next(c for c in range(1 + SIZE, model.trie.internal) if np.diff(model.trie.nodes[c : c + 2, BEGIN]) > 1)
    first = model.trie.nodes[context, BEGIN] - model.trie.internal
    for words in (model.trie.leaves[[first + 1, first], WORD], model.trie.leaves[[first, first], WORD]):
        leaves = model.trie.leaves.copy()
        leaves[first : first + 2, WORD] = words
        broken = NGramModel(model.text, dataclasses.replace(model.trie, leaves=leaves), model.options)
        with pytest.raises(ModelError, match="are damaged"):
            prune(broken, 1e-5)


def test_n_grams_without_probability_are_worth_nothing():
    """The loss of one is 0 times infinity; the contexts of what is left stay with it."""
    model = model_of(a_text(SIZE, 900, 6), SIZE, order=4, smoothing="witten-bell", interpolate=False)
    nodes, leaves = model.trie.nodes.copy(), model.trie.leaves.copy()
    nodes.view(np.float32)[1 + SIZE :: 2, LOG_P] = leaves.view(np.float32)[::3, LOG_P] = -np.inf
    broken = NGramModel(model.text, dataclasses.replace(model.trie, nodes=nodes, leaves=leaves), model.options)
    for threshold in (0.0, 1e-7, 0.01):
        pruned = prune(broken, threshold)
        pruned.trie.check("the pruned model")
        assert 1 + SIZE < sum(pruned.trie.sizes) <= sum(broken.trie.sizes)


@pytest.mark.parametrize("smoothing", ["mle", "add-k", "stupid-backoff"])
def test_what_cannot_be_pruned(smoothing):
    with pytest.raises(OptionError, match="train with another --smoothing"):
        prune(model_of(a_text(SIZE, 100), SIZE, order=2, smoothing=smoothing), 1e-5)


# To a size


@pytest.mark.parametrize("bits", [None, 4, 16])
def test_files_are_no_larger_than_asked_for(tmp_path, bits):
    ids = np.random.default_rng(6).integers(2, 200, 30000).astype(np.int32)
    model = api.Model(model_of(np.append(ids, np.int32(2)), 200, order=3))
    whole = api.prune(model, threshold=0, quantize=bits).file_size()
    for share in (0.9, 0.5, 0.2):
        pruned = api.prune(model, size=int(whole * share), quantize=bits, output=tmp_path / "small.lmkit")
        written = (tmp_path / "small.lmkit").stat().st_size
        assert written == pruned.file_size() <= whole * share
        assert written > 0.7 * whole * share  # there was room for no much larger model
    roomy = api.prune(model, size=2 * whole, quantize=bits)
    assert roomy.language_model.trie.sizes == model.language_model.trie.sizes


def test_a_size_that_not_even_the_words_fit_into():
    with pytest.raises(OptionError, match="n-grams of the model cannot be dropped, which is more than fit into 99 byt"):
        api.prune(api.Model(model_of(a_text(SIZE, 900, 6), SIZE, order=3)), size=99)


# By count


@pytest.mark.parametrize(
    "options",
    [{"smoothing": "absolute", "discount": 0.5}, {"smoothing": "witten-bell"}, {"smoothing": "modified-kneser-ney"}],
)
@pytest.mark.parametrize("cutoffs", [(0, 1), (0, 0, 2), (0, 0, 0, 10**6), (0,)])
def test_what_was_seen_rarely_goes(options, cutoffs):
    ids = a_text(SIZE, 900, 6)
    model = model_of(ids, SIZE, order=4, keep_counts=True, **options)
    pruned = cut_off(model, cutoffs)
    limits = (*cutoffs, *cutoffs[-1:] * 3)
    token = model.text.vocabulary.token_bytes
    wanted, before = {(token(i),) for i in range(SIZE)}, table_of(model)
    for n in range(2, 5):
        wanted |= {tuple(map(token, gram)) for gram, count in raw_counts(ids, n).items() if count > limits[n - 1]}
    after = table_of(pruned)
    assert set(after) == wanted
    assert all(after[gram][0] == pytest.approx(before[gram][0], abs=1e-6) for gram in wanted - {(b"<s>",)})
    check_all(pruned)


@pytest.mark.parametrize("smoothing", ["witten-bell", "kneser-ney"])
def test_counts_of_what_is_left_are_kept(smoothing):
    ids = a_text(SIZE, 900, 6)
    model = model_of(ids, SIZE, order=3, smoothing=smoothing, keep_counts=True)
    for pruned in (prune(model, 1e-3), cut_off(model, (0, 1, 2))):
        grams = grams_of(pruned.trie.nodes, pruned.trie.leaves)
        raw = {gram: count for n in (2, 3) for gram, count in raw_counts(ids, n).items()}
        kept = [(int(count), raw[gram]) for gram, count in zip(grams, pruned.trie.counts, strict=True) if gram in raw]
        assert len(kept) == sum(pruned.trie.sizes[2:]) and all(a == b for a, b in kept)
    assert sum(prune(model, 1e-3).trie.sizes) < sum(model.trie.sizes)


@pytest.mark.parametrize("smoothing", ["witten-bell", "kneser-ney"])
def test_counts_are_shown_as_they_were(smoothing):
    """After "w3" a model with counts tells of each word how often it came."""
    ids = a_text(SIZE, 900, 6)
    model = api.Model(model_of(ids, SIZE, order=2, smoothing=smoothing, keep_counts=True))
    raw = raw_counts(ids, 2)
    for row in model.next("w3", top=None):
        assert row.count == raw.get((3, row.id), 0)
        assert row.total == sum(count for gram, count in raw.items() if gram[0] == 3)


def test_cut_offs_need_counts():
    with pytest.raises(OptionError, match="keeps no counts to cut off by; train it with --keep-counts"):
        cut_off(model_of(a_text(SIZE, 300, 6), SIZE, order=3), (0, 1))


@pytest.mark.parametrize(
    "ways", [{}, {"ngrams": 5, "size": 100}, {"threshold": 0.1, "cutoffs": (0, 1)}, {"threshold": 0.1, "ngrams": 9}]
)
def test_one_way_at_a_time(ways):
    with pytest.raises(OptionError, match="give one of threshold, ngrams, size and cutoffs, or quantize"):
        api.prune(api.Model(model_of(a_text(SIZE, 100), SIZE, order=2)), **ways)

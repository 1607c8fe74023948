"""Probabilities: worked numbers, distributions that sum to one, and the slow model of `reference.py`."""

import math
import warnings

import numpy as np
import pytest
from ngram.reference_ngram import FALLBACK, a_text, grams_of, model_of
from reference import NGramReference

import lmkit
from lmkit.errors import LmkitWarning
from lmkit.model import BOS, EOS, UNK
from lmkit.ngram.smoothing import discounts_from_counts

COWS = (
    "cows",
    b"cows eat corn\n" * 4 + b"cows eat grass\n" * 3 + b"cows eat hay\n" * 2 + b"cows eat if\ncows eat which\n",
)


class Sized:
    """As much of a text layer as the slow model needs."""

    def __init__(self, size):
        self.vocabulary = range(size)


def distributions(model):
    """The row of every node of the trie that can be a state, and its n-gram."""
    trie = model.trie
    states = np.arange(trie.internal, dtype=np.uint32)
    return grams_of(trie.nodes, trie.leaves)[: trie.internal], np.exp(model.log_probs(states).astype(float))


def test_discounts_by_hand():
    """t1..t4 = 6, 3, 2, 1: Y = 6 / (6 + 2 * 3) = 1/2, D1 = 1 - 2 Y 3/6 = 1/2, D2 = 2 - 3 Y 2/3 = 1,
    D3 = 3 - 4 Y 1/2 = 2 (Chen and Goodman 1998, equation 26)."""
    assert discounts_from_counts([9, 6, 3, 2, 1]) == pytest.approx((0.5, 1, 2))


@pytest.mark.parametrize(
    ("counts_of_counts", "why"),
    [
        ([0, 0, 3, 2, 1], "no n-gram once: Y = 0/0"),
        ([0, 6, 0, 2, 1], "none twice: D2 divides by zero"),
        ([0, 6, 3, 0, 1], "none three times: D3 divides by zero"),
        ([0, 6, 3, 20, 1], "D2 = 2 - 3/2 * 20/3 is negative"),
        ([0, 6, 3, 2, 30], "D3 = 3 - 2 * 30/2 is negative"),
    ],
)
def test_impossible_discounts_are_none(counts_of_counts, why):
    assert discounts_from_counts(counts_of_counts) is None, why


def test_discounts_may_be_as_large_as_the_count():
    """t4 = 0: D3 = 3, the whole count goes to the shorter contexts; lmplz allows it."""
    assert discounts_from_counts([0, 6, 3, 2, 0])[2] == 3


def test_falling_back_by_itself_warns_once():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = lmkit.train([COWS], order=4, tokenizer="whitespace")
    assert [w.category for w in caught] == [LmkitWarning]
    assert "order 1 to 3 yield" in str(caught[0].message) and "--discount-fallback" in str(caught[0].message)
    assert model.language_model.options["discounts"][:3] == [list(FALLBACK)] * 3


def test_a_fallback_given_is_silent():
    model = lmkit.train([COWS], order=2, tokenizer="whitespace", discount_fallback=(0.1, 0.2, 0.3))
    assert model.language_model.options["discounts"][0] == [0.1, 0.2, 0.3]


def test_maximum_likelihood_by_hand():
    """After "eat": corn 4, grass 3, hay 2, if 1, which 1 of 11."""
    model = lmkit.train([COWS], order=3, smoothing="mle", tokenizer="whitespace")
    rows = model.next("cows eat", top=None)
    assert [(r.token, r.count, r.total) for r in rows] == [
        ("corn", 4, 11), ("grass", 3, 11), ("hay", 2, 11), ("if", 1, 11), ("which", 1, 11),
    ]  # fmt: skip
    np.testing.assert_allclose([r.probability for r in rows], np.array([4, 3, 2, 1, 1]) / 11, rtol=1e-6)


def test_add_k_by_hand():
    """V = cows, eat, corn, grass, hay, if, which, </s>, <unk> = 9 words that can come; k = 1/2:
    p(corn | cows eat) = (4 + 1/2) / (11 + 9/2) = 9/31, p(</s> | cows eat) = (1/2) / (31/2) = 1/31."""
    model = lmkit.train([COWS], order=3, smoothing="add-k", k=0.5, tokenizer="whitespace")
    rows = {r.token: r.probability for r in model.next("cows eat", top=None)}
    assert len(rows) == 9
    assert rows["corn"] == pytest.approx(9 / 31, rel=1e-6)
    assert rows["which"] == pytest.approx(3 / 31, rel=1e-6)
    assert rows["</s>"] == rows["<unk>"] == rows["cows"] == pytest.approx(1 / 31, rel=1e-6)


def test_kneser_ney_by_hand():
    """`a b </s>`, `a c </s>`, order 2, all discounts 1/2. Bigrams: <s> a 2, a b, a c, b </s>, c </s> once each.
    Left neighbours: a 1, b 1, c 1, </s> 2; total 5. V without <s>: <unk>, </s>, a, b, c.
    p(b) = (1 - 1/2)/5 + gamma/5, gamma = (4 * 1/2)/5 = 2/5: 1/10 + 2/25 = 0.18.
    p(b | a) = (1 - 1/2)/2 + (1/2 + 1/2)/2 * 0.18 = 0.25 + 0.09 = 0.34; p(a | a) = 0.5 * 0.18."""
    text = ("two", b"a b\na c\n")
    model = lmkit.train([text], order=2, tokenizer="whitespace", discount_fallback=(0.5, 0.5, 0.5))
    rows = {r.token: r.probability for r in model.next("a", top=None)}
    assert rows["b"] == rows["c"] == pytest.approx(0.34, rel=1e-6)
    assert rows["a"] == pytest.approx(0.09, rel=1e-6)
    assert rows["<unk>"] == pytest.approx(0.5 * 0.08, rel=1e-6)
    assert rows["</s>"] == pytest.approx(0.5 * (1.5 / 5 + 0.08), rel=1e-6)


OPTIONS = {
    "kneser-ney": {},
    "kneser-ney, unigrams alone": {"interpolate_unigrams": False},
    "kneser-ney, nothing taken off": {"discount_fallback": (0.0, 0.0, 0.0)},
    "kneser-ney, all taken off": {"discount_fallback": (1.0, 2.0, 3.0)},
    "mle": {"smoothing": "mle"},
    "add-1": {"smoothing": "add-k"},
    "add-0.01": {"smoothing": "add-k", "k": 0.01},
}
DROPS = {
    "all": {},
    "cut off": {"cutoffs": (0, 0, 1)},
    "cut off more": {"cutoffs": (0, 2)},
    "cut off all": {"cutoffs": (0, 10**6)},
    "limited": {"limit_vocabulary": ("w3", "w5", "w6", "not there")},
    "limited and cut off": {"limit_vocabulary": ("w4", "w5"), "cutoffs": (0, 0, 2)},
    "limited to nothing": {"limit_vocabulary": ()},
}


@pytest.mark.parametrize("drops", DROPS)
@pytest.mark.parametrize("smoothing", OPTIONS)
def test_every_distribution_sums_to_one(smoothing, drops):
    """Every context of every order, `<s>` never predicted."""
    ids = a_text(9, 400, seed=11)
    for order in range(1, 7):
        options = {**OPTIONS[smoothing], **DROPS[drops]}
        options["cutoffs"] = options.get("cutoffs", (0,))[:order]
        model = model_of(ids, 9, order=order, **options)
        _, rows = distributions(model)
        np.testing.assert_allclose(rows.sum(1), 1, atol=2e-6)
        assert (rows[:, BOS] == 0).all()


SLOW = {
    "kneser-ney": {},
    "kneser-ney, unigrams alone": {"interpolate_unigrams": False},
    "mle": {"smoothing": "mle"},
    "add-k": {"smoothing": "add-k", "k": 0.3},
}


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("smoothing", SLOW)
def test_equals_the_slow_model_in_every_context(smoothing, order):
    for seed, ends in ((1, 0.15), (2, 0.02), (3, 0.6)):
        ids = a_text(8, 250, seed=seed, ends=ends)
        fast = model_of(ids, 8, order=order, **SLOW[smoothing])
        slow = NGramReference(Sized(8), ids, order, fallback=FALLBACK, **SLOW[smoothing])
        for gram, row in zip(*distributions(fast), strict=True):
            np.testing.assert_allclose(row, slow.row(gram), rtol=2e-5, atol=1e-9)


def test_real_discounts_equal_the_slow_model():
    """A text rich enough that the formula holds at every order: no fallback on either side."""
    rng = np.random.default_rng(5)
    ids = np.minimum(3 + rng.pareto(0.7, 6000), 599).astype(np.int32)
    ids[::9] = EOS
    ids[-1] = EOS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fast = model_of(ids, 600, order=3, discount_fallback=None)
    slow = NGramReference(Sized(600), ids, 3)
    assert np.allclose(fast.options["discounts"], [d[1:] for d in slow.discounts[1:]], atol=1e-6)
    grams, rows = distributions(fast)
    for i in range(0, len(grams), 17):
        np.testing.assert_allclose(rows[i], slow.row(grams[i]), rtol=2e-5)


@pytest.mark.parametrize("smoothing", ["modified-kneser-ney", "mle", "add-k"])
def test_threads_do_not_change_a_bit(smoothing):
    ids = a_text(30, 3000, seed=6)
    one, *others = (
        model_of(ids, 30, order=4, smoothing=smoothing, cutoffs=(0, 0, 1), threads=threads) for threads in (1, 2, 3)
    )
    for other in others:
        for name, tensor in one.tensors().items():
            np.testing.assert_array_equal(other.tensors()[name], tensor)


def test_a_limited_vocabulary_keeps_the_numbers_of_whole_words():
    """Counts and discounts come from all words: what is left has the probability mass it had in its context."""
    ids = a_text(9, 400, seed=8)
    whole = model_of(ids, 9, order=2)
    limited = model_of(ids, 9, order=2, limit_vocabulary=("w4", "w3"))
    assert limited.text.vocabulary.tokens() == ["<unk>", "<s>", "</s>", "w3", "w4"]
    assert limited.options["discounts"] == whole.options["discounts"]
    known = np.array([0, 2, 3, 4])
    p, q = (np.exp(m.log_probs(np.array([0], np.uint32))[0, known].astype(float)) for m in (whole, limited))
    # Unigrams: (a(w) - D)/a(.) + gamma/|V|; the dropped words' shares go to gamma, and |V| is that of the kept.
    spared = p - p[UNK]
    gamma = 1 - spared.sum()
    np.testing.assert_allclose(q, spared + gamma / len(known), rtol=1e-5)


def test_the_mass_column_is_the_share_of_the_children():
    """What the last child's mass lacks to one is gamma; it never sinks among the children of one context."""
    model = model_of(a_text(9, 400, seed=9), 9, order=4)
    nodes, leaves = model.trie.nodes, model.trie.leaves
    mass = np.concatenate([nodes[:-1, 3], leaves[:, 3]]).astype(np.int64)
    for c in range(1, model.trie.internal):
        begin, end = nodes[c, 4], nodes[c + 1, 4]
        if begin < end:
            assert (np.diff(mass[begin:end]) >= 0).all()
            gamma = math.exp(nodes[c : c + 1, 5].view(np.float32)[0])
            assert mass[end - 1] / 2**32 == pytest.approx(1 - gamma, abs=1e-6)


def test_the_alias_table_is_the_unigram_distribution():
    model = model_of(a_text(40, 2000, seed=10), 40, order=2)
    table, size = model.trie.alias.astype(float), 40
    p = np.zeros(size)
    for i, (threshold, alias) in enumerate(table):
        p[i] += threshold / 2**32 / size
        p[int(alias)] += (1 - threshold / 2**32) / size
    np.testing.assert_allclose(p, np.exp(model.log_probs(np.array([0], np.uint32))[0].astype(float)), atol=1e-8)

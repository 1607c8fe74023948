"""Probabilities: worked numbers, distributions that sum to one, and the slow model of `reference.py`."""

import math
import warnings

import numpy as np
import pytest
from ngram.reference_ngram import FALLBACK, a_text, grams_of, model_of
from reference import NGramReference, sentences

import lmkit
from lmkit.errors import CorpusError, LmkitWarning
from lmkit.model import BOS, EOS, UNK
from lmkit.ngram.estimators import Order, discounts_from_counts, katz, one_discount
from lmkit.ngram.options import SMOOTHINGS, NGramOptions

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


def after_cows_eat(**options):
    model = lmkit.train([COWS], order=3, tokenizer="whitespace", **options)
    return {r.token: r.probability for r in model.next("cows eat", top=None)}


@pytest.mark.parametrize("interpolate", [True, False])
def test_witten_bell_by_hand(interpolate):
    """After "eat" corn 4, grass 3, hay 2, if 1, which 1: 11 of 5 kinds, so 5/16 are left. "cows eat" and "eat" saw the
    same. Unigrams: cows 11, eat 11, </s> 11, and the 11 above; 44 of 8 kinds: 52, and 8/52 / 9 for each of V = 9.

    Interpolated: p(corn) = 4/52 + 8/468, p(corn | eat) = 4/16 + 5/16 p(corn), p(corn | cows eat) = 4/16 + 5/16 of that.
    Backing off: p(corn | cows eat) = 4/16; cows, eat, </s> and <unk> share 5/16 as they do the unigrams."""
    rows = after_cows_eat(smoothing="witten-bell", interpolate=interpolate)
    corn, cows, unknown = 4 / 52 + 8 / 468, 11 / 52 + 8 / 468, 8 / 468
    if interpolate:
        assert rows["corn"] == pytest.approx(4 / 16 + 5 / 16 * (4 / 16 + 5 / 16 * corn), rel=1e-6)
        assert rows["cows"] == pytest.approx(25 / 256 * cows, rel=1e-6)
    else:
        assert rows["corn"] == pytest.approx(4 / 16, rel=1e-6)
        assert rows["cows"] == pytest.approx(5 / 16 * cows / (3 * cows + unknown), rel=1e-6)
    assert sum(rows.values()) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("smoothing", ["absolute", "kneser-ney"])
def test_one_discount_by_hand(smoothing):
    """D = 1/2: corn 3.5/11 after "cows eat", and 5 kinds leave 2.5/11. Left neighbours: </s> has 5, the seven others
    one each, but for "cows", which begins sentences only: its left neighbour is <s>. So a(.) = 12 = 5 + 7, of 8 kinds.

    Absolute: p(corn) = 3.5/44 + 4/44/9. Kneser-Ney: 0.5/12 + 4/12/9; after "eat" alone corn stood behind "cows" only:
    0.5/5 of 5, and 2.5/5 are left."""
    rows = after_cows_eat(smoothing=smoothing, discount=0.5)
    if smoothing == "absolute":
        corn = 3.5 / 11 + 2.5 / 11 * (3.5 / 44 + 4 / 44 / 9)
    else:
        corn = 0.5 / 5 + 2.5 / 5 * (0.5 / 12 + 4 / 12 / 9)
    assert rows["corn"] == pytest.approx(3.5 / 11 + 2.5 / 11 * corn, rel=1e-6)


def test_the_one_discount_is_estimated():
    """D = t1 / (t1 + 2 t2) = 6 / (6 + 2 * 3)."""
    assert one_discount(Order(2, np.array([0, 6, 3, 2, 1]), 9, NGramOptions(smoothing="absolute"))).discounts[1] == 0.5


def test_katz_by_hand():
    """t1..t8 = 80, 30, 15, 9, 6, 4, 3, 2: A = 8 * 2 / 80 = 0.2. 1* = 2 * 30 / 80 = 0.75, so d1 = (0.75 - 0.2) / 0.8 =
    0.6875; 2* = 3 * 15 / 30 = 1.5, the same ratio; 7* = 8 * 2 / 3 = 16/3, d7 = (16/21 - 0.2) / 0.8."""
    recipe = katz(Order(2, np.array([0, 80, 30, 15, 9, 6, 4, 3, 2]), 9, NGramOptions(smoothing="katz")))
    assert recipe.discounts[1] == pytest.approx(1 - 0.6875)
    assert recipe.discounts[2] == pytest.approx(2 * (1 - 0.6875))
    assert recipe.discounts[7] == pytest.approx(7 * (1 - (16 / 21 - 0.2) / 0.8))
    assert recipe.discounts[8:] == (0.0,)


def test_katz_needs_what_was_seen_once():
    with pytest.raises(CorpusError, match=r"no 2-gram was; choose another"):
        lmkit.train([("twice", b"a b\na b\n")], order=2, smoothing="katz", tokenizer="whitespace")


def test_stupid_back_off_by_hand():
    """S(corn | cows eat) = 4/11; S(cows | cows eat) = 0.4 * 0.4 * 11/44; <unk> 0.4 * 0.4 * 0.4 / 9. `next` shows them
    divided by their sum, a score is what it is."""
    model = lmkit.train([COWS], order=3, tokenizer="whitespace", smoothing="stupid-backoff")
    scores, _ = model.score(model.begin(), model.text.encode_text("cows eat cows").ids[None, :3])
    assert scores[0, 2] == pytest.approx(math.log(0.16 * 11 / 44), rel=1e-5)
    rows = {r.token: r.probability for r in model.next("cows eat", top=None)}
    total = 1 + 0.16 * (33 / 44 + 0.4 / 9)  # the seen ones sum to one
    assert rows["corn"] == pytest.approx(4 / 11 / total, rel=1e-5)
    assert rows["<unk>"] == pytest.approx(0.064 / 9 / total, rel=1e-5)


def test_jelinek_mercer_by_hand():
    """Unigrams of "a a a b", held out "a b": with V = 4 and one weight w, p(a) = w 3/6 + (1 - w)/4 and so on ("</s>"
    comes 2 of 6 times). EM climbs to the largest likelihood, which a search finds too."""
    texts = ("train", b"a a\na b\n"), ("valid", b"a b\na\n")
    model = lmkit.train([texts[0]], order=1, smoothing="jelinek-mercer", tokenizer="whitespace", valid=texts[1])

    def likelihood(w):
        a, b, end = (w * n / 6 + (1 - w) / 4 for n in (3, 1, 2))
        return 2 * math.log(a) + math.log(b) + 2 * math.log(end)

    best = max(np.linspace(0, 1, 100_001), key=likelihood)
    rows = {r.token: r.probability for r in model.next(top=None)}
    assert rows["a"] == pytest.approx(best * 3 / 6 + (1 - best) / 4, abs=1e-3)


@pytest.mark.parametrize("seed", range(12))
def test_jelinek_mercer_weights_of_one_leave_nothing(seed):
    """A text that is held out from itself asks for nothing but what was seen: weights are one, but for rounding."""
    model = model_of(a_text(9, 39, seed), 9, order=5, smoothing="jelinek-mercer")
    np.testing.assert_allclose(distributions(model)[1].sum(1), 1, atol=2e-6)


def test_jelinek_mercer_holds_out_whole_sentences():
    model = lmkit.train([COWS], order=2, smoothing="jelinek-mercer", tokenizer="whitespace", valid=0.2)
    held_out = model.metadata["training"]["held_out"]
    assert held_out["tokens"] % 4 == 0 and 0.2 * 44 <= held_out["tokens"] < 0.2 * 44 + 4
    with pytest.raises(CorpusError, match="finds its weights on held-out text, and there is none"):
        lmkit.train([COWS], order=2, smoothing="jelinek-mercer", tokenizer="whitespace", valid=0)


OPTIONS = {
    "kneser-ney": {},
    "kneser-ney, backing off": {"interpolate": False},
    "one discount": {"smoothing": "kneser-ney"},
    "one discount, backing off": {"smoothing": "kneser-ney", "interpolate": False, "interpolate_unigrams": False},
    "absolute": {"smoothing": "absolute", "discount": 0.7},
    "absolute, backing off": {"smoothing": "absolute", "interpolate": False},
    "absolute, all taken off": {"smoothing": "absolute", "interpolate": False, "discount": 1.0},
    "absolute, nothing taken off": {"smoothing": "absolute", "interpolate": False, "discount": 0.0},
    "witten-bell": {"smoothing": "witten-bell"},
    "witten-bell, backing off": {"smoothing": "witten-bell", "interpolate": False},
    "katz": {"smoothing": "katz"},
    "jelinek-mercer": {"smoothing": "jelinek-mercer"},
    "stupid-backoff": {"smoothing": "stupid-backoff"},
    "add-1, backing off": {"smoothing": "add-k", "interpolate": False},
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


def held_out_likelihood(model, ids):
    """The mean log-likelihood of a token."""
    if not isinstance(model, NGramReference):
        return float(model.score(model.begin(), ids[None])[0].mean())
    found = []
    for sentence in sentences(ids):
        for i in range(1, len(sentence)):
            found.append(math.log(model.row(sentence[max(i - model.order + 1, 0) : i])[sentence[i]]))
    return float(np.mean(found))


SLOW = {name: options for name, options in OPTIONS.items() if "discount_fallback" not in options and name != "katz"}


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("smoothing", SLOW)
def test_equals_the_slow_model_in_every_context(smoothing, order):
    for seed, ends in ((1, 0.15), (2, 0.02), (3, 0.6)):
        ids = a_text(8, 250, seed=seed, ends=ends)
        held_out = a_text(8, 60, seed=seed + 100, ends=ends)
        fast = model_of(ids, 8, order=order, held_out=held_out, **SLOW[smoothing])
        slow = NGramReference(Sized(8), ids, order, fallback=FALLBACK, held_out=held_out, **SLOW[smoothing])
        close = {"rtol": 2e-5, "atol": 1e-9}
        if "jelinek" in smoothing:  # EM stops at different places of a flat summit, as high as each other
            likelihoods = [held_out_likelihood(model, held_out) for model in (fast, slow)]
            assert likelihoods[0] > likelihoods[1] - 1e-3
            slow.use_weights(fast.options["weights"])
            close = {"rtol": 1e-4, "atol": 1e-5}
        for gram, row in zip(*distributions(fast), strict=True):
            expected = slow.row(gram)
            np.testing.assert_allclose(row, expected / expected.sum(), **close)


@pytest.mark.parametrize("smoothing", ["modified-kneser-ney", "kneser-ney", "absolute", "katz"])
@pytest.mark.parametrize("interpolate", [True, False])
def test_real_discounts_equal_the_slow_model(smoothing, interpolate):
    """A text rich enough that the formula holds at every order: no fallback on either side."""
    if smoothing == "katz" and interpolate:
        pytest.skip("Katz backs off")
    rng = np.random.default_rng(5)
    ids = np.minimum(3 + rng.pareto(0.7, 6000), 599).astype(np.int32)
    ids[::9] = EOS
    ids[-1] = EOS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fast = model_of(ids, 600, order=3, smoothing=smoothing, interpolate=interpolate, discount_fallback=None)
    slow = NGramReference(Sized(600), ids, 3, smoothing=smoothing, interpolate=interpolate)
    if smoothing == "modified-kneser-ney":
        assert np.allclose(fast.options["discounts"], [d[1:] for d in slow.discounts[1:]], atol=1e-6)
    grams, rows = distributions(fast)
    for i in range(0, len(grams), 17):
        np.testing.assert_allclose(rows[i], slow.row(grams[i]), rtol=2e-5)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_threads_do_not_change_a_bit(smoothing):
    ids = a_text(30, 3000, seed=6)
    one, *others = (
        model_of(ids, 30, order=4, smoothing=smoothing, cutoffs=(0, 0, 1), threads=threads, held_out=ids[:200])
        for threads in (1, 2, 3)
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

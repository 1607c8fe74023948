"""Mixtures of n-gram models that are compiled into one: against dictionaries, and as a model like any other."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from contract import check_all, chi_square_is_fine, uniforms
from hypothesis import given, settings
from hypothesis import strategies as st
from ngram.reference_ngram import a_text, grams_of, model_of, table_of
from test_contract import ngram, recurrent

import lmkit
from lmkit.errors import ModelError, OptionError
from lmkit.mixture.linear import LinearMixture
from lmkit.mixture.static import compiled
from lmkit.model import UNK
from lmkit.ngram.arpa import arpa_lines, read_arpa
from lmkit.ngram.model import NGramModel
from lmkit.ngram.packed import pack
from lmkit.ngram.pruning import LEAST, prune
from lmkit.text import Corpus, TextSettings

SIZE = 9
START, UNKNOWN = b"<s>", b"<unk>"
PLAY = (Path(__file__).resolve().parents[2] / "corpora" / "the-tide-mill.txt").read_text()
KINDS = {
    "modified-kneser-ney": {},
    "modified-kneser-ney, backing off": {"interpolate": False},
    "kneser-ney": {"smoothing": "kneser-ney"},
    "absolute": {"smoothing": "absolute", "discount": 0.6},
    "absolute, backing off, all taken off": {"smoothing": "absolute", "interpolate": False, "discount": 1.0},
    "witten-bell": {"smoothing": "witten-bell"},
    "witten-bell, backing off": {"smoothing": "witten-bell", "interpolate": False},
    "katz": {"smoothing": "katz"},
    "jelinek-mercer": {"smoothing": "jelinek-mercer"},
    "add-k": {"smoothing": "add-k", "k": 0.3},
    "add-k, backing off": {"smoothing": "add-k", "interpolate": False},
    "mle": {"smoothing": "mle"},
    "cut off": {"cutoffs": (0, 1)},
}


class Slow:
    """An n-gram model as a dictionary of tuples of tokens, which backs off as the textbook says."""

    def __init__(self, model):
        self.table = {gram: (10**p, 10**b) for gram, (p, b) in table_of(model).items()}
        self.tokens = model.text.vocabulary.tokens()
        self.contexts = {gram[:-1] for gram in self.table if len(gram) > 1}
        self.spreads, self.words = model.spreads, model.vocabulary_size - 1

    def p(self, gram):
        """p(last token | the others)."""
        if gram[-1] == START:
            return 0.0
        if gram in self.table:
            return self.table[gram][0]
        weight = self.table.get(gram[:-1], (0, 1.0))[1]
        if self.spreads and gram[:-1] in self.contexts:
            return weight / self.words
        return weight * self.p(gram[1:])


class SlowMixture(Slow):
    """The formulas of `lmkit.mixture.static`, one n-gram after the other."""

    spreads = False

    def __init__(self, models, weights, tokens):
        members, tokens = [Slow(model) for model in models], [token.encode() for token in tokens]
        known = [{gram[0] for gram in member.table if len(gram) == 1} for member in members]

        def share(m, gram):
            own = tuple(token if token in known[m] else UNKNOWN for token in gram)
            sharing = 1 + len(set(tokens) - known[m]) if own[-1] == UNKNOWN else 1
            return members[m].p(own) / sharing

        grams = {(token,) for token in tokens}.union(*(member.table for member in members))
        self.table = {gram: (sum(w * share(m, gram) for m, w in enumerate(weights)), 1.0) for gram in grams}
        self.contexts = {gram[:-1] for gram in grams if len(gram) > 1}
        for context in sorted(self.contexts, key=len):
            seen = [gram for gram in grams if gram[:-1] == context]
            left = 1 - sum(self.table[gram][0] for gram in seen)
            shorter = 1 - sum(self.p(gram[1:]) for gram in seen)
            if all(member.table.get(context, (0, 1.0))[1] == 0 for member in members):
                weight = 0.0
            else:
                weight = max(left, LEAST) / shorter if shorter > 1e-6 else 1.0
            self.table[context] = (self.table[context][0], weight)


def compare(models, weights, tolerance=3e-6):
    """See that a compiled mixture has the n-grams and, after every context, the distribution of the slow one."""
    mixture = LinearMixture(models, weights)
    fast, tokens = compiled(mixture), mixture.text.vocabulary.tokens()
    kept = [(m, w) for m, w in zip(models, weights, strict=True) if w]
    slow = SlowMixture([m.unpacked() for m, _ in kept], [w for _, w in kept], tokens)
    assert set(table_of(fast)) == set(slow.table)
    grams = grams_of(fast.trie.nodes, fast.trie.leaves)[: fast.trie.internal]
    states = np.arange(len(grams), dtype=np.uint32)
    rows = np.exp(fast.log_probs(states).astype(float))
    np.testing.assert_allclose(rows.sum(1), 1, atol=1e-5)
    spelled = [token.encode() for token in tokens]
    for context, row in zip(grams, rows, strict=True):
        history = tuple(spelled[i] for i in context)
        expected = [slow.p((*history, token)) for token in spelled]
        np.testing.assert_allclose(row, expected, atol=tolerance)
    return fast


def of_kind(kind, order, seed=0, length=400, size=SIZE):
    options = dict(KINDS[kind])
    if "cutoffs" in options:
        options["cutoffs"] = options["cutoffs"][:order]
    return model_of(a_text(size, length, seed), size, order=order, **options)


@pytest.mark.parametrize("other", ["modified-kneser-ney", "add-k", "mle"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_context_has_the_distribution_of_the_formulas(kind, other):
    for orders in ((3, 3), (4, 2), (1, 3)):
        models = [of_kind(kind, orders[0], 5), of_kind(other, orders[1], 6)]
        compare(models, [0.3, 0.7])


@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(KINDS)), st.integers(1, 5), st.integers(20, 200), st.integers(0, 9)),
        min_size=1, max_size=4,
    ),
    st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_any_members(members, seed):
    """Katz needs what was seen once: its texts are not too short."""
    models = [of_kind(kind, order, own, length) for kind, order, length, own in members]
    weights = np.random.default_rng(seed).dirichlet(np.ones(len(models)))
    compare(models, weights.tolist())


# What members may be


def of_chars(text, order=3, **options):
    return lmkit.train(
        ("chars", text.encode()), order=order, tokenizer="char", smoothing="witten-bell", **options
    ).language_model


def test_members_that_lack_each_others_characters():
    """Unigrams of all; a member gives a lacking one its share of `<unk>`, in the last place and before."""
    models = [
        of_chars("abba acca.\nadda abca\n" * 4),
        of_chars("xyab yxba.\nabxy\n" * 5, 2),
        of_chars("aab bab\nzab za.\nq\n" * 3, 4, min_count=4),
    ]
    fast = compare(models, [0.2, 0.5, 0.3])
    assert {"c", "x", "z"} <= set(fast.text.vocabulary.tokens()) and fast.trie.sizes[1] == fast.vocabulary_size
    assert any(gram[1:2] == (UNKNOWN,) for gram in table_of(fast)), "n-grams with <unk> in them"


def test_members_that_number_their_words_differently():
    """`zz` comes before `aa` in the one, behind it in the other."""
    texts = b"aa aa aa zz zz m\nm aa zz\n", b"zz zz zz aa aa m\nm zz aa m\n"
    listed = [["aa", "zz", "m"], ["m", "zz", "aa"]]
    models = [
        lmkit.train(("t", text), order=3, tokenizer="whitespace", smoothing="witten-bell", vocabulary=words)
        for text, words in zip(texts, listed, strict=True)
    ]
    assert models[0].text.vocabulary.tokens() != models[1].text.vocabulary.tokens()
    compare([model.language_model for model in models], [0.6, 0.4])


def without_some(model, seed):
    """The model with half of its bigrams left out, so that contexts of longer n-grams are none of its own; all of
    them sum to one again."""
    rng, lines = np.random.default_rng(seed), b"".join(arpa_lines(model)).decode().split("\n")
    begin, end = lines.index("\\2-grams:") + 1, lines.index("\\3-grams:") - 1
    kept = [line for line in lines[begin:end] if rng.random() < 0.5]
    text = "\n".join([*lines[:begin], *kept, *lines[end:]])
    text = text.replace(f"ngram 2={end - begin}\n", f"ngram 2={len(kept)}\n")
    half = read_arpa(Corpus("half.arpa", data=text.encode()), TextSettings("whitespace"))
    return pack(half, 16).unpacked()


def test_contexts_that_are_no_n_grams():
    """They have what backing off gives them, and are n-grams of the mixture."""
    halves = [without_some(of_kind("witten-bell", 3, seed), seed) for seed in (1, 2)]
    assert all(len(half.blanks) for half in halves)
    assert not len(compare(halves, [0.5, 0.5]).blanks)


def test_n_grams_that_end_with_a_sentence_start():
    """Some files have them; none is ever predicted."""
    lines = b"".join(arpa_lines(of_kind("witten-bell", 2, 1))).decode().replace("\n\\end\\", "-0.3\tw5 <s>\n\n\\end\\")
    count = int(lines.split("ngram 2=")[1].split("\n")[0])
    text = lines.replace(f"ngram 2={count}\n", f"ngram 2={count + 1}\n").encode()
    strange = read_arpa(Corpus("strange.arpa", data=text), TextSettings("whitespace"))
    assert (b"w5", b"<s>") in table_of(strange)
    fast = compiled(LinearMixture([strange, of_kind("witten-bell", 2, 2)], [0.5, 0.5]))
    rows = np.exp(fast.log_probs(np.arange(fast.trie.internal, dtype=np.uint32)).astype(float))
    np.testing.assert_allclose(rows.sum(1), 1, atol=1e-5)


def test_packed_members():
    models = [of_kind("modified-kneser-ney", 3, 1), of_kind("witten-bell", 4, 2)]
    compare([pack(models[0], 6), models[1]], [0.4, 0.6])


def test_no_weight_no_n_grams():
    models = [of_kind("modified-kneser-ney", 2, 1), of_kind("witten-bell", 4, 2)]
    assert compare(models, [1.0, 0.0]).trie.sizes == models[0].trie.sizes


def test_ten_members():
    compare([of_kind(kind, 1 + i % 4, i, 150) for i, kind in enumerate(itertools.islice(KINDS, 10))], [0.1] * 10)


def test_mixtures_are_flattened():
    """Also where the outer one knows more characters, so that it keeps the inner one as a member.

    N-grams from the beginning of a sentence on have the probabilities of the mixture itself.
    """
    texts = ("abba\nacca\nba\n" * 4, "aba\ncab\nb\n" * 5, "xyab\nyxba\nax\n" * 5)
    a, b, c = (of_chars(text, order, sentence="line") for text, order in zip(texts, (3, 2, 3), strict=True))
    inner = LinearMixture([a, b], [0.25, 0.75])
    outer = LinearMixture([inner, c], [0.4, 0.6])
    assert inner in outer.members
    fast = compiled(outer)
    assert fast.options["weights"] == pytest.approx([0.1, 0.3, 0.6])
    compared = set()
    for gram, (p, _) in table_of(fast).items():
        if gram[0] == START and len(gram) > 1:
            ids = np.array([[outer.text.vocabulary.id(token) for token in gram[1:]]], np.int32)
            assert outer.score(outer.begin(1), ids)[0][0, -1] == pytest.approx(p * np.log(10), abs=1e-5)
            compared.add(gram)
    assert {(b"<s>", b"a", b"x"), (b"<s>", b"c"), (b"<s>", b"x", b"y")} <= compared


def test_what_is_impossible_to_all_stays_so():
    """After "a" only "b" came in both texts, and after "b" the one has "c", the other "a"."""
    texts = b"a b c\n" * 3, b"a b a b\n" * 2
    models = [
        lmkit.train(("t", text), order=3, tokenizer="whitespace", smoothing="mle", vocabulary=["a", "b", "c"])
        for text in texts
    ]
    fast = lmkit.mix(models, weights=[0.5, 0.5], static=True)
    assert {row.token for row in fast.next("a", top=None)} == {"b"}
    assert {row.token for row in fast.next("a b", top=None)} == {"c", "a", "</s>"}
    for smaller in (prune(fast.language_model, 1e-9), pack(fast.language_model, 8)):
        assert np.isfinite(smaller.log_probs(smaller.advance(smaller.begin(), np.array([3], np.int32)))).sum() == 1


# A model like any other


def model_of_two():
    return compiled(
        LinearMixture([of_kind("modified-kneser-ney", 4, 1, 900), of_kind("katz", 3, 2, 900)], [0.35, 0.65])
    )


def test_contract():
    check_all(model_of_two(), draws=20000)


@pytest.mark.parametrize("kinds", [("add-k", "mle"), ("mle", "mle"), ("cut off", "jelinek-mercer")])
def test_draws_follow_the_rows_in_every_context(kinds):
    fast = compiled(LinearMixture([of_kind(kind, 3, seed) for seed, kind in enumerate(kinds)], [0.5, 0.5]))
    children = np.diff(fast.trie.nodes[:, 4].astype(int))
    for number, context in enumerate(np.flatnonzero(children)[:60].tolist()):
        state = np.full(3000, context, np.uint32)
        row = np.exp(fast.log_probs(state[:1])[0].astype(float))
        row[UNK] = 0
        if row.sum() > 1e-6:
            drawn, _ = fast.draw(state, 1, uniforms(3000, number), np.array([UNK], np.int32))
            assert chi_square_is_fine(drawn[:, 0], row / row.sum())


def test_pruned_packed_and_as_arpa():
    fast, ids = model_of_two(), a_text(SIZE, 3000, 8)[None]
    loss = -fast.score(fast.begin(), ids)[0].mean()
    for smaller in (prune(fast, 1e-5), pack(fast, 8), pack(prune(fast, 1e-5), 10)):
        check_all(smaller, sums=0.01, tolerance=1e-3)
        assert -smaller.score(smaller.begin(), ids)[0].mean() == pytest.approx(loss, abs=0.02)
    assert sum(prune(fast, 1e-3).trie.sizes) < 0.8 * sum(fast.trie.sizes)
    read = read_arpa(Corpus("m.arpa", data=b"".join(arpa_lines(fast))), TextSettings("whitespace"))
    assert set(table_of(read)) == set(table_of(fast)) and not len(read.blanks)
    np.testing.assert_allclose(read.score(read.begin(), ids)[0], fast.score(fast.begin(), ids)[0], atol=1e-4)
    again = compiled(LinearMixture([read, fast], [0.5, 0.5]))
    np.testing.assert_allclose(again.score(again.begin(), ids)[0], fast.score(fast.begin(), ids)[0], atol=1e-4)


def test_threads_change_no_bit():
    mixture = LinearMixture([of_kind("witten-bell", 4, 1), of_kind("katz", 3, 2)], [0.35, 0.65])
    tries = []
    for threads in (1, 2, 3):
        mixture.threads = threads
        tries.append(compiled(mixture).trie)
    for trie in tries[1:]:
        for name, array in trie.tensors().items():
            np.testing.assert_array_equal(array, tries[0].tensors()[name])


@pytest.mark.parametrize(("tokenizer", "order"), [("char", 5), ("byte", 7), ("word", 3)])
def test_perplexity_is_that_of_the_mixture(tmp_path, tokenizer, order):
    """Not one per cent above it, here even below, and the same again from a file and from an ARPA file."""
    third = len(PLAY) // 3
    words = lmkit.train(("all", PLAY.encode()), tokenizer=tokenizer, order=1, smoothing="witten-bell")
    vocabulary = None if tokenizer == "byte" else words.text.vocabulary.tokens()[3:]
    models = [
        lmkit.train(
            ("half", PLAY[i * third : (i + 1) * third].encode()), tokenizer=tokenizer, vocabulary=vocabulary,
            order=order - i, smoothing="witten-bell",
        )
        for i in range(2)
    ]  # fmt: skip
    tune, test = (("text", part.encode()) for part in (PLAY[2 * third : 2 * third + 5000], PLAY[2 * third + 5000 :]))
    dynamic = lmkit.mix(models, tune=tune)
    static = lmkit.mix(models, tune=tune, static=True, output=tmp_path / "static.lmkit")
    assert static.language_model.options["weights"] == pytest.approx(dynamic.language_model.weights)
    perplexity = static.perplexity(test).perplexity
    assert 0.98 < perplexity / dynamic.perplexity(test).perplexity < 1.01
    assert all(perplexity < model.perplexity(test).perplexity for model in models)
    loaded = lmkit.load(tmp_path / "static.lmkit")
    assert loaded.family == "ngram" and loaded.settings()["smoothing"] == "mixture"
    assert loaded.perplexity(test).perplexity == perplexity
    (tmp_path / "static.arpa").write_bytes(b"".join(lmkit.arpa(loaded)))
    read = lmkit.from_arpa(tmp_path / "static.arpa", tokenizer=tokenizer)
    assert read.perplexity(test).perplexity == pytest.approx(perplexity, rel=1e-5)


def test_a_mixture_from_a_file_is_compiled(tmp_path):
    models = [of_chars("abba acca.\n" * 9), of_chars("abab cac.\n" * 9)]
    mixed = lmkit.mix([lmkit.Model(m) for m in models], weights=[0.3, 0.7], output=tmp_path / "m.lmkit")
    fast = lmkit.mix(tmp_path / "m.lmkit", static=True)
    assert fast.family == "ngram" and fast.language_model.options["weights"] == [0.3, 0.7]
    assert fast.log_prob("abba.\n") == pytest.approx(mixed.log_prob("abba.\n"), abs=0.05)
    cached = lmkit.mix(tmp_path / "m.lmkit", static=True, cache="unigram", tune=("t", b"abba acca.\n"))
    assert cached.family == "unigram-cache" and cached.language_model.base.family == "ngram"


# Refusals


def test_what_is_not_compiled():
    network, model = (lmkit.Model(m) for m in (recurrent("elman", 1, "abcdef"), ngram(2, smoothing="witten-bell")))
    both = lmkit.mix([network, model], weights=[0.5, 0.5])
    for models, name in (([model, network], "model 2"), ([both, model], r"model 1 \(member 1\)")):
        with pytest.raises(OptionError, match=f"{name} is of the family rnn, and --static compiles n-gram models only"):
            lmkit.mix(models, weights=[0.5, 0.5], static=True)
    with pytest.raises(OptionError, match="one model alone is no mixture"):
        lmkit.mix(model, static=True, cache="unigram", tune=("t", b"a b\n"))
    with pytest.raises(OptionError, match="--tune has nothing to choose"):
        lmkit.mix(lmkit.mix([model, model], weights=[0.5, 0.5]), static=True, tune=("t", b"a b\n"))
    with pytest.raises(OptionError, match="--dynamic lets a network learn"):
        lmkit.mix([model, model], static=True, dynamic=True, tune=("t", b"a b\n"))
    scores = ngram(2, smoothing="stupid-backoff")
    with pytest.raises(OptionError, match="gives scores, no probabilities"):
        compiled(LinearMixture([scores, scores], [0.5, 0.5]))


def test_more_n_grams_than_a_model_holds(monkeypatch):
    monkeypatch.setattr("lmkit.mixture.static.MOST", 100)
    with pytest.raises(OptionError, match="more than 100 different n-grams together; prune them"):
        compiled(LinearMixture([of_kind("katz", 3, seed) for seed in (1, 2)], [0.5, 0.5]))


def test_damaged_members():
    model, other = of_kind("katz", 3, 1), of_kind("katz", 3, 2)
    leaves = model.trie.leaves.copy()
    leaves.view(np.float32)[4, 2] = np.nan
    numbers = NGramModel(model.text, type(model.trie)(**{**vars(model.trie), "leaves": leaves}), model.options)
    leaves = model.trie.leaves.copy()
    leaves[4, 0] = 2**31
    links = NGramModel(model.text, type(model.trie)(**{**vars(model.trie), "leaves": leaves}), model.options)
    for broken in (numbers, links):
        with pytest.raises(ModelError, match="damaged"):
            compiled(LinearMixture([other, broken], [0.5, 0.5]))

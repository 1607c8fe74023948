"""The contexts of a whole text: states before each token, and how often they were followed in training."""

import numpy as np
import pytest
from contract import some_ids
from test_contract import ngram

import lmkit
from lmkit.mixture.linear import LinearMixture
from lmkit.ngram.packed import pack

FALLBACK = (0.5, 1, 1.5)
PLAIN = {
    "kneser-ney": lambda: ngram(4, discount_fallback=FALLBACK),
    "cut off": lambda: ngram(3, discount_fallback=FALLBACK, cutoffs=(0, 0, 1)),
    "backing off": lambda: ngram(3, smoothing="katz"),
    "mle": lambda: ngram(3, smoothing="mle"),
    "unigrams": lambda: ngram(1, smoothing="witten-bell"),
}
MODELS = {
    **PLAIN,
    "packed": lambda: pack(PLAIN["kneser-ney"](), 8),
    "packed, cut off": lambda: pack(PLAIN["cut off"](), 8),
    "packed unigrams": lambda: pack(PLAIN["unigrams"](), 8),
}


def mixture_of(*members):
    return LinearMixture(list(members), [1 / len(members)] * len(members))


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param]()


def test_states_of_a_text_are_those_of_its_steps(model):
    ids = some_ids(model, (2, 200))
    before, after = model.states(model.begin(2), ids)
    state = model.begin(2)
    for t in range(ids.shape[1]):
        np.testing.assert_array_equal(before[:, t], state)
        state = model.advance(state, ids[:, t])
    np.testing.assert_array_equal(after, state)
    assert model.states(state, ids[:, :0])[0].shape[:2] == (2, 0)


def test_long_texts_are_walked_in_pieces(model, monkeypatch):
    ids = some_ids(model, (2, 1500))
    monkeypatch.setattr("lmkit.ngram.pieces.PIECE", 10**9)
    whole, after = model.states(model.begin(2), ids)
    monkeypatch.setattr("lmkit.ngram.pieces.PIECE", 128)
    for threads in (1, 3):
        model.threads = threads
        pieces, end = model.states(model.begin(2), ids)
        np.testing.assert_array_equal(pieces, whole)
        np.testing.assert_array_equal(end, after)


def test_sizes_of_contexts_by_hand():
    """ab thrice and ac once: a was followed four times, ab by </s> thrice, and <s> stands before each of four lines."""
    options = {"tokenizer": "char", "sentence": "line", "smoothing": "witten-bell", "order": 3}
    text = ("t", b"ab\nab\nab\nac\n")
    kept = lmkit.train(text, keep_counts=True, **options).language_model
    plain = lmkit.train(text, **options).language_model
    packed = pack(plain, 8)
    assert (kept.context_measure, plain.context_measure, packed.context_measure) == ("counts", "followers", "followers")
    for context, count, followers in (("", 4, 1), ("a", 4, 2), ("ab", 3, 1), ("x", 0, 0)):
        ids = kept.text.encode_text(context, complete=False).ids[None]
        for model, size in ((kept, count), (plain, followers), (packed, followers)):
            assert model.context_sizes(model.score(model.begin(1), ids)[1]).tolist() == [size], context


@pytest.mark.parametrize("order", [1, 2, 4])
def test_lengths_of_contexts_are_those_of_the_slow_search(order):
    """The longest end of the line so far, its beginning included, that stands in the text with a token behind it."""
    lines = ["abba", "ab", "cab", "bacca", "acb"] * 3
    text = ("t", "".join(line + "\n" for line in lines).encode())
    plain = lmkit.train(text, order=order, tokenizer="char", sentence="line", smoothing="witten-bell").language_model
    known = ["^" + line + "\n$" for line in lines]

    def slow(history):
        ends = (history[len(history) - n :] for n in range(min(order - 1, len(history)), 0, -1))
        return next((len(end) for end in ends if any(end in line[:-1] for line in known)), 0)

    rng, found = np.random.default_rng(3), set()
    for model in (plain, pack(plain, 8), mixture_of(plain, plain)):
        assert model.longest_context == order - 1
        for _ in range(60):
            context = "".join(rng.choice(list("abcx\n"), rng.integers(0, 6), p=[0.3, 0.3, 0.25, 0.1, 0.05]))
            ids = model.text.encode_text(context, complete=False).ids[None]
            (length,) = model.context_lengths(model.score(model.begin(1), ids)[1])
            assert length == slow("^" + context.rpartition("\n")[2]), context
            found.add(int(length))
    assert found == set(range(order))


def test_a_mixture_rests_on_its_longest_context():
    text = ("t", b"ab\nba\nabab\n" * 5)
    options = {"tokenizer": "char", "sentence": "line", "smoothing": "witten-bell"}
    two, four = (lmkit.train(text, order=n, **options).language_model for n in (2, 4))
    network = lmkit.train(text, "elman", tokenizer="char", sentence="line", hidden=4, steps=2, batch=2, bptt=5, valid=0)
    mixture = mixture_of(two, four)
    assert mixture.longest_context == 3
    ids = mixture.text.encode_text("abab", complete=False).ids[None]
    assert mixture.context_lengths(mixture.score(mixture.begin(1), ids)[1]).tolist() == [3]
    unbounded = mixture_of(two, network.language_model)
    assert (unbounded.longest_context, unbounded.context_lengths(unbounded.begin(1))) == (None, None)


@pytest.mark.parametrize("options", [{"smoothing": "witten-bell", "keep_counts": True}, {"smoothing": "mle"}])
@pytest.mark.parametrize("order", [1, 2, 4])
def test_counts_of_contexts_are_sums_over_what_followed(options, order):
    model = ngram(order, **options)
    states = np.unique(model.states(model.begin(1), some_ids(model, (1, 2000)))[0])
    expected = model.context_counts(states).sum(axis=1)
    np.testing.assert_array_equal(model.context_sizes(states), np.where(states == 0, 0, expected))


@pytest.mark.parametrize("name", ["kneser-ney", "cut off", "unigrams"])
def test_packed_models_have_the_same_followers(name):
    plain = PLAIN[name]()
    packed, ids = pack(plain, 8), some_ids(plain, (1, 2000))
    of_plain, of_packed = (m.context_sizes(m.states(m.begin(1), ids)[0][0]) for m in (plain, packed))
    np.testing.assert_array_equal(of_plain, of_packed)
    assert (plain.order > 1) == (of_plain.max() > 0)


def test_a_context_that_has_but_a_weight_is_followed_by_nothing(tmp_path):
    """a b backs off with a weight, but no trigram begins with it: its suffix b is what was followed, by a."""
    path = tmp_path / "m.arpa"
    path.write_text(
        "\\data\\\nngram 1=5\nngram 2=2\nngram 3=1\n\n"
        "\\1-grams:\n-1 <unk>\n-99 <s> 0\n-1 </s>\n-0.5 a -0.3\n-0.5 b -0.2\n\n"
        "\\2-grams:\n-0.2 a b -0.1\n-0.2 b a -0.1\n\n\\3-grams:\n-0.1 b a b\n\n\\end\\\n"
    )
    model = lmkit.from_arpa(path).language_model
    ids = model.text.encode_text("a b", complete=False).ids[None]
    before, after = model.states(model.begin(1), ids)
    assert after[0] >= model.trie.firsts[2]
    assert model.context_sizes(np.append(before[0], after)).tolist() == [0, 1, 1]
    assert model.context_lengths(np.append(before[0], after)).tolist() == [0, 1, 1]

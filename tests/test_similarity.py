"""Which tokens a model takes for alike, beside slow twins that go by the formulas."""

import collections
import itertools
import math

import numpy as np
import pytest
from test_contract import recurrent

import lmkit
from lmkit import api
from lmkit.errors import ModelError, OptionError
from lmkit.mixture.cache import UnigramCache, UnigramParameters
from lmkit.mixture.linear import LinearMixture
from lmkit.model import EOS, RESERVED
from lmkit.similarity import SIDES, nearest
from lmkit.vectors import DenseVectors, SparseVectors

FARM = (
    "the cow eats green grass\nthe hen eats yellow corn\na cow sees the hen\na hen sees the cow\nthe hay is yellow\n"
    "the grass is green\nthe cow eats hay\na hen eats a green corn\nsee a hen\ncow\n"
)
SENTENCES = [["<s>", *line.split(), "</s>"] for line in FARM.splitlines()]
SMOOTHINGS = [
    {"smoothing": "modified-kneser-ney", "discount_fallback": (0.5, 1, 1.5)},
    {"smoothing": "witten-bell", "interpolate": False},
    {"smoothing": "add-k", "k": 0.5},
    {"smoothing": "mle"},
]


def farm(text=FARM, **options):
    options = {"order": 2, "smoothing": "witten-bell", "tokenizer": "whitespace", **options}
    return lmkit.train(("farm", text.encode()), **options)


def bhattacharyya(p, q):
    """The cosine of the vectors of square roots of two distributions, as dicts, that need not sum to one."""
    both = sum(math.sqrt(p[key] * q[key]) for key in p.keys() & q.keys())
    return both / math.sqrt(sum(p.values()) * sum(q.values())) if p and q else 0.0


def slow_nearest(model, word, side="both"):
    """Rank all tokens by the formulas of `lmkit.ngram.contexts`: which bigrams there are says the text, p the rows."""
    vocabulary = model.text.vocabulary
    start = model.begin()
    empty = model.shorten(start)
    unigrams = dict(zip(vocabulary.tokens(), np.exp(model.log_probs(empty)[0].astype(float)), strict=True))
    unigrams["<s>"] = unigrams["</s>"]
    rows = {"<s>": model.log_probs(start)[0]}
    for i, token in enumerate(vocabulary.tokens()):
        if i > EOS:
            rows[token] = model.log_probs(model.advance(empty, np.array([i], np.int32)))[0]
    before, after = collections.defaultdict(dict), collections.defaultdict(dict)
    for first, second in {pair for sentence in SENTENCES for pair in itertools.pairwise(sentence)}:
        p = math.exp(rows[first][EOS if second == "</s>" else vocabulary.id(second)])
        after[first][second] = p
        before[second][first] = unigrams[first] * p
    found = []
    for other in vocabulary.tokens()[len(RESERVED) :]:
        sides = [bhattacharyya(table[word], table[other]) for table in (before, after)]
        similarity = {"both": sum(sides) / 2, "before": sides[0], "after": sides[1]}[side]
        if other != word and similarity > 0:
            found.append((other, similarity, *sides))
    return sorted(found, key=lambda row: -row[1])


def same(found, expected, tolerance=1e-5):
    """Whether neighbours are those expected; equal ones may come in any order."""
    numbers = {row[0]: row[1:] for row in expected}
    assert len(found) == len(expected)
    for row, wanted in zip(found, expected, strict=True):
        assert row.similarity == pytest.approx(wanted[1], abs=tolerance)
        assert (row.similarity, row.before, row.after) == pytest.approx(numbers[row.token], abs=tolerance)


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("options", SMOOTHINGS, ids=lambda options: options["smoothing"])
def test_ngrams_go_by_their_neighbours(options, order):
    model = farm(order=order, **options)
    for word, side in itertools.product(("cow", "the", "hay", "see"), SIDES):
        same(model.nearest(word, top=None, side=side), slow_nearest(model, word, side))


def test_with_maximum_likelihood_the_distributions_are_those_of_the_text():
    """By hand."""
    model = farm("x a y\nx b y\nx b z\nw a y\n", smoothing="mle")
    [b] = [row for row in model.nearest("a") if row.token == "b"]
    # p(l | a) = x 1/2, w 1/2;  p(l | b) = x 1;  p(r | a) = y 1;  p(r | b) = y 1/2, z 1/2
    assert (b.before, b.after) == pytest.approx((math.sqrt(1 / 2), math.sqrt(1 / 2)))
    assert b.similarity == pytest.approx(math.sqrt(1 / 2))


def test_who_is_used_alike_comes_first():
    for order in (2, 5):
        assert [farm(order=order).nearest(word, top=1)[0].token for word in ("cow", "hen")] == ["hen", "cow"]


def test_the_same_model_in_another_form_has_the_same_neighbours(tmp_path):
    """Packed, and as an ARPA file: the numbers are those of the plain model up to rounding."""
    model = farm(order=3, **SMOOTHINGS[0])
    expected = [(row.token, row.similarity, row.before, row.after) for row in model.nearest("cow", top=None)]
    same(api.prune(model, quantize=16).nearest("cow", top=None), expected, 2e-3)
    (tmp_path / "farm.arpa").write_bytes(b"".join(lmkit.arpa(model)))
    same(lmkit.from_arpa(tmp_path / "farm.arpa", sentence="line").nearest("cow", top=None), expected, 1e-4)
    model.save(tmp_path / "farm.lmkit")
    assert lmkit.load(tmp_path / "farm.lmkit").nearest("cow") == model.nearest("cow")


@pytest.mark.parametrize("quantize", [None, 16])
def test_bigrams_that_are_there_for_longer_ones_only_are_no_contexts(tmp_path, quantize):
    """`b c` begins a trigram and is not in the file itself."""
    (tmp_path / "blank.arpa").write_text(
        "\\data\\\nngram 1=6\nngram 2=4\nngram 3=1\n\n\\1-grams:\n-1\t<unk>\n-99\t<s>\t0\n-1\t</s>\n-1\ta\t0\n"
        "-1\tb\t0\n-1\tc\t0\n\n\\2-grams:\n-0.5\t<s> a\n-0.5\t<s> b\n-0.5\ta </s>\n-0.5\ta c\n\n"
        "\\3-grams:\n-0.2\tb c </s>\n\n\\end\\\n"
    )
    model = lmkit.from_arpa(tmp_path / "blank.arpa")
    assert len(model.language_model.blanks)
    if quantize:
        model = api.prune(model, quantize=quantize)
    [row] = model.nearest("a")
    assert (row.token, row.before, row.after) == ("b", pytest.approx(1), 0)


def test_networks_go_by_the_embeddings_of_both_ends():
    """Each vector is taken from the file's tensors, number by number; one-hot inputs have rows of W_x."""
    for shape in ({}, {"embedding": 6}, {"embedding": 10, "tied": True}, {"embedding": 7, "cutoffs": (5, 9)}):
        model = recurrent("lstm", 2, **shape)
        tensors, cutoffs = model.tensors(), shape.get("cutoffs", ())
        table = tensors["embedding" if shape.get("embedding") else "layer0.input"]
        before = []
        for i in range(model.vocabulary_size):
            if shape.get("tied"):
                before.append(table[i])
            elif not cutoffs or i < cutoffs[0]:
                before.append(tensors["output.weight"][:, i])
            else:
                k = sum(i >= cutoff for cutoff in cutoffs)
                inside = tensors[f"cluster{k}.weight"][:, i - cutoffs[k - 1]]
                own = tensors["output.weight"][:, cutoffs[0] + k - 1]
                before.append(own + tensors[f"cluster{k}.projection"] @ inside)
        expected = []
        for i in range(len(RESERVED), model.vocabulary_size):
            cosines = [float(x[4] @ x[i] / math.sqrt((x[4] @ x[4]) * (x[i] @ x[i]))) for x in (before, table)]
            if i != 4 and sum(cosines) > 0:
                expected.append((model.text.vocabulary.token(i), sum(cosines) / 2, *cosines))
        found = nearest(model, [model.text.vocabulary.token(4)], top=None)[0]
        same(found, sorted(expected, key=lambda row: -row[1]))


def test_the_output_embedding_is_what_the_hidden_vector_is_multiplied_by():
    """log p(v | h) - log p(w | h) changes from h to h' by (h - h') . (x_v - x_w), biases aside, within a cluster."""
    model = recurrent("gru", 2, embedding=7, cutoffs=(5, 9))
    vectors = model.network.output.vectors()
    states = model.advance(model.begin(2), np.array([4, 6], np.int32))
    h, rows = model.top(states).astype(float), model.log_probs(states).astype(float)
    for v, w in ((3, 4), (5, 8), (9, 12)):
        differences = rows[:, v] - rows[:, w]
        expected = (h[0] - h[1]) @ (vectors[v] - vectors[w]).astype(float)
        assert differences[0] - differences[1] == pytest.approx(expected, abs=1e-4) and abs(expected) > 1e-3
    ends, head = [5, 9, 13], np.exp(rows)
    clusters = [np.log(head[:, a:b].sum(1)) for a, b in itertools.pairwise(ends)]
    for k, cluster in enumerate(clusters, 1):  # p(cluster) against p of a token in the head
        differences = cluster - rows[:, 3]
        own = model.tensors()["output.weight"][:, 5 + k - 1]
        assert differences[0] - differences[1] == pytest.approx((h[0] - h[1]) @ (own - vectors[3]), abs=1e-4)


def test_mixtures_weigh_what_their_members_find():
    text = "\n".join("abcdefghij") + "\n" + "a b c a d\nb c d e f\ng h i j a\n" * 3
    grams = farm(text, vocabulary=list("abcdefghij")).language_model
    network = recurrent("elman", tokens="jihgfedcba", embedding=6)
    single = farm(text, order=1, vocabulary=list("abcdefghij")).language_model
    mixture = LinearMixture([grams, network, single], [0.2, 0.3, 0.5])
    parts = [{row.token: row for row in nearest(m, ["c"], top=None)[0]} for m in (grams, network)]
    cosines = [
        [dict(zip(m.text.vocabulary.tokens(), side.cosines([m.text.vocabulary.id("c")])[0].tolist(), strict=True))
         for side in m.token_vectors()] for m in (grams, network)
    ]  # fmt: skip
    found = nearest(mixture, ["c"], top=None)[0]
    assert parts[0] and parts[1] and len(found) > 5
    for row in found:
        before, after = (0.4 * cosines[0][side][row.token] + 0.6 * cosines[1][side][row.token] for side in (0, 1))
        assert (row.before, row.after) == pytest.approx((before, after), abs=1e-5)
    cached = UnigramCache(mixture, UnigramParameters(0.1, 0.01))
    assert nearest(cached, ["c"]) == nearest(mixture, ["c"])
    with pytest.raises(ModelError, match="single tokens only"):
        nearest(LinearMixture([grams, single], [0, 1]), ["c"])


def test_members_that_lack_a_character_know_nothing_of_it():
    both = lmkit.mix(
        [lmkit.train((text, text.encode() * 9), order=2, tokenizer="char", smoothing="witten-bell")
         for text in ("abac\n", "xbxc\n")],
        weights=[0.25, 0.75],
    )  # fmt: skip
    assert [row.token for row in both.nearest("b", top=1)] == ["c"]
    assert "x" not in [row.token for row in both.nearest("a", top=None)]
    vectors = both.token_vectors()[0]
    own = both.text.vocabulary.id("a")
    assert vectors.cosines([own])[0, own] == pytest.approx(0.25)


def test_sparse_and_dense_vectors_agree():
    rng = np.random.default_rng(1)
    dense = rng.random((9, 9)) * (rng.random((9, 9)) < 0.3)
    dense[4] = 0
    order = rng.permutation(np.count_nonzero(dense))
    rows, columns = (place[order] for place in np.nonzero(dense))
    sparse = SparseVectors(rows, columns, dense[rows, columns], 9).cosines(np.arange(9))
    np.testing.assert_allclose(sparse, DenseVectors(dense.astype(np.float32)).cosines(np.arange(9)), atol=1e-6)
    assert not sparse[4].any() and not sparse[:, 4].any()


def test_some_words_at_once_are_as_each_alone(monkeypatch):
    from lmkit import similarity

    model, words = farm(), ["cow", "hen", "cow", "hay", "the"]
    together = lmkit.nearest(model, words, top=4)
    monkeypatch.setattr(similarity, "BLOCK", 2 * model.vocabulary_size)
    assert together == lmkit.nearest(model, words, top=4) == [model.nearest(word, top=4) for word in words]
    assert together[0] == together[2] and all(len(rows) == 4 for rows in together)
    assert lmkit.nearest(model, []) == [] and model.nearest("cow", top=0) == []


def test_reserved_tokens_are_not_listed():
    model = farm(min_count=2)
    assert "<unk>" in model.text.vocabulary.tokens()
    for word in model.text.vocabulary.tokens()[len(RESERVED) :]:
        assert not {row.token for row in model.nearest(word, top=None)} & {*RESERVED, word}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("kow", r"^the model does not know the token 'kow'; did you mean cow\?$"),
        ("HEN", r"did you mean hen or"),
        ("qqqqqq", r"does not know the token 'qqqqqq'$"),
        ("cow hen", r"^'cow hen' is 2 tokens of the tokenizer whitespace \(cow hen\); name one$"),
        ("</s>", r"^</s> is a reserved token"),
        ("<unk>", r"^<unk> is a reserved token"),
        ("", r"does not know the token ''$"),
    ],
)
def test_what_is_no_token_is_refused(word, message):
    with pytest.raises(ModelError, match=message):
        lmkit.nearest(farm(), ["cow", word])


def test_other_things_that_are_refused(tmp_path):
    with pytest.raises(ModelError, match=r"single tokens only.*--order 2"):
        farm(order=1).nearest("cow")
    with pytest.raises(OptionError, match="--side is 'left'"):
        farm().nearest("cow", side="left")
    with pytest.raises(OptionError, match="top is -1"):
        farm().nearest("cow", top=-1)


def test_words_are_taken_as_the_text_was():
    model = lmkit.train(("farm", b"The Cow.\nthe hen.\n"), order=2, lowercase=True, smoothing="mle")
    assert model.nearest("COW") == model.nearest("cow") and model.nearest("Cow")[0].token == "hen"


def test_close_spellings_are_of_frequent_words_first():
    model = farm("king kin skin sign king skin\n", smoothing="mle")
    with pytest.raises(ModelError, match="did you mean kin or king or skin"):
        model.nearest("kign")

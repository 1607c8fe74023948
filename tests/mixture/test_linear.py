"""Linear mixtures: what they predict, draw, store and refuse."""

import numpy as np
import pytest
from contract import CHECKS, chi_square_is_fine, parts, some_ids, some_state, uniforms
from test_contract import ngram, recurrent

import lmkit
from lmkit import storage
from lmkit.errors import CorpusError, LmkitError, LmkitWarning, ModelError, OptionError
from lmkit.kernels import mixture_sampling
from lmkit.mixture.drawing import Drawer
from lmkit.mixture.linear import LinearMixture
from lmkit.mixture.vocabularies import union
from lmkit.mixture.weights import fit_weights
from lmkit.model import BOS, EOS, UNK

FALLBACK = (0.5, 1, 1.5)
FIRST, SECOND = "abba acca.\nadda abca\n" * 9, "xyab yxba.\nabxy\n" * 9


def chars(text, order=3, name="chars", **options):
    return lmkit.train((name, text.encode()), order=order, tokenizer="char", smoothing="witten-bell", **options)


def of_chars():
    """Members that lack some of each other's characters."""
    return LinearMixture([chars(FIRST).language_model, chars(SECOND, 2).language_model], [0.25, 0.75])


MODELS = {
    "two orders": lambda: LinearMixture(
        [ngram(3, discount_fallback=FALLBACK), ngram(2, smoothing="witten-bell", interpolate=False)], [0.4, 0.6]
    ),
    "n-grams and a network": lambda: LinearMixture(
        [
            ngram(3, discount_fallback=FALLBACK),
            recurrent("lstm", 2, "fedcba", embedding=7),
            recurrent("gru", 1, "abcdef"),
        ],
        [0.5, 0.3, 0.2],
    ),
    "one member silent": lambda: LinearMixture([ngram(2, smoothing="mle"), ngram(1, smoothing="add-k")], [0, 1]),
    "of mle": lambda: LinearMixture([ngram(3, smoothing="mle"), ngram(1, smoothing="mle")], [0.7, 0.3]),
    "characters": of_chars,
}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param]()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(model, check):
    check(model, draws=2000)


def test_rows_are_the_weighted_means_of_the_members():
    members = [ngram(3, discount_fallback=FALLBACK), recurrent("elman", 1, "abcdef")]
    mixture = LinearMixture(members, [0.3, 0.7])
    ids = some_ids(mixture, (2, 9))
    rows = mixture.log_probs(mixture.score(mixture.begin(2), ids)[1])
    expected = sum(
        w * np.exp(m.log_probs(m.score(m.begin(2), ids)[1]).astype(float))
        for m, w in zip(members, [0.3, 0.7], strict=True)
    )
    np.testing.assert_allclose(np.exp(rows), expected, rtol=1e-5, atol=1e-9)


def test_members_may_number_their_words_differently():
    """The same words in the order of other counts."""
    text = b"one two two three three three\n"
    a = lmkit.train(("a", text), order=1, tokenizer="whitespace", smoothing="add-k")
    b = lmkit.train(("b", b"one one one two\n"), order=1, tokenizer="whitespace", smoothing="add-k", vocabulary=[
        "three", "two", "one",
    ])  # fmt: skip
    assert a.text.vocabulary.tokens() != b.text.vocabulary.tokens()
    both = lmkit.mix([a, b], weights=[0.5, 0.5])
    for word in ("one", "two", "three"):
        p = [np.exp(m.log_probs(m.begin())[0, m.text.vocabulary.id(word)]) for m in (a, b, both)]
        assert p[2] == pytest.approx((p[0] + p[1]) / 2, rel=1e-6)


def test_unknown_characters_share_what_a_member_gives_to_unknown_ones():
    mixture = of_chars()
    first, second = mixture.members
    token = mixture.text.vocabulary.id
    row, lacks = mixture.log_probs(mixture.begin())[0], {"x", "y"}
    p = np.exp(first.log_probs(first.begin())[0]), np.exp(second.log_probs(second.begin())[0])
    assert set(mixture.text.vocabulary.tokens()) >= lacks | {"c", "d"}
    for word in lacks:
        expected = 0.25 * p[0][UNK] / 3 + 0.75 * p[1][second.text.vocabulary.id(word)]
        assert np.exp(row[token(word)]) == pytest.approx(expected, rel=1e-5)
    assert np.exp(row[token("c")]) == pytest.approx(0.25 * p[0][first.text.vocabulary.id("c")] + 0.75 * p[1][UNK] / 3)
    assert np.exp(row[UNK]) == pytest.approx(0.25 * p[0][UNK] / 3 + 0.75 * p[1][UNK] / 3, rel=1e-5)


def test_draws_are_those_of_the_rows_whatever_is_banned():
    for mixture in (of_chars(), MODELS["n-grams and a network"]()):
        state = some_state(mixture, 1)
        for banned in ([], [UNK, EOS], list(range(3, mixture.vocabulary_size - 1))):
            row = np.exp(mixture.log_probs(state)[0].astype(float))
            row[[*banned, BOS]] = 0
            n = 4000
            many = tuple(np.repeat(part, n, axis=0) for part in parts(state))
            drawn, _ = mixture.draw(many, 1, uniforms(n, seed=3), np.array(banned, np.int32))
            assert chi_square_is_fine(drawn[:, 0], row / row.sum())


BY_KERNEL = {
    "n-grams": lambda: [ngram(3, discount_fallback=FALLBACK), ngram(2, smoothing="add-k"), ngram(1, smoothing="mle")],
    "an n-gram and a network": lambda: [ngram(2, smoothing="add-k"), recurrent("lstm", 2, "fedcba")],
    "a network and n-grams": lambda: [
        recurrent("gru", 1, "abcdef", embedding=7), ngram(3, discount_fallback=FALLBACK), ngram(2, smoothing="mle"),
    ],
    "characters": lambda: of_chars().members,
    "backing off": lambda: [
        ngram(3, smoothing="katz"),
        recurrent("elman", 1, "abcdef"),
        ngram(3, smoothing="witten-bell", interpolate=False),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", BY_KERNEL)
def test_the_kernel_draws_what_members_draw_step_by_step(name):
    members = BY_KERNEL[name]()
    mixture = LinearMixture(members, [0.5, 0.3, 0.2] if len(members) == 3 else [0.4, 0.6])
    assert Drawer.serves(mixture.members)
    for streams, banned in ((1, []), (3, [UNK]), (30, [UNK, 4, 5])):
        state = some_state(mixture, streams)
        forbidden = np.zeros(mixture.vocabulary_size, np.uint8)
        forbidden[[*banned, BOS]] = 1
        dice, same = uniforms(streams, seed=9), uniforms(streams, seed=9)
        slow = np.empty((streams, 25), np.int32)
        slow_state = mixture._draw_in_steps(state, slow, dice, forbidden)
        first, between = mixture.draw(state, 11, same, np.array(banned, np.int32))
        second, after = mixture.draw(between, 14, same, np.array(banned, np.int32))
        np.testing.assert_array_equal(np.hstack([first, second]), slow)
        np.testing.assert_array_equal(same.counters, dice.counters)
        for quick, obvious in zip(parts(after), parts(slow_state), strict=True):
            np.testing.assert_allclose(quick, obvious, rtol=1e-5, atol=1e-6)


def test_the_kernel_means_the_same_ids_as_the_contract():
    assert (mixture_sampling.UNK, mixture_sampling.BOS) == (UNK, BOS)


def test_streams_that_meet_forbidden_tokens_again_and_again_draw_from_rows():
    mixture = LinearMixture([ngram(2, smoothing="add-k"), recurrent("elman", 1, "abcdef")], [0.5, 0.5])
    rare = int(np.exp(mixture.log_probs(mixture.begin()))[0, 3:].argmin()) + 3
    banned = np.array([i for i in range(mixture.vocabulary_size) if i not in (BOS, rare)], np.int32)
    ids, _ = mixture.draw(mixture.begin(40), 9, uniforms(40, seed=2), banned)
    assert (ids == rare).all()


# Weights


def test_em_by_hand():
    """p_1 = 1, p_2 = 1/2 and p_1 = 1/4, p_2 = 1: r_1 = 2/3 and 1/5, so the first step leads to their mean, 13/30."""
    log_p = np.log([[1, 0.25], [0.5, 1]])
    _, trace = fit_weights(log_p)
    assert trace[0] == pytest.approx(np.log([0.75, 0.625]).mean())
    w = 13 / 30
    assert trace[1] == pytest.approx(np.log([w + (1 - w) / 2, w / 4 + 1 - w]).mean())


@pytest.mark.parametrize("seed", range(20))
def test_em_never_falls_and_finds_the_maximum(seed):
    rng = np.random.default_rng(seed)
    log_p = np.log(rng.dirichlet(np.full(2, 0.3), 200).T * rng.random(200))
    weights, trace = fit_weights(log_p)
    assert np.all(np.diff(trace) >= -1e-12) and weights.sum() == pytest.approx(1)
    grid = np.linspace(0, 1, 2001)[1:-1]
    likelihoods = [np.logaddexp(log_p[0] + np.log(w), log_p[1] + np.log1p(-w)).mean() for w in grid]
    assert trace[-1] >= max(likelihoods) - 1e-5


def test_one_member_that_cannot_be_gets_no_weight():
    weights, _ = fit_weights(np.array([[-np.inf, -np.inf], [-1.0, -2.0]]))
    np.testing.assert_allclose(weights, [0, 1])


# Files


def test_a_file_holds_its_members(tmp_path):
    a, b = chars(FIRST), chars(SECOND, 2)
    said = []
    made = lmkit.mix([a, b], tune=("tune", b"abxy acca\n"), output=tmp_path / "both.lmkit", report=said.append)
    assert said[-1] == f"weights {', '.join(f'{weight:.4f}' for weight in made.language_model.weights)}"
    again = lmkit.load(tmp_path / "both.lmkit")
    text = ("text", (FIRST + SECOND).encode())
    assert again.perplexity(text).log_probability == made.perplexity(text).log_probability
    assert again.sample(n=50, seed=4) == made.sample(n=50, seed=4)
    found = lmkit.info(tmp_path / "both.lmkit", verify=True)
    assert found["damaged"] == [] and found["training"]["tuned_on"][0]["name"] == "tune"
    assert len(found["config"]["members"]) == 2
    for tensor in again.language_model.members[0].trie.nodes, again.language_model.members[1].trie.leaves:
        assert not tensor.flags.owndata  # of the mapped file


def test_mixtures_of_mixtures_are_one_mixture(tmp_path):
    text = b"to be or not to be\nthat is the question\n" * 3
    models = [lmkit.train(("t", text), order=n, tokenizer="byte", smoothing="witten-bell") for n in (1, 2, 3)]
    inner = lmkit.mix(models[:2], weights=[0.5, 0.5])
    outer = lmkit.mix([inner, models[2]], weights=[0.4, 0.6], output=tmp_path / "m.lmkit")
    flat = lmkit.mix(models, weights=[0.2, 0.2, 0.6])
    loaded = lmkit.load(tmp_path / "m.lmkit").language_model
    assert loaded.weights == pytest.approx((0.2, 0.2, 0.6)) and len(loaded.members) == 3
    assert outer.perplexity(("t", text)).log_probability == pytest.approx(flat.perplexity(("t", text)).log_probability)


def test_ten_members():
    text = b"to be or not to be\n" * 9
    models = [lmkit.train(("t", text), order=n, tokenizer="byte", smoothing="witten-bell") for n in range(1, 11)]
    mixed = lmkit.mix(models, tune=("tune", b"or not to be\n"))
    assert sum(mixed.language_model.weights) == pytest.approx(1)
    best = min(model.perplexity(("tune", b"or not to be\n")).perplexity for model in models)
    assert mixed.perplexity(("tune", b"or not to be\n")).perplexity <= best * 1.001


@pytest.mark.parametrize("cache", ["unigram", "neural"])
@pytest.mark.parametrize("dynamic", [False, True])
def test_what_adapts_comes_back_from_its_file(tmp_path, cache, dynamic):
    text = ("text", b"a rose is a rose is a rose\n" * 12)
    network = lmkit.train(
        text, "elman", tokenizer="char", layers=1, hidden=8, batch=2, bptt=8, steps=8, warmup=2, embedding=0,
    )  # fmt: skip
    said = []
    made = lmkit.mix(
        network, cache=cache, dynamic=dynamic, tune=("tune", b"rose is a rose\n" * 4), output=tmp_path / "c.lmkit",
        report=said.append,
    )  # fmt: skip
    again = lmkit.load(tmp_path / "c.lmkit")
    assert again.family == f"{cache}-cache" and again.perplexity(text).log_probability == pytest.approx(
        made.perplexity(text).log_probability, rel=1e-6
    )
    assert any(line.startswith(f"{cache}-cache: weight") for line in said)
    useless = any("gains nothing" in line for line in said)
    assert useless == (made.language_model.parameters.weight == 0)
    assert any(line.startswith("dynamic: learning_rate") for line in said) == dynamic
    assert again.sample(n=9, seed=1) == made.sample(n=9, seed=1)


def damaged(changes):
    metadata = {"family": "linear", "config": changes}
    return storage.ModelFile("m.lmkit", 0, metadata, {}, {}, storage.Origin("/m.lmkit", "0" * 64))


@pytest.mark.parametrize(
    "config", [None, {}, {"members": []}, {"members": [3]}, {"members": [{}]}, {"members": [{"family": "linear"}]}]
)
def test_damaged_files(config):
    for kind in (LinearMixture, type(lmkit.mix(chars(FIRST), cache="unigram", tune=("t", b"aa\n")).language_model)):
        with pytest.raises(ModelError, match="lmkit"):
            kind.from_file(damaged(config))


def test_a_file_of_mixtures_within_mixtures_without_end(tmp_path):
    model = chars(FIRST).language_model
    rest = {**model.text.metadata(), "training": None}
    entry, prefix = {"family": "ngram", "config": model.config(), **rest}, ""
    for _ in range(300):
        entry, prefix = {"family": "linear", "config": {"weights": [1], "members": [entry]}, **rest}, prefix + "0."
    tensors = {prefix + name: tensor for name, tensor in model.tensors().items()}
    storage.save(tmp_path / "deep.lmkit", "linear", {"config": entry["config"], **rest}, tensors)
    with pytest.raises(ModelError, match="nested too deep"):
        lmkit.load(tmp_path / "deep.lmkit")


# Refusals


def test_members_that_see_other_tokens():
    words = lmkit.train(("w", b"a b\n"), tokenizer="whitespace", smoothing="witten-bell")
    others = lmkit.train(("o", b"a c\n"), tokenizer="whitespace", smoothing="witten-bell")
    with pytest.raises(OptionError, match="--tokenizer char"):
        union([words.text, chars(FIRST).text], ["words", "chars"])
    with pytest.raises(OptionError, match="second with --vocab words"):
        union([words.text, others.text], ["words", "others"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weights": [0.5, 0.4]}, "sum to 0.9"),
        ({"weights": [0.5, 0.2, 0.3]}, "expected 2 numbers"),
        ({"weights": [1.5, -0.5]}, "from 0 to 1"),
        ({}, "--tune"),
        ({"weights": [0.5, 0.5], "tune": ("t", b"a")}, "nothing to choose"),
        ({"tune": ("t", b"a"), "cache": "other"}, "--cache"),
        ({"tune": ("t", b"a"), "dynamic": True}, "one recurrent model"),
    ],
)
def test_options_that_make_no_sense(options, said):
    with pytest.raises(OptionError, match=said):
        lmkit.mix([chars(FIRST), chars(SECOND)], **options)


def test_scores_are_no_probabilities():
    scores = lmkit.train(("t", FIRST.encode()), tokenizer="char", smoothing="stupid-backoff")
    for models, options in (([chars(FIRST), scores], {}), ([scores], {"cache": "unigram"})):
        with pytest.raises(OptionError, match="model 2 gives scores" if len(models) == 2 else "model 1 gives scores"):
            lmkit.mix(models, tune=("t", b"abba\n"), **options)


def test_one_model_alone_and_none():
    with pytest.raises(OptionError, match="no mixture"):
        lmkit.mix([chars(FIRST)], weights=[1])
    with pytest.raises(OptionError, match="no model"):
        lmkit.mix([])
    with pytest.raises(OptionError, match="recurrent model"):
        lmkit.mix([chars(FIRST)], tune=("t", b"abba\n"), dynamic=True)


def test_texts_that_cannot_be_tuned_on():
    pair = [chars(FIRST), chars(SECOND)]
    with pytest.raises(CorpusError, match="no tokens"):
        lmkit.mix(pair, tune=("nothing", b""))
    models = [lmkit.train(("t", b"ab\n" * n), order=2, tokenizer="char", smoothing="mle") for n in (1, 2)]
    with pytest.raises(CorpusError, match="no probability"):
        lmkit.mix(models, tune=("t", b"ba\n"))
    with pytest.warns(LmkitWarning, match="was trained on"):
        lmkit.mix(pair, tune=("chars", FIRST.encode()))


def test_nothing_can_be_drawn():
    mixture = MODELS["of mle"]()
    everything = np.array([i for i in range(mixture.vocabulary_size) if i != BOS], np.int32)
    with pytest.raises(LmkitError, match="nothing can be drawn"):
        mixture.draw(mixture.begin(1), 1, uniforms(1), everything)

"""Log-linear mixtures: what they predict, draw, store and refuse, and the exponents that a text chooses."""

import math

import numpy as np
import pytest
from contract import CHECKS, chi_square_is_fine, parts, some_ids, some_state, uniforms
from test_contract import ngram, recurrent

import lmkit
from lmkit.errors import CorpusError, LmkitError, LmkitWarning, ModelError, OptionError
from lmkit.mixture import exponents as fitting
from lmkit.mixture import product
from lmkit.mixture.exponents import Moments, fit_exponents, maximise, newton_step, text_moments
from lmkit.mixture.linear import LinearMixture
from lmkit.mixture.product import LogLinearMixture, log_product
from lmkit.model import BOS, EOS, UNK
from lmkit.ngram.packed import pack

FALLBACK = (0.5, 1, 1.5)
FIRST, SECOND = "abba acca.\nadda abca\n" * 9, "xyab yxba.\nabxy\n" * 9


def chars(text, order=3, name="chars", **options):
    options = {"smoothing": "witten-bell", **options}
    return lmkit.train((name, text.encode()), order=order, tokenizer="char", **options)


def of_chars():
    """Members that lack some of each other's characters."""
    return LogLinearMixture([chars(FIRST).language_model, chars(SECOND, 2).language_model], [0.4, 0.8])


MODELS = {
    "two orders": lambda: LogLinearMixture(
        [ngram(3, discount_fallback=FALLBACK), ngram(2, smoothing="witten-bell", interpolate=False)], [0.4, 0.6]
    ),
    "n-grams and networks": lambda: LogLinearMixture(
        [
            ngram(3, discount_fallback=FALLBACK),
            recurrent("lstm", 2, "fedcba", embedding=7),
            recurrent("gru", 1, "abcdef", cutoffs=(5, 7)),
        ],
        [0.9, 0.3, 1.7],
    ),
    "one member silent": lambda: LogLinearMixture([ngram(2, smoothing="mle"), ngram(1, smoothing="add-k")], [0, 1]),
    "one member rules out": lambda: LogLinearMixture(
        [ngram(2, smoothing="mle"), ngram(2, smoothing="add-k")], [1, 0.5]
    ),
    "of a mixture, packed": lambda: LogLinearMixture(
        [
            LinearMixture([ngram(3, smoothing="witten-bell"), recurrent("elman", 1, "abcdef")], [0.3, 0.7]),
            pack(ngram(4, smoothing="witten-bell"), 6),
        ],
        [0.5, 0.7],
    ),
    "characters": of_chars,
}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param]()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(model, check):
    check(model, draws=2000)


def slow_row(mixture, rows):
    """p(w) from log p_m(w), one token after the other, in double precision."""
    weights = []
    for w in range(mixture.vocabulary_size):
        p = 1.0
        for row, exponent in zip(rows, mixture.exponents, strict=True):
            p *= math.exp(row[w]) ** exponent  # 0 ** 0 is 1
        weights.append(0.0 if w == BOS else p)
    return np.array(weights) / sum(weights)


@pytest.mark.parametrize("name", MODELS)
def test_rows_are_products_that_sum_to_one(name):
    mixture = MODELS[name]()
    states = some_state(mixture, 4)
    members = mixture.member_log_probs(states)
    for i, row in enumerate(np.exp(mixture.log_probs(states).astype(float))):
        np.testing.assert_allclose(row, slow_row(mixture, [m[i] for m in members]), rtol=2e-5, atol=1e-9)


def test_by_hand():
    """0.8 0.1 : 0.2 0.9 with exponents 1 and 2 is 0.8 0.01 : 0.2 0.81, that is 8 : 162."""
    with np.errstate(divide="ignore"):
        rows = [np.log(np.float32([[0.8, 0.2, 0]])), np.log(np.float32([[0.1, 0.9, 0]]))]
    np.testing.assert_allclose(np.exp(log_product(rows, [1, 2])), [[8 / 170, 162 / 170, 0]], rtol=1e-5)


def test_a_member_that_rules_out_a_token_rules_it_out_unless_its_exponent_is_0():
    nothing = -np.inf
    rows = [np.float32([[nothing, math.log(0.5), math.log(0.5)]]), np.log(np.float32([[0.6, 0.3, 0.1]]))]
    np.testing.assert_allclose(np.exp(log_product(rows, [0.5, 1])), [[0, 0.75, 0.25]], rtol=1e-5)
    np.testing.assert_allclose(np.exp(log_product(rows, [0, 1])), [[0.6, 0.3, 0.1]], rtol=1e-5)
    agree_on_none = [np.float32([[nothing, 0, nothing]]), np.float32([[0, nothing, nothing]])]
    assert np.isneginf(log_product(agree_on_none, [1, 1])).all()
    np.testing.assert_allclose(np.exp(log_product(rows, [1e-60, 1])), [[0.6, 0.3, 0.1]], rtol=1e-5)  # 0 as float32


def test_members_that_agree_on_nothing():
    """a after b is all that one knows, and c after b all that the other does: the shorter contexts answer."""
    first = lmkit.train(("1", b"bababababa"), order=2, tokenizer="char", sentence="text", smoothing="mle")
    second = lmkit.train(
        ("2", b"bcbcbcaaaa"), order=2, tokenizer="char", sentence="text", smoothing="mle", vocabulary=["a", "b", "c"]
    )
    both = lmkit.mix([first, second], rule="log-linear", weights=[1, 1])
    ids = both.text.encode_text("b", complete=False).ids
    state = both.score(both.begin(), ids[None])[1]
    assert np.isneginf(both.log_probs(state)).all()
    assert both.log_prob("ba") == -math.inf
    drawn, _ = both.draw(tuple(np.repeat(part, 500, axis=0) for part in state), 1, uniforms(500), np.array([UNK]))
    row = slow_row(both.language_model, [m[0] for m in both.language_model.member_log_probs(both.shorten(state))])
    row[UNK] = 0
    assert chi_square_is_fine(drawn[:, 0], row / row.sum())
    assert both.sample(n=5, seed=1, temperature=0.7)
    with pytest.raises(LmkitError, match="nothing can be drawn"):
        both.draw(both.begin(), 1, uniforms(1), np.arange(both.vocabulary_size, dtype=np.int32))


def test_draws_are_those_of_the_rows_whatever_is_banned():
    for mixture in (of_chars(), MODELS["n-grams and networks"]()):
        state = some_state(mixture, 1)
        for banned in ([], [UNK, EOS], list(range(3, mixture.vocabulary_size - 1))):
            row = np.exp(mixture.log_probs(state)[0].astype(float))
            row[[*banned, BOS]] = 0
            n = 4000
            many = tuple(np.repeat(part, n, axis=0) for part in parts(state))
            dice = uniforms(n, seed=3)
            drawn, _ = mixture.draw(many, 1, dice, np.array(banned, np.int32))
            assert chi_square_is_fine(drawn[:, 0], row / row.sum())
            assert (dice.counters == 1).all()


def test_unknown_characters_share_what_a_member_gives_to_unknown_ones():
    mixture = of_chars()
    first, second = mixture.members
    token = mixture.text.vocabulary.id
    row = np.exp(mixture.log_probs(mixture.begin())[0])
    p, q = (np.exp(m.log_probs(m.begin())[0]) for m in mixture.members)
    both = p[first.text.vocabulary.id("a")] ** 0.4 * q[second.text.vocabulary.id("a")] ** 0.8
    of_x = (p[UNK] / 3) ** 0.4 * q[second.text.vocabulary.id("x")] ** 0.8  # x, y and <unk> share
    assert row[token("x")] / row[token("a")] == pytest.approx(of_x / both, rel=1e-4)


def test_long_texts_are_scored_in_pieces(monkeypatch):
    mixture = MODELS["n-grams and networks"]()
    ids = some_ids(mixture, (2, 90))
    whole, _ = mixture.score(mixture.begin(2), ids)
    monkeypatch.setattr("lmkit.mixture.ensemble.NUMBERS", 7 * 2 * mixture.vocabulary_size)
    monkeypatch.setattr(product, "NUMBERS", 3 * mixture.vocabulary_size)
    assert len(list(mixture.pieces(ids))) == 13
    for threads in (1, 3):
        mixture.threads = threads
        np.testing.assert_array_equal(mixture.score(mixture.begin(2), ids)[0], whole)
    assert mixture.score(mixture.begin(2), ids[:, :0])[0].shape == (2, 0)


def test_products_of_products_are_one_product():
    text = ("t", b"to be or not to be\nthat is the question\n" * 3)
    models = [lmkit.train(text, order=n, tokenizer="byte", smoothing="witten-bell") for n in (1, 2, 3)]
    inner = lmkit.mix(models[:2], rule="log-linear", weights=[0.5, 0.8])
    outer = lmkit.mix([inner, models[2]], rule="log-linear", weights=[0.5, 0.6]).language_model
    assert outer.exponents == pytest.approx((0.25, 0.4, 0.6)) and len(outer.members) == 3
    inner, last = inner.language_model, models[2].language_model
    ids = some_ids(outer, (1, 5))
    after = outer.score(outer.begin(), ids)[1]
    expected = 0.5 * inner.log_probs(inner.score(inner.begin(), ids)[1])[0]
    expected = expected + 0.6 * last.log_probs(last.score(last.begin(), ids)[1])[0]
    np.testing.assert_allclose(
        outer.log_probs(after)[0], expected - np.logaddexp.reduce(expected), rtol=1e-5, atol=1e-5
    )


# Exponents


def slow_moments(mixture, ids, exponents):
    """What `text_moments` returns, token by token, in double precision."""
    state, log_likelihood = mixture.begin(1), 0.0
    members = len(mixture.members)
    gradient, covariance = np.zeros(members), np.zeros((members, members))
    for w in ids:
        rows = np.stack([row[0] for row in mixture.member_log_probs(state)]).astype(float)
        possible = np.isfinite(rows[np.asarray(exponents) > 0]).all(axis=0)
        f = rows[:, possible]
        s = exponents @ f
        p = np.exp(s - np.logaddexp.reduce(s))
        log_likelihood += math.log(p[np.count_nonzero(possible[:w])])
        gradient += rows[:, w] - f @ p
        covariance += (f * p) @ f.T - np.outer(f @ p, f @ p)
        state = mixture.advance(state, np.array([w]))
    return log_likelihood / len(ids), gradient / len(ids), covariance / len(ids)


@pytest.mark.parametrize("name", ["n-grams and networks", "characters"])
def test_moments_are_those_of_the_slow_twin(name, monkeypatch):
    mixture = MODELS[name]()
    ids = some_ids(mixture, (1, 60), seed=2)[0]
    exponents = np.array([0.7, 0.2, 1.1][: len(mixture.members)])
    monkeypatch.setattr("lmkit.mixture.ensemble.NUMBERS", 7 * mixture.vocabulary_size)
    monkeypatch.setattr(product, "NUMBERS", 3 * mixture.vocabulary_size)
    found = text_moments(mixture, ids, exponents)
    expected = slow_moments(mixture, ids, exponents)
    assert found.log_likelihood == pytest.approx(expected[0], abs=1e-5)
    np.testing.assert_allclose(found.gradient, expected[1], atol=1e-4)
    np.testing.assert_allclose(found.covariance, expected[2], rtol=1e-3, atol=1e-4)


def test_the_gradient_is_the_slope_of_the_likelihood():
    mixture = MODELS["n-grams and networks"]()
    ids = some_ids(mixture, (1, 200), seed=3)[0]
    at = np.array([0.6, 0.4, 0.5])
    found = text_moments(mixture, ids, at)
    for m in range(3):
        step = np.eye(3)[m] * 0.01
        above, below = (text_moments(mixture, ids, at + s) for s in (step, -step))
        slope = (above.log_likelihood - below.log_likelihood) / 0.02
        assert slope == pytest.approx(found.gradient[m], abs=2e-3)
        np.testing.assert_allclose((below.gradient - above.gradient) / 0.02, found.covariance[m], rtol=0.02, atol=5e-3)


@pytest.mark.parametrize("seed", range(5))
def test_newton_never_falls_and_finds_the_maximum(seed, monkeypatch):
    """On a grid around what is found nothing is better."""
    mixture = LogLinearMixture([ngram(3, discount_fallback=FALLBACK), recurrent("elman", 1, "abcdef")], [0.5, 0.5])
    other = [ngram(1, discount_fallback=FALLBACK), ngram(3, smoothing="add-k"), recurrent("gru", 1, "abcdef")][seed % 3]
    ids, _ = other.draw(other.begin(1), 300, uniforms(1, seed), np.array([], np.int32))
    monkeypatch.setattr(fitting, "FIRST", 75 if seed % 2 else 10**9)
    said = []
    exponents, found = fit_exponents(mixture, ids[0], said.append)
    trace = [float(line.split()[3]) for line in said if line.startswith("Newton ")]
    assert trace[-1] == pytest.approx(found.log_likelihood, abs=1e-6) and np.all(np.diff(trace) >= 0)
    assert any(line.startswith("Newton, first 75 tokens") for line in said) == (seed % 2 == 1)
    scored = LogLinearMixture(mixture.members, exponents.tolist()).score(mixture.begin(1), ids)[0].mean()
    assert scored == pytest.approx(found.log_likelihood, abs=1e-5)
    for first in np.linspace(-0.2, 0.2, 5):
        for second in np.linspace(-0.2, 0.2, 5):
            there = np.maximum(exponents + np.array([first, second]), 0)
            if there.any():
                assert text_moments(mixture, ids[0], there).log_likelihood <= found.log_likelihood + 2e-6


def test_a_text_of_one_members_own_is_its_own():
    """The exponents of what a member has written are near 1 for it, and 0 for one that says the same each time."""
    member, other = ngram(3, smoothing="add-k"), ngram(1, smoothing="add-k", k=1e6)
    ids, _ = member.draw(member.begin(1), 5000, uniforms(1), np.array([], np.int32))
    exponents, _ = fit_exponents(LogLinearMixture([member, other], [0.5, 0.5]), ids[0])
    assert exponents[0] == pytest.approx(1, abs=0.1)


def test_steps_that_lose_are_halved():
    """log cosh has a Newton step that overshoots from afar."""

    def moments(x):
        x = x - 3
        return Moments(-float(np.log(np.cosh(x)).sum()), -np.tanh(x), np.diag(1 / np.cosh(x) ** 2))

    seen = []
    exponents, _ = maximise(moments, np.array([0.1, 5.5]), lambda i, f, e: seen.append(f))
    np.testing.assert_allclose(exponents, 3, atol=0.01)
    assert np.all(np.diff(seen) > 0) and len(seen) > 3


def test_steps_keep_within_bounds():
    now = Moments(0.0, np.array([1.0, -1.0, 1e6, 1.0]), np.diag([2.0, 2.0, 1e-3, 0.0]))
    step, gain = newton_step(np.array([0.5, 0.25, 50.0, 1.0]), now)
    np.testing.assert_allclose(step, [0.5, -0.25, 50, 0])
    assert gain == pytest.approx(0.25 + 0.25 - 0.0625 + 50e6 - 1.25)


def test_members_that_are_alike_share():
    mixture = LogLinearMixture([ngram(2, smoothing="add-k")] * 2, [0.7, 0.7])
    ids, _ = mixture.members[0].draw(mixture.members[0].begin(1), 2000, uniforms(1), np.array([], np.int32))
    exponents, _ = fit_exponents(mixture, ids[0])
    assert exponents.sum() == pytest.approx(1, abs=0.1)


def test_a_member_that_rules_out_a_token_of_the_text_has_no_say():
    sure = lmkit.train(("s", b"ab\n" * 5), order=2, tokenizer="char", smoothing="mle")
    text = ("t", b"ba\nab\n")
    with pytest.warns(LmkitWarning, match=r"member 1 \(ngram\) gives some token"):
        both = lmkit.mix([sure, chars("abba\n", 2)], rule="log-linear", tune=text)
    assert both.language_model.exponents[0] == 0 < both.language_model.exponents[1]
    other = lmkit.train(("s", b"aab\n" * 5), order=2, tokenizer="char", smoothing="mle")
    with pytest.raises(CorpusError, match="each of the models"):
        lmkit.mix([sure, other], rule="log-linear", tune=text)


@pytest.mark.parametrize("name", ["log_likelihood", "gradient", "covariance"])
def test_moments_that_are_no_numbers_are_told(name):
    whole = {"log_likelihood": -1.0, "gradient": np.ones(2), "covariance": np.eye(2)}
    broken = Moments(**{**whole, name: whole[name] * np.nan})
    with pytest.raises(LmkitError, match="one of the models is damaged"):
        maximise(lambda exponents: broken, np.ones(2))
    steps = iter([Moments(**whole), Moments(**{**whole, "log_likelihood": 0.0, "covariance": np.eye(2) * np.nan})])
    exponents, _ = maximise(lambda exponents: next(steps), np.ones(2))
    assert np.isfinite(exponents).all()


def test_a_damaged_model_is_told():
    damaged = recurrent("elman", 1, "abcdef")
    damaged.flat[:] = np.nan
    damaged.weights_changed()
    mixture = LogLinearMixture([ngram(2, smoothing="add-k"), damaged], [0.5, 0.5])
    with pytest.raises(LmkitError, match="damaged"):
        fit_exponents(mixture, some_ids(mixture, (1, 9))[0])


# Files and refusals


def test_a_file_holds_its_members(tmp_path):
    a, b = chars(FIRST), chars(SECOND, 2)
    said = []
    made = lmkit.mix(
        [a, b], rule="log-linear", tune=("tune", b"abxy acca\n"), output=tmp_path / "both.lmkit", report=said.append
    )
    assert said[0].startswith("Newton 0: log-likelihood -") and "exponents 0.5000, 0.5000" in said[0]
    again = lmkit.load(tmp_path / "both.lmkit")
    text = ("text", (FIRST + SECOND).encode())
    assert again.family == "log-linear"
    assert again.perplexity(text).log_probability == made.perplexity(text).log_probability
    assert again.sample(n=50, seed=4) == made.sample(n=50, seed=4)
    assert again.settings()["members"][0]["exponent"] == round(made.language_model.exponents[0], 6)
    found = lmkit.info(tmp_path / "both.lmkit", verify=True)
    assert found["damaged"] == [] and found["training"]["tuned_on"][0]["name"] == "tune"


def test_a_cache_and_a_mean_of_a_product(tmp_path):
    """What is made is a model like others: it is mixed, and wrapped, and read again."""
    a, b = chars(FIRST), chars(SECOND, 2)
    both = lmkit.mix([a, b], rule="log-linear", weights=[0.5, 0.5])
    cached = lmkit.mix(both, cache="unigram", tune=("t", b"abxy acca\nabxy acca\n"), output=tmp_path / "c.lmkit")
    mean = lmkit.mix([both, a], weights=[0.5, 0.5], output=tmp_path / "m.lmkit")
    for model, name in ((cached, "c.lmkit"), (mean, "m.lmkit")):
        assert lmkit.load(tmp_path / name).log_prob("abba xy\n") == model.log_prob("abba xy\n")


@pytest.mark.parametrize(
    "exponents", [None, 3, [1], [1, "1"], [1, -0.5], [1, float("nan")], [1, float("inf")], [101, 1], [0, 0], [1e-60, 0]]
)
def test_damaged_and_wrong_exponents(exponents, tmp_path):
    members = [chars(FIRST).language_model, chars(SECOND).language_model]
    with pytest.raises(OptionError, match="exponents are"):
        LogLinearMixture(members, exponents)

    class Damaged:
        name, metadata, tensors = "m.lmkit", {"config": {"members": [{}] * 2, "exponents": exponents}}, {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lmkit.mixture.members.read", lambda file: members)
        with pytest.raises(ModelError, match="lmkit: the mixture is damaged"):
            LogLinearMixture.from_file(Damaged)


def test_exponents_of_exponents_stay_in_range():
    inner = LogLinearMixture([ngram(2, smoothing="add-k"), ngram(1, smoothing="add-k")], [20, 1])
    with pytest.raises(OptionError, match="from 0 to 100"):
        LogLinearMixture([inner, ngram(3, smoothing="add-k")], [20, 1])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weights": [0.5, -0.4]}, "from 0 to 100"),
        ({"weights": [0.5, 0.2, 0.3]}, "expected 2 numbers"),
        ({"weights": [0, 0]}, "all exponents are 0"),
        ({}, "--tune"),
        ({"weights": [0.5, 0.5], "tune": ("t", b"a")}, "nothing to choose"),
        ({"tune": ("t", b"a"), "rule": "geometric"}, "--rule is 'geometric'; choose one of linear, log-linear"),
    ],
)
def test_options_that_make_no_sense(options, said):
    with pytest.raises(OptionError, match=said):
        lmkit.mix([chars(FIRST), chars(SECOND)], **{"rule": "log-linear", **options})
    with pytest.raises(OptionError, match="one model alone"):
        lmkit.mix([chars(FIRST)], rule="log-linear", cache="unigram", tune=("t", b"abba\n"))

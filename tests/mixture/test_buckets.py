"""Mixtures with weights for each bucket of contexts: what they predict, draw, store and refuse, and their tuning."""

import functools

import numpy as np
import pytest
from contract import CHECKS, some_ids
from test_contract import ngram, recurrent

import lmkit
from lmkit.errors import CorpusError, ModelError, OptionError
from lmkit.mixture.buckets import BucketedMixture, Buckets, chosen_bounds
from lmkit.mixture.linear import LinearMixture
from lmkit.mixture.weights import fit_bucket_weights, fit_weights
from lmkit.ngram.packed import pack
from lmkit.ngram.trie import BEGIN

FALLBACK = (0.5, 1, 1.5)
TEXT = "abba acca.\nadda abca\n" * 9
THREE = [[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]]


def chars(text, order=3, name="chars", **options):
    return lmkit.train((name, text.encode()), order=order, tokenizer="char", smoothing="witten-bell", **options)


def of_chars():
    """Members that lack some of each other's characters, and the n-gram model is not the first."""
    return BucketedMixture(
        [chars("xyab yxba.\nabxy\n" * 9, 2).language_model, chars(TEXT).language_model],
        [[0.3, 0.7], [0.6, 0.4]], Buckets("followers", (3,)),
    )  # fmt: skip


MODELS = {
    "by counts": lambda: BucketedMixture(
        [ngram(3, discount_fallback=FALLBACK, keep_counts=True), recurrent("lstm", 2, "fedcba", embedding=7)],
        THREE, Buckets("counts", (3, 20)),
    ),
    "by followers, with a silent member": lambda: BucketedMixture(
        [recurrent("gru", 1, "abcdef"), ngram(4, smoothing="witten-bell"), ngram(2, smoothing="mle")],
        [[0.5, 0, 0.5], [0, 0.3, 0.7], [0, 0.5, 0.5]], Buckets("followers", (2, 4)),
    ),
    "packed": lambda: BucketedMixture(
        [pack(ngram(4, smoothing="witten-bell"), 8), ngram(1, smoothing="add-k")], THREE, Buckets("followers", (2, 6))
    ),
    "characters": of_chars,
}  # fmt: skip


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param]()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(model, check):
    check(model, draws=2000, **({"sums": 1e-2} if "quantize" in model.members[0].settings() else {}))


@pytest.mark.parametrize("name", MODELS)
def test_rows_are_those_of_the_linear_mixture_of_the_context(name):
    """And every bucket is met."""
    mixture = MODELS[name]()
    ids, state, met = some_ids(mixture, (1, 60))[0], mixture.begin(1), set()
    for w in ids:
        (bucket,) = mixture.buckets_of(state)
        size = slow_size(mixture.members[mixture.context], mixture.part(state, mixture.context))
        assert bucket == sum(size >= bound for bound in mixture.buckets.bounds)
        linear = LinearMixture(mixture.members, mixture.weights[bucket])
        np.testing.assert_allclose(mixture.log_probs(state), linear.log_probs(state), rtol=1e-6)
        met.add(bucket)
        state = mixture.advance(state, np.array([w]))
    assert len(met) == len(mixture.weights)


def slow_size(model, state):
    """The size of a context, out of what the model shows of its rows."""
    if model.context_measure == "counts":
        counts = model.context_counts(state)[0]
        return 0 if not state[0] else int(counts.sum())
    if "quantize" in model.settings():
        return int(model.context_sizes(state)[0])  # tests/ngram/test_contexts.py compares them with a plain model's
    if not state[0]:
        return 0
    begins = model.trie.nodes[:, BEGIN].astype(int)
    return begins[state[0] + 1] - begins[state[0]]


# Tuning


def test_bounds_are_powers_of_two_that_hold_enough():
    rng = np.random.default_rng(1)
    for scale, least in ((0.5, 100), (3, 1000), (6, 20)):
        sizes = np.exp(rng.normal(scale, 2, 5000)).astype(np.int64)
        bounds = chosen_bounds(sizes, least)
        held = np.bincount(Buckets("counts", bounds).of(sizes), minlength=len(bounds) + 1)
        assert held.min() >= least
        assert len(bounds) < 2 or all(b & (b - 1) == 0 for b in bounds)
    assert chosen_bounds(np.zeros(3000)) == () and chosen_bounds(np.array([1, 5, 9])) == ()
    assert chosen_bounds(np.repeat([0, 2**32 - 1], 1000)) == (1,)


def test_em_of_each_bucket_is_em_of_its_tokens():
    rng = np.random.default_rng(5)
    log_p, buckets = np.log(rng.random((3, 500))), rng.integers(0, 4, 500)
    weights, trace = fit_bucket_weights(log_p, buckets)
    assert np.all(np.diff(trace) >= 0)
    mixed = np.logaddexp.reduce(log_p + np.log(weights[buckets].T), axis=0)
    assert trace[-1] == pytest.approx(mixed.mean(), abs=1e-6)
    for b in range(4):
        alone, _ = fit_weights(log_p[:, buckets == b])
        np.testing.assert_allclose(weights[b], alone, atol=0.01)
    first, _ = fit_bucket_weights(log_p, buckets, np.array([0, 0.5, 0.5]))
    assert (first[:, 0] == 0).all() and first.sum(axis=1) == pytest.approx(1)


def test_tuning(monkeypatch, tmp_path):
    text = ("tune", b"".join(b"abba acca.\nadda abca\nxyab\n" for _ in range(3)))
    models = [chars(TEXT, keep_counts=True), chars(TEXT[::-1] + "xy", 1)]
    monkeypatch.setattr("lmkit.mixture.making.chosen_bounds", functools.partial(chosen_bounds, least=8))
    said = []
    mixed = lmkit.mix(models, weights_by="context", tune=text, output=tmp_path / "b.lmkit", report=said.append)
    trace = [float(line.split()[3]) for line in said if line.startswith("EM ")]
    assert len(trace) > 2 and np.all(np.diff(trace) >= 0)
    linear = lmkit.mix(models, tune=text)
    tokens = mixed.perplexity(text).tokens
    assert mixed.perplexity(text).log_probability / tokens == pytest.approx(trace[-1], abs=1e-5)
    assert mixed.perplexity(text).log_probability > linear.perplexity(text).log_probability
    inner = mixed.language_model
    lines = [line for line in said if "tokens, weights" in line]
    assert len(lines) == len(inner.weights) > 2
    assert sum(int(line.split(": ")[1].split()[0]) for line in lines) == tokens
    assert lines[0].startswith("no context") and lines[-1].startswith("contexts seen ") and "or more" in lines[-1]
    again = lmkit.load(tmp_path / "b.lmkit")
    assert again.family == "bucketed" and again.settings() == mixed.settings()
    assert again.perplexity(text).log_probability == mixed.perplexity(text).log_probability
    assert again.sample(n=40, seed=3) == mixed.sample(n=40, seed=3)
    assert again.sample(n=9, seed=3, top_k=3) and lmkit.info(tmp_path / "b.lmkit", verify=True)["damaged"] == []
    cached = lmkit.mix(again, cache="unigram", tune=text, output=tmp_path / "c.lmkit")
    assert lmkit.load(tmp_path / "c.lmkit").log_prob("abba\n") == cached.log_prob("abba\n")


def test_models_without_counts_go_by_followers():
    said = []
    mixed = lmkit.mix([chars(TEXT), chars(TEXT, 1)], weights_by="context", tune=("t", b"abba\n"), report=said.append)
    assert mixed.language_model.buckets == Buckets("followers", ())
    assert any("keeps no counts" in line for line in said) and any(line.startswith("all contexts: ") for line in said)


def test_linear_mixtures_among_the_members_are_dissolved():
    a, b = chars(TEXT), chars(TEXT, 1)
    mixed = lmkit.mix([lmkit.mix([a, b], weights=[0.5, 0.5]), b], weights_by="context", tune=("t", b"abba\n"))
    assert [m.order for m in mixed.language_model.members] == [3, 1, 1]
    again = lmkit.mix([mixed, a], weights=[0.5, 0.5]).language_model
    assert [m.family for m in again.members] == ["bucketed", "ngram"]


# Refusals


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "buckets is damaged"),
        ({"buckets": {"measure": "counts"}}, "buckets is damaged"),
        ({"buckets": {"measure": "ages", "bounds": []}, "weights": [[1]]}, "expected one of counts, followers"),
        ({"buckets": {"measure": [], "bounds": []}, "weights": [[1]]}, "expected one of counts, followers"),
        ({"buckets": {"measure": "counts", "bounds": []}, "weights": [[0.5, 0.5]]}, "the n-gram model has followers"),
        ({"buckets": {"measure": "followers", "bounds": [2, 1]}, "weights": THREE}, "ascending"),
        ({"buckets": {"measure": "followers", "bounds": [1, 1]}, "weights": THREE}, "ascending"),
        ({"buckets": {"measure": "followers", "bounds": [0]}, "weights": THREE[:2]}, "ascending"),
        ({"buckets": {"measure": "followers", "bounds": [2**63]}, "weights": THREE[:2]}, "ascending"),
        ({"buckets": {"measure": "followers", "bounds": [1.5]}, "weights": THREE[:2]}, "ascending"),
        ({"buckets": {"measure": "followers", "bounds": ["1"]}, "weights": THREE[:2]}, "ascending"),
        ({"buckets": {"measure": "followers", "bounds": list(range(1, 65))}, "weights": THREE}, "ascending"),
        ({"buckets": {"measure": "followers", "bounds": [1]}, "weights": THREE}, "2 buckets"),
        ({"buckets": {"measure": "followers", "bounds": [1]}, "weights": None}, "2 buckets"),
        ({"buckets": {"measure": "followers", "bounds": [1]}, "weights": [[0.5, 0.5], 3]}, "expected 2 numbers"),
        ({"buckets": {"measure": "followers", "bounds": [1]}, "weights": [[0.5, 0.5], [0.5, 0.6]]}, "sum to 1.1"),
    ],
)
def test_damaged_files(config, said, monkeypatch):
    members = [ngram(2, smoothing="witten-bell"), ngram(1, smoothing="witten-bell")]
    monkeypatch.setattr("lmkit.mixture.members.read", lambda file: members)

    class Damaged:
        name, metadata, tensors = "m.lmkit", {"config": config}, {}

    with pytest.raises(ModelError, match=rf"m\.lmkit: the mixture is damaged: .*{said}"):
        BucketedMixture.from_file(Damaged)


def test_files_without_an_ngram_model(monkeypatch):
    monkeypatch.setattr("lmkit.mixture.members.read", lambda file: [recurrent("elman", 1, "abcdef")])

    class Damaged:
        name, tensors = "m.lmkit", {}
        metadata = {"config": {"buckets": {"measure": "followers", "bounds": []}, "weights": [[1]]}}  # noqa: RUF012

    with pytest.raises(ModelError, match="none of the models is one"):
        BucketedMixture.from_file(Damaged)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rule": "log-linear"}, "--weights-by context goes with --rule linear"),
        ({"weights": [0.5, 0.5]}, "--weights-by context has nothing to choose"),
        ({"weights_by": "size"}, "--weights-by is 'size'"),
        ({"tune": None}, "--tune"),
    ],
)
def test_options_that_make_no_sense(options, said):
    with pytest.raises(OptionError, match=said):
        lmkit.mix([chars(TEXT), chars(TEXT, 1)], **{"weights_by": "context", "tune": ("t", b"abba\n"), **options})


def test_who_has_no_contexts():
    text = ("t", b"a rose is a rose is a rose\n" * 12)
    networks = [
        lmkit.train(text, "elman", tokenizer="char", layers=1, hidden=4, batch=2, bptt=8, steps=1, embedding=0, seed=s)
        for s in (1, 2)
    ]
    with pytest.raises(OptionError, match="none of the models is one"):
        lmkit.mix(networks, weights_by="context", tune=("u", b"rose\n"))
    with pytest.raises(OptionError, match="one model alone"):
        lmkit.mix([chars(TEXT)], weights_by="context", tune=("u", b"abba\n"), cache="unigram")
    models = [lmkit.train(("t", b"ab\n" * n), order=2, tokenizer="char", smoothing="mle") for n in (1, 2)]
    with pytest.raises(CorpusError, match="no probability"):
        lmkit.mix(models, weights_by="context", tune=("t", b"ba\n"))

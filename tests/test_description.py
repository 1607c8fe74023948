"""What is made of a model file's metadata, also of damaged ones."""

import collections

import numpy as np
import pytest
from texts import COWS

import lmkit
from lmkit import registry
from lmkit.description import changed_options, described
from lmkit.ngram.options import SMOOTHINGS

TEXT = ("cows", COWS.encode())
QUICK = {"hidden": 8, "steps": 3, "batch": 2, "bptt": 5}


def facts_of(model):
    language_model = model.language_model
    tensors = language_model.tensors()
    metadata = {"config": language_model.config(), **model.text.metadata(), **model.metadata}
    return described(model.family, metadata, tensors, sum(t.nbytes for t in tensors.values()))


def train(**options):
    return lmkit.train(TEXT, **{"smoothing": "witten-bell", "order": 2, "tokenizer": "whitespace", **options})


KINDS = {
    "witten-bell 2-gram": ("Witten-Bell 2-gram", lambda: train()),
    "backing off": ("Witten-Bell 2-gram, backing off", lambda: train(interpolate=False)),
    "mle": ("maximum likelihood 3-gram", lambda: train(smoothing="mle", order=3)),
    "packed": ("Witten-Bell 2-gram, packed, numbers of 8 bits", lambda: lmkit.prune(train(), quantize=8)),
    "pruned": ("Witten-Bell 2-gram, backing off, pruned", lambda: lmkit.prune(train(), threshold=1e-3)),
    "lstm": (
        "LSTM, 2 layers of 8, embeddings of 8, tied to the output",
        lambda: lmkit.train(TEXT, "lstm", layers=2, tie_weights=True, tokenizer="char", **QUICK),
    ),
    "elman": (
        "Elman network, 1 layer of 8, softmax in 2 parts",
        lambda: lmkit.train(TEXT, "elman", layers=1, clusters=(8,), tokenizer="char", **QUICK),
    ),
    "mixture": (
        "linear mixture of 2 models", lambda: lmkit.mix([train(), train(order=3)], weights=[0.25, 0.75])
    ),
    "cache": ("unigram cache, weight ", lambda: lmkit.mix(train(), cache="unigram", tune=TEXT)),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::lmkit.LmkitWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_kinds(kind):
    expected, make = KINDS[kind]
    model = make()
    facts = facts_of(model)
    assert facts["kind"].startswith(expected)
    assert facts["vocabulary"] == model.vocabulary_size
    if model.family == "rnn":
        assert facts["parameters"] == model.metadata["training"]["parameters"] and "ngrams" not in facts
    if model.family == "ngram":
        assert list(facts["ngrams"].values()) == list(model.language_model.trie.sizes[1:])
        assert "parameters" not in facts
    if model.family == "linear":
        assert [member["weight"] for member in facts["members"]] == [0.25, 0.75]
        assert [member["kind"] for member in facts["members"]] == ["Witten-Bell 2-gram", "Witten-Bell 3-gram"]
        sizes = [sum(t.nbytes for t in m.tensors().values()) for m in model.language_model.members]
        assert [member["bytes"] for member in facts["members"]] == sizes


def test_every_family_has_a_kind_and_every_smoothing_a_name():
    assert set(registry.FACTS) == set(registry.READERS)
    for family in registry.FACTS:
        assert len(registry.facts(family, {}, {})["kind"]) > 3
    names = {registry.facts("ngram", {"order": 3, "smoothing": name}, {})["kind"] for name in (*SMOOTHINGS, "arpa")}
    assert len(names) == len(SMOOTHINGS) + 1
    assert registry.facts("oracle", {}, {}) == {"kind": "oracle"}


def test_frequent_tokens_are_those_of_the_text():
    counts = collections.Counter(COWS.split())
    facts = facts_of(train())
    assert facts["frequent"] == sorted(counts, key=lambda token: (-counts[token], token))[:10]
    for options in ({"vocabulary": ["corn", "cows"]}, {"tokenizer": "byte"}):
        assert "frequent" not in facts_of(train(**options))
    assert facts_of(train(tokenizer="char"))["frequent"][0] in " s"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"arch": "ngram", "order": 5, "smoothing": "modified-kneser-ney", "discount_fallback": (0.5, 1, 1.5)},
         {"discount_fallback": [0.5, 1.0, 1.5]}),
        ({"order": 2, "tokenizer": "whitespace", "smoothing": "katz"},
         {"order": 2, "smoothing": "katz", "tokenizer": "whitespace"}),
        ({"smoothing": "witten-bell", "interpolate": False, "lowercase": True, "order": 5},
         {"smoothing": "witten-bell", "interpolate": False, "lowercase": True}),
        ({"smoothing": "witten-bell", "min_count": 2, "vocab_size": 9, "sentence": "line", "order": 2,
          "cutoffs": (0, 1)},
         {"smoothing": "witten-bell", "min_count": 2, "vocab_size": 9, "sentence": "line", "order": 2,
          "cutoffs": [0, 1]}),
        ({"arch": "gru", "tokenizer": "char", **QUICK}, {"arch": "gru", "tokenizer": "char", **QUICK}),
        ({"arch": "lstm", "preset": "tiny", "hidden": 8, "steps": 2},
         {"arch": "lstm", "preset": "tiny", "hidden": 8, "steps": 2}),
        ({"arch": "lstm", "optimizer": "sgd", "hidden": 8, "layers": 1, "steps": 2, "seed": 4},
         {"arch": "lstm", "optimizer": "sgd", "hidden": 8, "layers": 1, "steps": 2, "seed": 4}),
        ({"arch": "elman", "hidden": 8, "layers": 1, "time_limit": "0.1s"},
         {"arch": "elman", "hidden": 8, "layers": 1, "time_limit": 0.1}),
    ],
    ids=lambda options: " ".join(options),
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::lmkit.LmkitWarning")
def test_changed_options_are_those_that_were_given(options, expected):
    assert facts_of(lmkit.train(TEXT, **options))["changed"] == expected


ODD = [None, True, 7, -1, 10**400, 1e400, float("nan"), "x" * 9, [], [[]], {}, {"members": 3}, [{}], [None, {"x": 1}]]


def test_odd_metadata_are_no_crash():
    """Whatever stands in whatever place, something is said, or nothing."""
    facts = facts_of(lmkit.mix([train(), train(order=3)], weights=[0.25, 0.75]))
    assert facts["members"]
    rng, tensors = np.random.default_rng(1), {"vocabulary.offsets": np.zeros((), np.int64), "0.x": np.zeros(3)}
    keys = [
        "config", "training", "options", "members", "weights", "ngrams", "corpora", "history", "order", "arch",
        "smoothing", "layers", "hidden", "preset", "parameters", "tokenizer", "cutoffs", "min_count", "tied",
    ]  # fmt: skip

    def odd(depth):
        if depth == 0 or rng.random() < 0.3:
            return ODD[rng.integers(len(ODD))]
        if rng.random() < 0.3:
            return [odd(depth - 1) for _ in range(3)]
        return {key: odd(depth - 1) for key in rng.choice(keys, 8).tolist()}

    for _ in range(60):
        for family in (*registry.FACTS, "oracle"):
            metadata = {"config": odd(3), "training": {"options": odd(2)}}
            found = described(family, metadata, tensors, 9)
            assert isinstance(found["kind"], str)


def test_changed_options_of_records_that_lack_or_hold_others():
    assert changed_options({}) == {}
    assert changed_options({"arch": "ngram", "wings": 2}) == {"wings": 2}
    assert changed_options({"arch": "lstm", "preset": ["?"], "optimizer": 7}) == {
        "arch": "lstm", "preset": ["?"], "optimizer": 7,
    }  # fmt: skip
    assert changed_options({"arch": ["lstm"], "tokenizer": {}}) == {"arch": ["lstm"], "tokenizer": {}}

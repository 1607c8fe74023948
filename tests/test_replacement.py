"""A finished model of another training is not replaced without a word."""

import copy

import pytest
from trainings import PAIR, TEXT, interrupted, trained, unchanged

import lmkit
from lmkit import replacement
from lmkit.errors import OptionError


@pytest.fixture
def output(tmp_path):
    return tmp_path / "model.lmkit"


RECORD = {
    "corpora": [{"name": "a.txt", "sha256": "11"}, {"name": "b.txt", "sha256": "22"}],
    "held_out": {"share": 0.05, "tokens": 9},
    "options": {"arch": "lstm", "hidden": 8, "clusters": (4, 9), "checkpoint_every": (30.0, "s"), "preset": "small"},
    "lmkit_version": "0.1.0",
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda record: None, None),
        (lambda record: record["corpora"][0].update(name="moved.txt"), None),
        (lambda record: record["options"].update(checkpoint_every=[5, "steps"], preset="tiny"), None),
        (lambda record: record.update(history=[], seconds=3.0, lmkit_version="0.2.0"), None),
        (lambda record: record["corpora"][1].update(sha256="33"), "it learnt from other texts: a.txt, b.txt"),
        (lambda record: record["corpora"].pop(), "it learnt from other texts: a.txt"),
        (lambda record: record.update(corpora=record["corpora"] * 3),
         "it learnt from other texts: a.txt, b.txt, a.txt and 3 more"),
        (lambda record: record["held_out"].update(share=0.1), "other text was held out to validate on"),
        (lambda record: record.update(held_out={"file": "v", "sha256": "44"}),
         "other text was held out to validate on"),
        (lambda record: record["options"].update(hidden=64), "--hidden was 64, and is 8"),
        (lambda record: record["options"].update(clusters=[4, 8]), "--clusters was [4, 8], and is [4, 9]"),
        (lambda record: record["options"].pop("hidden"), "--hidden was None, and is 8"),
        (lambda record: record["options"].update(tie_weights=True), "--tie-weights was True, and is None"),
        (lambda record: record.pop("corpora"), "it is of another origin"),
        (lambda record: record.update(corpora="x", options=[]), "it is of another origin"),
        (lambda record: record.clear(), "it is of another origin"),
    ],
)  # fmt: skip
def test_difference(change, expected):
    found = copy.deepcopy(RECORD)
    found["options"] |= {"clusters": [4, 9], "checkpoint_every": [30.0, "s"]}  # as in a file
    change(found)
    assert replacement.difference(found, RECORD) == expected


def test_the_same_training_replaces_its_model(output):
    for threads in (1, 2):
        trained(output, threads=threads, checkpoint_every=f"{threads}000steps")


@pytest.mark.parametrize(
    ("options", "told"),
    [({"hidden": 9}, "--hidden was 8, and is 9"), ({"valid": 0.1}, "other text was held out"),
     ({"texts": ("text", TEXT.encode() + b"!")}, "it learnt from other texts: text")],
    ids=["options", "validation", "text"],
)  # fmt: skip
def test_another_one_needs_force(output, options, told):
    """And is refused before the first step."""
    trained(output)
    steps = []
    with unchanged(output), pytest.raises(OptionError) as caught:
        trained(output, progress=lambda phase, *_: steps.append(phase.startswith("epoch")), **options)
    assert str(caught.value).startswith(f"{output} is the model of another training, and would be lost ({told}")
    assert str(caught.value).endswith("); replace it with --force, or choose another -o") and not any(steps)
    assert [p.name for p in output.parent.iterdir()] == ["model.lmkit"]
    trained(output, force=True, **options)


def test_other_kinds_of_models(output):
    for make in (
        lambda: lmkit.train(PAIR, smoothing="mle", output=output),
        lambda: lmkit.prune(lmkit.train(PAIR, smoothing="witten-bell"), ngrams=100, output=output),
        lambda: output.write_bytes(output.read_bytes()[:-1]),
    ):
        make()
        with unchanged(output), pytest.raises(OptionError, match="--force"):
            trained(output)
    output.write_bytes(b"")
    trained(output)


def test_a_training_that_was_allowed_to_is_resumed_without_a_word(output):
    lmkit.train(PAIR, smoothing="mle", output=output)
    interrupted(output, force=True)
    assert lmkit.resume(output, PAIR).metadata["training"]["steps"] == 60


def test_an_ngram_training_goes_on(output):
    trained(output)
    assert lmkit.train(PAIR, smoothing="mle", output=output).family == lmkit.load(output).family == "ngram"

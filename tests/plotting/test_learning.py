"""Learning curves: the record of a training as points, old ones and checkpoints too; damaged ones refused."""

import json
import math

import pytest
from trainings import OPTIONS, PAIR, interrupted, rewrite, trained

import lmkit
from lmkit.errors import LmkitWarning, ModelError, OptionError
from lmkit.plotting.learning import curves_of


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("learning") / "m.lmkit"
    trained(path)
    return path


@pytest.fixture(scope="module")
def ngram():
    return lmkit.train(PAIR, order=3, tokenizer="char", smoothing="witten-bell")


def record_of(entries=2, **changes):
    history = [
        {"step": 10 * i, "epoch": i, "tokens": 80 * i, "train_loss": 3 / i, "valid_loss": 3.5 / i,
         "seconds": 0.5 * i, "learning_rate": 0.1}
        for i in range(1, entries + 1)
    ]  # fmt: skip
    return {"training": {"steps": 10 * entries, "tokens_trained": 80 * entries, "history": history, **changes}}


class TestRecords:
    def test_curves_are_the_history(self, model):
        history = lmkit.info(model)["training"]["history"]
        chart = lmkit.learning_curves(model, measure="bits")
        assert [axis.name for axis in chart.axes] == ["seconds", "tokens"]
        rows = list(chart.rows())
        for part, key in (("training", "train_loss"), ("validation", "valid_loss")):
            of_part = [row for row in rows if row["part"] == part]
            assert [row["bits"] for row in of_part] == pytest.approx([e[key] / math.log(2) for e in history])
            for name in ("step", "epoch", "seconds", "tokens"):
                assert [row[name] for row in of_part] == [entry[name] for entry in history]
        assert {row["model"] for row in rows} == {str(model)} and len(rows) == 2 * len(history)

    def test_a_model_in_memory_has_the_same(self, model):
        chart = lmkit.learning_curves([lmkit.load(model)], axis="steps")
        assert list(chart.rows()) == list(lmkit.learning_curves([model]).rows())
        assert [axis.name for axis in chart.axes] == ["step"]

    def test_records_of_version_0_1_0_say_of_tokens_only_the_sum(self):
        metadata = record_of(3)
        for entry in metadata["training"]["history"]:
            del entry["tokens"]
        for curve in curves_of(metadata, "m", 0):
            assert curve.columns["tokens"] == (80, 160, 240)

    def test_without_validation(self):
        metadata = record_of()
        for entry in metadata["training"]["history"]:
            del entry["valid_loss"]
        assert [curve.part for curve in curves_of(metadata, "m", 0)] == ["training"]

    def test_a_checkpoint_of_a_training_that_was_stopped(self, tmp_path):
        interrupted(tmp_path / "m.lmkit")
        rows = list(lmkit.learning_curves(tmp_path / "m.lmkit.checkpoint").rows())
        assert [row["step"] for row in rows] == [10, 20] * 2
        with pytest.raises(ModelError, match=r"m.lmkit: not there yet, .* name .*m.lmkit.checkpoint"):
            lmkit.learning_curves(tmp_path / "m.lmkit")

    def test_a_checkpoint_before_the_first_validation(self, tmp_path):
        interrupted(tmp_path / "m.lmkit", at=5)
        with pytest.raises(ModelError, match=r"has no learning curve: .* not validated yet"):
            lmkit.learning_curves(tmp_path / "m.lmkit.checkpoint")

    def test_a_resumed_training_has_one_curve(self, tmp_path, model):
        interrupted(tmp_path / "m.lmkit")
        lmkit.resume(tmp_path / "m.lmkit", PAIR)
        tokens = [row["tokens"] for row in lmkit.learning_curves(tmp_path / "m.lmkit").rows()]
        assert tokens == [row["tokens"] for row in lmkit.learning_curves(model).rows()]


@pytest.mark.parametrize(
    "damage",
    [
        {"history": "none"}, {"history": {}}, {"history": 7}, {"history": [1]}, {"history": [[]]}, {"history": [{}]},
        *({key: value} for key in ("step", "seconds", "tokens", "train_loss", "valid_loss", "epoch")
          for value in (None, "x", [], True, math.nan, math.inf, -1, 10**30, 1e300)),
        {"step": 10}, {"step": 1.5}, {"tokens": 1.5}, {"seconds": 0.1},
    ],
    ids=str,
)  # fmt: skip
def test_damaged_records_are_refused(damage):
    metadata = record_of(3)
    ((key, value),) = damage.items()
    if key == "history":
        metadata["training"]["history"] = value
    else:
        metadata["training"]["history"][1][key] = value
    with pytest.raises(ModelError, match=r"m: the record of its training is damaged: .*; train it anew") as caught:
        curves_of(metadata, "m", 0)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("missing", ["step", "seconds", "train_loss", "valid_loss", "epoch", "tokens"])
def test_what_is_missing_is_named(missing):
    metadata = record_of(3, steps=None)
    del metadata["training"]["history"][1][missing]
    with pytest.raises(
        ModelError, match=r"(valid_loss|seconds) and some have none|is missing|steps is 'None', no number"
    ):
        curves_of(metadata, "m", 0)


def test_other_metadata_has_no_curve():
    for metadata in ({}, {"training": None}, {"training": []}, {"training": {}}, record_of(history=[])):
        assert curves_of(metadata, "m", 0) == []


def test_long_histories_are_read(tmp_path, model):
    """As many entries as a header can hold are no reason to give up."""
    path = tmp_path / "long.lmkit"
    path.write_bytes(model.read_bytes())
    long = record_of(5_000)["training"]
    rewrite(path, lambda tensors, metadata: metadata.update(training={**metadata["training"], **long}))
    chart = lmkit.learning_curves(path)
    assert len(chart.curves[0].losses) == 5_000 and len(chart.points(chart.axes[0], chart.curves[0])) < 500


class TestLevels:
    def test_a_model_without_a_curve_is_a_line_at_its_loss(self, model, ngram, tmp_path):
        text = ("held", b"It is the east.\n")
        chart = lmkit.learning_curves([model, ngram], texts=text)
        assert [curve.number for curve in chart.curves] == [0, 0, 1]
        (row,) = (row for row in chart.rows() if row["model"] == "model 2")
        assert row["nats"] == pytest.approx(math.log(ngram.perplexity(text).perplexity))
        assert (row["part"], row["step"], row["tokens"]) == ("held", None, None)

    def test_there_must_be_a_text_for_it_and_only_for_it(self, model, ngram):
        with pytest.raises(ModelError, match=r"model 2 has no learning curve: .* name a text with --text"):
            lmkit.learning_curves([model, ngram])
        with pytest.warns(LmkitWarning, match="--text is for models without a learning curve, and all of these have"):
            chart = lmkit.learning_curves([model], texts="nowhere.txt")
        assert {curve.part for curve in chart.curves} == {"training", "validation"}

    def test_a_text_that_was_learnt_is_told_of(self, ngram):
        with pytest.warns(LmkitWarning, match="model 1 was trained on text: its loss there is too small"):
            lmkit.learning_curves(ngram, texts=PAIR)

    def test_each_model_reads_the_whole_text(self, ngram):
        rows = list(lmkit.learning_curves([ngram, ngram], texts=("t", b"It is the sun.\n")).rows())
        assert rows[0]["nats"] == rows[1]["nats"]


def test_losses_of_other_tokens_do_not_compare(model):
    words = lmkit.train(PAIR, **{**OPTIONS, "tokenizer": "word", "steps": 2})
    with pytest.warns(LmkitWarning, match="different tokens and do not compare: tokenizer is char and word"):
        chart = lmkit.learning_curves([model, words])
    assert json.dumps(list(chart.rows()))


def test_options_that_are_none(model):
    for options in ({"axis": "joy"}, {"measure": "joy"}):
        with pytest.raises(OptionError, match="is 'joy'; choose one of"):
            lmkit.learning_curves([model], **options)
    with pytest.raises(OptionError, match="no model is named"):
        lmkit.learning_curves([])

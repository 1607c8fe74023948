"""Two trainings of the same text with the same options give files of the same bytes."""

import os
import subprocess
import sys

import pytest
from trainings import TEXT

import lmkit
from lmkit.errors import OptionError

LSTM = [
    "--arch", "lstm", "--tokenizer", "char", "--layers", "1", "--hidden", "8", "--batch", "8", "--bptt", "10",
    "--steps", "20", "--validate-every", "10",
]  # fmt: skip
KEPT = {"seconds", "training_seconds", "tokens_per_second"}


@pytest.fixture
def train(tmp_path):
    """Train in a process of its own, which hashes in its own way."""
    (tmp_path / "corpus.txt").write_text(TEXT)

    def train(name, *options, **environment):
        environment = {**os.environ, "PYTHONHASHSEED": str(len(name)), **environment}
        command = [sys.executable, "-m", "lmkit", "train", "corpus.txt", "-o", name, *options]
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=60)
        return (tmp_path / name).read_bytes()

    return train


@pytest.mark.parametrize(
    "options",
    [
        ["--discount-fallback", "0.5,1,1.5"],
        ["--smoothing", "jelinek-mercer", "--tokenizer", "byte"],
        ["--smoothing", "mle", "--vocab-size", "20", "--keep-counts"],
    ],
    ids=lambda options: options[1],
)
def test_ngram_models(train, options):
    one = train("one", *options, "--threads", "1")
    assert one == train("second", *options, "--threads", "2", "--memory", "1G")


def test_recurrent_models_where_times_are_left_out(train, tmp_path):
    one = train("one", *LSTM, "--threads", "1", SOURCE_DATE_EPOCH="0")
    assert one == train("second", *LSTM, "--threads", "2", SOURCE_DATE_EPOCH="1700000000")
    record = lmkit.info(tmp_path / "one")["training"]
    assert not KEPT & {*record} and [set(entry) & KEPT for entry in record["history"]] == [set(), set()]


def test_else_the_times_are_all_that_differs(train, tmp_path, monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    train("timed", *LSTM)
    record = lmkit.info(tmp_path / "timed")["training"]
    assert {*record} >= KEPT and all(entry["seconds"] > 0 for entry in record["history"])
    train("bare", *LSTM, SOURCE_DATE_EPOCH="0")
    bare = lmkit.info(tmp_path / "bare")["training"]
    history = [{name: value for name, value in entry.items() if name not in KEPT} for entry in record["history"]]
    assert {**{name: value for name, value in record.items() if name not in KEPT}, "history": history} == bare


def test_curves_without_times(tmp_path, monkeypatch):
    def trained(name):
        return lmkit.train(
            ("text", TEXT.encode()), arch="elman", hidden=4, layers=1, batch=8, bptt=10, steps=20, validate_every=10,
            output=tmp_path / name,
        )  # fmt: skip

    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    timed = trained("timed")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    bare = trained("bare")
    assert [axis.name for axis in lmkit.learning_curves([timed]).axes] == ["seconds", "tokens"]
    chart = lmkit.learning_curves([timed, bare])
    assert [axis.name for axis in chart.axes] == ["tokens"]
    assert [row["seconds"] is None for row in chart.rows()] == [False] * 4 + [True] * 4
    with pytest.raises(OptionError, match=r"no record of time.*SOURCE_DATE_EPOCH; choose --axis tokens"):
        lmkit.learning_curves([timed, bare], axis="time")
    lmkit.plot(chart, tmp_path / "curves.svg")

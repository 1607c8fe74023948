"""What the options accept, what they say of what they do not, and what the presets fill in."""

import dataclasses

import pytest

from lmkit.errors import OptionError
from lmkit.rnn.options import PRESETS, RNNOptions, seconds


@pytest.mark.parametrize(
    ("text", "value"), [("90s", 90), ("10m", 600), ("2h", 7200), ("1.5h", 5400), ("45", 45), ("1d", 86400), (30, 30)]
)
def test_durations(text, value):
    assert seconds(text, "--time-limit") == value


@pytest.mark.parametrize("text", ["", "ten", "-5s", "0", "5 weeks", "1e9x", "nan", "inf", "s"])
def test_no_durations(text):
    with pytest.raises(OptionError, match=r"--time-limit is .*90s, 10m or 2h"):
        seconds(text, "--time-limit")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("30s", (30, "s")), ("500steps", (500, "steps")), ("1 step", (1, "steps")), ("5m", (300, "s")),
        ("1000000steps", (10**6, "steps")), ("12345678s", (12345678, "s")), ("0.00001s", (1e-5, "s")),
    ],
)  # fmt: skip
def test_checkpoint_intervals(text, value):
    options = RNNOptions(checkpoint_every=text)
    assert options.checkpoint_every == value
    assert dataclasses.replace(options).checkpoint_every == value  # as it comes back from a file
    assert RNNOptions(checkpoint_every=list(value)).checkpoint_every == value


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"preset": "huge"}, "--preset is 'huge'; choose one of tiny, small, medium"),
        ({"optimizer": "lion"}, "--optimizer"),
        ({"layers": 0}, "--layers is 0; it must be from 1 to 64"),
        ({"hidden": 2.5}, "--hidden is 2.5; it must be a whole number"),
        ({"hidden": True}, "--hidden is True"),
        ({"hidden": 10**9}, "--hidden is 1000000000; it must be from 1"),
        ({"dropout": 1.0}, "--dropout is 1.0; it must be a number from 0 to below 1"),
        ({"dropout": float("nan")}, "--dropout is nan"),
        ({"learning_rate": 0}, "--learning-rate is 0; it must be a number over 0"),
        ({"learning_rate": float("inf")}, "--learning-rate is inf"),
        ({"clip": -1}, "--clip is -1"),
        ({"epochs": 0}, "--epochs is 0; it must be at least 1"),
        ({"momentum": 0.5}, "--momentum goes with --optimizer sgd, not with adam"),
        ({"weight_decay": 0.5, "optimizer": "sgd"}, "--weight-decay goes with --optimizer adamw, not with sgd"),
        ({"tie_weights": True, "hidden": 8, "embedding": 4}, "--tie-weights makes the embedding as large as"),
        ({"tie_weights": True, "softmax": "adaptive"}, "--tie-weights goes with --softmax full"),
        ({"clusters": (10, 5)}, "--clusters is '10,5'; it takes growing numbers over 3"),
        ({"clusters": (10,), "softmax": "full"}, "--clusters goes with --softmax adaptive"),
        ({"time_limit": "soon"}, "--time-limit is 'soon'"),
        ({"checkpoint_every": "often"}, "--checkpoint-every is 'often'; it takes 30s, 10m or 500steps"),
        ({"checkpoint_every": ["a", "s"]}, "--checkpoint-every"),
        ({"seed": -1}, "--seed is -1"),
    ],
)
def test_each_refusal_names_the_option_and_the_value(wrong, message):
    with pytest.raises(OptionError) as caught:
        RNNOptions(**wrong)
    assert message in str(caught.value)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_fill_in_what_is_not_given(preset):
    options = RNNOptions(preset=preset, hidden=17)
    assert options.hidden == 17
    for name, value in PRESETS[preset].items():
        assert name == "hidden" or getattr(options, name) == value


def test_a_time_limit_or_epochs_replace_the_steps_of_the_preset_but_not_those_given():
    assert RNNOptions().steps == PRESETS["small"]["steps"]
    assert RNNOptions(time_limit="10m").steps is None and RNNOptions(epochs=3).steps is None
    assert RNNOptions(time_limit="10m", steps=3).steps == 3


def test_what_belongs_to_an_optimizer_has_a_value_with_it_alone():
    assert RNNOptions().momentum is None and RNNOptions().weight_decay is None
    assert RNNOptions(optimizer="sgd").momentum == 0.9 and RNNOptions(optimizer="sgd").learning_rate == 1
    assert RNNOptions(optimizer="adamw").weight_decay == 0.01


def test_ties_make_the_embedding_as_large_as_the_hidden_layer():
    options = RNNOptions(tie_weights=True, hidden=24)
    assert (options.embedding, options.softmax) == (24, "full")


def test_what_is_described_makes_the_same_options():
    options = RNNOptions(preset="tiny", clusters=(10, 20), time_limit="5m", optimizer="adamw")
    again = RNNOptions(**options.describe())
    assert again.describe() == options.describe()

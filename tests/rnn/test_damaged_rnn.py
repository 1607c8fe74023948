"""Nothing in a model file is trusted: each kind of damage has one line that says where, what and what to do."""

import tracemalloc

import numpy as np
import pytest
from fuzzing import answers_of
from test_contract import recurrent

from lmkit import registry, storage
from lmkit.errors import ModelError

MISSING = object()


@pytest.fixture
def parts():
    """Metadata and tensors of a GRU with clusters, to be damaged and written."""
    model = recurrent("gru", 2, embedding=6, cutoffs=(5, 9))
    return {"config": model.config(), **model.text.metadata()}, dict(model.tensors())


def refusal(tmp_path, metadata, tensors):
    """Write a file with valid checksums; return what is said when it is opened: one line that names the file."""
    path = tmp_path / "model.lmkit"
    storage.save(path, "rnn", metadata, tensors)
    with pytest.raises(ModelError) as caught:
        registry.load(storage.open_model_file(path))
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and len(message) < len(str(path)) + 200
    return message


@pytest.mark.parametrize(
    ("key", "values"),
    {
        "arch": ["transformer", "", None, 3, ["gru"], {}, MISSING],
        "layers": [0, -1, 65, 10**9, 10**30, 1.0, True, "2", None, [2], MISSING],
        "hidden": [0, -1, 2**20 + 1, 10**9, 10**30, 1e300, False, "10", None, MISSING],
        "embedding": [-1, 10**9, 6.0, None, True, MISSING],
        "tied": [1, 0, None, "no", [], True, MISSING],
        "cutoffs": [
            None, 5, "59", {"5": 9}, [3], [5, 5], [9, 5], [5, 13], [5, 9, 10**9], [-5], [5.0], ["5"], [True, 5],
            [[5]], list(range(4, 20)), "\n" * 500, list(range(5000)), MISSING,
        ],
    }.items(),
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_settings_that_make_no_sense(parts, tmp_path, key, values):
    metadata, tensors = parts
    for value in values:
        config = {**metadata["config"], key: value}
        if value is MISSING:
            del config[key]
        message = refusal(tmp_path, {**metadata, "config": config}, tensors)
        found = "is missing" if value is MISSING else f"is {value!r}"
        assert (
            f"settings are not those of a recurrent model ({key} {found[:15]}" in message and "train it anew" in message
        )


@pytest.mark.parametrize("config", [None, [], "gru", 3, {}, [["arch", "gru"]]])
def test_settings_that_are_none(parts, tmp_path, config):
    assert "arch is missing" in refusal(tmp_path, {**parts[0], "config": config}, parts[1])


@pytest.mark.parametrize(
    "config",
    [{"arch": "lstm"}, {"arch": "elman"}, {"layers": 1}, {"layers": 3}, {"hidden": 11}, {"hidden": 2**20},
     {"embedding": 0}, {"embedding": 2**20}, {"cutoffs": []}, {"cutoffs": [5]}, {"cutoffs": [5, 10]},
     {"embedding": 10, "tied": True, "cutoffs": []}],
    ids=str,
)  # fmt: skip
def test_settings_of_another_network(parts, tmp_path, config):
    """Sane ones that are not those of the tensors: what is missing or has another shape is named."""
    metadata, tensors = parts
    if config == {"layers": 1}:  # the second layer would be left over, and its tensors are not asked for
        del tensors["layer0.bias"]
    message = refusal(tmp_path, {**metadata, "config": {**metadata["config"], **config}}, tensors)
    assert "tensor " in message and "expected float32 [" in message and message.endswith("train anew")


def test_every_tensor_is_needed_in_its_shape_and_type(parts, tmp_path):
    metadata, tensors = parts
    weights = [name for name in tensors if not name.startswith("vocabulary")]
    assert len(weights) == 1 + 2 * 4 + 2 + 2 * 3
    for name in weights:
        whole = tensors[name]
        for damaged in (None, whole[..., :-1], whole[None], whole.astype(np.float64), whole[:0], whole.T.copy()):
            if damaged is not None and (damaged.dtype, damaged.shape) == (whole.dtype, whole.shape):
                continue  # the transpose of a square or a vector
            changed = {key: t for key, t in tensors.items() if key != name or damaged is not None}
            if damaged is not None:
                changed[name] = damaged
            found = "is missing" if damaged is None else f"is {damaged.dtype} {list(damaged.shape)}"
            assert f"tensor {name} {found}; expected float32 {list(whole.shape)}" in refusal(
                tmp_path, metadata, changed
            )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, -2e15])
def test_weights_that_cannot_be(parts, tmp_path, value):
    metadata, tensors = parts
    for name in ("embedding", "layer1.recurrent_bias", "cluster2.projection"):
        changed = {**tensors, name: tensors[name].copy()}
        changed[name].reshape(-1)[-1] = value
        assert f"tensor {name} holds what is no number, or one over 1e+13" in refusal(tmp_path, metadata, changed)


def test_the_text_layer_is_needed(parts, tmp_path):
    metadata, tensors = parts
    without = {name: t for name, t in tensors.items() if not name.startswith("vocabulary")}
    refusal(tmp_path, metadata, without)
    refusal(tmp_path, {"config": metadata["config"]}, tensors)


def test_no_memory_is_taken_because_a_file_asks_for_it(tmp_path):
    """A few hundred bytes that describe a network of four terabytes are refused within one megabyte."""
    model = recurrent("lstm")
    config = {**model.config(), "hidden": 2**20, "layers": 64, "embedding": 2**20}
    metadata, tensors = {"config": config, **model.text.metadata()}, model.text.tensors()
    refusal(tmp_path, metadata, tensors)  # all imports are done
    tracemalloc.start()
    assert "tensor embedding is missing" in refusal(tmp_path, metadata, tensors)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_damaged_networks_answer_or_refuse():
    """No crash, no hang, no error but those on purpose; what a process of its own says, see `damaged_networks.py`."""
    answered, refused = answers_of("rnn/damaged_networks.py", rounds=30, seed=7)
    assert answered > 30 and refused > 60

"""The recurrent model: bits, files, bad callers. What every family promises is in tests/test_contract.py."""

import json

import numpy as np
import pytest
from contract import chi_square_is_fine, some_state, uniforms
from test_contract import recurrent

from lmkit import storage
from lmkit.decoding import generate
from lmkit.errors import LmkitError, ModelError
from lmkit.model import EOS, UNK
from lmkit.rnn.model import RNNModel

KINDS = {
    "elman": lambda: recurrent("elman"),
    "gru": lambda: recurrent("gru", 2, embedding=6),
    "lstm": lambda: recurrent("lstm", 2),
    "tied": lambda: recurrent("lstm", embedding=10, tied=True),
    "clusters": lambda: recurrent("lstm", cutoffs=(5, 9)),
}
NOTHING = np.empty(0, np.int32)


@pytest.fixture(scope="module", params=KINDS)
def model(request):
    return KINDS[request.param]()


def some_ids(model, n, t, seed=1):
    ids = np.random.default_rng(seed).integers(2, model.vocabulary_size, (n, t))
    return ids.astype(np.int32)


def test_scores_are_the_same_bits_however_the_text_is_cut_and_read(model):
    """Chunks, company and threads change no bit, neither of scores nor of states."""
    ids = some_ids(model, 7, 60)
    whole, after = model.score(model.begin(7), ids)
    for threads in (1, 2, 3):
        model.threads = threads
        state, parts = model.begin(7), []
        for piece in np.split(ids, [1, 2, 30], axis=1):
            log_p, state = model.score(state, piece)
            parts.append(log_p)
        np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
        np.testing.assert_array_equal(state, after)
    for i in range(7):
        alone, end = model.score(model.begin(1), ids[i : i + 1])
        np.testing.assert_array_equal(alone[0], whole[i])
        np.testing.assert_array_equal(end[0], after[i])


def test_draws_are_the_same_bits_with_any_company_and_threads(model):
    state = some_state(model, 30)
    runs = []
    for threads in (1, 2):
        model.threads = threads
        runs.append(model.draw(state, 25, uniforms(30), np.array([UNK], np.int32)))
    np.testing.assert_array_equal(runs[0][0], runs[1][0])
    np.testing.assert_array_equal(runs[0][1], runs[1][1])
    assert not (runs[0][0] == UNK).any()


def test_the_start_is_the_zero_state_fed_with_a_sentence_end(model):
    zero = np.zeros_like(model.begin(1))
    np.testing.assert_array_equal(model.begin(2)[1:], model.advance(zero, np.array([EOS])))


def test_a_sentence_end_does_not_make_it_forget(model):
    states = some_state(model, 2)
    ends = model.advance(states, np.full(2, EOS, np.int32))
    assert not np.array_equal(ends[0], ends[1])


@pytest.mark.parametrize("temperature", [0.5, 2.0])
@pytest.mark.parametrize("kind", ["gru", "clusters"])
def test_draws_at_a_temperature_follow_the_sharpened_distribution(kind, temperature):
    """By the kernel where there is one softmax, by rows where there are clusters: p ** (1 / temperature)."""
    model = KINDS[kind]()
    state = np.repeat(some_state(model, 1), 3000, axis=0)
    blocks = generate(
        model, state, n=1, uniforms=uniforms(3000), temperature=temperature, allow_unk=True
    )  # fmt: skip
    p = np.exp(model.log_probs(state[:1])[0].astype(float) / temperature)
    assert chi_square_is_fine(next(blocks)[:, 0], p / p.sum())


def test_bans_within_clusters_are_kept():
    model = KINDS["clusters"]()
    banned = np.array([UNK, 6, 7, 10], np.int32)
    ids, _ = model.draw(some_state(model, 20), 50, uniforms(20), banned)
    assert not np.isin(ids, banned).any()


def test_where_nothing_may_come_it_says_so(model):
    with pytest.raises(LmkitError, match="nothing can be drawn"):
        model.draw(model.begin(2), 3, uniforms(2), np.arange(model.vocabulary_size, dtype=np.int32))


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.advance(m.begin(2), np.array([5, m.vocabulary_size])),
        lambda m: m.advance(m.begin(2), np.array([-1, 5])),
        lambda m: m.advance(m.begin(2), np.array([5])),
        lambda m: m.score(m.begin(2), np.array([[5, 5]])),
        lambda m: m.score(m.begin(1), np.array([[2**31]])),
        lambda m: m.score(m.begin(2)[..., :-1], np.array([[5], [5]])),
        lambda m: m.draw(m.begin(2), 3, uniforms(3), NOTHING),
        lambda m: m.draw(m.begin(2), 3, uniforms(2), np.array([m.vocabulary_size], np.int32)),
        lambda m: m.draw(m.begin(2), 3, uniforms(2), np.array([-1], np.int32)),
    ],
)
def test_bad_callers_are_refused(model, call):
    """Kernels trust what they are given, so that nothing wrong may reach them."""
    with pytest.raises(ValueError, match=r"do not go with|go from|is none of this model"):
        call(model)


def test_texts_longer_than_the_memory_at_once(monkeypatch):
    model = KINDS["lstm"]()
    ids = some_ids(model, 3, 100)
    whole = model.score(model.begin(3), ids)[0]
    monkeypatch.setattr("lmkit.rnn.model.ROWS", 21)
    np.testing.assert_array_equal(model.score(model.begin(3), ids)[0], whole)


def save(model, path, config=None, tensors=None):
    metadata = {"config": {**model.config(), **(config or {})}, **model.text.metadata()}
    storage.save(path, "rnn", metadata, {**model.tensors(), **(tensors or {})})
    return storage.open_model_file(path)


def test_a_saved_model_is_the_same_bits(model, tmp_path):
    again = RNNModel.from_file(save(model, tmp_path / "m"))
    assert again.shape == model.shape and again.flat.tobytes() == model.flat.tobytes()
    ids = some_ids(model, 2, 9)
    np.testing.assert_array_equal(again.score(again.begin(2), ids)[0], model.score(model.begin(2), ids)[0])


@pytest.mark.parametrize(
    "config",
    [
        {"arch": "transformer"}, {"arch": None}, {"arch": ["lstm"]}, {"layers": 0}, {"layers": 10**9}, {"layers": "2"},
        {"layers": True}, {"hidden": 10**15}, {"hidden": -4}, {"hidden": 2.5}, {"hidden": None}, {"embedding": -1},
        {"embedding": 10**12}, {"tied": True}, {"tied": 1}, {"cutoffs": None}, {"cutoffs": [2]}, {"cutoffs": [5, 5]},
        {"cutoffs": [10**9]}, {"cutoffs": "5"}, {"cutoffs": [5.5]},
        {"layers": 5}, {"hidden": 11}, {"embedding": 8}, {"arch": "elman"}, {"cutoffs": [6]}, {"hidden": 2**20},
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_told_before_memory_is_taken(config, tmp_path):
    file = save(KINDS["lstm"](), tmp_path / "m", config)
    with pytest.raises(ModelError) as caught:
        RNNModel.from_file(file)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "m")) and "\n" not in message
    assert "settings are not those" in message or "; expected float32" in message


def test_settings_that_are_missing(tmp_path):
    for config in ({}, [], None, "lstm", 5):
        storage.save(
            tmp_path / "m", "rnn", {"config": config, **KINDS["lstm"]().text.metadata()}, KINDS["lstm"]().tensors()
        )
        with pytest.raises(ModelError, match="settings are not those of a recurrent model"):
            RNNModel.from_file(storage.open_model_file(tmp_path / "m"))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e20])
def test_weights_that_are_no_numbers_or_too_large(value, tmp_path):
    model = KINDS["lstm"]()
    wrong = model.tensors()["layer1.recurrent"].copy()
    wrong[3, 5] = value
    with pytest.raises(ModelError, match=r"layer1.recurrent holds what is no number, or one over"):
        RNNModel.from_file(save(model, tmp_path / "m", tensors={"layer1.recurrent": wrong}))


@pytest.mark.parametrize("change", [lambda t: t[:-1], lambda t: t.astype(np.float64), lambda t: t.reshape(-1)])
def test_tensors_of_another_shape(change, tmp_path):
    model = KINDS["gru"]()
    tensors = {"layer0.input": np.ascontiguousarray(change(model.tensors()["layer0.input"]))}
    with pytest.raises(ModelError, match=r"layer0.input is .*; expected float32 \[6, 30\]"):
        RNNModel.from_file(save(model, tmp_path / "m", tensors=tensors))


def test_the_largest_weights_a_file_may_have_give_distributions(tmp_path):
    """Sums of products of such numbers are still numbers: no row becomes NaN."""
    for kind in KINDS:
        model = KINDS[kind]()
        signs = np.sign(model.flat)
        huge = RNNModel(model.text, model.shape, (signs * 1e15).astype(np.float32))
        file = save(huge, tmp_path / kind)
        huge = RNNModel.from_file(file)
        rows = huge.log_probs(huge.score(huge.begin(3), some_ids(huge, 3, 20))[1])
        np.testing.assert_allclose(np.exp(rows.astype(float)).sum(axis=1), 1, atol=1e-5)
        ids, _ = huge.draw(huge.begin(3), 20, uniforms(3), NOTHING)
        assert (ids >= 0).all()


def test_settings_name_what_the_scores_depend_on():
    settings = KINDS["tied"]().settings()
    assert json.loads(json.dumps(settings)) == settings
    assert (settings["arch"], settings["layers"], settings["hidden"], settings["tied"]) == ("lstm", 1, 10, True)

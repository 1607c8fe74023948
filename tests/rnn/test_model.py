"""The recurrent model: bits, files, bad callers. What every family promises is in tests/test_contract.py."""

import json

import numpy as np
import pytest
import reference_rnn as reference
from contract import chi_square_is_fine, some_state, uniforms
from test_contract import plain, recurrent

from lmkit import storage
from lmkit.decoding import generate
from lmkit.errors import LmkitError, ModelError
from lmkit.mixture.linear import LinearMixture
from lmkit.model import BOS, EOS, UNK
from lmkit.rnn.model import RNNModel

KINDS = {
    "elman": lambda: recurrent("elman"),
    "gru": lambda: recurrent("gru", 2, embedding=6),
    "lstm": lambda: recurrent("lstm", 2),
    "tied": lambda: recurrent("lstm", embedding=10, tied=True),
    "resets": lambda: recurrent("lstm", 2, embedding=6, reset="sentence"),
    "rests": lambda: recurrent("gru", 2, reset="some", rests=True),
    "clusters": lambda: recurrent("lstm", cutoffs=(5, 9)),
    "plain": lambda: plain("gru", 2, embedding=6, cutoffs=(5, 9)),
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


def test_activations_are_what_the_states_hold(model, monkeypatch):
    """tanh(c) where there is a memory, h elsewhere, of each layer, after each token; in any pieces."""
    ids = some_ids(model, 3, 20)
    found, after = model.activations(model.begin(3), ids)
    state = model.begin(3)
    for t in range(20):
        state = model.advance(state, ids[:, t])
        held = state[:, :, -1, : model.shape.hidden]
        expected = np.tanh(held) if model.shape.arch == "lstm" else held
        np.testing.assert_allclose(found[:, t], expected, atol=1e-6)
    np.testing.assert_array_equal(after, state)
    assert np.abs(found).max() <= 1
    monkeypatch.setattr("lmkit.rnn.model.ROWS", 15)
    np.testing.assert_array_equal(model.activations(model.begin(3), ids)[0], found)


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
    """But for the models that rest in a state of their own."""
    before = model.before_text(1)
    assert before.any() == (model.resting is not None)
    np.testing.assert_array_equal(model.begin(2)[1:], model.advance(before, np.array([EOS])))


def test_a_sentence_end_makes_only_models_forget_that_reset(model):
    states = some_state(model, 2)
    ends = model.advance(states, np.full(2, EOS, np.int32))
    assert np.array_equal(ends[0], ends[1]) == (not model.remembers)


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
    assert again.shape == model.shape
    assert {k: t.tobytes() for k, t in again.tensors().items()} == {k: t.tobytes() for k, t in model.tensors().items()}
    if again.network.width != model.network.width:
        return  # made by plain loops, loaded with this machine's panels
    assert again.flat.tobytes() == model.flat.tobytes()
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
        huge = RNNModel(model.text, model.shape, (signs * 1e13).astype(np.float32))
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


def test_probabilities_are_those_of_the_textbook(model):
    """The state before a text is fed `</s>`; then a text, token by token, in NumPy and float64."""
    shape, ids = model.shape, some_ids(model, 3, 12)
    before = model.before_text(3)[..., : shape.hidden].transpose(1, 2, 0, 3)
    fed = np.concatenate([np.full((1, 3), EOS), ids[:, :-1].T])
    rows, _ = reference.network(shape, model.tensors(), fed, before, None if model.remembers else fed == EOS)
    expected = np.take_along_axis(rows, ids.T[:, :, None], 2)[:, :, 0].T
    np.testing.assert_allclose(model.score(model.begin(3), ids)[0], expected, atol=1e-4)


def test_the_state_after_a_draw_is_that_of_scoring_it(model):
    """To the bit, and for a draw in pieces, one of which is empty."""
    start = some_state(model, 4)
    whole, after = model.draw(start, 15, uniforms(4), NOTHING)
    np.testing.assert_array_equal(model.score(start, whole)[1], after)
    state, source, pieces = start, uniforms(4), []
    for t in (1, 0, 8, 6):
        ids, state = model.draw(state, t, source, NOTHING)
        pieces.append(ids)
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), whole)
    np.testing.assert_array_equal(state, after)


def test_draws_invert_the_cumulated_probabilities():
    """By hand: the uniform numbers of one key, one a token, and the rows of the model."""
    model = KINDS["lstm"]()
    ids, _ = model.draw(model.begin(1), 50, uniforms(1), np.array([UNK], np.int32))
    state, dice = model.begin(1), uniforms(1)
    for token in ids[0]:
        row = np.exp(model.log_probs(state)[0].astype(float))
        row[UNK] = 0
        cumulated = np.cumsum(row)
        assert token == np.searchsorted(cumulated, dice.floats()[0] * cumulated[-1], side="right")
        state = model.advance(state, np.array([token]))


@pytest.mark.parametrize("banned", [[7, 11], [*range(9, 13)], [*range(5)], [*range(5), 9, 10, 12]], ids=str)
def test_bans_leave_their_share_to_the_others(banned):
    """Tokens of a cluster, all of one, the head, and all but a few."""
    model, banned = KINDS["clusters"](), np.array(banned, np.int32)
    state = np.repeat(some_state(model, 1), 3000, axis=0)
    p = np.exp(model.log_probs(state[:1])[0].astype(float))
    p[banned] = 0
    assert chi_square_is_fine(model.draw(state, 1, uniforms(3000), banned)[0][:, 0], p / p.sum())


@pytest.mark.parametrize("kind", ["lstm", "clusters"])
def test_bans_leave_their_share_however_large_it_is(kind):
    """A token 1,000 nats above the rest is banned: the rest is drawn from."""
    model = KINDS[kind]()
    model.network.view("output.bias")[4] = 1000
    model.network.pack()
    state = np.repeat(model.begin(1), 3000, axis=0)
    assert (model.draw(state[:9], 1, uniforms(9), NOTHING)[0] == 4).all()
    rest = model.log_probs(state[:1])[0].astype(float)
    rest[4] = -np.inf
    p = np.exp(rest - rest.max())
    assert chi_square_is_fine(model.draw(state, 1, uniforms(3000), np.array([4]))[0][:, 0], p / p.sum())


@pytest.mark.parametrize("temperature", [1e-6, 1e30, 1e60, 1e300])
def test_draws_at_the_ends_of_temperature_are_tokens(temperature):
    """The coldest take the most probable one, the hottest any; none is padding, whose logits are scaled, too."""
    model = KINDS["lstm"]()
    ids, _ = model.draw(model.begin(2000), 1, uniforms(2000), np.array([UNK], np.int32), temperature=temperature)
    if temperature < 1:
        assert (ids == model.log_probs(model.begin(1))[0].argmax()).all()
    else:
        p = np.ones(model.vocabulary_size)
        p[[UNK, BOS]] = 0
        assert chi_square_is_fine(ids[:, 0], p / p.sum())


def test_no_streams_and_no_steps(model):
    none, state = model.begin(0), model.begin(2)
    assert model.log_probs(none).shape == (0, model.vocabulary_size)
    assert model.score(none, np.empty((0, 4), np.int32))[0].shape == (0, 4)
    assert model.draw(none, 4, uniforms(0), NOTHING)[0].shape == (0, 4)
    log_p, after = model.score(state, np.empty((2, 0), np.int32))
    assert log_p.shape == (2, 0) and after is not state
    np.testing.assert_array_equal(after, state)


def test_states_of_another_model_are_refused():
    model = KINDS["lstm"]()
    state = model.begin(3)
    for wrong in (state[0], state[..., :-1], state[:, :, :1], np.repeat(state, 2, 1), state.astype(np.float64)):
        for call in (
            lambda s: model.log_probs(s),
            lambda s: model.advance(s, np.full(len(s), 5)),
            lambda s: model.draw(s, 2, uniforms(len(s)), NOTHING),
        ):
            with pytest.raises(ValueError, match="none of this model"):
                call(wrong)
    with pytest.raises(ValueError, match="do not go with"):
        model.advance(state, np.int32(5))


def test_states_may_be_views_and_read_only(model):
    state = some_state(model, 6)[::2]
    same = state.copy()
    same.setflags(write=False)
    ids = some_ids(model, 3, 4)
    for call in (
        lambda s: (model.log_probs(s), model.log_probs(s[:1])),
        lambda s: model.score(s, ids),
        lambda s: model.draw(s, 3, uniforms(3), NOTHING),
    ):
        for a, b in zip(call(state), call(same), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("where", ["state", "cluster"])
def test_what_is_no_number_draws_nothing(where):
    model = KINDS["clusters"]()
    model.network.view("output.bias")[5] = 1000  # the entry of the first cluster
    if where == "cluster":
        model.network.view("cluster1.weight")[:] = np.nan
    model.network.pack()
    state = model.begin(2) if where == "cluster" else np.full_like(model.begin(2), np.nan)
    for banned in (NOTHING, np.array([12], np.int32)):
        with pytest.raises(LmkitError, match="no number"):
            model.draw(state, 1, uniforms(2), banned)


@pytest.mark.parametrize("sign", [1, -1])
def test_no_weights_make_padding_come(sign, tmp_path):
    """Logits of a cluster that are all below, or above, any that padding could have."""
    model = KINDS["clusters"]()
    flat = np.zeros_like(model.flat)
    for name in model.network.layout.parts:
        value = 1e13 * np.sign(model.network.layout[name].true(model.flat))
        if name.startswith("cluster"):
            value = np.abs(value) * (sign if name.endswith("weight") else 1)
        model.network.layout[name].true(flat)[:] = value
    model = RNNModel.from_file(save(RNNModel(model.text, model.shape, flat), tmp_path / "m"))
    state = np.abs(some_state(model, 30))
    np.testing.assert_allclose(np.exp(model.log_probs(state).astype(float)).sum(axis=1), 1, atol=1e-5)
    for banned in (NOTHING, np.array([*range(5), 12], np.int32)):
        ids, _ = model.draw(state, 20, uniforms(30), banned)
        assert ids.min() >= 0 and ids.max() < model.vocabulary_size and not np.isin(ids, banned).any()
    assert np.isfinite(model.score(state, some_ids(model, 30, 9))[0]).all()


def test_a_vocabulary_of_reserved_tokens_alone(tmp_path):
    """A text of empty lines: `</s>` is all that comes."""
    model = recurrent("lstm", tokens="")
    model = RNNModel.from_file(save(model, tmp_path / "m"))
    assert (model.draw(model.begin(2), 5, uniforms(2), np.array([UNK], np.int32))[0] == EOS).all()


def test_a_file_holds_the_numbers_without_padding(tmp_path):
    tensors = save(KINDS["gru"](), tmp_path / "m").tensors
    assert tensors["layer0.input"].shape == (6, 30) and tensors["layer1.recurrent"].shape == (10, 30)
    assert tensors["layer1.recurrent_bias"].shape == (10,) and tensors["output.weight"].shape == (10, 13)


def test_what_a_training_keeps_beside_the_weights_is_left_alone(model, tmp_path):
    more = {"training.m.layer0.bias": np.full(3, np.nan, np.float32)}
    again = RNNModel.from_file(save(model, tmp_path / "m", tensors=more))
    assert again.tensors().keys() == model.tensors().keys()


@pytest.mark.parametrize("arch", ["elman", "gru", "lstm"])
def test_a_model_that_resets_forgets_all_before_a_sentence_end(arch):
    """To the bit: after `</s>` it is where it began, and scores each sentence as if it stood alone."""
    model, rng = recurrent(arch, 2, reset="sentence"), np.random.default_rng(4)
    assert not model.remembers and recurrent(arch, reset="file").remembers
    sentences = [np.append(rng.integers(3, model.vocabulary_size, n), EOS).astype(np.int32) for n in (4, 1, 7, 2)]
    whole, after = model.score(model.begin(), np.concatenate(sentences)[None])
    alone = [model.score(model.begin(), sentence[None])[0] for sentence in sentences]
    np.testing.assert_array_equal(whole, np.concatenate(alone, axis=1))
    np.testing.assert_array_equal(after, model.begin())
    mixture = LinearMixture([model, recurrent(arch)], [0.5, 0.5])
    ids, state = mixture.draw(mixture.begin(3), 40, uniforms(3), np.array([UNK], np.int32))
    assert (ids == EOS).any()
    np.testing.assert_array_equal(state[0], mixture.score(mixture.begin(3), ids)[1][0])


def test_the_state_before_a_text_is_kept_and_fed_a_sentence_end(tmp_path):
    model = recurrent("lstm", 2, reset="some", rests=True)
    np.testing.assert_array_equal(model.before_text(2)[1, :, :, :10], model.resting)
    np.testing.assert_array_equal(model.begin(), model.advance(model.before_text(), np.array([EOS], np.int32)))
    again = RNNModel.from_file(save(model, tmp_path / "m"))
    assert again.reset == "some" and again.resting.tobytes() == model.resting.tobytes()
    old = RNNModel.from_file(save(recurrent("lstm", 2), tmp_path / "old"))
    assert old.reset is None and not old.before_text().any() and "reset" not in old.config()


@pytest.mark.parametrize("damage", ["shape", "dtype", "nan", "rule"])
def test_a_damaged_beginning_is_refused(tmp_path, damage):
    model = recurrent("lstm", 2, reset="some", rests=True)
    if damage == "shape":
        model.resting = model.resting[:1]
    elif damage == "dtype":
        model.resting = model.resting.astype(np.float64)
    elif damage == "nan":
        model.resting[1, 0, 3] = np.nan
    else:
        model.reset = "often"
    with pytest.raises(ModelError, match="often" if damage == "rule" else "tensor resting is damaged"):
        RNNModel.from_file(save(model, tmp_path / "m"))

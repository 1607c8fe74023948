"""Models go to other processes, and are copied, without what they have computed for this one."""

import copy
import multiprocessing
import pickle

import numpy as np
import pytest
from pickled import TEXT, answer_or_error, answers, answers_of, ids_of
from test_contract import random_network
from texts import VERSES

import lmkit
from lmkit.errors import ModelError, OptionError
from lmkit.mixture.buckets import BucketedMixture, Buckets
from lmkit.mixture.cache import UnigramCache, UnigramParameters
from lmkit.mixture.dynamic import DynamicEvaluation, DynamicParameters
from lmkit.mixture.linear import LinearMixture
from lmkit.mixture.neural import NeuralCache, NeuralParameters
from lmkit.mixture.product import LogLinearMixture
from lmkit.rnn.network import Shape
from lmkit.text import TOKENIZERS, Vocabulary
from lmkit.text.table import TokenTable, padded

CORPUS = ("verses", "".join(f"{verse}\n" for verse in VERSES).encode() + TEXT.encode())
EMBEDDED = {"embedding": 6}


def counted(tokenizer, **options):
    return lmkit.train(CORPUS, tokenizer=tokenizer, order=3, smoothing="witten-bell", **options).language_model


def network(text, arch, **options):
    return random_network(text, Shape(arch, len(text.vocabulary), 2, 9, **options))


def families(tokenizer):
    """A model of each family and form, over one vocabulary, by their names."""
    plain = counted(tokenizer)
    text = plain.text
    lstm = network(text, "lstm", **EMBEDDED)
    rms = np.abs(lstm.flat)
    return {
        "plain": plain,
        "counts": counted(tokenizer, keep_counts=True),
        "back-off": counted(tokenizer, interpolate=False),
        "packed": lmkit.prune(lmkit.Model(plain), quantize=6).language_model,
        "elman": network(text, "elman"),
        "gru": network(text, "gru", embedding=9, tied=True),
        "lstm": lstm,
        **{
            f"{arch}, clusters": network(text, arch, cutoffs=(6, 12), **options)
            for arch, options in {"elman": {}, "gru": EMBEDDED, "lstm": {}}.items()
        },
        "linear": LinearMixture([plain, lstm], [0.3, 0.7]),
        "log-linear": LogLinearMixture([plain, lstm], [0.4, 0.5]),
        "bucketed": BucketedMixture([plain, lstm], [[0.5, 0.5], [0.2, 0.8]], Buckets("followers", (2,))),
        "unigram-cache": UnigramCache(plain, UnigramParameters(0.2, 0.9)),
        "neural-cache": NeuralCache(lstm, NeuralParameters(0.3, 0.2, 50)),
        "dynamic": DynamicEvaluation(lstm, DynamicParameters(0.1, 0.01, 5)),
        "dynamic, rms": DynamicEvaluation(lstm, DynamicParameters(0.01, 0.01, 5), rms),
        "nested": LinearMixture([UnigramCache(plain, UnigramParameters(0.2, 0.9)), lstm], [0.5, 0.5]),
    }


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Models in memory and, under their paths, the same from files; nobody has used these yet."""
    folder = tmp_path_factory.mktemp("models")
    made = {f"{name}, {t}": lmkit.Model(model) for t in TOKENIZERS for name, model in families(t).items()}
    for name, model in made.items():
        model.save(folder / name)
    return made, {name: lmkit.load(folder / name) for name in made}


@pytest.fixture
def elsewhere():
    """Call a function with each of some arguments in one process that shares nothing with this one."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        yield pool.map


def test_another_process_says_the_same(models, elsewhere):
    """Of every family and tokenizer, whole and by path, before and after it was used."""
    made, loaded = models
    unused = {name: [pickle.dumps(model), pickle.dumps(model.by_path())] for name, model in loaded.items()}
    expected = {name: answers(model) for name, model in loaded.items()}
    pickles = {
        name: [*unused[name], *map(pickle.dumps, (loaded[name], loaded[name].by_path(), made[name]))] for name in made
    }
    found = iter(elsewhere(answers_of, [data for of_model in pickles.values() for data in of_model]))
    for name, of_model in pickles.items():
        for _ in of_model:
            assert next(found) == expected[name], name
    assert len({log_p for log_p, *_ in expected.values()}) > len(expected) / 2, "most models say something of their own"


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_say_the_same(models, copied):
    for model in [model for of in models for name, model in of.items() if name.endswith("word")]:
        expected, copies = answers(model), copied(copied(model))
        assert answers(copies) == expected, model
        assert copies.settings() == model.settings() and copies.metadata == model.metadata
        assert copies.origin == model.origin and copies.path == model.path
        assert type(copies.language_model) is type(model.language_model)


def test_a_copy_does_not_follow_the_network_that_it_was_made_of(models):
    network = copy.copy(models[0]["lstm, char"].language_model)
    before = answers(lmkit.Model(network))
    other = copy.copy(network)
    other.flat[:] = 0
    other.weights_changed()
    assert answers(lmkit.Model(network)) == before != answers(lmkit.Model(other))


def test_parts_keep_their_files_and_threads(models, tmp_path):
    """So a mixture that comes out of a pickle can name its members."""
    plain, lstm = (lmkit.load(models[1][f"{name}, char"].path) for name in ("plain", "lstm"))
    mixture = lmkit.mix([plain, lstm], weights=[0.5, 0.5])
    mixture.language_model.threads = 7
    again = pickle.loads(pickle.dumps(mixture))
    assert [part.origin for part in again.made_of()] == [plain.origin, lstm.origin]
    assert [part.threads for part in again.made_of()] == [7, 7]
    again.save(tmp_path / "mixed", by_reference=True)
    assert lmkit.load(tmp_path / "mixed").log_prob(TEXT) == mixture.log_prob(TEXT)


def test_threads_that_nobody_chose_are_those_of_the_machine(models, monkeypatch):
    data = pickle.dumps(models[1]["plain, char"])
    monkeypatch.setattr("lmkit.ngram.model.available", lambda: 77)
    assert pickle.loads(data).language_model.threads == 77


def test_arrays_are_read_only_so_that_kernels_are_compiled_once(models):
    for copied in (copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))):
        trie = copied(models[0]["plain, char"].language_model).trie
        assert not (trie.nodes.flags.writeable or trie.leaves.flags.writeable or trie.alias.flags.writeable)


# By path


def test_a_pickle_by_path_is_small_and_stays_one(models):
    model = models[1]["plain, byte"]
    by_path = model.by_path()
    data = pickle.dumps(by_path)
    assert len(data) < 1000 and len(pickle.dumps(pickle.loads(data))) == len(data)
    assert copy.copy(by_path).pickles_as_path and answers(by_path) == answers(model)
    assert len(pickle.dumps(model)) > 2000, "the model itself is pickled as before"


def test_a_member_by_path(models):
    """What is in the file of a mixture has that file."""
    for name in ("linear, word", "nested, word", "dynamic, word"):
        for member in models[1][name].made_of():
            again = pickle.loads(pickle.dumps(lmkit.Model(member).by_path()))
            assert again.family == member.family and again.origin == member.origin
            assert answers(again) == answers(lmkit.Model(member))


def test_threads_go_with_a_path(models):
    model = lmkit.load(models[1]["plain, byte"].path, threads=1)
    model.language_model.threads = 5
    assert pickle.loads(pickle.dumps(model.by_path())).language_model.threads == 5


def test_a_path_needs_a_file(models):
    with pytest.raises(OptionError, match="no file that a pickle could name; save it first"):
        lmkit.Model(counted("char")).by_path()


def test_a_file_that_is_gone_or_another_one_is_refused(models, elsewhere, tmp_path):
    path = tmp_path / "model.lmkit"
    lmkit.Model(counted("char")).save(path)
    data = pickle.dumps(lmkit.load(path).by_path())
    path.rename(tmp_path / "moved.lmkit")
    (gone,) = elsewhere(answer_or_error, [data])
    lmkit.Model(counted("byte")).save(path)
    (other,) = elsewhere(answer_or_error, [data])
    path.write_bytes((tmp_path / "moved.lmkit").read_bytes())
    (again,) = elsewhere(answer_or_error, [data])
    assert isinstance(gone, ModelError) and str(gone).startswith(f"{path}: the file of the model is not there any more")
    assert isinstance(other, ModelError) and str(other).startswith(f"{path}: the file has changed since")
    assert again == answers(lmkit.load(path))
    path.unlink()
    model = lmkit.load(tmp_path / "moved.lmkit")
    (tmp_path / "moved.lmkit").unlink()
    with pytest.raises(ModelError, match="not there any more"):
        model.by_path()


# Parts of models


def test_a_table_that_has_learnt_is_copied_with_its_counts():
    tokens = [b"a", b"two", b"a token of more than sixteen bytes"]
    lengths = np.array([len(token) for token in tokens])
    starts, block = np.cumsum(lengths) - lengths, padded(b"".join(tokens))
    table = TokenTable(Vocabulary.from_tokens([]).pool, Vocabulary.from_tokens([]).offsets)
    assert table.ids(block, starts, lengths, True).tolist() == [3, 4, 5]
    for copied in (copy.copy(table), copy.deepcopy(table), pickle.loads(pickle.dumps(table))):
        assert copied.ids(block, starts, lengths, False).tolist() == [3, 4, 5]
        assert copied.counts().tolist() == [0, 0, 0, 2, 2, 2]
        assert copied.ids(padded(b"new"), np.array([0]), np.array([3]), True).tolist() == [6]
    assert table.counts().tolist() == [0, 0, 0, 1, 1, 1] and table.size == 6


def test_text_layers_alone(models, elsewhere):
    layers = [models[0][f"plain, {tokenizer}"].text for tokenizer in TOKENIZERS]
    expected = [
        (text.encode_text(TEXT).ids.tolist(), text.vocabulary.ids(["to", "t", "?"]).tolist()) for text in layers
    ]
    assert elsewhere(ids_of, layers) == expected
    assert [ids_of(copied(text)) for copied in (copy.copy, copy.deepcopy) for text in layers] == expected * 2

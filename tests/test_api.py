"""The calls behind the commands, as a program uses them."""

import ast
import gzip
import inspect
import io
import math
import pickle
import warnings

import numpy as np
import pytest
from contract import check_all
from texts import COWS

import lmkit
from lmkit import api, errors, sampling
from lmkit.errors import CorpusError, ModelError, OptionError
from lmkit.text import Corpus

TEXT = ("cows", COWS.encode())


@pytest.fixture(scope="module")
def cows():
    return lmkit.train(TEXT, order=3, smoothing="mle", tokenizer="whitespace")


def test_the_package_names_what_it_has():
    for name in lmkit.__all__:
        assert getattr(lmkit, name) is not None
    assert dir(lmkit) == lmkit.__all__
    with pytest.raises(AttributeError, match="nothing"):
        lmkit.nothing  # noqa: B018


def test_the_package_names_every_call_at_run_time_and_for_type_checkers():
    names = {*lmkit.__all__} - {"__version__"}
    gathered = {name for name, value in vars(api).items() if name[0] != "_" and not inspect.ismodule(value)}
    assert names == gathered - {"NextToken"} | {*errors.__all__}
    imports = [node for node in ast.walk(ast.parse(inspect.getsource(lmkit))) if isinstance(node, ast.ImportFrom)]
    imports = [node for node in imports if node.module in ("lmkit.api", "lmkit.errors")]
    assert names == {alias.name for node in imports for alias in node.names}


def test_saved_and_loaded_is_the_same_model(cows, tmp_path):
    """Bit for bit: rows, scores and samples."""
    path = tmp_path / "cows.lmkit"
    cows.save(path)
    loaded = lmkit.load(path)
    np.testing.assert_array_equal(loaded.log_probs(loaded.begin(2)), cows.log_probs(cows.begin(2)))
    assert loaded.log_prob("cows eat hay") == cows.log_prob("cows eat hay")
    assert loaded.sample(n=50, seed=1) == cows.sample(n=50, seed=1)
    assert loaded.metadata["training"] == cows.metadata["training"]
    assert loaded.path == str(path)


def test_train_takes_a_place_for_the_file(tmp_path):
    model = lmkit.train([TEXT], order=2, smoothing="mle", output=tmp_path / "m")
    assert lmkit.load(tmp_path / "m").settings() == model.settings()


def test_texts_may_be_paths_pairs_files_and_corpora(tmp_path):
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"a b\n"))
    texts = [
        path,
        str(path),
        ("pair", b"a c\n"),
        ("file", io.BytesIO(b"a d\n")),
        Corpus("corpus", data=b"a e\n"),
    ]
    model = lmkit.train(texts, order=1, smoothing="mle", tokenizer="whitespace")
    assert {row.token: row.count for row in model.next()} == {
        "</s>": 5,
        "a": 5,
        "b": 2,
        "c": 1,
        "d": 1,
        "e": 1,
    }
    names = [c["name"] for c in model.metadata["training"]["corpora"]]
    assert names == [str(path), str(path), "pair", "file", "corpus"]


def test_log_prob_is_that_of_the_sentence_and_its_end(cows):
    assert cows.log_prob("cows eat corn") == pytest.approx(math.log(4 / 11))
    assert cows.log_prob("cows eat corn\ncows eat hay") == pytest.approx(math.log(4 / 11) + math.log(2 / 11))
    assert cows.log_prob("corn eat cows") == -math.inf


def test_the_loop_of_those_who_come_from_kenlm(cows):
    state, total = cows.begin(), 0.0
    for word in ("cows", "eat", "grass", "</s>"):
        id_ = np.array([cows.text.vocabulary.id(word) if word != "</s>" else 2], np.int32)
        total += cows.log_probs(state)[0, id_[0]]
        state = cows.advance(state, id_)
    assert total == pytest.approx(cows.log_prob("cows eat grass"))


def test_the_convenient_model_keeps_the_contract():
    text = ("verse", b"to be or not to be\nthat is the question\nwhether to be is nobler\n" * 3)
    check_all(lmkit.train(text, order=3, discount_fallback=(0.5, 1, 1.5), tokenizer="whitespace"))


def test_sample_one_or_many(cows):
    assert cows.sample(temperature=0, n=4) == "cows eat corn\n"
    assert cows.sample(temperature=0, n=4, count=2) == ["cows eat corn\n"] * 2
    assert cows.sample(prompt="cows", stop="corn", temperature=0) == " eat "
    assert cows.sample(n=30, seed=7) == cows.sample(n=30, seed=7) != cows.sample(n=30, seed=8)


def test_next_rows_sum_to_one_and_end_where_nothing_can_come(cows):
    rows = cows.next("cows eat", top=None)
    assert [(r.token, r.count, r.total) for r in rows][:2] == [("corn", 4, 11), ("grass", 3, 11)]
    assert sum(r.probability for r in rows) == pytest.approx(1) and len(rows) == 5


def test_next_says_what_it_rests_on(cows):
    known = cows.next("cows eat")
    assert (known.context, known.unseen, known.unknown) == (["cows", "eat"], False, [])
    unseen = cows.next("eat hay zebras hay")
    assert (unseen.context, unseen.unseen, unseen.unknown) == (["hay"], True, ["zebras"])
    start = cows.next("zebras cows eat\n")
    assert (start.context, start.unseen, start.unknown) == ([], False, ["zebras"])
    again = pickle.loads(pickle.dumps(unseen))
    assert again == unseen == list(unseen) and vars(again) == vars(unseen)
    options = {"tokenizer": "char", "hidden": 4, "steps": 2, "batch": 2, "bptt": 5, "valid": 0}
    rows = lmkit.train(TEXT, "elman", **options).next("cows é")
    assert (rows.context, rows.unseen, rows.unknown) == (["c", "o", "w", "s", " ", "<unk>"], False, ["é"])


def test_perplexity_names_its_settings(cows):
    result = lmkit.perplexity(cows, TEXT)
    assert result.settings["lmkit_version"] == lmkit.__version__ and result.settings["tokenizer"] == "whitespace"
    assert result.tokens == 44 and result.perplexity == pytest.approx(math.exp(-result.log_probability / 44))


def test_progress_tells_phases_and_ends_full():
    calls = []
    lmkit.train(TEXT, order=2, smoothing="mle", progress=lambda *call: calls.append(call))
    assert calls[0] == ("reading", len(COWS), len(COWS), "B")
    phases = [c for c in calls if c[3] == "tokens"]
    assert phases and all(done <= total for _, done, total, _ in phases)


def test_a_wrong_option_is_named():
    with pytest.raises(OptionError, match=r"ordr .* order"):
        lmkit.train(TEXT, ordr=3)
    with pytest.raises(OptionError, match="transformer"):
        lmkit.train(TEXT, arch="transformer")
    with pytest.raises(OptionError, match="no text"):
        lmkit.train([])
    with pytest.raises(OptionError, match="orders"):
        lmkit.count(TEXT, [0])
    with pytest.raises(OptionError, match=r"orders is 2; give a list such as \[2\]"):
        lmkit.count(TEXT, 2)


def test_values_out_of_range_are_named(cows, tmp_path):
    with pytest.raises(OptionError, match=r"^seed is -1; it must be a whole number of at least 0$"):
        cows.sample(seed=-1)
    with pytest.raises(OptionError, match=r"^seed is 'x'"):
        cows.sample(seed="x")
    with pytest.raises(OptionError, match=r"^foo is no option of sample; it has n, sentences, stop, keep_stop, temp"):
        cows.sample(foo=1)
    with pytest.raises(OptionError, match=r"^top is -3; it must be at least 0$"):
        cows.next("cows", top=-3)
    cows.save(tmp_path / "m")
    with pytest.raises(OptionError, match=r"^threads is 0"):
        lmkit.load(tmp_path / "m", threads=0)
    assert lmkit.load(tmp_path / "m", threads=1).language_model.threads == 1


def test_each_option_of_sample_is_known(cows):
    options = {
        "n": 4, "sentences": 3, "stop": "hay", "keep_stop": True, "temperature": 2, "top_k": 9, "top_p": 0.9,
        "min_p": 0.1, "repetition_penalty": 1.1, "allow_unk": True,
    }  # fmt: skip
    assert set(options) == set(sampling.OPTIONS)
    assert isinstance(cows.sample(**options), str)


def test_training_does_not_replace_its_text(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text(COWS)
    for output in (path, str(path)):
        with pytest.raises(OptionError, match="is what is read"):
            lmkit.train(path, smoothing="mle", output=output)
    with pytest.raises(OptionError, match="no lmkit model"):
        lmkit.train(TEXT, smoothing="mle").save(path)
    assert path.read_text() == COWS


def test_a_bad_place_is_refused_before_the_work(tmp_path):
    for output in ("/nonexist/x", "/dev/null", tmp_path, ""):
        with pytest.raises(OptionError):
            lmkit.train("nowhere.txt", output=output)


def test_a_vocabulary_that_leaves_nothing_is_warned_of():
    with pytest.warns(lmkit.LmkitWarning, match="only <unk> is left of the tokens: none is there 100 times"):
        lmkit.train(TEXT, smoothing="mle", min_count=100)
    with pytest.warns(lmkit.LmkitWarning, match="the vocabulary has no other"):
        lmkit.count(TEXT, vocabulary=["<unk>"])


def test_a_family_from_the_future(cows, tmp_path):
    from lmkit import storage

    storage.save(tmp_path / "m", "oracle", {}, {"x": np.zeros(3, np.float32)})
    with pytest.raises(ModelError, match=r"oracle.*newer"):
        lmkit.load(tmp_path / "m")


def test_errors_come_from_the_library_as_they_are(cows):
    with pytest.raises(CorpusError):
        lmkit.train("nowhere.txt")
    with pytest.raises(ModelError):
        lmkit.load("nowhere.lmkit")


NAMES = "".join(f"name {i}\n" for i in range(400))
PLAY = "SPEAKER:\n" + "A line of a long speech in verse.\n" * 40 + "\n"


@pytest.mark.parametrize(
    "text, options, sentences",
    [
        (NAMES, {}, "400 lines, 1 sentence:"),
        (NAMES + "\n" + NAMES, {"tokenizer": "char"}, "801 lines, 2 sentences:"),
        (NAMES, {"sentence": "paragraph"}, None), (NAMES, {"sentence": "line"}, None),
        (NAMES, {"tokenizer": "whitespace"}, None), (PLAY * 20, {}, None), (NAMES[:1000], {}, None),
    ],
)  # fmt: skip
def test_sentences_that_may_be_lines_are_told(text, options, sentences):
    """Paragraphs of hundreds of lines, unless somebody asked for them; plays and short texts are none."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        lmkit.train(("text", text.encode()), order=2, smoothing="witten-bell", **options)
    told = [str(warning.message) for warning in caught]
    assert [message.startswith(sentences or "") for message in told] == [True] * (sentences is not None)
    assert all("did you mean --sentence line?" in message for message in told)

"""Samples as text: ends, prompts, stop strings, streams; with a slow model and the real text layer."""

import itertools

import numpy as np
import pytest
from reference import ElmanReference, NGramReference

from lmkit import sampling
from lmkit.errors import LmkitWarning, OptionError
from lmkit.model import EOS
from lmkit.sampling import sample_pieces, shown_prompt
from lmkit.text import Corpus, TextSettings, learn
from lmkit.uniforms import Uniforms

RHYME = b"Row, row, row your boat,\ngently down the stream.\n\nMerrily, merrily, merrily;\nlife is but a dream.\n\n"


def trained(tokenizer="word", order=3, kind=NGramReference):
    ids, text, _, _ = learn([Corpus("rhyme", data=RHYME)], TextSettings(tokenizer))
    return kind(text, ids, order, fallback=(0.5, 1, 1.5))


@pytest.fixture(scope="module")
def model():
    return trained()


def samples(model, seed=1, **options):
    """The text and the ids of each stream."""
    made = {}
    for piece in sample_pieces(model, rng=np.random.default_rng(seed), **options):
        text, ids = made.get(piece.stream, (b"", []))
        made[piece.stream] = (text + piece.text, ids + piece.ids.tolist())
    return [made[i] for i in sorted(made)]


def test_text_is_the_tokens_decoded(model):
    ((text, ids),) = samples(model, n=80)
    assert text == model.text.decode(np.array(ids, np.int32)) and len(ids) == 80


def test_streams_come_in_order_and_do_not_depend_on_each_other(model):
    order = [p.stream for p in sample_pieces(model, n=30, count=4, rng=np.random.default_rng(2))]
    assert order == sorted(order) and set(order) == {0, 1, 2, 3}
    assert samples(model, 2, n=30, count=2) == samples(model, 2, n=30, count=4)[:2]


def test_the_first_stream_is_there_before_all_are_done(model):
    pieces = sample_pieces(model, n=10**9, count=3, rng=np.random.default_rng(1))
    assert all(p.stream == 0 for p in itertools.islice(pieces, 5))


def test_sentences_end_each_stream_by_itself(model):
    for _, ids in samples(model, sentences=3, count=5):
        assert ids.count(EOS) == 3 and ids[-1] == EOS
    assert samples(model, sentences=0) == [(b"", [])]
    assert all(len(ids) <= 7 for _, ids in samples(model, sentences=9, n=7, count=3))


def test_a_prompt_decides_what_follows_and_is_not_repeated(model):
    assert samples(model, prompt="Row, row, row your", n=2, temperature=0)[0][0] == b" boat,"
    assert samples(model, prompt="Row, row, row your boat,\n", n=1, temperature=0)[0][0] == b"gently"
    tokens = trained("whitespace", 2)
    assert samples(tokens, prompt="life is ", n=1, temperature=0)[0][0] == b" but"


@pytest.mark.parametrize(
    ("tokenizer", "prompt", "shown"),
    [
        ("word", "row your ", b"row your"),
        ("word", "row your", b"row your"),
        ("word", "boat,\n", b"boat,\n"),
        ("char", "row ", b"row "),
        ("whitespace", "row your \t", b"row your"),
        ("whitespace", "zebra\n", b"zebra\n"),
        ("word", "\udcff ", b"\xff"),
    ],
)
def test_a_prompt_is_shown_up_to_where_its_continuation_begins(tokenizer, prompt, shown):
    assert shown_prompt(trained(tokenizer).text, prompt) == shown


@pytest.mark.parametrize("stop", ["stream", "boat,\ng", "w", ",\ngently down t", "zebra", "\n\nM", "."])
@pytest.mark.parametrize("tokenizer", ["word", "char", "byte", "whitespace"])
def test_a_stop_string_cuts_where_it_would_begin(tokenizer, stop):
    model = trained(tokenizer)
    for seed in range(3):
        ((whole, ids),) = samples(model, seed, n=90)
        ((text, kept),) = samples(model, seed, n=90, stop=stop)
        assert text == whole.partition(stop.encode())[0]
        assert kept == ids[: len(kept)]
        decoded = model.text.decode(np.array(kept, np.int32))
        assert text.startswith(decoded) and (stop.encode() in whole or kept == ids)


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize(
    "stops", [["boat", "stream"], ["ow, r", "row"], ["zebra", "but a", "a d"], ["w, row, row", "r"]]
)
@pytest.mark.parametrize("tokenizer", ["word", "char", "byte", "whitespace"])
def test_the_first_complete_stop_string_ends_a_sample(tokenizer, stops, kept):
    """The twin adds one byte after the other, and looks whether the text ends with a stop string."""
    model = trained(tokenizer)
    for seed in range(3):
        ((whole, ids),) = samples(model, seed, n=90)
        expected = whole
        for end in range(len(whole) + 1):
            found = [stop.encode() for stop in stops if whole[:end].endswith(stop.encode())]
            if found:
                expected = whole[: end if kept else end - max(map(len, found))]
                break
        ((text, left),) = samples(model, seed, n=90, stop=stops, keep_stop=kept)
        assert text == expected and left == ids[: len(left)]


def test_a_sample_whose_sentence_never_ends_has_a_bound(model, monkeypatch):
    """It is told of once, and `n` rules."""

    class Endless(NGramReference):
        def log_probs(self, state):
            return np.where(np.arange(self.vocabulary_size) == EOS, -np.inf, super().log_probs(state))

    endless = trained(kind=Endless)
    monkeypatch.setattr(sampling, "MAX_SENTENCE_LENGTH", 50)
    circle = {"temperature": 0, "sentences": 2}
    with pytest.warns(LmkitWarning, match=r"2 samples ended in a sentence.*50 tokens.*--n") as told:
        assert [len(ids) for _, ids in samples(endless, count=2, **circle)] == [50, 50]
    assert len(told) == 1
    assert [len(ids) for _, ids in samples(endless, n=70, **circle)] == [70]
    assert samples(model, sentences=1)[0][1].count(EOS) == 1


def test_the_bound_is_one_of_each_sentence_however_tokens_come():
    """The twin looks at one token after the other."""
    rng = np.random.default_rng(3)
    for _ in range(50):
        ids = rng.choice([EOS, 5], 60, p=[0.15, 0.85]).astype(np.int32)
        expected, length, left = [], 0, 4
        for token in ids.tolist():
            expected.append(token)
            length, left = (0, left - 1) if token == EOS else (length + 1, left)
            if length == 9 or left == 0:
                break
        stream = sampling.Stream(0, trained().text.decoder(), 4, None, 9)
        for piece in np.split(ids, np.sort(rng.integers(0, 60, 5))):
            if not stream.done:
                stream.feed(piece, None)
        assert [i for piece in stream.pieces for i in piece.ids.tolist()] == expected
        assert stream.done and stream.cut_short == (length == 9)


def test_samples_are_drawn_in_batches(model, monkeypatch):
    """The streams of later batches are those of one large batch, and begin only when they are asked for."""
    at_once = samples(model, n=12, count=11)
    monkeypatch.setattr(sampling, "MAX_STREAMS", 4)
    monkeypatch.setattr(sampling, "MIN_STREAMS", 4)
    assert samples(model, n=12, count=11) == at_once
    monkeypatch.setattr(sampling, "MAX_TOKENS", 36)
    assert samples(model, n=12, count=11) == at_once
    begun = []
    from_generator = Uniforms.from_generator
    monkeypatch.setattr(Uniforms, "from_generator", lambda rng, n: begun.append(n) or from_generator(rng, n))
    pieces = sample_pieces(model, n=1, count=10**9, rng=np.random.default_rng(1))
    first = next(pieces)
    assert first.stream == 0 and begun == [4]
    assert next(p.stream for p in pieces if p.stream > 3) == 4 and begun == [4, 4]


def test_log_probabilities_are_the_models_own():
    model = ElmanReference(trained().text, seed=4)
    pieces = list(sample_pieces(model, n=40, count=2, temperature=0.5, log_probs=True, rng=np.random.default_rng(1)))
    for stream in (0, 1):
        ids = np.concatenate([p.ids for p in pieces if p.stream == stream])
        log_p = np.concatenate([p.log_probs for p in pieces if p.stream == stream and len(p.ids)])
        np.testing.assert_allclose(log_p, model.score(model.begin(), ids[None, :])[0][0], rtol=1e-9)


@pytest.mark.parametrize(
    "options",
    [
        {"count": 0},
        {"sentences": -1},
        {"stop": ""},
        {"stop": ["a", ""]},
        {"stop": "\ud800"},
        {"keep_stop": True},
        {"n": -1},
        {"temperature": -1},
    ],
)
def test_impossible_options(model, options):
    with pytest.raises(OptionError):
        sample_pieces(model, rng=np.random.default_rng(1), **options)

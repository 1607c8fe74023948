"""Samples as text: ends, prompts, stop strings, streams; with a slow model and the real text layer."""

import itertools

import numpy as np
import pytest
from reference import ElmanReference, NGramReference

from lmkit.errors import OptionError
from lmkit.model import EOS
from lmkit.sampling import sample_pieces, shown_prompt
from lmkit.text import Corpus, TextSettings, learn

RHYME = b"Row, row, row your boat,\ngently down the stream.\n\nMerrily, merrily, merrily;\nlife is but a dream.\n\n"


def trained(tokenizer="word", order=3):
    ids, text, _, _ = learn([Corpus("rhyme", data=RHYME)], TextSettings(tokenizer))
    return NGramReference(text, ids, order, fallback=(0.5, 1, 1.5))


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


def test_log_probabilities_are_the_models_own():
    model = ElmanReference(trained().text, seed=4)
    pieces = list(sample_pieces(model, n=40, count=2, temperature=0.5, log_probs=True, rng=np.random.default_rng(1)))
    for stream in (0, 1):
        ids = np.concatenate([p.ids for p in pieces if p.stream == stream])
        log_p = np.concatenate([p.log_probs for p in pieces if p.stream == stream and len(p.ids)])
        np.testing.assert_allclose(log_p, model.score(model.begin(), ids[None, :])[0][0], rtol=1e-9)


@pytest.mark.parametrize("options", [{"count": 0}, {"sentences": -1}, {"stop": ""}, {"n": -1}, {"temperature": -1}])
def test_impossible_options(model, options):
    with pytest.raises(OptionError):
        sample_pieces(model, rng=np.random.default_rng(1), **options)

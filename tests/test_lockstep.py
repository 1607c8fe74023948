"""Several models on one text: cut into lines, the tokens and scores are those of the text as a whole."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from text_strategies import texts

import lmkit
from lmkit import lockstep
from lmkit.errors import CorpusError
from lmkit.evaluation import evaluate
from lmkit.lockstep import Candidate, Lines, Stream, line_ends, score_together
from lmkit.text import Corpus, TextSettings, learn
from lmkit.text import corpus as corpus_module

rules = st.builds(
    TextSettings,
    st.sampled_from(["word", "char", "byte", "whitespace"]),
    st.sampled_from(["line", "paragraph", "text"]),
    st.booleans(),
)
PROSE = "It is the east,\nand Juliet is the sun!\n\nArise, fair sun,\n\nand kill the envious moon,\n" * 9


def a_corpus(text):
    return Corpus("x.txt", errors="keep", data=b"\n" + text.encode("utf-8", "surrogateescape"))


@given(text=texts, rules=rules, blank=st.sampled_from([" ", "  ", "\n", "\t "]))
@settings(max_examples=300, deadline=None)
def test_pieces_give_the_ids_of_the_whole(text, rules, blank):
    """Whatever the text, its lines cut in parts of a few bytes; units hold the bytes that they say."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lockstep, "LONG", 5)
        patch.setattr(corpus_module, "BLOCK", 40)
        text = blank.join([text, "plain words,  and “more” of them", text, "to be 1.5 or\tnot"])
        _, layer, _, _ = learn([a_corpus(text)], rules)
        lines = Lines()
        stream, corpus = Stream(layer, lines), a_corpus(text)
        stream.begin("x")
        parts = []
        for block, size in corpus.padded_blocks():
            pieces = lines.place(block, size)
            lines.add(pieces)
            encoded, piece = stream.feed(pieces)
            parts.append((encoded.ids, pieces.units[piece]))
        last = stream.finish().ids
        parts.append((last, np.full(len(last), lines.units - 1)))
        ids, units = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        whole = np.concatenate([encoded.ids for encoded in layer.encode_corpus(a_corpus(text))])
        np.testing.assert_array_equal(ids, whole)
        assert (np.diff(units) >= 0).all()
        sizes = lines.sums[: lines.units]
        assert sizes.sum(axis=0).tolist() == [corpus.characters, corpus.bytes]
        if rules.lossless:
            data, before = b"\n" + text.encode("utf-8", "surrogateescape"), np.cumsum(sizes[:, 1]).astype(int)
            for k in range(lines.units):
                assert layer.decode(ids[units <= k]) == data[: before[k]]


def test_lines_end_after_newlines_and_long_ones_before_single_blanks(monkeypatch):
    monkeypatch.setattr(lockstep, "LONG", 8)
    data = b"short\nwords  of a long line, that is cut\n\nrest"
    ends = line_ends(np.frombuffer(data + b"\0" * 64, np.uint8), len(data)).tolist()
    pieces = [data[a:b] for a, b in zip([0, *ends], ends, strict=False)]
    assert pieces == [b"short\n", b"words  of", b" a long", b" line, that", b" is cut\n", b"\n", b"rest"]


@pytest.fixture(scope="module")
def models():
    """Of all tokenizers and of two families; two share a vocabulary."""
    text, options = ("prose", PROSE.encode()), {"discount_fallback": (0.5, 1, 1.5)}
    trained = {name: lmkit.train(text, order=3, tokenizer=name, **options) for name in ("word", "char", "whitespace")}
    trained["smaller"] = lmkit.train(text, order=2, **options)
    trained["network"] = lmkit.train(text, "elman", tokenizer="byte", hidden=8, steps=3, batch=2, bptt=8, valid=0.2)
    return trained


@pytest.mark.parametrize("units", [4, 64, lockstep.UNITS])
@pytest.mark.parametrize("reset", ["file", "sentence"])
def test_each_model_scores_as_it_does_alone(models, monkeypatch, reset, units):
    """To the bit; and the sums of the units, however few, are those of the texts."""
    monkeypatch.setattr(lockstep, "UNITS", units)
    monkeypatch.setattr(corpus_module, "BLOCK", 200)
    texts = [("a", PROSE[:333].encode()), ("void", b""), ("b", b"Arise, unknown\r\nmoon\xc3\xa9 Juliet")]

    def corpora():
        return [Corpus(name, data=data) for name, data in texts]

    candidates = [Candidate(name, model) for name, model in models.items()]
    scorings, lines = score_together(candidates, corpora(), reset)
    assert scorings[0].stream is scorings[3].stream and len({scoring.stream for scoring in scorings}) == 4
    assert lines.count == sum(len(data.splitlines()) for _, data in texts) and lines.units <= units
    for scoring in scorings:
        alone = evaluate(scoring.model, corpora(), reset=reset)
        totals = scoring.totals
        assert (totals.tokens, totals.sentences, totals.oov) == (alone.tokens, alone.sentences, alone.oov)
        assert totals.known + totals.unknown == alone.log_probability
        assert scoring.stream.sums.sum(axis=0).tolist() == [totals.tokens, totals.oov]
        np.testing.assert_allclose(scoring.sums.sum(axis=0), [totals.known, totals.unknown], rtol=1e-12)
        assert scoring.seconds > 0


def test_units_are_lines_until_there_are_many(monkeypatch):
    monkeypatch.setattr(lockstep, "UNITS", 4)
    lines = Lines()
    data = np.frombuffer(b"a\nbb\nccc\ndddd\n" + b"\0" * 64, np.uint8)
    pieces = lines.place(data, 14)
    lines.add(pieces)
    units, starts, lengths = pieces.units, pieces.starts, pieces.lengths
    assert (units.tolist(), starts.tolist(), lengths.tolist()) == ([0, 1, 2, 3], [0, 2, 5, 9], [2, 3, 4, 5])
    pieces = lines.place(data, 5)
    lines.add(pieces)
    units, starts, lengths = pieces.units, pieces.starts, pieces.lengths
    assert (lines.width, units.tolist(), lengths.tolist()) == (2, [2], [5])
    assert lines.sums[:, 1].tolist() == [5, 9, 5, 0]


def test_the_first_call_is_not_timed(models, monkeypatch):
    """It may have to compile; there is one more of them than there are blocks, and its tokens count once."""
    monkeypatch.setattr(corpus_module, "BLOCK", 200)
    model, score, calls = models["word"], models["word"].score, []

    def late(state, ids):
        if not calls:
            time.sleep(0.5)
        calls.append(ids)
        return score(state, ids)

    monkeypatch.setattr(model, "score", late)
    (scoring,), _ = score_together([Candidate("m", model)], [Corpus("x", data=PROSE.encode())])
    blocks = list(model.text.encode_corpus(Corpus("x", data=PROSE.encode())))
    assert len(calls) == len(blocks) + 1 > 3 and 0 < scoring.seconds < 0.5
    assert scoring.totals.tokens == sum(len(block.ids) for block in blocks)


def test_nothing_to_score(models):
    with pytest.raises(CorpusError, match="void, blank holds no tokens"):
        score_together([Candidate("m", models["whitespace"])], [Corpus("void", data=b""), Corpus("blank", data=b"")])

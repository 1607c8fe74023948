"""Where tokens stand: the text comes back whole, whatever the tokenizer keeps of it."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from text_strategies import all_settings, reserved_texts, texts

from lmkit.errors import CorpusError
from lmkit.model import EOS, UNK
from lmkit.text import Corpus, TextLayer, TextSettings, Vocabulary, learn
from lmkit.text.places import Locator, lengths_by


def as_bytes(text):
    return text.encode("utf-8", "surrogateescape")


def layer_of(text, chosen):
    """A layer that knows about half of the tokens."""
    if chosen.tokenizer == "byte":
        return TextLayer(chosen, Vocabulary.all_bytes())
    spaced = TextSettings(chosen.tokenizer, chosen.sentence, chosen.lowercase, "space")
    learned = learn([Corpus("x", errors="keep", data=as_bytes(text + " a"))], spaced)[1]
    return TextLayer(chosen, Vocabulary.from_tokens(learned.vocabulary.tokens()[3::2]))


def located(layer, text, cut):
    """Ids, positions of what is out of vocabulary, and pieces: the whole text, or its lines."""
    *lines, last = as_bytes(text).split(b"\n")
    lines = [*(line + b"\n" for line in lines), *[last] * bool(last)] if cut else [as_bytes(text)]
    locator = Locator(layer, "x")
    pieces = [*map(locator.feed, lines), locator.finish()]
    starts = itertools.accumulate([0, *(len(piece.ids) for piece in pieces)])
    oov = [int(i) + start for piece, start in zip(pieces, starts, strict=False) for i in piece.oov]
    return np.concatenate([piece.ids for piece in pieces]).tolist(), oov, pieces


@settings(deadline=None, max_examples=60)
@given(texts | reserved_texts, all_settings, st.booleans())
def test_tokens_are_those_of_the_encoder_and_the_text_is_whole(text, chosen, cut):
    layer = layer_of(text, chosen)
    try:
        expected = layer.encode_text(text)
    except CorpusError:  # it spells a reserved token
        return
    ids, oov, pieces = located(layer, text, cut)
    assert (ids, oov) == (expected.ids.tolist(), expected.oov.tolist())
    assert "".join("".join(piece.tokens) + piece.rest for piece in pieces) == text
    for piece in pieces:
        assert (np.diff(piece.ends, prepend=0) >= 0).all() and len(piece.ends) == len(piece.ids)


@settings(deadline=None, max_examples=60)
@given(texts, st.sampled_from(["word", "char", "whitespace"]), st.sampled_from(["line", "paragraph", "text"]))
def test_each_known_token_stands_where_it_is_said_to(text, tokenizer, sentence):
    layer = layer_of(text, TextSettings(tokenizer, sentence))
    _, _, pieces = located(layer, text, False)
    for piece in pieces:
        for token, stands in zip(piece.ids.tolist(), piece.tokens, strict=True):
            if token == EOS:
                assert not stands.strip(" \t\n\r\0")
            elif token != UNK:
                known = layer.vocabulary.token(token)
                assert stands.endswith(known) and not stands[: len(stands) - len(known)].strip(" \t\n\r\0")


def test_bytes_of_a_character_have_it_with_the_last():
    layer = TextLayer(TextSettings("byte", "text"), Vocabulary.all_bytes())
    (piece,) = [Locator(layer, "x").feed("aé€".encode())]
    assert piece.tokens == ["a", "", "é", "", "", "€"]


def test_lower_case_shows_the_text_as_it_stands():
    """The capital I with a dot becomes two characters of three bytes, the Kelvin sign one of one."""
    chosen = TextSettings("char", "text", lowercase=True)
    layer = TextLayer(chosen, Vocabulary.from_tokens(["i", "\u0307", "k", "a"]))
    piece = Locator(layer, "x").feed("İKA".encode())
    assert piece.ids.tolist() == [3, 4, 5, 6] and piece.tokens == ["", "İ", "K", "A"]


def test_lengths_are_asked_for_once_for_each_character():
    asked = []

    def length(character):
        asked.append(character)
        return 2

    assert lengths_by("abab", length).tolist() == [2, 2, 2, 2] and asked == ["a", "b"]

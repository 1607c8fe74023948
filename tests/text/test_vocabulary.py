"""Tokens have ids, survive the model file and the columns of a table, and damage is found."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from text_strategies import PIECES, texts

from lmkit.errors import ModelError, OptionError
from lmkit.text import TextSettings, Vocabulary, escape, unescape

RESERVED = ["<unk>", "<s>", "</s>"]
token_lists = st.lists(st.sampled_from(PIECES) | texts, unique=True, max_size=30)


@given(tokens=token_lists)
def test_tokens_and_ids(tokens):
    vocabulary = Vocabulary.from_tokens(tokens)
    assert len(vocabulary) == 3 + len(tokens)
    assert vocabulary.tokens() == RESERVED + tokens
    assert [vocabulary.token(i) for i in range(len(vocabulary))] == RESERVED + tokens
    assert vocabulary.ids(RESERVED + tokens).tolist() == list(range(len(vocabulary)))
    assert all(vocabulary.id(token) == i for i, token in enumerate(tokens, 3))
    missing = "".join(tokens) + "?"
    assert vocabulary.id(missing) is None
    assert vocabulary.id(missing.encode("utf-8", "surrogateescape")) is None
    assert vocabulary.ids([missing, "<unk>", "</s>"]).tolist() == [-1, 0, 2]


def test_ids_outside_are_index_errors():
    vocabulary = Vocabulary.from_tokens(["a"])
    for token in (-1, 4):
        with pytest.raises(IndexError, match=f"{token}: the vocabulary has 4"):
            vocabulary.token(token)


def test_all_bytes():
    vocabulary = Vocabulary.all_bytes()
    assert [vocabulary.token_bytes(3 + byte) for byte in range(256)] == [bytes([byte]) for byte in range(256)]


@given(tokens=token_lists)
def test_tensors_give_the_vocabulary_again(tokens):
    vocabulary = Vocabulary.from_tokens(tokens)
    tensors = vocabulary.tensors()
    assert {name: array.dtype.name for name, array in tensors.items()} == {
        "vocabulary.bytes": "uint8",
        "vocabulary.offsets": "int64",
    }
    again = Vocabulary.from_tensors(tensors)
    assert again == vocabulary and again.tokens() == vocabulary.tokens()
    with pytest.raises(ValueError, match="read-only"):
        tensors["vocabulary.bytes"][0] = 1


def damaged(**changes):
    tensors = dict(Vocabulary.from_tokens(["ab", "c"]).tensors())
    for name, change in changes.items():
        key = f"vocabulary.{name}"
        tensors[key] = change(tensors[key].copy())
        if tensors[key] is None:
            del tensors[key]
    return tensors


def put(position, value):
    def change(array):
        array[position] = value
        return array

    return change


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bytes": lambda a: None}, "vocabulary.bytes is missing"),
        ({"offsets": lambda a: None}, "vocabulary.offsets is missing"),
        ({"offsets": lambda a: a.astype(np.int32)}, "int32"),
        ({"bytes": lambda a: a.view(np.int8)}, "int8"),
        ({"bytes": lambda a: a[None]}, "one axis"),
        ({"offsets": lambda a: a[:3]}, "2 tokens"),
        ({"offsets": lambda a: a[:0]}, "tokens"),
        ({"offsets": put(0, -1)}, "one after the other"),
        ({"offsets": put(4, 2**62)}, "one after the other"),
        ({"offsets": put(4, -(2**62))}, "one after the other"),
        ({"offsets": put(-1, 16)}, "one after the other"),
        ({"offsets": put(-1, 14)}, "one after the other"),
        ({"bytes": lambda a: a[:-1]}, "one after the other"),
        ({"offsets": put(1, 4)}, "<unk>"),
        ({"bytes": put(0, 65)}, "<unk>"),
    ],
)
def test_damaged_tensors(changes, message):
    with pytest.raises(ModelError, match=message):
        Vocabulary.from_tensors(damaged(**changes))


@pytest.mark.parametrize("token", ["a", "<s>", "", "a long token of more than sixteen bytes"])
def test_a_token_that_is_there_twice(token):
    vocabulary = Vocabulary.from_tensors(Vocabulary.from_tokens([token, "b", token]).tensors())
    with pytest.raises(ModelError, match="there twice"):
        vocabulary.id("b")


# --- escapes


@given(token=texts | st.text(alphabet="\\jsntrxu0a9e \n\t\r\udcff\u2028\x00"))
def test_unescape_gives_back_what_escape_wrote(token):
    column = escape(token)
    assert unescape(column) == token
    assert column.encode() and len(column.splitlines()) == 1
    assert not set(column) & set(" \t\n\r\0\x0b\x0c")


@pytest.mark.parametrize(
    ("token", "column"),
    [
        ("", r"\j"),
        ("  ", r"\s\s"),
        ("\r\n", r"\r\n"),
        ("\t", r"\t"),
        ("\\", r"\\"),
        ("\0", r"\x00"),
        ("\udce9", r"\xe9"),
        ("\x85", r"\u0085"),
        ("\u00e9\u00a0", "\u00e9\u00a0"),
    ],
)
def test_escapes(token, column):
    assert escape(token) == column


def test_a_backslash_that_starts_no_escape():
    assert unescape("\\q\\") == "\\q\\"


# --- settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tokenizer": "words"}, "tokenizer is 'words'; expected one of: word, char, byte, whitespace"),
        ({"sentence": "page"}, "sentence is 'page'"),
        ({"reserved": "drop"}, "reserved is 'drop'"),
        ({"lowercase": 1}, "lowercase is 1; expected one of: false, true"),
    ],
)
def test_settings_that_do_not_exist(values, message):
    with pytest.raises(OptionError, match=message):
        TextSettings(**values)


def test_settings_describe_themselves():
    settings = TextSettings("char", "text", True, "keep")
    assert TextSettings.from_dict({**settings.describe(), "more": 1}) == settings
    assert not settings.lossless and TextSettings("byte").lossless
    with pytest.raises(OptionError, match="lack sentence"):
        TextSettings.from_dict({"tokenizer": "word", "lowercase": False, "reserved": "error"})

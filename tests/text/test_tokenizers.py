"""Cutting text into tokens loses nothing, and the kernels cut as the slow twin does."""

import codecs
import unicodedata

import numpy as np
import pytest
import reference_text as reference
from hypothesis import given
from hypothesis import strategies as st
from text_strategies import raw_bytes, texts

from lmkit.errors import CorpusError, OptionError
from lmkit.kernels.text import inspect_utf8
from lmkit.text import join, split
from lmkit.text.classes import character_classes
from lmkit.text.table import padded

LOSSLESS = ["word", "char", "byte"]


@pytest.mark.parametrize("tokenizer", LOSSLESS)
@given(text=texts)
def test_join_gives_back_what_split_cut(tokenizer, text):
    assert join(split(text, tokenizer), tokenizer) == text


@pytest.mark.parametrize("tokenizer", LOSSLESS)
@given(data=raw_bytes)
def test_any_bytes_survive(tokenizer, data):
    text = data.decode("utf-8", "surrogateescape")
    assert join(split(text, tokenizer), tokenizer).encode("utf-8", "surrogateescape") == data


@pytest.mark.parametrize("tokenizer", [*LOSSLESS, "whitespace"])
@given(text=texts)
def test_split_is_the_slow_split(tokenizer, text):
    assert split(text, tokenizer) == reference.split(text, tokenizer)


@given(tokens=st.lists(texts, max_size=20))
def test_join_takes_any_tokens(tokens):
    """A model may put tokens in any order; what comes out is said by the rules alone."""
    assert join(tokens, "byte") == join(tokens, "char")
    data = join(tokens, "word").encode("utf-8", "surrogateescape")
    assert data.replace(b" ", b"") == "".join(tokens).encode("utf-8", "surrogateescape").replace(b" ", b"")


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("We know't, we know't.", ["We", "know't", ",", "we", "know't", "."]),
        ("'Tis o'er; th' hour", ["'Tis", "o'er", ";", "th'", "hour"]),
        ("KING:\nNo.\r\n\r\n", ["KING", ":", "\n", "No", ".", "\r\n", "\r\n"]),
        ("a  b   c", ["a", " ", "b", "  ", "c"]),
        ("  a ", ["  ", "a", " "]),
        ("a.b", ["a", ".", "", "b"]),
        ("well-known (so) $5", ["well", "-", "known", "(", "so", ")", "$", "5"]),
        ("3.14 1,000 3. x", ["3.14", "1,000", "3", ".", "x"]),
        ('He said, "No," and "Go!"', ["He", "said", ",", '"', "No", ",", '"', "and", '"', "Go", "!", '"']),
        ("x == y", ["x", "=", "=", "y"]),
        ("\u4e2d\u6587\u3002", ["\u4e2d", "\u6587", "\u3002"]),
        ("e\u0301te\u0301 \U0001f44d\U0001f3fd", ["e\u0301te\u0301", "\U0001f44d\U0001f3fd"]),
        ("caf\udce9", ["caf\udce9"]),
        ("a\tb\u00a0c", ["a", "\t", "b", "\u00a0", "c"]),
        ("", []),
    ],
)
def test_words(text, tokens):
    assert split(text) == tokens


def test_a_blank_line_closes_an_open_quote():
    assert split('"a\n\n"b') == ['"', "a", "\n", "\n", '"', "b"]
    assert split('"a\n"b') == ['"', "a", "\n", '"', "", "b"]


def test_whitespace_is_what_kenlm_splits_at():
    text = "a\0b\tc\rd\ne f\u00a0g\u2003h\x0bi\x0cj\x85k"
    assert split(text, "whitespace") == ["a", "b", "c", "d", "e", "f\u00a0g\u2003h\x0bi\x0cj\x85k"]


def test_joiners_and_blanks_are_rare_in_english():
    """The spacing rules are those of English prose: under one departure in a hundred tokens."""
    text = (
        'Enter LORD LESLIE, with (three) servants.\n\nLESLIE.\n"Well met," quoth he; \'twas noon-tide.\n'
        "What's done's done: th' eye sees 1,000 ships -- or [so] 'tis said!\nWho's there? None but I...\n"
    ) * 3
    tokens = split(text)
    assert sum(not token.strip(" ") for token in tokens) == 6  # the two blanks around the dash, three times


def test_lone_surrogates_are_no_text():
    with pytest.raises(CorpusError, match=r"character 2 .* lone surrogate"):
        split("a\ud800")


def test_unknown_tokenizer():
    with pytest.raises(OptionError, match="'words'; expected one of: word, char"):
        split("a", "words")


@given(data=raw_bytes)
def test_invalid_bytes_are_those_python_finds(data):
    characters, bad = inspect_utf8(padded(data), len(data))
    text = data.decode("utf-8", "surrogateescape")
    escaped = [i for i, character in enumerate(text) if "\udc80" <= character <= "\udcff"]
    assert characters == len(text)
    assert bad == (len(text[: escaped[0]].encode()) if escaped else -1)


def test_every_code_point_is_read_as_python_does():
    for start in range(0, 0x110000, 0x10000):
        codes = [code for code in range(start, start + 0x10000) if not 0xD800 <= code < 0xE000]
        data = "".join(map(chr, codes)).encode()
        assert inspect_utf8(padded(data), len(data)) == (len(codes), -1)
    surrogates = "".join(map(chr, range(0xD800, 0xE000))).encode("utf-8", "surrogatepass")
    assert inspect_utf8(padded(surrogates), len(surrogates)) == (len(surrogates), 0)
    assert inspect_utf8(padded(codecs.BOM_UTF8), 3) == (1, -1)


def test_the_table_says_what_unicode_says(character_class_of_python):
    """Code points that this Python knows have the class that their category gives them."""
    classes = character_classes()
    changed = {  # characters whose category was corrected between versions of Unicode
        code
        for code in range(0x110000)
        if unicodedata.category(chr(code)) != "Cn" and character_class_of_python(code) != classes[code]
    }
    assert len(changed) <= 3, sorted(map(hex, changed))


@pytest.fixture
def character_class_of_python():
    import importlib.util
    import pathlib

    path = pathlib.Path(__file__).parents[2] / "tools" / "make_unicode_table.py"
    spec = importlib.util.spec_from_file_location("make_unicode_table", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    from lmkit.text.classes import LETTERS

    return lambda code: LETTERS.index(module.character_class(code))


def test_the_table_covers_all_code_points():
    assert character_classes().shape == (0x110000,)
    assert character_classes().dtype == np.uint8

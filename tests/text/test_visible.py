"""What people see of a text can do nothing to their terminal."""

import unicodedata

import pytest
from hypothesis import given
from text_strategies import texts

from lmkit.text.visible import columns, dressed, sign, visible


@given(texts)
def test_no_control_character_is_left_but_tab_and_newline(text):
    shown = visible(text)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in "\t\n"]
    shown.encode()
    assert visible(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb", "a␛[31mb"),
        ("\0\r\x7f", "␀␍␡"),
        ("\x9b1m", "\\x9b1m"),
        ("\u2028\u202e\u2066", "\\u2028\\u202e\\u2066"),
        ("\U000e0041", "\\U000e0041"),
        ("\udcff", "\\xff"),
        ("naïve\t日本\n", "naïve\t日本\n"),
    ],
)
def test_signs(text, shown):
    assert visible(text) == shown


def test_every_code_point_is_one_that_can_be_seen_or_is_named():
    for code in [*range(0x3000), 0xFEFF, *range(0xFFF0, 0x10000), *range(0xE0000, 0xE0080)]:
        shown = visible(chr(code))
        assert shown == chr(code) or shown == chr(0x2400 + min(code, 0x21)) or shown.startswith("\\")


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("word", ("", "word", False)),
        (" word", (" ", "word", False)),
        ("\n\nword", ("\n\n", "word", False)),
        (" ", ("", " ", False)),
        ("\n", ("", "↵", True)),
        ("  \n", ("  ", "↵", True)),
        ("\r\n", ("", "␍↵", True)),
        ("\n\n", ("\n", "↵", True)),
        ("", ("", "¶", False)),
        ("\u0301", ("", "◌\u0301", False)),
        (" \x1b", (" ", "␛", False)),
    ],
)
def test_tokens_are_dressed(text, made):
    assert dressed(text, "¶") == made


def test_what_has_no_text_has_a_sign():
    assert (sign(True, "word"), sign(False, "word"), sign(False, "byte")) == ("¶", "‿", "·")


def test_columns_of_a_terminal():
    assert [columns(text) for text in ("", "abc", "日本", "e\u0301", "\u200d", "ａ")] == [0, 3, 4, 1, 0, 2]

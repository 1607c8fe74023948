"""Passages are whole lines, from the start of a paragraph or line on."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmkit.errors import CorpusError, OptionError
from lmkit.quizzes.passages import Shape, Text, next_start, tokens_within
from lmkit.text import Corpus, TextLayer, TextSettings, Vocabulary

PLAY = b"ONE:\nfirst\nsecond\n\n \t\nTWO:\nthird\n\nONE:\nfourth"
lines = st.lists(st.sampled_from(["", " ", "\t", "\r", "a", "bb", "ccc ddd", "é"]), max_size=12)


@pytest.mark.parametrize(
    "shape, text, passage",
    [
        (Shape(lines=1), "one\ntwo\n", "one"),
        (Shape(lines=2), "one\n\n\ntwo\nthree\n", "one\n\n\ntwo"),
        (Shape(lines=2), " \n\none\ntwo\nthree\n", "one\ntwo"),
        (Shape(lines=2), "one\ntwo", None),
        (Shape(length=3), "one\ntwo\n", "one"),
        (Shape(length=4), "one\ntwo\n", "one\ntwo"),
        (Shape(length=7), "one\ntwo\n", "one\ntwo"),
        (Shape(length=8), "one\ntwo\n", None),
        (Shape(length=1), "\n\n", None),
    ],
)
def test_worked_cuts(shape, text, passage):
    cut = shape.cut(text)
    assert (None if cut is None else text[slice(*cut)]) == passage


@given(
    lines, st.one_of(st.builds(Shape, st.integers(1, 4)), st.builds(Shape, st.none(), st.integers(1, 20))), st.text()
)
def test_a_passage_is_whole_lines_and_what_comes_later_changes_nothing(lines, shape, more):
    text = "".join(line + "\n" for line in lines)
    cut = shape.cut(text)
    if cut is None:
        return
    assert shape.cut(text + more) == cut
    start, end = cut
    assert text[end] == "\n" and (start == 0 or text[start - 1] == "\n")
    shown = text[start:end].split("\n")
    assert shown[0].strip() and shown[-1].strip() and not text[:start].strip()
    if shape.lines:
        assert sum(bool(line.strip()) for line in shown) == shape.lines
    else:
        assert end - start >= shape.length > len("\n".join(shown[:-1]).rstrip())


def test_lengths_that_make_no_sense():
    for options in ({}, {"lines": 1, "length": 2}, {"lines": 0}, {"length": -1}):
        with pytest.raises(OptionError):
            Shape(**options)


def test_the_lines_of_a_text():
    text = Text("play", PLAY)
    assert (len(text), text.unit, text.starts().tolist()) == (10, "paragraph", [0, 5, 8])
    assert [text.line(i) for i in (0, 4, 9)] == ["ONE:", " \t", "fourth"]
    assert text.block(8, 10) == b"ONE:\nfourth\n" and text.offset(10) == len(PLAY) + 1
    assert text.starts(1).tolist() == [5, 8] and text.starts(9).tolist() == []
    assert text.recurs("ONE:") and not text.recurs("TWO:") and not text.recurs("ONE") and not text.recurs("fifth")


def test_a_text_without_blank_lines_has_passages_from_each_line_on():
    text = Text("lines", b"\n".join(b"line %d" % i for i in range(50)) + b"\n\nmore\n")
    assert text.unit == "line" and text.starts().tolist() == [*range(50), 51]


@settings(deadline=None)
@given(lines)
def test_starts_against_a_loop(lines):
    text = Text("text", "".join(line + "\n" for line in lines).encode())
    black = [bool(line.strip(" \t\r")) for line in lines]
    paragraphs = [i for i in range(len(lines)) if black[i] and (i == 0 or not black[i - 1])]
    every = [i for i in range(len(lines)) if black[i]]
    assert text.starts().tolist() == (paragraphs if text.unit == "paragraph" else every)


def test_reading_a_text():
    assert Text.read(Corpus("text", data=b"a\n"), most=2).data == b"a\n"
    with pytest.raises(CorpusError, match="more than 1 bytes"):
        Text.read(Corpus("text", data=b"a\n"), most=1)
    with pytest.raises(CorpusError, match="white space"):
        Text.read(Corpus("text", data=b" \n\t\r\n"))


def test_where_the_next_paragraph_or_line_begins():
    text = "one\ntwo\n \t\n\nthree"
    assert next_start(text, "line") == 4 and next_start(text, "paragraph") == 11
    assert next_start("one", "line") is None and next_start("one\ntwo\n", "paragraph") is None


def test_tokens_within_some_bytes():
    layer = TextLayer(TextSettings("char"), Vocabulary.from_tokens("aé\n"))
    ids = layer.encode_text("aé\na\n\n").ids
    for size, tokens in ((0, 0), (1, 1), (2, 1), (3, 2), (4, 3), (5, 4), (7, 7)):
        assert tokens_within(layer, ids, size) == tokens

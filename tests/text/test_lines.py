"""Lines of a text: each has the tokens that it has alone, and those that cannot be read are found."""

import dataclasses
import re

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from text_strategies import all_settings, raw_bytes, reserved_texts, texts

from lmkit.model import EOS
from lmkit.text import Corpus, TextLayer, TextSettings, Vocabulary, learn
from lmkit.text.lines import blanked, checked_blocks, encode_lines
from lmkit.text.table import padded

RESERVED = (b"<unk>", b"<s>", b"</s>")
BEYOND = b"\nA last line to learn from.\n"


def read(data):
    return Corpus("x", errors="keep", data=data)


@given(texts, all_settings.filter(lambda rule: rule.reserved == "space"), st.booleans())
@settings(max_examples=120)
def test_lines_have_the_tokens_that_they_have_alone(text, rule, eos):
    data = text.encode("utf-8", "surrogateescape")
    _, layer, _, _ = learn([read(BEYOND + data)], rule)
    of_lines = TextLayer(dataclasses.replace(rule, sentence="line"), layer.vocabulary)
    lines, ids, ends = [], [np.zeros(0, np.int32)], []
    for block in encode_lines(layer, read(data), eos=eos):
        ends += (block.ends + sum(map(len, ids))).tolist()
        lines += block.lines
        ids.append(block.encoded.ids)
    assert b"".join(line + b"\n" for line in lines) == data + b"\n" * (data[-1:] not in (b"", b"\n"))
    returned = data.rpartition(b"\n")[0].endswith(b"\r")  # what a last line without a newline gets
    parts = np.split(np.concatenate(ids), ends[:-1]) if ends else []
    for i, (line, found) in enumerate(zip(lines, parts, strict=True)):
        cut_off = i == len(lines) - 1 and not data.endswith(b"\n")
        whole = line + (b"\r\n" if cut_off and returned else b"\n")
        if not eos:
            whole = whole.removesuffix(b"\n").removesuffix(b"\r") + b"\n"
        expected = of_lines.encode_text(whole.decode("utf-8", "surrogateescape")).ids
        if not eos:
            assert expected[-1] == EOS
            expected = expected[: -1 if rule.tokenizer == "whitespace" else -2]
        elif rule.sentence != "line":
            expected = expected[expected != EOS]
        np.testing.assert_array_equal(found, expected)


@given(texts, all_settings.filter(lambda rule: rule.reserved == "space"))
@settings(max_examples=80)
def test_sentences_alone_have_the_tokens_of_each(text, rule):
    """What `perplexity --reset sentence` scores, where sentences are lines."""
    rule, data = dataclasses.replace(rule, sentence="line"), text.encode("utf-8", "surrogateescape")
    _, layer, _, _ = learn([read(BEYOND + data)], rule)
    found = np.concatenate([np.zeros(0, np.int32), *(e.ids for e in layer.encode_corpus(read(data), alone=True))])
    lines = [block.encoded.ids for block in encode_lines(layer, read(data))]
    np.testing.assert_array_equal(found, np.concatenate([np.zeros(0, np.int32), *lines]))


@given(reserved_texts, all_settings.filter(lambda rule: rule.tokenizer == "whitespace"), raw_bytes)
@settings(max_examples=120)
def test_lines_that_cannot_be_read_are_found(text, rule, more):
    data, told = text.encode() + b" " + more + b"\nlast", []
    found = {}
    for _, _, bad in checked_blocks(read(data), rule, told.append):
        found.update(bad)
    expected = set()
    for number, line in enumerate(data.split(b"\n")):
        shown = line.decode("utf-8", "surrogateescape")
        words = re.split(
            rb"[\0\t\n\r ]", (shown.lower() if rule.lowercase else shown).encode("utf-8", "surrogateescape")
        )
        forbidden = {"error": RESERVED, "keep": RESERVED[1:], "space": ()}[rule.reserved]
        if any(word in forbidden for word in words) or re.search("[\udc80-\udcff]", shown):
            expected.add(number)
    assert set(found) == expected
    assert [int(message.split(":")[1].removeprefix(" line ")) - 1 for message in told] == sorted(expected)


def test_bad_lines_are_blanked_or_left_out():
    for bad, kept, left in (
        (0, b"\nb\nc", b"b\nc"), (1, b"a\n\nc", b"a\nc"), (2, b"a\nb\n\n", b"a\nb"),
    ):  # fmt: skip
        for keep_lines, expected in ((True, kept), (False, left)):
            block, size = blanked(padded(b"a\nb\nc"), 5, {bad: "wrong"}, keep_lines)
            assert block[:size].tobytes() == expected


def test_line_breaks_of_a_vocabulary():
    for tokenizer, tokens, expected in (
        ("char", ["a", "\n"], (4,)), ("word", ["\r\n", "\n"], (4,)), ("word", ["\r\n"], (3,)), ("word", ["a"], (0,)),
        ("whitespace", ["a"], ()),
    ):  # fmt: skip
        assert TextLayer(TextSettings(tokenizer), Vocabulary.from_tokens(tokens)).line_break_ids == expected

"""Pictures of explained lines: well-formed, the text whole, the colours those of the levels."""

import xml.etree.ElementTree as ElementTree

import pytest

import lmkit
from lmkit.colours import SURPRISAL, on

SPACE = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def model():
    return lmkit.train(("rows", b"row row row your boat\n"), order=2, smoothing="mle", tokenizer="whitespace")


def drawn(model, text, **options):
    picture = ElementTree.fromstring(lmkit.explained_svg(model, ("text", text), **options))
    marks = [t for t in picture.iter(SPACE + "text") if "small" not in t.get("class")]
    return picture, marks


def test_each_token_has_its_level_and_place(model):
    _, marks = drawn(model, b"row <b>  your\nboat\n")
    assert [mark.text for mark in marks] == ["row", "<b>", "your", "↵", "boat", "↵"]
    assert marks[0].get("class") == "t0" and marks[1].get("class") == "t8 oov"
    (row, b, your), (_, boat) = [[float(m.get("x")) for m in marks[:3]], [0, float(marks[4].get("x"))]]
    assert boat == row < b < your and b - row == pytest.approx(4 * 8.4, abs=0.1)
    assert float(marks[4].get("y")) > float(marks[0].get("y"))


def test_it_suits_light_and_dark(model):
    picture, _ = drawn(model, b"row\n")
    style = picture.find(SPACE + "style").text
    light, dark = style.split("@media(prefers-color-scheme:dark)")
    for palette, rules in ((SURPRISAL.light, light), (SURPRISAL.dark, dark)):
        for level, colour in enumerate(palette):
            assert f".l{level}{{fill:{colour}}}.t{level}{{fill:{on(colour)}}}" in rules


def test_long_lines_are_wrapped(model):
    picture, marks = drawn(model, b"row " * 60 + b"\n")
    assert len({mark.get("y") for mark in marks}) == 4
    right = max(float(m.get("x")) + float(m.get("textLength")) for m in marks)
    assert right <= float(picture.get("width")) == pytest.approx(24 + 80 * 8.4, abs=8.5)


def test_differences_of_two_models(model):
    picture, _ = drawn(model, b"row your\n", against=model)
    labels = [t.text for t in picture.iter(SPACE + "text") if "small" in t.get("class")]
    assert labels[:5] == ["−4", "−2", "−1", "−½", "0"]


def test_signs_that_occur_are_explained(model):
    def notes(text, tokens):
        picture = ElementTree.fromstring(lmkit.explained_svg(tokens, ("text", text)))
        small = [t for t in picture.iter(SPACE + "text") if t.get("class") == "ink small"]
        assert all(float(t.get("y")) < float(picture.get("height")) - 8 for t in small)
        return [t.text for t in small if t.text != "bits"]

    assert notes(b"row", model) == ["¶ sentence end"]
    assert notes(b"row\n", model) == ["↵ line end"]
    assert notes(b"row cow\n", model) == ["↵ line end, underlined: out of vocabulary"]
    words = lmkit.train(("rows", b"row, row\n\nrow your boat\n"), order=2, smoothing="mle")
    assert notes(b"row , row\n\nyourboat\ncow", words) == [
        "↵ line end, ¶ sentence end,", "underlined: out of vocabulary",
    ]  # fmt: skip
    letters = lmkit.train(("rows", "Ü".encode()), order=2, smoothing="mle", tokenizer="byte", sentence="text")
    assert notes("Ü".encode(), letters)[0].endswith("· part of a character")


def test_a_text_without_tokens_is_refused(model):
    with pytest.raises(lmkit.CorpusError, match=r"^the text holds no tokens: there is nothing to explain$"):
        drawn(model, b"")


def test_a_long_text_is_refused(model):
    with pytest.raises(lmkit.OptionError, match="at most 5,000 characters"):
        drawn(model, b"row your\n" * 600)

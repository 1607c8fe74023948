"""The pictures of the README: all are there, each is shown with words that tell of it, and the script draws them."""

import importlib.util
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("pictures", ROOT / "docs" / "pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_is_committed_small_and_shown(script):
    shown = dict(re.findall(r"!\[([^\]]+)\]\(docs/pictures/([^)]+)\)", (ROOT / "README.md").read_text()))
    assert sorted(shown.values()) == sorted(script.PICTURES)
    assert all(len(words) > 30 for words in shown)
    for name in script.PICTURES:
        assert 0 < (ROOT / "docs" / "pictures" / name).stat().st_size < 60_000
    assert sorted(path.name for path in (ROOT / "docs" / "pictures").iterdir()) == sorted(script.PICTURES)


def test_the_learning_curve_is_the_same_each_time(script, tmp_path):
    for name in ("a.svg", "b.svg"):
        script.learning_curve(tmp_path / name, steps=2, hidden=4)
    drawn = (tmp_path / "a.svg").read_text()
    assert drawn == (tmp_path / "b.svg").read_text()
    assert all(f">{name}<" in drawn for name in ("Elman, validation", "LSTM, training", "5-gram, held out"))


def test_a_terminal_is_sound_svg(script):
    root = ElementTree.fromstring(script.terminal(["a <b> & c", "", "  two  words"]))
    texts = root.findall("{http://www.w3.org/2000/svg}text")
    assert [text.text for text in texts] == ["a <b> & c", "  two  words"]
    heights = [float(text.get("y")) for text in texts]
    assert heights == sorted(heights) and heights[-1] < float(root.get("height"))


@pytest.mark.parametrize("name", ["quiz-round.svg", "explained-lines.svg"])
def test_pictures_of_text_are_those_that_are_committed(script, tmp_path, name):
    script.PICTURES[name](tmp_path / name)
    assert (tmp_path / name).read_text() == (ROOT / "docs" / "pictures" / name).read_text()


def test_a_name_that_is_none(script):
    with pytest.raises(SystemExit, match=r"there is no picture cat.svg; choose from .*learning-curve.svg"):
        script.main(["cat.svg"])

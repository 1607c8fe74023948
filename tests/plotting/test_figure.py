"""Pictures: readable without colours, the same bytes each time, and independent of this machine's settings."""

import io
import itertools
import math
import re
import sys
from xml.etree import ElementTree

import matplotlib
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from plotting.charts import learning, orders

import lmkit
from lmkit.errors import LmkitWarning, OptionError
from lmkit.plotting import figure
from lmkit.plotting.chart import Chart, Curve
from lmkit.plotting.figure import COLOURS, INK, MARKERS, Layout, check_drawing, draw_figure, format_of

STARTS = {"png": b"\x89PNG\r\n", "svg": b"<?xml", "pdf": b"%PDF-1"}


def texts_of(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def luminance(colour):
    """Relative luminance (WCAG 2.2) of #rrggbb."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("form", ["png", "svg", "pdf"])
def test_the_same_chart_is_the_same_bytes_whatever_the_settings(form, monkeypatch):
    chart = learning(1, 9, ("tokens",))
    first = draw_figure(chart, form)
    assert first.startswith(STARTS[form]) and 1000 < len(first) < 60_000
    monkeypatch.setitem(matplotlib.rcParams, "font.family", ["no such font"])
    monkeypatch.setitem(matplotlib.rcParams, "lines.linewidth", 20.0)
    assert draw_figure(chart, form) == first
    assert matplotlib.rcParams["font.family"] == ["no such font"] and "matplotlib.pyplot" not in sys.modules
    assert not re.search(rb"20[0-9]{2}-[0-9]{2}-[0-9]{2}", first)


def test_text_is_text_with_a_generic_font():
    svg = draw_figure(learning(2, 40), "svg")
    found = texts_of(svg)
    assert {"training time (minutes)", "training tokens (thousands)", "loss (nats a token)"} <= set(found)
    assert {"m0.lmkit, training", "m1.lmkit, validation"} <= set(found)
    assert set(re.findall(rb"font-family: ([^;]*);", svg)) == {b"'DejaVu Sans', sans-serif"}
    assert {"bits", "perplexity"} == {
        m for m in ("bits", "perplexity") if m in str(texts_of(draw_figure(learning(measure=m), "svg")))
    }


def test_names_of_any_kind_stand_as_they_are():
    names = ("_a", "$x_1$", "語")
    found = texts_of(draw_figure(orders([2, 1], [2, 1], [2, 1], names=names), "svg"))
    assert set(names) <= set(found)
    draw_figure(orders([2, 1], names=("語\x00\udcff",)), "png")  # nor does a letter that no font has disturb


def test_text_is_dark_enough_and_lines_differ_without_colours():
    assert 1.05 / (luminance(INK) + 0.05) > 4.5
    assert all(1.05 / (luminance(colour) + 0.05) > 2 for colour in COLOURS)
    looks = {(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i in range(77)}
    assert len(looks) == 77
    chart = learning(2)
    styles = [figure._style(curve) for curve in chart.curves]
    assert styles[0]["linestyle"] != styles[1]["linestyle"] and styles[0]["marker"] != styles[2]["marker"]


@pytest.mark.parametrize(
    ("chart", "dimensions"),
    [
        (learning(1, 1), None),
        (learning(10, 9, name="a/long/path/to/each/of/the/many/models/{}.lmkit"), None),
        (orders([9, 1, 9]), (3, 2.5)),
        (learning(2), (4.5, 3)),
    ],
    ids=["one point", "20 curves", "small", "small, two panels"],
)
def test_no_text_overlaps_another_nor_leaves_the_picture(chart, dimensions, monkeypatch):
    """Draw the figure, and ask matplotlib where its texts are."""
    boxes = []

    def measure(self, *arguments, **options):
        renderer = FigureCanvasAgg(self).get_renderer()
        self.draw_without_rendering()
        width, height = self.bbox.width, self.bbox.height
        for text in self.findobj(Text):
            if text.get_visible() and text.get_text():
                box = text.get_window_extent(renderer)
                assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1, text
                boxes.append((text, box))
        usual(self, *arguments, **options)

    usual = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", measure)
    draw_figure(chart, "svg", dimensions=dimensions)
    assert len(boxes) > 6
    for (a, first), (b, second) in itertools.combinations(boxes, 2):
        assert not first.overlaps(second), (a, b)


def test_sizes():
    small, large = (draw_figure(learning(), "png", dimensions=size) for size in ((5, 3), (10, 6)))
    from PIL import Image

    for picture, size in ((small, (750, 450)), (large, (1500, 900))):
        with Image.open(io.BytesIO(picture)) as image:
            assert image.size == size
    with pytest.raises(OptionError, match=r"1 x 9 inches: each must be from 1\.5 to 60"):
        Layout(learning(), (1, 9))
    with pytest.raises(OptionError, match="no room for 20 names and 2 panels; give larger --dimensions"):
        Layout(learning(10), (4, 3))
    assert Layout(learning(10), None).height > Layout(learning(1), None).height


def test_what_is_infinite_leaves_a_gap():
    with pytest.warns(LmkitWarning, match="infinite losses are not drawn: those of mle"):
        draw_figure(orders([1, math.inf, 2]), "svg")
    level = Curve("mle", 1, "text.txt", (math.inf,))
    with pytest.warns(LmkitWarning, match="those of mle, text.txt"):
        draw_figure(Chart([*learning(1).curves, level], learning(1).axes, ("step",)), "svg")
    assert figure._apart([0.0, None, 0.01, 1.0]) == [0, 2, 3] and figure._apart([0.0, 0.01, 0.5, 0.51]) == [0, 2, 3]


@pytest.mark.parametrize(("name", "found"), [("a.bmp", "ends with .bmp"), ("a", "has no ending"), (".png", "has no")])
def test_other_endings(name, found):
    with pytest.raises(OptionError, match=f"a picture is a .png, .svg or .pdf file, and this name {found}"):
        format_of(name)


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(OptionError, match=r"pictures need matplotlib .*: pip install 'lmkit\[plot\]'; or leave out"):
        check_drawing()


def test_it_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.PNG"
    path.write_bytes(b"old")
    with pytest.raises(lmkit.LmkitError, match="nothing to draw"):
        lmkit.plot(orders([math.inf]), path)
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1
    lmkit.plot(learning(), path)
    assert path.read_bytes().startswith(STARTS["png"]) and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(OptionError, match="there is no folder"):
        lmkit.plot(learning(), tmp_path / "nowhere" / "a.svg")

"""Charts in characters: whole within the width, letters that tell curves apart, ASCII where it must be."""

import itertools
import math
import re
import warnings

import pytest
from plotting.charts import BLANK, learning, orders

from lmkit.errors import LmkitWarning
from lmkit.plotting.chart import AXES, HELD_OUT, Chart, Curve
from lmkit.plotting.text import _line, draw_text

EDGE = "│┤|+"


def rows_of(text):
    """The cells of a drawing's first panel, row by row."""
    rows = [re.split(f"[{re.escape(EDGE)}]", line, maxsplit=1) for line in text.splitlines()]
    rows = itertools.dropwhile(lambda row: len(row) < 2, rows)
    return [row[1] for row in itertools.takewhile(lambda row: len(row) == 2, rows)]


def worked():
    """A line from 1, 1 to 3, 2 and a level at 2: drawn by hand below."""
    line = Curve("up", 0, HELD_OUT, (1.0, 1.5, 2.0), {"order": (1, 2, 3)})
    return Chart([line, Curve("flat", 1, "t", (2.0,))], (AXES["order"],), ("order",), "nats")


def test_a_drawing_by_hand():
    assert draw_text(worked(), 30, 1, braille=False).splitlines() == [
        "loss (nats a token)",
        "2+.   .B  .   .   B   .  A...B",
        " |                  .....",
        " |           .A.....",
        " |     ......",
        "1+ A...",
        " +-+------------+-----------+-",
        "   1            2           3",
        "             order",
        "",
        "A up, held out  B flat, t",
    ]


@pytest.mark.parametrize("braille", [True, False])
@pytest.mark.parametrize("width", [30, 40, 100])
@pytest.mark.parametrize("chart", [learning(), learning(10, 30, ("steps",), name="a/long/path/to/the/model/{}.lmkit")])
def test_it_stays_within_its_width_and_every_curve_can_be_found(chart, width, braille):
    text = draw_text(chart, width, 30, braille=braille)
    assert all(len(line) <= width and line == line.rstrip() for line in text.splitlines())
    assert text.isascii() != braille
    cells = "".join(rows_of(text))
    for number in range(chart.curves[-1].number + 1):
        letter = "ABCDEFGHIJ"[number]
        assert letter in cells and letter.lower() in cells, letter
    assert text.count("loss (nats a token)") == len(chart.axes) == sum(axis.label in text for axis in chart.axes)
    assert sum(", validation" in line for line in text.splitlines()) >= 1


def test_dots_are_where_the_points_are():
    rows = rows_of(draw_text(orders([3, 2, 1], measure="nats"), 40, 24))
    letters = [(row.index("A"), i) for i, row in enumerate(rows) if "A" in row]
    assert letters == sorted(letters) and letters[0][1] <= 1  # it falls from left to right
    dots = [(x, y) for y, row in enumerate(rows) for x, c in enumerate(row) if c == "A" or ord(c) > BLANK]
    assert max(x for x, _ in dots) >= 33 and max(y for _, y in dots) == len(rows) - 1


def test_one_point_a_gap_and_equal_curves():
    text = draw_text(learning(2, 1), 40, 20)
    assert {"a", "A", "b", "B"} <= set("".join(rows_of(text)))
    twice = orders([1, 1], [1, 1], names=("x", "y"))
    cells = "".join(rows_of(draw_text(twice, 40, 20)))
    assert "A" in cells and "B" in cells
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LmkitWarning)
        rows = rows_of(draw_text(orders([3, math.inf, 3]), 60, 20))
    drawn = [x for x in range(57) if any(len(row) > x and row[x] != " " for row in rows)]
    assert len(drawn) == 2 and drawn[1] - drawn[0] > 40  # no line over what is infinite


def test_what_is_infinite_is_left_out_of_lines_and_levels():
    level = Curve("mle", 1, "text.txt", (math.inf,))
    chart = Chart([*learning(1).curves, level], learning(1).axes, ("step",), "nats")
    with pytest.warns(LmkitWarning, match="infinite losses are not drawn: those of mle, text.txt"):
        cells = "".join(rows_of(draw_text(chart, 60, 20)))
    assert "B" not in cells and "A" in cells


def test_models_of_one_name_both_have_room():
    curves = [Curve("m", i, HELD_OUT, (10.0**i, 1.0), {"order": (1, 2)}) for i in range(3)]
    cells = "".join(rows_of(draw_text(Chart(curves, (AXES["order"],), ("order",)), 40, 20)))
    assert all(letter in cells for letter in "ABC")


def test_colours_change_nothing_but_colours():
    plain, coloured = (draw_text(learning(3), 60, 30, colour=colour) for colour in (False, True))
    assert "\x1b" not in plain and re.sub(r"\x1b\[\d*m", "", coloured) == plain
    assert len(set(re.findall(r"\x1b\[(3\d)m", coloured))) == 3


def test_lines_have_no_gaps():
    dots = list(_line([(0, 0), (7, 3), (7, -9)]))
    assert dots[0] == (0, 0) and dots[-1] == (7, -9) and (7, 3) in dots
    assert all(max(abs(a - c), abs(b - d)) == 1 for (a, b), (c, d) in itertools.pairwise(dots))

"""Charts as data, and their scales."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plotting.charts import curve, learning, orders

from lmkit.errors import LmkitError, LmkitWarning, OptionError
from lmkit.plotting.chart import AXES, DRAWN, TRAINING, Chart, Curve, shortened
from lmkit.plotting.scales import _fitted, _linear_ticks, _log_ticks, scales_of


def test_rows_have_each_number_in_the_measure_that_is_asked_for():
    level = Curve("n", 1, "text.txt", (math.log(8),))
    chart = Chart([curve(0, "m", TRAINING, [math.log(16), math.log(4)]), level], (AXES["time"],), ("step", "tokens"))
    for measure, values in (
        ("bits", [4, 2, 3]),
        ("perplexity", [16, 4, 8]),
        ("nats", [math.log(n) for n in (16, 4, 8)]),
    ):
        rows = list(Chart(chart.curves, chart.axes, chart.columns, measure).rows())
        assert [row.pop(measure) for row in rows] == pytest.approx(values)
        assert rows == [
            {"model": "m", "part": "training", "step": 50, "tokens": 50},
            {"model": "m", "part": "training", "step": 100, "tokens": 100},
            {"model": "n", "part": "text.txt", "step": None, "tokens": None},
        ]
    with pytest.raises(OptionError, match="--measure is 'watts'; choose one of nats, bits, perplexity"):
        learning(measure="watts")


def test_of_very_many_points_some_are_drawn_the_first_and_the_last_among_them():
    chart = learning(1, 5 * DRAWN + 1)
    points = chart.points(AXES["tokens"], chart.curves[0])
    assert DRAWN / 2 < len(points) <= DRAWN + 1
    assert (points[0][0], points[-1][0]) == (50, 50 * (5 * DRAWN + 1))
    assert len(list(chart.rows())) == 2 * (5 * DRAWN + 1)


def test_names_lose_their_middle():
    assert shortened("short", 5) == "short"
    for width in range(1, 30):
        name = shortened("folder/another/model-7.lmkit", width)
        assert len(name) <= width and "folder/another/model-7.lmkit".endswith(name.split("…")[-1])
    chart = learning(1, name="x" * 50)
    assert chart.name(chart.curves[1], 30) == "xxxxx…xxxxxxxxxxxx, validation"
    level = Curve("y" * 50, 0, "text" * 20, (1.0,))
    assert all(len(chart.name(level, width)) <= width for width in range(20, 90))


numbers = st.floats(1e-9, 1e9)


@given(st.lists(numbers, min_size=1, max_size=9), st.booleans(), st.integers(2, 12), st.booleans())
def test_all_numbers_have_places_and_ticks_are_few_round_and_inside(values, log, most, whole):
    scale = _fitted(values, log, most, 1.0, "x", whole)
    assert all(0 <= scale.place(value) <= 1 for value in values)
    assert len(scale.ticks) <= most and list(scale.ticks) == sorted(set(scale.ticks))
    for tick in scale.ticks:
        assert -1e-6 <= scale.place(tick) <= 1 + 1e-6
    assert len(set(scale.written)) == len(scale.written) == len(scale.ticks)
    for name, tick in zip(scale.written, scale.ticks, strict=True):
        assert float(name) == pytest.approx(tick, rel=1e-3, abs=1e-9 * max(map(abs, scale.ticks)))


@pytest.mark.parametrize(
    ("low", "high", "most", "ticks"),
    [(0.9, 7.1, 9, range(1, 8)), (0, 100, 5, [0, 50, 100]), (0, 100, 6, [0, 20, 40, 60, 80, 100])],
)
def test_linear_ticks(low, high, most, ticks):
    assert _linear_ticks(low, high, most) == pytest.approx(tuple(ticks))


def test_whole_numbers_have_no_ticks_between_them():
    assert _linear_ticks(0.9, 3.1, 12, whole=True) == (1, 2, 3) != _linear_ticks(0.9, 3.1, 12)


def test_log_ticks_thin_out():
    assert _log_ticks(0.9, 2e9, 4) == (1, 1e3, 1e6, 1e9)
    steps = {round(math.log10(b / a), 6) for a, b in itertools.pairwise(_log_ticks(1e-7, 1e20, 8))}
    assert len(steps) == 1


@pytest.mark.parametrize(
    ("largest", "label"),
    [(100, "training time (seconds)"), (600, "training time (minutes)"), (40_000, "training time (hours)"),
     (500_000, "training time (days)")],
)  # fmt: skip
def test_times_are_told_in_units_that_suit_them(largest, label):
    chart = learning(1, 20, ("time",))
    chart.curves[0] = curve(0, "m", TRAINING, [2.0] * 20, largest / 1000)
    chart.curves[1:] = []
    (scale,), _ = scales_of(chart, "auto", 6, 6)
    assert scale.label == label and max(scale.ticks) * scale.unit <= 1.05 * largest


def test_far_apart_is_logarithmic_unless_told_otherwise():
    for points, scale, log in ((20, "auto", False), (40, "auto", True), (40, "linear", False), (3, "log", True)):
        horizontals, vertical = scales_of(learning(1, points), scale, 6, 6)
        assert [h.log for h in horizontals] == [log, log] and not vertical.log
    (order,), perplexity = scales_of(orders([6, 2]), "auto", 6, 6)
    assert perplexity.log and not order.log


def test_what_cannot_be_drawn_is_told_of():
    with pytest.raises(OptionError, match="--scale is 'odd'; choose one of auto, linear, log"):
        scales_of(learning(), "odd", 6, 6)
    with pytest.raises(LmkitError, match="nothing to draw: each loss is infinite"):
        scales_of(orders([math.inf, math.nan, 1e9]), "auto", 6, 6)  # exp(1e9), too
    with pytest.warns(LmkitWarning, match="infinite losses are not drawn: those of mle and 1 more"):
        scales_of(orders([math.inf, 2], [math.inf, 2], [3, 2]), "auto", 6, 6)
    chart = learning(1, 2)
    chart.curves[0] = curve(0, "m", TRAINING, [2, 1], pace=0)
    with pytest.raises(OptionError, match="--scale log has no place for a training time of 0"):
        scales_of(chart, "log", 6, 6)
    assert not scales_of(chart, "auto", 6, 6)[0][0].log

"""Numbers as people write them, and curves."""

import math

import pytest

from lmkit.cli import people


@pytest.mark.parametrize(
    ("n", "amount", "size"),
    [
        (0, "0", "0 B"),
        (999, "999", "999 B"),
        (1000, "1,000", "1.0 kB"),
        (9999, "9,999", "10.0 kB"),
        (10_000, "10.0 k", "10.0 kB"),
        (999_949, "999.9 k", "999.9 kB"),
        (999_951, "1.0 M", "1.0 MB"),
        (118_600_000, "118.6 M", "118.6 MB"),
        (30_011_562, "30.0 M", "30.0 MB"),
        (2**63 - 1, "9.2 E", "9.2 EB"),
    ],
)
def test_amounts(n, amount, size):
    assert (people.amount(n), people.size(n)) == (amount, size)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (0.012, "0.012 s"), (1, "1 s"), (59.94, "59.9 s"), (59.96, "1 min"), (119.6, "2 min"),
        (543.2, "9 min 3 s"), (3600, "1 h"), (3605, "1 h"), (3661, "1 h 1 min"), (90061, "1 d 1 h"),
    ],
)  # fmt: skip
def test_durations(seconds, text):
    assert people.duration(seconds) == text


def test_curves_are_resampled_by_means():
    assert people.sparkline([8, 7, 6, 5, 4, 3, 2, 1], 8) == people.BARS[::-1]
    assert people.sparkline(range(1000), 8) == people.BARS
    assert people.sparkline([5, 1, 1, 5, 9, 9], 3) == "▁▁█"
    assert people.sparkline(range(8), 100, people.ASCII_BARS) == people.ASCII_BARS
    for n in range(1, 40):
        for width in range(1, 20):
            assert len(people.sparkline(range(n), width)) == min(n, width)


def test_curves_of_odd_values():
    nan, inf = math.nan, math.inf
    assert people.sparkline([], 9) == people.sparkline([1], 0) == people.sparkline([1], -3) == ""
    assert people.sparkline([2.5], 9) == "▁" and people.sparkline([3, 3, 3], 9) == "▁▁▁"
    assert people.sparkline([nan, inf, -inf], 9) == "???"
    assert people.sparkline([9, nan, 1, inf], 9) == "█?▁?"
    assert people.sparkline([9, nan, 1, inf], 2) == "█▁"
    assert people.sparkline([1e308, -1e308, 1, 2], 9) == "??▁█"
    assert people.sparkline([1e99, -1e99, 0], 9) == "█▁" + people.BARS[round(3.5)]

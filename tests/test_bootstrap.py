"""Intervals by resampling: against the loop, and against differences that are known."""

import numpy as np
import pytest

from lmkit import bootstrap
from lmkit.bootstrap import block_length, percentile_interval, resampled_sums


def loop(sums, length, resamples, rng):
    """Each unit of each block of each resample by itself; behind the last unit comes the first."""
    found = []
    for _ in range(resamples):
        total = np.zeros(sums.shape[1])
        for start in rng.integers(len(sums), size=-(-len(sums) // length)):
            for i in range(length):
                total += sums[(start + i) % len(sums)]
        found.append(total)
    return np.array(found)


@pytest.mark.parametrize("chunk", [1, 17, 1 << 18])
@pytest.mark.parametrize("length", [1, 3, 7, 20])
def test_sums_are_those_of_the_loop_however_many_are_drawn_at_once(monkeypatch, length, chunk):
    monkeypatch.setattr(bootstrap, "CHUNK", chunk)
    sums = np.random.default_rng(1).normal(size=(20, 3))
    expected = loop(sums, length, 25, np.random.default_rng(2))
    np.testing.assert_allclose(resampled_sums(sums, length, 25, np.random.default_rng(2)), expected, rtol=1e-12)


def test_columns_are_drawn_together():
    sums = np.arange(30.0)[:, None] * [1, 2]
    drawn = resampled_sums(sums, 2, 50, np.random.default_rng(1))
    assert len(set(drawn[:, 0])) > 10
    np.testing.assert_array_equal(drawn[:, 1], 2 * drawn[:, 0])


def test_neighbours_stay_together():
    """What is up and down in turn, the end and the start included, is level in every block of two."""
    sums = np.tile([[1.0], [-1.0]], (20, 1))
    assert not resampled_sums(sums, 2, 50, np.random.default_rng(1)).any()
    assert resampled_sums(sums, 1, 50, np.random.default_rng(1)).any()


def test_half_of_what_spreads_evenly():
    interval = percentile_interval(50.0, np.arange(101.0), 0.5)
    assert (interval.low, interval.high, interval.agreeing) == (25, 75, 100 / 101)


def covered(units, length, trials=200):
    """The share of trials in which an interval of 0.9 covers the mean of the units, which is 0.3."""
    hits = 0
    for trial in range(trials):
        rng = np.random.default_rng([7, trial])
        sample = units(rng)[:, None] + 0.3
        means = resampled_sums(sample, length, 300, rng)[:, 0] / (-(-len(sample) // length) * length)
        interval = percentile_interval(float(sample.mean()), means, 0.9)
        hits += interval.low <= 0.3 <= interval.high
    return hits / trials


def test_intervals_cover_a_known_difference():
    """Of independent units: 0.9 of them, give or take three standard errors of 200 trials and what blocks lose."""
    assert 0.83 <= covered(lambda rng: rng.normal(size=216), 1) <= 0.97
    assert 0.81 <= covered(lambda rng: rng.normal(size=216), block_length(216)) <= 0.97


def alike(rng, n=343, share=0.6):
    """Units each of which is like the one before it (autoregression of order 1)."""
    values = rng.normal(size=n)
    for i in range(1, n):
        values[i] += share * values[i - 1]
    return values


def test_blocks_do_not_take_neighbours_for_news():
    blocks, alone = covered(alike, block_length(343)), covered(alike, 1)
    assert blocks >= 0.75 and blocks > alone + 0.1

"""How sure a figure of a text is: the figure again and again, of texts drawn from it.

A text is a row of units, such as lines. Neighbours are alike, so whole blocks of them are drawn, with replacement, from
all that there are; behind the last unit comes the first again (the circular block bootstrap: Politis and Romano 1992,
after Künsch 1989). Blocks of one unit are Efron's bootstrap, as Koehn (2004) uses it: right for units that have nothing
to do with each other, and too sure of itself for those that have. What is compared is drawn together: each column of
`sums` gets the same blocks.
"""

from __future__ import annotations

import dataclasses

import numpy as np

__all__ = ["Interval", "block_length", "percentile_interval", "resampled_sums"]

CHUNK = 1 << 18  # blocks drawn at once


@dataclasses.dataclass(frozen=True)
class Interval:
    """Where a difference lies, and the share of resamples in which its sign is that of the whole text."""

    low: float
    high: float
    agreeing: float


def block_length(units: int) -> int:
    """Return how many of the units make a block: their cube root, best for variances (Hall, Horowitz and Jing 1995).

    >>> block_length(1000)
    10
    """
    return max(1, round(units ** (1 / 3)))


def resampled_sums(sums: np.ndarray, length: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Return the sums over resamples of the units, shape (resamples, k).

    Parameters
    ----------
    sums : ndarray of float64, shape (n, k)
        k figures of each unit.
    length : int
        Units of a block, at most n; n / length blocks, rounded up, make a resample.
    """
    n = len(sums)
    wrapped = np.concatenate([sums, sums[: length - 1]])
    blocks = np.lib.stride_tricks.sliding_window_view(wrapped, length, axis=0).sum(axis=-1)
    draws = -(-n // length)
    rows = max(1, CHUNK // draws)
    sizes = [min(rows, resamples - first) for first in range(0, resamples, rows)]
    return np.concatenate([blocks[rng.integers(n, size=(size, draws))].sum(axis=1) for size in sizes])


def percentile_interval(estimate: float, resampled: np.ndarray, confidence: float) -> Interval:
    """Return the percentile interval (Efron and Tibshirani 1993, chapter 13) of a difference.

    >>> percentile_interval(2.0, np.array([3.0, 1.0, -1.0, 2.0, 4.0]), 0.5)
    Interval(low=1.0, high=3.0, agreeing=0.8)
    """
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2]).tolist()
    return Interval(low, high, float(np.mean(np.sign(resampled) == np.sign(estimate))))

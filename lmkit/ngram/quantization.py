"""Few numbers for many: codebooks of the values that a packed trie holds."""

from __future__ import annotations

import numpy as np

__all__ = ["codebook", "encode"]

ROUNDS = 30  # of Lloyd's algorithm, at most
ENOUGH = 1e-4  # it ends when a round makes the error less than this share smaller
BINS = 1 << 16  # of the histogram it starts from


def codebook(values: np.ndarray, size: int) -> np.ndarray:
    """Return at most `size` numbers, climbing, that stand for all values with a small mean squared error.

    Where there are no more different values than that, it is those. Otherwise zero and minus infinity stay as they are,
    and the other numbers are found by Lloyd's algorithm (1982), from two starts of which the better one counts: equal
    shares of the values, and the density of code points that is best for many of them, the cube root of the values'
    (Panter and Dite 1951).

    Parameters
    ----------
    values : ndarray of float32, at least one, none of them NaN
    size : int
        4 or more.

    >>> codebook(np.array([-1, -1, -3, 0], np.float32), 4).tolist()
    [-3.0, -1.0, 0.0]
    """
    points, counts = np.unique(values, return_counts=True)
    if len(points) <= size:
        return points
    exact = points[np.isin(points, [-np.inf, 0])]
    free = np.isfinite(points) & (points != 0)
    points, counts = points[free].astype(np.float64), counts[free]
    size -= len(exact)
    moments = [np.append(0.0, np.cumsum(counts * points**power)) for power in range(3)]
    starts = (_shares(points, moments[0], size), _density(points, counts, size))
    _, best = min((_lloyd(points, moments, start) for start in starts), key=lambda found: found[0])
    return np.unique(np.append(exact, best).astype(np.float32))


def encode(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return for each value which number of a codebook is nearest, uint32."""
    middles = (codes[1:].astype(np.float64) + codes[:-1]) / 2
    if len(codes) > 1 and codes[0] == -np.inf:
        middles[0] = 2 * float(np.finfo(np.float32).min)  # what is finite stays so
    return np.searchsorted(middles, values, side="left").astype(np.uint32)


def _shares(points, before, size):
    """Return the middles of `size` parts with about as many values each."""
    at = np.searchsorted(before, before[-1] * (np.arange(size) + 0.5) / size, side="right") - 1
    return np.unique(points[np.minimum(at, len(points) - 1)])


def _density(points, counts, size):
    """Return numbers as dense as the cube root of the density of the values."""
    histogram, edges = np.histogram(points, BINS, weights=counts)
    climbing = np.append(0.0, np.cumsum(np.cbrt(histogram)))
    return np.unique(np.interp(climbing[-1] * (np.arange(size) + 0.5) / size, climbing, edges))


def _lloyd(points, moments, centres):
    """Move each centre into the mean of the values that are nearest to it, again and again; also return the error."""
    last = np.inf
    for _ in range(ROUNDS):
        cuts = np.searchsorted(points, (centres[1:] + centres[:-1]) / 2)
        cuts = np.concatenate([[0], cuts, [len(points)]])
        counts, totals = (np.diff(moment[cuts]) for moment in moments[:2])
        counts, totals = counts[counts > 0], totals[counts > 0]
        centres = totals / counts
        error = moments[2][-1] - (totals**2 / counts).sum()
        if last - error <= ENOUGH * error:
            break
        last = error
    return error, centres

"""The weights of Jelinek and Mercer (1980), found on held-out text."""

from __future__ import annotations

import numpy as np

from lmkit.errors import CorpusError
from lmkit.kernels import ngram_estimation as kernels
from lmkit.ngram.counts import Levels
from lmkit.ngram.trie import read_only
from lmkit.threads import in_threads, ranges

__all__ = ["fit_weights", "held_out_shares", "no_shares"]

BUCKETS = 64  # of totals: floor(log2(total))
ITERATIONS = 200  # at most
GAIN = 1e-7  # of the mean log-likelihood of a token, below which EM stops
MIDDLE = 0.5  # where it begins


def fit_weights(shares: np.ndarray, buckets: np.ndarray, words: int) -> list[np.ndarray]:
    """Return for each order the weight of each bucket of contexts, by the EM algorithm (Dempster et al. 1977).

        p(w | c) = weight n(c w) / n(c .) + (1 - weight) p(w | s(c)),    below the unigrams 1 / V

    A token comes from the longest context with the probability of its weight, else from a shorter one; each weight
    becomes the expected share of tokens that got as far as its contexts and stayed there. A bucket that the held-out
    text never meets has the weight of the next smaller one that it does.

    Parameters
    ----------
    shares, buckets : ndarray, shape (T, order)
        Of a held-out text: see `held_out_shares`.
    words : int
        V, words that can come.

    Returns
    -------
    list of ndarray of float64, shape (BUCKETS,)
    """
    known = buckets >= 0
    order = shares.shape[1]
    index = np.arange(order) * BUCKETS + np.where(known, buckets, 0)
    weights = np.full(order * BUCKETS, MIDDLE)
    reached = np.bincount(index[known], minlength=weights.size) > 0
    before = -np.inf
    for _ in range(ITERATIONS):
        weight = np.where(known, weights[index], 0.0)
        stays = weight * shares
        p = np.full(len(shares), 1 / words)
        below = np.empty_like(shares)  # p of the shorter context, times what is left for it
        for n in range(order):
            below[:, n] = (1 - weight[:, n]) * p
            p = stays[:, n] + below[:, n]
        if np.log(p).mean() - before < GAIN:
            break
        before = np.log(p).mean()
        # How probable it is that a token came at least as far down as an order: that it did not stay above.
        arrived, stayed = np.ones(len(shares)), np.empty_like(shares)
        came = np.empty_like(shares)
        for n in reversed(range(order)):
            total = stays[:, n] + below[:, n]
            came[:, n] = arrived
            stayed[:, n] = arrived * stays[:, n] / total
            arrived = arrived * below[:, n] / total
        counted = [np.bincount(index[known], part[known], minlength=weights.size) for part in (stayed, came)]
        weights[reached] = counted[0][reached] / np.maximum(counted[1][reached], np.finfo(float).tiny)
    return [_filled(w, r) for w, r in zip(weights.reshape(order, -1), reached.reshape(order, -1), strict=True)]


def held_out_shares(levels: Levels, held_out: np.ndarray | None, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """Return n(c w) / n(c .) of each token for each order, and the buckets of the contexts, both (T, order).

    Raises
    ------
    CorpusError
        Nothing is held out.
    """
    order = len(levels.sizes) - 1
    shares, buckets = no_shares(held_out, order)
    totals = np.zeros(len(levels.nodes) - 1, np.int64)
    first = 0
    for k in range(order):
        offset = first + levels.sizes[k]
        children = levels.level(k + 1)
        jobs = [(b, e, levels.nodes, children, offset, totals) for b, e in ranges(first, offset, threads)]
        in_threads(threads, kernels.context_totals, jobs)
        first = offset
    everything = 0, levels.sizes[1]
    kernels.held_out_shares(read_only(held_out), *everything, levels.nodes, levels.leaves, totals, shares, buckets)
    return shares, buckets


def no_shares(held_out: np.ndarray | None, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what `held_out_shares` finds where nothing was ever counted."""
    if held_out is None or not len(held_out):
        raise CorpusError(
            "--smoothing jelinek-mercer finds its weights on held-out text, and there is none; --valid names a text, "
            "or a larger share"
        )
    return np.zeros((len(held_out), order)), np.full((len(held_out), order), -1, np.int8)


def _filled(weights: np.ndarray, reached: np.ndarray) -> np.ndarray:
    """Give buckets that were never reached the weight of the next smaller one, or of the smallest of all."""
    if not reached.any():
        return weights
    source = np.maximum.accumulate(np.where(reached, np.arange(len(weights)), -1))
    return weights[np.where(source < 0, np.argmax(reached), source)]

"""Where the clusters of an adaptive softmax begin."""

from __future__ import annotations

import numpy as np

from lmkit.rnn.outputs import SHRINK

__all__ = ["choose_cutoffs"]

SMALL = 4096  # vocabularies up to this size take the full softmax: nothing is gained
HEAD = 0.8  # of all tokens of the text are in the head, or more: what it predicts is predicted exactly


def choose_cutoffs(counts: np.ndarray, hidden: int, *, must: bool = False) -> tuple[int, ...]:
    """Return where two clusters begin so that a token of this text costs the fewest multiplications on average.

    After Grave et al. (2017), section 4: with p_k the share of the tokens that are in cluster k, of n_k tokens and
    projection d_k, a token costs hidden (n_0 + 2) + sum over k of p_k d_k (hidden + n_k).

    Parameters
    ----------
    counts : ndarray, shape (V,)
        How often each token stands in the text, in descending order but for the reserved ones.
    must : bool
        Also where the full softmax is as fast.
    """
    size = len(counts)
    if size <= SMALL and not must:
        return ()
    if size < 16:
        return (max(4, size // 2),) if size > 5 else ()
    covered = np.cumsum(counts) / max(counts.sum(), 1)
    grid = np.unique(np.geomspace(4, size - 1, 60).astype(int))
    grid = grid[grid >= 4]
    first = hidden // SHRINK
    second = max(8, hidden // SHRINK**2)
    best, best_cost = (int(grid[-1]),), np.inf
    for a in grid.tolist():
        if covered[a - 1] < HEAD and a != grid[-1]:
            continue
        for b in grid[grid > a].tolist():
            one, two = covered[b - 1] - covered[a - 1], 1 - covered[b - 1]
            cost = hidden * (a + 2) + one * first * (hidden + b - a) + two * second * (hidden + size - b)
            if cost < best_cost:
                best, best_cost = (a, b), cost
    return best

"""Finding the parameters under which a text is most probable: a grid, then golden sections; no derivatives, no dice."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from lmkit.errors import CorpusError
from lmkit.mixture.parameters import Parameters

__all__ = ["Trial", "Tuned", "best", "best_weight", "refine"]

GOLDEN = (math.sqrt(5) - 1) / 2
STEPS = 6  # of golden sections: half a decade's two neighbours shrink to some 6 %
HEAVIEST = 0.999  # weight of a cache
HALVINGS = 40


@dataclasses.dataclass(frozen=True)
class Trial:
    """Parameters that were tried, and the mean log-probability of a token under them, natural."""

    parameters: Parameters
    log_likelihood: float


@dataclasses.dataclass(frozen=True)
class Tuned:
    """The best of all trials, and all of them in their order."""

    parameters: Parameters
    log_likelihood: float
    trials: tuple[Trial, ...]


def best(trials: Sequence[Trial]) -> Tuned:
    """Return the trial under which the text was most probable; of equals the first.

    Raises
    ------
    CorpusError
        None of them can give the text a probability.
    """
    found = max(trials, key=lambda trial: trial.log_likelihood)
    if not math.isfinite(found.log_likelihood):
        raise CorpusError("a token of the text to tune on has no probability in the model, whatever its parameters")
    return Tuned(found.parameters, found.log_likelihood, tuple(trials))


def refine(attempt: Callable[[float], Trial], grid: Sequence[float], steps: int = STEPS) -> list[Trial]:
    """Try each number of an ascending grid, then golden sections between the neighbours of the best (Kiefer 1953).

    After the first two, `steps` of them. Numbers are positive; distances between them are those of their logarithms.

    >>> trials = refine(lambda x: Trial(x, -abs(x - 5)), [1, 10, 100])
    >>> len(trials), round(best(trials).parameters, 1)
    (11, 5.0)
    """
    trials = [attempt(x) for x in grid]
    top = max(range(len(grid)), key=lambda i: trials[i].log_likelihood)
    low, high = math.log(grid[max(top - 1, 0)]), math.log(grid[min(top + 1, len(grid) - 1)])

    def attempt_at(x: float) -> Trial:
        trials.append(attempt(math.exp(x)))
        return trials[-1]

    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = attempt_at(left), attempt_at(right)
    for _ in range(steps):
        if at_left.log_likelihood >= at_right.log_likelihood:
            high, right, at_right = right, left, at_left
            left = high - GOLDEN * (high - low)
            at_left = attempt_at(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + GOLDEN * (high - low)
            at_right = attempt_at(right)
    return trials


def best_weight(log_p: np.ndarray, shares: np.ndarray) -> tuple[float, float]:
    """Return the weight of a cache under which a text is most probable, and the mean log-probability of a token then.

    The sum of log((1 - weight) p + weight share) over tokens is concave in the weight: the zero of its slope is found
    by halving. Where a share is NaN there is no cache.

    Parameters
    ----------
    log_p, shares : ndarray, of one shape

    Raises
    ------
    CorpusError
        There is no token.

    >>> weight, mean = best_weight(np.log([0.5, 0.1]), np.array([0.0, 1.0]))
    >>> round(weight, 6), round(math.exp(2 * mean), 6)  # 4 / 9, and 0.5 (1 - 4 / 9) times 0.1 + 0.9 4 / 9
    (0.444444, 0.138889)
    """
    if not log_p.size:
        raise CorpusError("the text to tune on holds no tokens")
    there = ~np.isnan(shares)
    log_p = log_p.astype(np.float64)
    with np.errstate(divide="ignore"):
        log_share = np.log(shares[there])
    top = np.maximum(log_p[there], log_share)
    possible = top > -np.inf
    p, share = (np.exp(x[possible] - top[possible]) for x in (log_p[there], log_share))

    def slope(weight: float) -> float:
        with np.errstate(divide="ignore"):
            return float(((share - p) / (p + weight * (share - p))).sum())

    low, high = 0.0, HEAVIEST
    if not p.size or slope(low) <= 0:
        high = low
    elif slope(high) >= 0:
        low = high
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    weight = (low + high) / 2
    total = log_p[~there].sum() + (top[possible] + np.log(p + weight * (share - p))).sum()
    return weight, float(total / log_p.size) if possible.all() else -math.inf

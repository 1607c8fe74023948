"""The weights of linear mixtures, found on a text."""

from __future__ import annotations

import numpy as np

__all__ = ["fit_bucket_weights", "fit_weights"]

ITERATIONS = 1000  # at most
GAIN = 1e-7  # nats a token: a smaller gain is none


def fit_weights(log_p: np.ndarray, start: np.ndarray | None = None) -> tuple[np.ndarray, list[float]]:
    """Return the weights that make a text most probable, by the EM algorithm (Dempster, Laird and Rubin 1977).

        r_m(t) = w_m p_m(t) / sum over l of w_l p_l(t),    w_m = mean over t of r_m(t)

    The likelihood never falls, and as its logarithm is concave in the weights there is one maximum only.

    Parameters
    ----------
    log_p : ndarray, shape (members, T)
        Of each token of the text; not all members may give a token none.
    start : ndarray of float, shape (members,), optional
        Equal ones by default; a weight of 0 stays.

    Returns
    -------
    weights : ndarray of float64, shape (members,)
    trace : list of float
        The mean log-likelihood of a token with the first weights, and after each iteration.

    >>> weights, _ = fit_weights(np.log([[0.5, 0.5, 0.1], [0.25, 0.25, 0.9]]))
    >>> weights.round(3).tolist()
    [0.417, 0.583]
    """
    weights, trace = fit_bucket_weights(log_p, np.zeros(log_p.shape[1], np.int64), start)
    return weights[0], trace


def fit_bucket_weights(
    log_p: np.ndarray, buckets: np.ndarray, start: np.ndarray | None = None
) -> tuple[np.ndarray, list[float]]:
    """Return weights for each bucket of tokens, as `fit_weights` finds them: the mean is over the tokens of the bucket.

    Parameters
    ----------
    log_p : ndarray, shape (members, T)
    buckets : ndarray of int, shape (T,)
        That of each token, from 0; each has some.
    start : ndarray of float, shape (members,), optional

    Returns
    -------
    weights : ndarray of float64, shape (buckets, members)
    trace : list of float
        The mean log-likelihood of a token of the whole text, as in `fit_weights`.
    """
    order = np.argsort(buckets, kind="stable")
    starts = np.flatnonzero(np.diff(buckets[order], prepend=-1))
    tokens = np.diff(starts, append=len(buckets))
    top = log_p.max(axis=0)[order]
    p = np.exp(log_p[:, order].astype(np.float64) - top)
    shift = top.mean(dtype=np.float64)
    weights = np.full(len(p), 1 / len(p)) if start is None else np.asarray(start, np.float64)
    weights = np.repeat(weights[:, None], len(tokens), axis=1)
    trace: list[float] = []
    for _ in range(ITERATIONS):
        mixed = np.einsum("mt,mt->t", np.repeat(weights, tokens, axis=1), p)
        trace.append(float(np.log(mixed).mean() + shift))
        if len(trace) > 1 and trace[-1] - trace[-2] < GAIN:
            break
        weights = weights * np.add.reduceat(p / mixed, starts, axis=1) / tokens
    return (weights / weights.sum(axis=0)).T, trace

"""The weights of a linear mixture, found on a text."""

from __future__ import annotations

import numpy as np

__all__ = ["fit_weights"]

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
    top = log_p.max(axis=0)
    p = np.exp(log_p.astype(np.float64) - top)
    shift = top.mean(dtype=np.float64)
    weights = np.full(len(p), 1 / len(p)) if start is None else np.asarray(start, np.float64)
    trace: list[float] = []
    for _ in range(ITERATIONS):
        mixed = weights @ p
        trace.append(float(np.log(mixed).mean() + shift))
        if len(trace) > 1 and trace[-1] - trace[-2] < GAIN:
            break
        weights = weights * (p / mixed).mean(axis=1)
    return weights / weights.sum(), trace

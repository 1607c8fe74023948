"""The exponents of a log-linear mixture, found on a text.

The mean log-likelihood of a token is concave in the exponents (Klakow 1998; Della Pietra et al. 1997). With log p_m as
features of the tokens its derivatives are

    gradient_m      = mean over t of  log p_m(w_t) - E[log p_m]
    curvature_(m,l) = mean over t of  -Cov[log p_m, log p_l]

expectation and covariance being those of the mixture after the history of w_t. One pass over a text sums up both, some
rows at a time, so a Newton step costs no more memory than scoring does; few are needed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from lmkit.errors import CorpusError, LmkitError
from lmkit.mixture.product import LARGEST, LogLinearMixture, log_product, row_blocks
from lmkit.threads import in_threads

__all__ = ["Moments", "fit_exponents", "maximise", "newton_step", "text_moments"]

FIRST = 4000  # tokens of a long text on which the search begins: then two or three passes over all of it are enough
ITERATIONS = 100  # at most
HALVINGS = 12
GAIN = 1e-6  # nats a token: a step that promises less is not worth a pass over the text
SWEEPS = 1000
FAINTEST = np.float32(-1e4)  # stands for log 0 in expectations: its probability is 0, and 0 times it is 0


@dataclasses.dataclass(frozen=True)
class Moments:
    """The mean log-likelihood of a token, and how it changes with the exponents.

    Attributes
    ----------
    log_likelihood : float
    gradient : ndarray of float64, shape (members,)
        -inf where a member gives a token of the text no probability: then its exponent must be 0.
    covariance : ndarray of float64, shape (members, members)
        The curvature with the other sign.
    """

    log_likelihood: float
    gradient: np.ndarray
    covariance: np.ndarray

    @property
    def impossible(self) -> np.ndarray:
        """Which members rule out a token of the text."""
        return np.isneginf(self.gradient)

    @property
    def finite(self) -> bool:
        """Whether all numbers are finite, but for the gradients of members that rule out a token."""
        numbers = (self.log_likelihood, self.gradient[~self.impossible], self.covariance)
        return all(np.isfinite(number).all() for number in numbers)


Report = Callable[[int, float, np.ndarray], object]
"""Called with the number of an iteration, the mean log-likelihood of a token, and the exponents that it is of."""


def fit_exponents(
    mixture: LogLinearMixture, ids: np.ndarray, report: Callable[[str], object] = lambda line: None
) -> tuple[np.ndarray, Moments]:
    """Return the exponents that make a text most probable, and the moments of the text there.

    The search goes from those of the mixture. That over a long text begins where one over its first tokens has ended.

    Parameters
    ----------
    ids : ndarray of int32, shape (T,)
    report : callable
        Called with a line for each iteration.

    Raises
    ------
    CorpusError
        Each member gives some token of the text no probability.
    """
    exponents = np.array(mixture.exponents)
    if len(ids) >= 4 * FIRST:
        exponents, _ = _fit(mixture, ids[:FIRST], exponents, f"Newton, first {FIRST} tokens", report)
    return _fit(mixture, ids, exponents, "Newton", report)


def _fit(mixture, ids, start, name, report) -> tuple[np.ndarray, Moments]:
    def tell(i, log_likelihood, exponents):
        listed = ", ".join(f"{e:.4f}" for e in exponents)
        report(f"{name} {i}: log-likelihood {log_likelihood:.6f} nats a token, exponents {listed}")

    return maximise(lambda exponents: text_moments(mixture, ids, exponents), start, tell)


def maximise(
    moments: Callable[[np.ndarray], Moments], start: np.ndarray, report: Report = lambda *_: None
) -> tuple[np.ndarray, Moments]:
    """Return the exponents from 0 to `LARGEST` at which a likelihood is largest, by Newton's method, and what is there.

    A step that loses is halved until it gains, so the likelihood never falls.

    Raises
    ------
    CorpusError
        Each member rules out some token.
    LmkitError
        The likelihood is no number.
    """
    exponents = np.asarray(start, np.float64)
    now = moments(exponents)
    if now.impossible.any():
        if now.impossible.all():
            raise CorpusError("each of the models gives some token of the text to tune on no probability")
        exponents = np.where(now.impossible, 0, exponents)
        if not exponents.any():
            exponents = np.where(now.impossible, 0, 1.0)
        now = moments(exponents)
    if not now.finite:
        raise LmkitError("the likelihood of the text to tune on is no number: one of the models is damaged")
    report(0, now.log_likelihood, exponents)
    for iteration in range(1, ITERATIONS):
        step, gain = newton_step(exponents, now)
        if not gain >= GAIN:  # NaN is none
            break
        for _ in range(HALVINGS):
            there = np.clip(exponents + step, 0, LARGEST)
            then = moments(there) if np.float32(there).any() else None
            if then is not None and then.log_likelihood > now.log_likelihood:
                break
            step = step / 2
        else:
            break
        exponents, now = there, then
        report(iteration, now.log_likelihood, exponents)
    return exponents, now


def newton_step(exponents: np.ndarray, now: Moments) -> tuple[np.ndarray, float]:
    """Return the step to the best exponents from 0 to `LARGEST` by the second-order model, and what it gains there.

    The model is maximised along one exponent after the other: that needs no inverse, which members that are alike do
    not have, and keeps within bounds.

    >>> now = Moments(0.0, np.array([1.0, -1.0]), np.array([[2.0, 1.0], [1.0, 2.0]]))
    >>> newton_step(np.array([0.5, 0.5]), now)                # without bounds it would be 1 and -1
    (array([ 0.75, -0.5 ]), 0.8125)
    """
    step = np.zeros(len(exponents))
    able = np.flatnonzero(~now.impossible & (np.diag(now.covariance) > 0))
    for _ in range(SWEEPS):
        before = step.copy()
        for m in able:
            slope = now.gradient[m] - now.covariance[m] @ step
            best = step[m] + slope / now.covariance[m, m]
            step[m] = np.clip(best, -exponents[m], LARGEST - exponents[m])
        if np.abs(step - before).max() < 1e-9:
            break
    return step, float(now.gradient[able] @ step[able] - step @ now.covariance @ step / 2)


def text_moments(mixture: LogLinearMixture, ids: np.ndarray, exponents: np.ndarray) -> Moments:
    """Return the moments of a text (T,) under the members of a mixture, with other exponents."""
    ids, state = ids[None, :], mixture.begin(1)
    members = len(mixture.members)
    sums = [0.0, np.zeros(members), np.zeros((members, members))]
    for piece in mixture.pieces(ids):
        targets = ids[0, piece]
        rows, state = mixture.member_rows(state, ids[:, piece])
        jobs = [(block, targets[part], exponents) for block, part in row_blocks(rows)]
        for found in in_threads(mixture.threads, moment_sums, jobs):
            sums = [total + of_block for total, of_block in zip(sums, found, strict=True)]
    log_likelihood, gradient, covariance = (total / ids.size for total in sums)
    return Moments(float(log_likelihood), gradient, covariance)


def moment_sums(rows: list[np.ndarray], targets: np.ndarray, exponents: np.ndarray) -> tuple:
    """Return the sums over some places of a text of what `Moments` has means of.

    Parameters
    ----------
    rows : list of ndarray of float32, shape (R, V)
        Of each member log p of every token.
    targets : ndarray of int32, shape (R,)
    """
    at = np.arange(len(targets)), targets
    log_p = log_product(rows, exponents)
    log_likelihood = log_p[at].sum(dtype=np.float64)
    p = np.exp(log_p, out=log_p)
    members = range(len(rows))
    finite = [np.maximum(row, FAINTEST) for row in rows]
    means = np.empty((len(rows), len(targets)))
    covariance = np.empty((len(rows), len(rows)))
    for m in members:
        weighted = p * finite[m]
        means[m] = weighted.sum(axis=1)
        for k in range(m + 1):
            products = np.einsum("rv,rv->r", weighted, finite[k]).astype(np.float64)
            covariance[m, k] = covariance[k, m] = (products - means[m] * means[k]).sum()
    gradient = np.array([row[at].sum(dtype=np.float64) for row in rows]) - means.sum(axis=1)
    return log_likelihood, gradient, covariance

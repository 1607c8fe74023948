"""Caches: what stood in the text a little while ago is likely to come again.

A cache is a distribution over the positions of a window of the text so far; p_cache(w) is the sum over those where w
stood. It is mixed with the base model (Kuhn and De Mori 1990):

    p(w | history) = (1 - weight) p_base(w | history) + weight p_cache(w | history)

An empty window predicts nothing: then the base is alone. `</s>` is a token like others: it is predicted, so it is
remembered. `<unk>` is not: that an unknown word came says nothing about which one comes next, and a cache that
expects "one more unknown word" would only make texts look more probable the less of them is known. It still counts
as a position. The history goes through sentence ends; whoever begins anew at each has no use for a cache.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from lmkit.errors import LmkitError
from lmkit.kernels import mixture_cache as kernels
from lmkit.mixture.parameters import Parameters, in_range
from lmkit.mixture.search import Trial, Tuned, best, best_weight, refine
from lmkit.mixture.wrapper import Wrapper, of_streams, some_streams
from lmkit.model import BOS, UNK, LanguageModel, State
from lmkit.uniforms import Uniforms

__all__ = ["Cache", "UnigramCache", "UnigramParameters", "appended", "mixed", "tune_unigram"]

NOTHING = np.empty(0, np.int32)
FAINT = 1e-6  # of the newest token's weight: what is fainter has left the window
LONGEST = 16384  # positions a window has at most
FASTEST = 10.0  # decay: all but the last token is then as good as nothing
TRIES = 16  # draws that meet a banned token before a whole row is computed
DECAYS = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
IMPOSSIBLE = (
    "nothing can be drawn: the base model and the cache know no token that may come; --allow-unk lets <unk> come"
)


class Cache(Wrapper):
    """A base model and a cache. A state is that of the base, and `own_parts` arrays more.

    The last of these is the history, int32 (n, L), the newest token last; L grows to the size of the window. They are
    copied with each step, at most some megabytes: then a state is a value, whoever holds on to it. Parameters have a
    `weight`.
    """

    own_parts: ClassVar[int]

    def __init__(self, base: LanguageModel, parameters: Parameters):
        super().__init__(base, parameters)
        self._several = isinstance(base.begin(1), tuple)  # parts of the base's state

    def begin(self, n: int = 1) -> State:
        inner = self.base.begin(n)
        return self._join(inner, *self._empty(inner, n))

    def begin_after(self, ids: Sequence[int], n: int = 1) -> State:
        """Return the base's state of that name; nothing is in the window, as what the text holds is not known."""
        inner = self.base.begin_after(ids, n)
        return self._join(inner, *self._empty(inner, n))

    @abc.abstractmethod
    def _empty(self, inner: State, n: int) -> tuple[np.ndarray, ...]:
        """Return the own parts of the states of n streams with nothing in their windows; `inner` is the base's."""

    @abc.abstractmethod
    def recall(self, state: State, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, State]:
        """Return log p_base and p_cache of each token, (n, T) both, p_cache NaN where nothing is in the window; and the
        state after the last."""

    @abc.abstractmethod
    def _position_weights(self, state: State) -> np.ndarray:
        """Return the share of each position of the window in p_cache, float64 (n, L), up to a factor."""

    def log_probs(self, state: State) -> np.ndarray:
        inner, own = self._split(state)
        rows = self.base.log_probs(inner)
        weights = self._position_weights(state)
        for row, words, shares in zip(rows, own[-1], weights, strict=True):
            p = np.bincount(words, shares, self.vocabulary_size)
            total = p.sum()
            if total > 0:
                seen = np.flatnonzero(p)
                found = mixed(row[seen], p[seen] / total, self.parameters.weight)
                row += np.log1p(-self.parameters.weight).astype(row.dtype)
                row[seen] = found
        return rows

    def score(self, state: State, ids: np.ndarray) -> tuple[np.ndarray, State]:
        log_p, shares, after = self.recall(state, ids)
        return mixed(log_p, shares, self.parameters.weight), after

    def draw(self, state: State, t: int, uniforms: Uniforms, banned: np.ndarray) -> tuple[np.ndarray, State]:
        streams = len(self._split(state)[1][-1])
        if uniforms.keys.shape != (streams,) or uniforms.counters.shape != (streams,):
            raise ValueError(f"uniforms of shape {uniforms.keys.shape} do not go with a state of {streams} streams")
        forbidden = np.zeros(self.vocabulary_size, bool)
        forbidden[banned] = True
        forbidden[BOS] = True
        ids = np.empty((streams, t), np.int32)
        for i in range(t):
            ids[:, i] = self._draw_next(state, uniforms, forbidden)
            state = self.advance(state, ids[:, i])
        return ids, state

    def shorten(self, state: State) -> State | None:
        """Return states in which the base remembers less."""
        inner, own = self._split(state)
        shorter = self.base.shorten(inner)
        return None if shorter is None else self._join(shorter, *own)

    def _draw_next(self, state: State, uniforms: Uniforms, forbidden: np.ndarray) -> np.ndarray:
        """Draw from the cache or the base until the token is allowed: rejection keeps the shares of those that are."""
        inner, own = self._split(state)
        cumulative = np.cumsum(self._position_weights(state), axis=1)
        ids = np.full(len(cumulative), BOS, np.int32)
        for _ in range(TRIES):
            left = np.flatnonzero(forbidden[ids])
            if not left.size:
                return ids
            with of_streams(uniforms, left) as dice:
                cached = dice.floats() < self.parameters.weight
            if cumulative.shape[1]:
                cached &= cumulative[left, -1] > 0
                rows = left[cached]
                with of_streams(uniforms, rows) as dice:
                    ids[rows] = own[-1][rows, _roll(cumulative[rows], dice.floats())]
                left = left[~cached]
            if left.size:
                with of_streams(uniforms, left) as dice:
                    ids[left] = self.base.draw(some_streams(inner, left), 1, dice, NOTHING)[0][:, 0]
        for i in np.flatnonzero(forbidden[ids]):
            with of_streams(uniforms, [i]) as dice:
                ids[i] = self._draw_from_row(some_streams(state, np.array([i])), dice, forbidden)
        return ids

    def _draw_from_row(self, state: State | None, dice: Uniforms, forbidden: np.ndarray) -> int:
        while state is not None:
            row = np.exp(self.log_probs(state).astype(np.float64))
            row[:, forbidden] = 0
            cumulative = np.cumsum(row, axis=1)
            if cumulative[0, -1] > 0:
                return int(_roll(cumulative, dice.floats())[0])
            state = self.shorten(state)
        raise LmkitError(IMPOSSIBLE)

    def _split(self, state: State) -> tuple[State, tuple[np.ndarray, ...]]:
        """Return the base's state and the own parts."""
        inner, own = state[: -self.own_parts], state[-self.own_parts :]
        return (inner if self._several else inner[0]), own

    def _join(self, inner: State, *own: np.ndarray) -> tuple[np.ndarray, ...]:
        return (*(inner if self._several else (inner,)), *own)

    def _known(self, ids: np.ndarray) -> np.ndarray:
        """Return ids as int32, those outside the vocabulary as `<unk>`: kernels trust them."""
        ids = np.asarray(ids)
        return np.where((ids >= 0) & (ids < self.vocabulary_size), ids, UNK).astype(np.int32)


def mixed(log_p: np.ndarray, shares: np.ndarray, weight: float) -> np.ndarray:
    """Return log((1 - weight) p + weight share), of the type of log_p; where a share is NaN, log_p.

    >>> np.exp(mixed(np.log([0.5, 0.5]), np.array([0.9, np.nan]), 0.25)).round(6)
    array([0.6, 0.5])
    """
    there = ~np.isnan(shares)
    with np.errstate(divide="ignore"):
        log_share = np.log(weight * np.where(there, shares, 0))
    both = np.logaddexp(log_p.astype(np.float64) + math.log1p(-weight), log_share)
    return np.where(there, both, log_p).astype(log_p.dtype)


def appended(window: np.ndarray, newest: np.ndarray, size: int) -> np.ndarray:
    """Return windows (n, L, ...) with one more position, newest (n, 1, ...), but no more than `size`."""
    return np.concatenate([window[:, max(0, window.shape[1] + 1 - size) :], newest], axis=1)


def _roll(cumulative: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return for each row of cumulated weights (n, K) the place that a uniform number in [0, 1) falls on."""
    total = cumulative[:, -1]
    goals = np.minimum(uniform * total, np.nextafter(total, 0))  # rounding must not step over the end
    return np.count_nonzero(cumulative <= goals[:, None], axis=1)


@dataclasses.dataclass(frozen=True)
class UnigramParameters(Parameters):
    """How much a unigram cache says, and how fast it forgets.

    Attributes
    ----------
    weight : float
        Of the cache, from 0 to below 1.
    decay : float
        A token d positions back weighs e^(-decay d); 0 to 10.
    """

    weight: float
    decay: float

    def __post_init__(self):
        in_range("the weight of the unigram cache", self.weight, 0, 1, below=True)
        in_range("the decay of the unigram cache", self.decay, 0, FASTEST)

    @property
    def window(self) -> int:
        """Positions that count: down to a millionth of the newest one's weight, and 16,384 at most.

        >>> UnigramParameters(0.1, 0.01).window
        1382
        """
        return min(LONGEST, math.ceil(-math.log(FAINT) / self.decay)) if self.decay * LONGEST > 1 else LONGEST


class UnigramCache(Cache):
    """p_cache(w) is the share of w among the tokens of the window, the d-th last weighing e^(-decay d).

    Kuhn and De Mori (1990); the exponential decay is that of Clarkson and Robinson (1997). Any model can be its base.

    Parameters
    ----------
    base : LanguageModel
    parameters : UnigramParameters
    """

    family, kind = "unigram-cache", UnigramParameters
    own_parts = 1

    def _empty(self, inner: State, n: int) -> tuple[np.ndarray, ...]:
        return (np.empty((n, 0), np.int32),)

    def advance(self, state: State, ids: np.ndarray) -> State:
        inner, (history,) = self._split(state)
        inner = self.base.advance(inner, ids)
        return self._join(inner, appended(history, self._known(ids)[:, None], self.parameters.window))

    def recall(self, state: State, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, State]:
        inner, (history,) = self._split(state)
        log_p, inner = self.base.score(inner, ids)
        tokens = np.concatenate([history, self._known(ids)], axis=1)
        shares = unigram_shares(tokens, history.shape[1], self.parameters, self.vocabulary_size)
        return log_p, shares, self._join(inner, tokens[:, -self.parameters.window :].copy())

    def _position_weights(self, state: State) -> np.ndarray:
        (history,) = self._split(state)[1]
        ages = np.arange(history.shape[1])[::-1]
        return np.exp(-self.parameters.decay * ages) * (history > BOS)


def unigram_shares(tokens: np.ndarray, first: int, parameters: UnigramParameters, words: int) -> np.ndarray:
    """Return p_cache of the tokens from the column `first` on, float64 (n, T); NaN where nothing is in the window.

    Parameters
    ----------
    tokens : ndarray of int32, shape (n, first + T)
        Ids below `words`.
    """
    shares = np.empty((len(tokens), tokens.shape[1] - first))
    work = np.zeros(words), np.zeros(words, np.int32)
    kernels.unigram_shares(shares, tokens, first, float(parameters.decay), parameters.window, *work)
    return shares


def tune_unigram(base: LanguageModel, ids: np.ndarray) -> Tuned:
    """Return the weight and the decay of a unigram cache that make a running text most probable.

    For each decay the best weight is computed; decays are tried on a grid, and then between its best points.

    Parameters
    ----------
    ids : ndarray of int32, shape (T,)

    Raises
    ------
    CorpusError
        The text is empty, or some token has no probability whatever the parameters.
    """
    ids = np.asarray(ids, np.int32)[None, :]
    log_p = base.score(base.begin(1), ids)[0]

    def attempt(decay: float) -> Trial:
        shares = unigram_shares(ids, 0, UnigramParameters(0.0, decay), base.vocabulary_size)
        weight, log_likelihood = best_weight(log_p, shares)
        return Trial(UnigramParameters(weight, decay), log_likelihood)

    return best(refine(attempt, DECAYS))

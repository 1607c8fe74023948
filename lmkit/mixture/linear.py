"""Linear mixtures: p(w | h) = sum over members m of weight_m p_m(w | h) (Jelinek and Mercer 1980)."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from lmkit.decoding import choose
from lmkit.errors import LmkitError, OptionError
from lmkit.mixture import members as stored
from lmkit.mixture.drawing import STUCK, Drawer
from lmkit.mixture.ensemble import Ensemble, common_text, dissolved
from lmkit.mixture.wrapper import of_streams, some_streams
from lmkit.model import BOS, UNK, LanguageModel, State
from lmkit.rnn.model import COMPANY
from lmkit.threads import in_threads
from lmkit.uniforms import Uniforms

__all__ = ["LinearMixture", "check_weights", "log_sum"]

TRIES = 16  # draws that meet a banned token before a whole row is computed
IMPOSSIBLE = 1e-3  # a log-probability above this (or no number) comes from a damaged file
ROUNDING = 1e-6  # by which the sum of weights may differ from one
NOTHING = np.empty(0, np.int32)


class LinearMixture(Ensemble):
    """Several models that share a text layer; each says with its weight what comes next.

    Mixtures among the members are dissolved into theirs. The state is those of all members, one after another.

    Parameters
    ----------
    members : list of LanguageModel
    weights : sequence of float
        They sum to one.
    names : list of str, optional
        Of the members, for messages.

    Raises
    ------
    OptionError
        The members see different tokens, or the weights are none.
    """

    family = "linear"

    def __init__(self, members: list[LanguageModel], weights, names: list[str] | None = None):
        check_weights(weights, len(members))
        text, shares = common_text(members, names), [w / math.fsum(weights) for w in weights]
        members, self.weights = dissolved(LinearMixture, members, shares, text, "weights")
        super().__init__(members, text, self.weights)
        self._meant = [mapping.meant(m.vocabulary_size) for mapping, m in zip(self.mappings, self.members, strict=True)]
        with np.errstate(divide="ignore"):
            self._log_weights = np.log(self.weights)
        self._cumulative = np.cumsum(self.weights)
        self._drawer = None  # made when it is needed

    def settings(self) -> dict:
        listed = [{"family": m.family, "weight": round(w, 6)} for m, w in zip(self.members, self.weights, strict=True)]
        return {**super().settings(), "members": listed}

    def log_probs(self, state: State) -> np.ndarray:
        return log_sum(self.member_log_probs(state), self._log_weights)

    def rows(self, state: State, ids: np.ndarray) -> tuple[np.ndarray, State]:
        rows, after = self.member_rows(state, ids)
        return log_sum(rows, self._log_weights), after

    def score(self, state: State, ids: np.ndarray) -> tuple[np.ndarray, State]:
        scores, after = self.member_scores(state, ids)
        weighted = scores.astype(np.float64) + self._log_weights[:, None, None]
        return np.logaddexp.reduce(weighted, axis=0).astype(np.float32), after

    def draw(self, state: State, t: int, uniforms: Uniforms, banned: np.ndarray) -> tuple[np.ndarray, State]:
        """Roll the weighted die: for each token first which member speaks, then that member's own."""
        streams = len(uniforms.keys)
        ids = np.empty((streams, t), np.int32)
        forbidden = np.zeros(self.vocabulary_size, np.uint8)
        forbidden[banned] = forbidden[BOS] = 1
        if not Drawer.serves(self.members):
            return ids, self._draw_in_steps(state, ids, uniforms, forbidden)
        if self._drawer is None:
            self._drawer = Drawer(self.members, self.mappings, self._cumulative)
        pieces = np.array_split(np.arange(streams), max(1, min(self.threads, streams // COMPANY)))
        jobs = [(some_streams(state, p), ids[p[0] : p[-1] + 1], uniforms, p, forbidden) for p in pieces if p.size]
        after = in_threads(self.threads, self._draw_piece, jobs)
        return ids, tuple(np.concatenate(arrays) for arrays in zip(*after, strict=True)) if after else state

    def _draw_piece(self, state, ids, uniforms, rows, forbidden):
        """Let the kernel draw for some streams, and help it where it meets the same tokens again and again."""
        end, parts = 0, self._split(state)
        with of_streams(uniforms, rows) as dice:
            while end < ids.shape[1]:
                end, parts, stuck = self._drawer.draw(parts, end, ids, dice, forbidden)
                if end < ids.shape[1]:
                    here = self._join(parts)
                    for i in np.flatnonzero(ids[:, end] == STUCK):
                        with of_streams(dice, [i]) as one:
                            ids[i, end] = self._helped(some_streams(here, np.array([i])), *stuck[i], one, forbidden)
                    parts, end = self._split(self.advance(here, ids[:, end])), end + 1
        return self._join(parts)

    def _helped(self, state, m, level, dice, forbidden):
        """Draw a token from whole rows: where a member is named, from those that its contexts have left to it."""
        if m < 0:
            return self._from_rows(state, dice, forbidden)[0]
        own = self.members[m].draw_left(self._split(state)[m], level, dice)
        token = self._token(m, own, dice)[0]
        return self._draw_one(state, dice, forbidden)[0] if forbidden[token] else token

    def _draw_in_steps(self, state, ids, uniforms, forbidden):
        """Draw token by token from members of any kind."""
        for i in range(ids.shape[1]):
            ids[:, i] = self._draw_one(state, uniforms, forbidden)
            state = self.advance(state, ids[:, i])
        return state

    def _draw_one(self, state: State, uniforms: Uniforms, forbidden: np.ndarray) -> np.ndarray:
        ids = np.full(len(uniforms.keys), -1, np.int32)
        parts = self._split(state)
        for _ in range(TRIES):
            waiting = np.flatnonzero(ids < 0)
            if not len(waiting):
                return ids
            with of_streams(uniforms, waiting) as dice:
                speaks = np.searchsorted(self._cumulative, dice.floats() * self._cumulative[-1], side="right")
            for m in np.unique(speaks).tolist():
                chosen = waiting[speaks == m]
                with of_streams(uniforms, chosen) as dice:
                    own, _ = self.members[m].draw(some_streams(parts[m], chosen), 1, dice, NOTHING)
                    ids[chosen] = self._token(m, own[:, 0], dice)
            ids[(ids >= 0) & (forbidden[ids] != 0)] = -1
        waiting = np.flatnonzero(ids < 0)
        with of_streams(uniforms, waiting) as dice:
            ids[waiting] = self._from_rows(some_streams(state, waiting), dice, forbidden)
        return ids

    def _token(self, m: int, own: np.ndarray, dice: Uniforms) -> np.ndarray:
        """Return the tokens that a member means; `<unk>` may be any of those that it lacks."""
        mapping = self.mappings[m]
        found = self._meant[m][own]
        unknown = np.flatnonzero(own == UNK)
        if len(mapping.unknown) > 1 and len(unknown):
            with of_streams(dice, unknown) as some:
                found[unknown] = mapping.unknown[(some.floats() * len(mapping.unknown)).astype(np.int64)]
        return found

    def _from_rows(self, state: State, dice: Uniforms, forbidden: np.ndarray) -> np.ndarray:
        """Draw from whole rows; where nothing in one is allowed, shorter memories answer."""
        ids = np.full(len(dice.keys), -1, np.int32)
        context: State | None = state
        while context is not None and (ids < 0).any():
            rows = self.log_probs(context).astype(np.float64)
            rows[:, forbidden != 0] = -np.inf
            rows[~(rows <= IMPOSSIBLE)] = -np.inf
            possible = np.flatnonzero((ids < 0) & (rows.max(axis=1) > -np.inf))
            with of_streams(dice, possible) as some:
                ids[possible] = choose(rows[possible], some.floats())
            context = self.shorten(context)
        if (ids < 0).any():
            raise LmkitError("nothing can be drawn: no member knows a token but <unk>; --allow-unk lets it come")
        return ids

    def config(self) -> dict:
        """Return what besides the arrays makes the model, for its file."""
        return {"weights": list(self.weights), "members": stored.entries(self.members)}

    @classmethod
    def of_config(cls, members: list[LanguageModel], config: dict[str, Any]) -> LinearMixture:
        return cls(members, config.get("weights"))


def log_sum(rows: list[np.ndarray], log_weights: Iterable) -> np.ndarray:
    """Return log(sum over members of weight p), float32 (..., V), from rows of log p and logarithms of weights."""
    total = None
    for row, log_weight in zip(rows, log_weights, strict=True):
        own = row + log_weight
        total = own if total is None else np.logaddexp(total, own)
    return total.astype(np.float32)


def check_weights(weights, members: int) -> None:
    """See that weights are a distribution over so many members.

    Raises
    ------
    OptionError
    """
    listed = isinstance(weights, (list, tuple, np.ndarray)) and len(weights) == members
    if not listed or not all(isinstance(w, (int, float)) and 0 <= w <= 1 for w in weights):
        raise OptionError(
            f"weights are {reprlib.repr(weights)}; expected {members} numbers from 0 to 1 that sum to one"
        )
    if abs(math.fsum(weights) - 1) > ROUNDING:
        raise OptionError(f"weights sum to {math.fsum(weights):g}; they must sum to one")

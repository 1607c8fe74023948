"""Log-linear mixtures: p(w | h) = product over members m of p_m(w | h)^exponent_m, divided by its sum over all w.

Klakow (1998), "Log-linear interpolation of language models"; a product of experts (Hinton 2002). Where members of a
linear mixture are each right now and then, those of a product must all agree: a token that one of them rules out is
ruled out. Exponents need not sum to one; one of 0 leaves its member out, also what it rules out. The sum Z(h) is
taken over the whole vocabulary, for each token that is scored or drawn.

A history after which members agree on no token has the distribution of none: all its log-probabilities are -inf. Who
draws goes on with a shorter memory (`shorten`).
"""

from __future__ import annotations

import reprlib
from typing import Any

import numpy as np

from lmkit.decoding import allowed_rows, choose
from lmkit.errors import OptionError
from lmkit.kernels import softmax
from lmkit.mixture import members as stored
from lmkit.mixture.ensemble import Ensemble, common_text, dissolved
from lmkit.model import EOS, LanguageModel, State
from lmkit.threads import in_threads, ranges
from lmkit.uniforms import Uniforms

__all__ = ["LARGEST", "LogLinearMixture", "check_exponents", "log_product", "row_blocks"]

LARGEST = 100  # exponent: beyond it the rounding of log p is seen in the product
NUMBERS = 2**17  # of rows that are multiplied at a time: they stay in the cache


class LogLinearMixture(Ensemble):
    """Several models that share a text layer; a token is as likely as all together think.

    Log-linear mixtures among the members are dissolved into theirs: their own sums Z cancel.

    Parameters
    ----------
    members : list of LanguageModel
    exponents : sequence of float
        From 0 to 100, one of them above 0.
    names : list of str, optional
        Of the members, for messages.

    Raises
    ------
    OptionError
        The members see different tokens, or the exponents are none.
    """

    family = "log-linear"

    def __init__(self, members: list[LanguageModel], exponents, names: list[str] | None = None):
        check_exponents(exponents, len(members))
        text = common_text(members, names)
        members, self.exponents = dissolved(LogLinearMixture, members, list(map(float, exponents)), text, "exponents")
        check_exponents(self.exponents, len(members))
        super().__init__(members, text, self.exponents)

    def settings(self) -> dict:
        listed = zip(self.members, self.exponents, strict=True)
        return {**super().settings(), "members": [{"family": m.family, "exponent": round(e, 6)} for m, e in listed]}

    def log_probs(self, state: State) -> np.ndarray:
        return self._product(self.member_log_probs(state))

    def rows(self, state: State, ids: np.ndarray) -> tuple[np.ndarray, State]:
        rows, after = self.member_rows(state, ids)
        return self._product(rows), after

    def _product(self, rows: list[np.ndarray]) -> np.ndarray:
        """Return log p of every token from that of all members, (..., V)."""
        jobs = [(block, self.exponents) for block, _ in row_blocks(rows)]
        return np.concatenate(in_threads(self.threads, log_product, jobs)).reshape(rows[0].shape)

    def score(self, state: State, ids: np.ndarray) -> tuple[np.ndarray, State]:
        ids = np.asarray(ids, np.int32)
        log_p = np.empty(ids.shape, np.float32)
        for piece in self.pieces(ids):
            rows, state = self.member_rows(state, ids[:, piece])
            targets = ids[:, piece].ravel()
            jobs = [(block, targets[part]) for block, part in row_blocks(rows)]
            log_p[:, piece] = np.concatenate(in_threads(self.threads, self._picked, jobs)).reshape(len(ids), -1)
        return log_p, state

    def _picked(self, rows: list[np.ndarray], targets: np.ndarray) -> np.ndarray:
        return log_product(rows, self.exponents)[np.arange(len(targets)), targets]

    def draw(self, state: State, t: int, uniforms: Uniforms, banned: np.ndarray) -> tuple[np.ndarray, State]:
        """Roll the weighted die on whole rows: one number a token."""
        ids = np.empty((len(uniforms.keys), t), np.int32)
        for i in range(t):
            ids[:, i] = choose(allowed_rows(self, state, banned), uniforms.floats())
            state = self.advance(state, ids[:, i])
        return ids, state

    def config(self) -> dict:
        """Return what besides the arrays makes the model, for its file."""
        return {"exponents": list(self.exponents), "members": stored.entries(self.members)}

    @classmethod
    def of_config(cls, members: list[LanguageModel], config: dict[str, Any]) -> LogLinearMixture:
        return cls(members, config.get("exponents"))


def row_blocks(rows: list[np.ndarray]) -> list[tuple[list[np.ndarray], slice]]:
    """Cut the rows of members (..., V) into blocks (R, V) that fit a cache; return them and which rows they are."""
    flat = [row.reshape(-1, row.shape[-1]) for row in rows]
    parts = ranges(0, len(flat[0]), max(1, rows[0].size // NUMBERS))
    return [([row[a:b] for row in flat], slice(a, b)) for a, b in parts]


def log_product(rows: list[np.ndarray], exponents) -> np.ndarray:
    """Return log p of every token, float32 (R, V), from rows of log p_m; -inf all over where nothing is possible.

    >>> rows = np.log(np.float32([[[0.5, 0.25, 0.25]], [[0.2, 0.4, 0.4]]]))
    >>> np.exp(log_product(rows, [1, 2])).round(4)          # 0.5 0.04 : 0.25 0.16 : 0.25 0.16
    array([[0.2, 0.4, 0.4]], dtype=float32)
    """
    product = None
    with np.errstate(over="ignore", invalid="ignore"):  # damaged members may say anything
        for row, exponent in zip(rows, np.float32(exponents), strict=True):
            if exponent > 0:  # 0 times -inf is 0 here
                own = row * exponent
                product = own if product is None else np.add(product, own, out=product)
    softmax.log_softmax(product, np.empty(product.shape[1], product.dtype))
    product[np.isnan(product[:, EOS])] = -np.inf  # the largest was -inf, and -inf less itself is no number
    return product


def check_exponents(exponents, members: int) -> None:
    """See that there is an exponent for each of so many members.

    Raises
    ------
    OptionError
    """
    listed = isinstance(exponents, (list, tuple, np.ndarray)) and len(exponents) == members
    if not listed or not all(isinstance(e, (int, float)) and 0 <= e <= LARGEST for e in exponents):
        raise OptionError(f"exponents are {reprlib.repr(exponents)}; expected {members} numbers from 0 to {LARGEST}")
    if not np.float32(exponents).any():
        raise OptionError("all exponents are 0: then no model has a say; give one a larger number")

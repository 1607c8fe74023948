"""From distributions to tokens: temperature, filters, and the loop that generates.

Without filters a model draws with its own exact sampler, at temperature 1 or at any where it can. Everything else works
on full rows of log-probabilities, shape (n, V), one row per stream: each filter below takes rows and returns rows, with
-inf where a token may no longer come, and rows need not sum to one until a token is chosen.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np

from lmkit.errors import LmkitError, OptionError
from lmkit.model import UNK, LanguageModel, State
from lmkit.uniforms import Uniforms

__all__ = [
    "allowed_rows",
    "choose",
    "generate",
    "greedy",
    "keep_min_p",
    "keep_top_k",
    "keep_top_p",
    "normalise",
    "penalise_repetition",
]

GREEDY = 1e-6  # a temperature below it is taken as 0
HARSHEST = 1e100  # a repetition penalty above it is taken as this: it forbids, and no product of it is infinite
LONGEST_BLOCK = 8192  # tokens per stream and block
PATIENCE = 0.15  # seconds: a block that took longer is not followed by a longer one


def normalise(rows: np.ndarray) -> np.ndarray:
    """Return rows shifted so that each one's exp sums to one; a row of -inf stays as it is.

    >>> np.exp(normalise(np.log([[1.0, 3.0]])))
    array([[0.25, 0.75]])
    """
    top = rows.max(axis=1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    total = np.exp(rows - top).sum(axis=1, keepdims=True, dtype=np.float64)
    with np.errstate(divide="ignore"):
        shift = top + np.log(total)
    return rows - np.where(np.isfinite(shift), shift, 0)


def keep_top_k(rows: np.ndarray, k: int) -> np.ndarray:
    """Keep the k most probable tokens of each row (Fan et al. 2018); of equals, those with the smaller ids.

    >>> np.exp(keep_top_k(np.log([[0.5, 0.2, 0.3]]), 2)).round(2)
    array([[0.5, 0. , 0.3]])
    """
    if k >= rows.shape[1]:
        return rows
    threshold = np.partition(rows, -k, axis=1)[:, -k]
    return _keep_largest(rows, threshold, np.full(len(rows), k))


def keep_top_p(rows: np.ndarray, p: float) -> np.ndarray:
    """Keep the fewest tokens whose probabilities sum to p or more: the nucleus of Holtzman et al. (2020).

    >>> np.exp(keep_top_p(np.log([[0.5, 0.2, 0.3]]), 0.6)).round(2)
    array([[0.5, 0. , 0.3]])
    """
    rows = normalise(rows)
    descending = np.sort(rows, axis=1)[:, ::-1]
    before = np.cumsum(np.exp(descending), axis=1, dtype=np.float64)[:, :-1]
    k = 1 + np.count_nonzero(before < p, axis=1)  # a token stays if those before it do not suffice
    return _keep_largest(rows, descending[np.arange(len(rows)), k - 1], k)


def keep_min_p(rows: np.ndarray, p: float) -> np.ndarray:
    """Keep tokens at least p times as probable as the most probable one (Nguyen et al. 2024).

    >>> np.exp(keep_min_p(np.log([[0.5, 0.2, 0.3]]), 0.5)).round(2)
    array([[0.5, 0. , 0.3]])
    """
    floor = rows.max(axis=1, keepdims=True) + math.log(p) if p > 0 else -np.inf
    return np.where(rows >= floor, rows, -np.inf)


def penalise_repetition(rows: np.ndarray, seen: np.ndarray, penalty: float) -> np.ndarray:
    """Turn p into p ** penalty for tokens that came before (after Keskar et al. 2019).

    Keskar et al. divide positive scores by the penalty. Log-probabilities are never positive, so they are
    multiplied, in float64, and one that rounding made positive counts as 0. A penalty over 1e100 is taken as 1e100.

    Parameters
    ----------
    seen : ndarray of bool, shape (n, V)
        Which tokens each stream has had.
    """
    rows = rows.astype(np.float64)
    return np.where(seen, np.minimum(rows, 0) * min(penalty, HARSHEST), rows)


def greedy(rows: np.ndarray) -> np.ndarray:
    """Return the most probable token of each row, int32 (n,); of equals the smallest id."""
    _check_possible(rows)
    return rows.argmax(axis=1).astype(np.int32)


def choose(rows: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return one token per row, int32 (n,), by inversion of its cumulative distribution (Devroye 1986,
    section III.2).

    Parameters
    ----------
    uniform : ndarray, shape (n,)
        One number in [0, 1) for each row.

    >>> choose(np.log([[0.5, 0.2, 0.3]] * 3), np.array([0.49, 0.51, 0.99]))
    array([0, 1, 2], dtype=int32)
    """
    _check_possible(rows)
    weights = np.exp(rows - rows.max(axis=1, keepdims=True), dtype=np.float64)
    cumulative = np.cumsum(weights, axis=1)
    ids = np.count_nonzero(cumulative <= (uniform * cumulative[:, -1])[:, None], axis=1)
    last = weights.shape[1] - 1 - np.argmax(weights[:, ::-1] > 0, axis=1)  # where rounding would step over the end
    return np.minimum(ids, last).astype(np.int32)


def generate(
    model: LanguageModel,
    state: State,
    *,
    n: int | None,
    uniforms: Uniforms,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float | None = None,
    allow_unk: bool = False,
    history: np.ndarray | None = None,
) -> Iterator[np.ndarray]:
    """Yield the next n tokens of each stream (for ever if None), as blocks of int32 ids (streams, t).

    The first blocks are short, so that a reader sees something at once; later ones are longer. How the tokens
    are cut into blocks may vary from run to run, the tokens do not: they depend on state and uniforms alone.

    Parameters
    ----------
    state : State
        Of as many streams as `uniforms` has.
    temperature : float
        The exponent's denominator in p ** (1 / temperature); 0, and all below 1e-6, takes the most probable token
        each time.
    top_k, top_p, min_p, repetition_penalty
        See `keep_top_k`, `keep_top_p`, `keep_min_p` and `penalise_repetition`. Order: penalty, temperature,
        the filters.
    allow_unk : bool
        Whether `<unk>` may come. If not, the other tokens share its probability.
    history : ndarray of int32, shape (L,)
        Tokens before the first, for the repetition penalty.

    Raises
    ------
    OptionError
        At the call, if a number is out of range.
    LmkitError
        While generating, if no token is left to choose from: only `<unk>` can come, and it may not.
    """
    _check_options(n, temperature, top_k, top_p, min_p, repetition_penalty)
    banned = np.array([] if allow_unk else [UNK], np.int32)
    if not (top_k or min_p) and top_p in (None, 1) and repetition_penalty in (None, 1):
        if temperature == 1:
            return _draw_blocks(model, state, n, uniforms, banned)
        if model.tempers and temperature >= GREEDY:
            return _draw_blocks(model, state, n, uniforms, banned, temperature=temperature)

    def step(rows, seen):
        if seen is not None:
            rows = penalise_repetition(rows, seen, repetition_penalty)
        if temperature < GREEDY:
            return greedy(rows)
        _check_possible(rows)
        rows = (rows - rows.max(axis=1, keepdims=True)) / temperature
        if top_k:
            rows = keep_top_k(rows, top_k)
        if top_p is not None:
            rows = keep_top_p(rows, top_p)
        if min_p:
            rows = keep_min_p(rows, min_p)
        return choose(rows, uniforms.floats())

    seen = None
    if repetition_penalty not in (None, 1):
        seen = np.zeros((len(uniforms.keys), model.vocabulary_size), bool)
        seen[:, history if history is not None else []] = True
    return _row_blocks(model, state, n, len(uniforms.keys), banned, step, seen)


def block_lengths(n: int | None) -> Iterator[int]:
    """Yield 1, 2, 4, ... with sum n, growing while blocks are quick."""
    t = 1
    while n is None or n > 0:
        t = t if n is None else min(t, n)
        started = time.monotonic()
        yield t
        n = None if n is None else n - t
        if time.monotonic() - started < PATIENCE:
            t = min(2 * t, LONGEST_BLOCK)


def _draw_blocks(model, state, n, uniforms, banned, **tempered):
    for t in block_lengths(n):
        ids, state = model.draw(state, t, uniforms, banned, **tempered)
        yield ids


def _row_blocks(model, state, n, streams, banned, step, seen):
    for t in block_lengths(n):
        ids = np.empty((streams, t), np.int32)
        for i in range(t):
            ids[:, i] = step(allowed_rows(model, state, banned), seen)
            state = model.advance(state, ids[:, i])
            if seen is not None:
                seen[np.arange(streams), ids[:, i]] = True
        yield ids


def allowed_rows(model, state, banned):
    """Return log p without what is banned, float64 (n, V); where that leaves nothing, a shorter memory answers."""
    rows = np.array(model.log_probs(state), np.float64)
    rows[:, banned] = -np.inf
    empty = np.isneginf(rows.max(axis=1))
    while empty.any() and (state := model.shorten(state)) is not None:
        rows[empty] = model.log_probs(state)[empty]
        rows[:, banned] = -np.inf
        empty = np.isneginf(rows.max(axis=1))
    return rows


def _keep_largest(rows, threshold, k):
    """Keep k[i] tokens of row i: those above its threshold, and the first ones that equal it."""
    threshold = threshold[:, None]
    above = rows > threshold
    equal = rows == threshold
    room = k[:, None] - above.sum(axis=1, keepdims=True)
    return np.where(above | (equal & (np.cumsum(equal, axis=1) <= room)), rows, -np.inf)


def _check_possible(rows):
    if not np.isfinite(rows.max(axis=1)).all():
        raise LmkitError("nothing can be drawn: the model knows no token but <unk>; --allow-unk lets it come")


def _check_options(n, temperature, top_k, top_p, min_p, repetition_penalty):
    for name, value, fine, expected in (
        ("n", n, n is None or n >= 0, "0 or more"),
        ("temperature", temperature, 0 <= temperature < math.inf, "0 (greedy) or more"),
        ("top-k", top_k, top_k is None or top_k >= 1, "1 or more"),
        ("top-p", top_p, top_p is None or 0 < top_p <= 1, "over 0 and at most 1"),
        ("min-p", min_p, min_p is None or 0 <= min_p <= 1, "from 0 to 1"),
        (
            "repetition-penalty",
            repetition_penalty,
            repetition_penalty is None or 0 < repetition_penalty < math.inf,
            "over 0 (1: no penalty)",
        ),
    ):
        if not fine:
            raise OptionError(f"{name} is {value}, expected a number {expected}")

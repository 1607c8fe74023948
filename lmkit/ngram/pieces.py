"""Scoring long texts: in pieces, a few at a time, in threads."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from lmkit.model import EOS
from lmkit.ngram.trie import read_only
from lmkit.threads import in_threads, ranges

__all__ = ["PIECE", "check_streams", "match_in_parts", "rows_in_parts", "score_in_pieces"]

NUMBERS = 2**18  # of rows: more are written by several threads
PIECE = 16384  # tokens: a long text is scored in pieces of this size, a few at a time


def score_in_pieces(
    kernel: Callable,
    shared: tuple,
    order: int,
    state: np.ndarray,
    ids: np.ndarray,
    threads: int,
    dtype: type = np.float32,
    shape: tuple[int, ...] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Return log p of each token, float32 (n, T), or what else the kernel writes of it, and the state after the last.

    A prediction depends on n - 1 tokens only, so a long text falls into pieces that are scored at the same time; each
    but the first begins n - 1 tokens early in the state of zeros, the empty context, which leads to the same state.

    Parameters
    ----------
    kernel : callable
        Called with `shared`, then as `lmkit.kernels.ngram_query.score_pieces` from `ids` on.
    state : ndarray of uint32
        A row for each stream.
    dtype, shape
        Of what the kernel writes for one token.
    """
    ids = np.ascontiguousarray(ids, np.int32)
    check_streams(ids.ndim == 2 and len(ids) == len(state), state, "ids", ids.shape)
    streams, length = ids.shape
    if not length:
        return np.empty((streams, 0, *shape), dtype), state.copy()
    out = np.empty((ids.size, *shape), dtype)
    cuts = np.arange(0, length, PIECE if length >= 2 * PIECE else _short(order, streams, length))
    offsets = np.arange(streams)[:, None] * length
    warm_up = np.minimum(cuts, order - 1)
    begins = (offsets + cuts - warm_up).ravel()
    ends = (offsets + np.append(cuts[1:], length)).ravel()
    states = np.zeros((streams, len(cuts), *state.shape[1:]), np.uint32)
    from_start = cuts < order  # too near the start for n - 1 tokens before it: begin with the given state
    states[:, from_start] = np.asarray(state, np.uint32)[:, None]
    after = np.empty_like(states).reshape(-1, *state.shape[1:])
    pieces = (begins, np.tile(warm_up, streams), ends, states.reshape(after.shape), after)
    parts = np.array_split(np.arange(len(begins)), min(threads, len(begins)) if ids.size > PIECE else 1)
    slices = [slice(p[0], p[-1] + 1) for p in parts]
    jobs = [(*shared, read_only(ids.ravel()), *(a[s] for a in pieces[:4]), out, after[s]) for s in slices]
    in_threads(threads, kernel, jobs)
    return out.reshape(streams, length, *shape), after.reshape(states.shape)[:, -1].copy()


def _short(order: int, streams: int, length: int) -> int:
    """Return the pieces of a text that is too short for whole ones, so that the lanes of the kernel have company."""
    return max(32 * order, -(-length * streams // 32))


def rows_in_parts(kernel: Callable, shared: tuple, state: np.ndarray, rows: np.ndarray, threads: int) -> None:
    """Write log p of every token in each of many states.

    Parameters
    ----------
    kernel : callable
        Called with `shared`, then as `lmkit.kernels.ngram_query.log_prob_rows` from `states` on.
    """
    state = read_only(state)
    parts = ranges(0, len(state), threads if rows.size > NUMBERS else 1)
    in_threads(threads, kernel, [(*shared, state[a:b], rows[a:b]) for a, b in parts])


def match_in_parts(kernel: Callable, shared: tuple, ids: np.ndarray, found: np.ndarray, threads: int) -> None:
    """Write for each token of a text what n-gram ends with it, in parts of whole sentences.

    Parameters
    ----------
    kernel : callable
        Called with `shared`, then as `lmkit.kernels.ngram_query.matches` from `ids` on.
    """
    ids = read_only(np.asarray(ids, np.int32))
    parts = _sentences(ids, threads if len(ids) > PIECE else 1)
    in_threads(threads, kernel, [(*shared, ids[part], found[part]) for part in parts])


def _sentences(ids: np.ndarray, parts: int) -> list[slice]:
    """Cut a text into at most so many parts of about the same length, behind `</s>`: each begins as the text does.

    >>> _sentences(np.array([3, 2, 4, 4, 2, 3]), 2)
    [slice(0, 5, None), slice(5, 6, None)]
    """
    ends = np.append(np.flatnonzero(ids[:-1] == EOS) + 1, len(ids))
    cuts = ends[np.searchsorted(ends, len(ids) * np.arange(1, parts + 1) / parts)]
    cuts = np.unique(np.append(0, cuts)).tolist()
    return [slice(a, b) for a, b in itertools.pairwise(cuts)]


def check_streams(fits: bool, state: np.ndarray, name: str, shape: tuple[int, ...]) -> None:
    """Kernels trust their arrays' lengths, so callers' are checked.

    Raises
    ------
    ValueError
        If something does not have one row for each stream of the state.
    """
    if not fits:
        raise ValueError(f"{name} of shape {shape} do not go with a state of {len(state)} streams")

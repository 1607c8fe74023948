"""Smaller models: without the n-grams that a model can best do without (Stolcke 1998), or that were seen too rarely."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np

from lmkit.errors import OptionError
from lmkit.kernels import ngram_pruning as kernels
from lmkit.model import EOS
from lmkit.ngram.assembly import Level, structure_of_parents
from lmkit.ngram.model import NGramModel
from lmkit.ngram.options import check_cutoffs
from lmkit.ngram.trie import BACKOFF, BEGIN, LOG_P, Trie
from lmkit.threads import in_threads

__all__ = ["LEAST", "NO_BLANKS", "check_backs_off", "cut_off", "prune"]

NO_BLANKS = np.zeros(0, np.uint8)
LEAST = kernels.NOTHING  # is left by a context whose probabilities, as rounded numbers say, sum to one


def check_backs_off(model: NGramModel, what: str = "pruning") -> None:
    """Refuse a model whose contexts do not back off to shorter ones.

    Raises
    ------
    OptionError
    """
    if model.spreads or model.options["smoothing"] in ("mle", "stupid-backoff"):
        raise OptionError(
            f"a model of {model.options['smoothing']} does not back off to a distribution of shorter contexts, which "
            f"{what} goes by; train with another --smoothing"
        )


def prune(
    model: NGramModel,
    threshold: float | None = None,
    fits: Callable[[list[int]], bool] | None = None,
    limit: str = "may be left",
) -> NGramModel:
    """Return a model without the n-grams whose loss raises its perplexity by less than a share.

    N-grams that longer ones begin with stay. What is left backs off.

    Parameters
    ----------
    threshold : float
        The share, such as 1e-7.
    fits : callable
        Or: whether a model with so many n-grams of each order (the root first) is small enough; the smallest threshold
        for which it is so is found.
    limit : str
        What n-grams are too many for, for messages: "fit into 100 bytes".

    Raises
    ------
    OptionError
        The model does not back off to shorter contexts, or has no n-grams of two words; no threshold makes it fit.
    """
    _check(model)
    worth = _worth(model)
    if fits is not None:
        threshold = _threshold(worth, fits, limit)
    return _without(model, [of_order >= threshold for of_order in worth], {"pruned": threshold})


def cut_off(model: NGramModel, cutoffs: tuple[int, ...]) -> NGramModel:
    """Return a model without the n-grams that were seen no more than so often, a cut-off for each order.

    Raises
    ------
    OptionError
        The cut-offs are none, or the model keeps no counts, or it cannot be pruned.
    """
    _check(model)
    cutoffs = check_cutoffs(cutoffs, model.order)
    if not model.trie.counts.size:
        raise OptionError("the model keeps no counts to cut off by; train it with --keep-counts")
    firsts = model.trie.firsts
    worth = [model.trie.counts[a:b].astype(np.float64) for a, b in itertools.pairwise(firsts[1:])]
    for k in range(model.order - 1, 1, -1):
        kernels.keep_beginnings(
            model.trie.nodes, firsts[k], firsts[k + 1], firsts[k + 1], worth[k - 1],
            np.where(worth[k] > cutoffs[k], np.inf, 0.0),
        )  # fmt: skip
    stays = [of_order > cut for of_order, cut in zip(worth, cutoffs, strict=True)]
    stays[0][:] = True
    return _without(model, stays, {"cut_off": list(cutoffs)})


def _check(model):
    check_backs_off(model)
    if model.order == 1:
        raise OptionError("the model has single words only: there is nothing to prune")
    model.trie.check(model.name)


def _worth(model: NGramModel) -> list[np.ndarray]:
    """Return for each order up to which threshold each of its n-grams stays."""
    trie, order, firsts = model.trie, model.order, model.trie.firsts
    joint = np.zeros(trie.internal)
    log_p_end = trie.level(1).view(np.float32)[EOS, LOG_P]
    for k in range(1, order):
        kernels.history_probabilities(firsts[k - 1], firsts[k], trie.nodes, trie.level(k), firsts[k], joint, log_p_end)
    worth = [np.full(trie.sizes[1], np.inf), *(np.empty(size) for size in trie.sizes[2:])]
    for k in range(order, 1, -1):
        shared = (trie.nodes, trie.leaves, trie.level(k), firsts[k], joint, worth[k - 1])
        in_threads(model.threads, kernels.losses, [(a, b, *shared) for a, b in trie.cut(k - 1, model.threads)])
        if k < order:
            kernels.keep_beginnings(trie.nodes, firsts[k], firsts[k + 1], firsts[k + 1], worth[k - 1], worth[k])
    return worth


def _threshold(worth: list[np.ndarray], fits: Callable[[list[int]], bool], limit: str) -> float:
    """Return the smallest threshold that leaves no more than fits, to the last bit."""
    worth = [np.sort(of_order) for of_order in worth]

    def left(threshold):
        return [1, *(len(of_order) - int(np.searchsorted(of_order, threshold)) for of_order in worth)]

    least = float(min(of_order[0] for of_order in worth if len(of_order)))
    if fits(left(least)):
        return min(least, 0.0)
    low, high = 0, int(np.float64(np.inf).view(np.int64))  # numbers from 0 on stand in the order of their bits
    if not fits(left(np.inf)):
        raise OptionError(f"{sum(left(np.inf)) - 1} n-grams of the model cannot be dropped, which is more than {limit}")
    while low < high:
        middle = (low + high) // 2
        if fits(left(np.int64(middle).view(np.float64))):
            high = middle
        else:
            low = middle + 1
    return float(np.int64(low).view(np.float64))


def _without(model: NGramModel, stays: list[np.ndarray], record: dict) -> NGramModel:
    """Return a model of the n-grams that stay; what they begin with does, too."""
    trie, order, firsts = model.trie, model.order, model.trie.firsts
    levels, parents, end, new = [], [], 1, np.zeros(1, np.int64)
    for k, chosen in enumerate(map(np.flatnonzero, stays), 1):
        grams = np.empty((trie.sizes[k], k), np.int32)
        kernels.words_of_level(k, firsts, trie.nodes, trie.leaves, grams)
        log_p, nothing = trie.level(k).view(np.float32)[chosen, LOG_P], np.zeros(len(chosen), np.float32)
        levels.append(Level(grams[chosen], log_p, nothing, nothing != 0))
        if k > 1:
            begins = trie.nodes[firsts[k - 1] : firsts[k] + 1, BEGIN].astype(np.int64)
            parents.append(new[np.repeat(np.arange(trie.sizes[k - 1]), np.diff(begins))[chosen]])
        new = end - 1 + np.cumsum(stays[k - 1])
        end += len(chosen)
    built = structure_of_parents(levels, parents, model.threads)
    for k in range(1, order):
        kernels.renormalise(
            built.firsts[k], built.firsts[k + 1], built.nodes, built.leaves, built.records(k + 1), built.firsts[k + 1],
            NO_BLANKS, LEAST,
        )  # fmt: skip
        built.records(k).view(np.float32)[_whole_and_closed(trie, k, stays), BACKOFF] = -np.inf
    small, blanks = built.finished()
    if trie.counts.size:
        kept = np.concatenate([[True], *stays])
        small = dataclasses.replace(small, counts=trie.counts[kept])
    pruned = NGramModel(
        model.text, small, {**model.options, "interpolate": False, **record}, dict(model.metadata), blanks
    )
    pruned.threads = model.threads
    return pruned


def _whole_and_closed(trie: Trie, k: int, stays: list[np.ndarray]) -> np.ndarray:
    """Return which of the k-grams that stay leave nothing to shorter contexts and keep all that was seen, bool."""
    firsts = trie.firsts
    begins = trie.nodes[firsts[k] : firsts[k + 1] + 1, BEGIN].astype(np.int64) - firsts[k + 1]
    left = np.diff(np.append(0, np.cumsum(stays[k]))[begins])
    closed = trie.level(k).view(np.float32)[:, BACKOFF] == -np.inf
    return (closed & (left == np.diff(begins)))[stays[k - 1]]

"""Smaller models: without the n-grams that a model can best do without (Stolcke 1998)."""

from __future__ import annotations

import numpy as np

from lmkit.errors import OptionError
from lmkit.kernels import ngram_pruning as kernels
from lmkit.model import EOS
from lmkit.ngram.assembly import Level, structure
from lmkit.ngram.model import NGramModel
from lmkit.ngram.trie import BEGIN, LOG_P, Trie

__all__ = ["prune"]

ROUNDS = 25  # of the search for a threshold


def prune(model: NGramModel, threshold: float | None = None, ngrams: int | None = None) -> NGramModel:
    """Return a model without the n-grams whose loss raises its perplexity by less than a share.

    Orders are worked off from the longest down; n-grams that longer ones begin with stay. What is left backs off.

    Parameters
    ----------
    threshold : float
        The share, such as 1e-7.
    ngrams : int
        Or the most n-grams that there may be; the threshold is searched for.

    Raises
    ------
    OptionError
        The model does not back off to shorter contexts, or has no n-grams of two words.
    """
    if model.spreads or model.options["smoothing"] in ("mle", "stupid-backoff"):
        raise OptionError(
            f"a model of {model.options['smoothing']} does not back off to a distribution of shorter contexts, which "
            "pruning goes by; train with another --smoothing"
        )
    if model.order == 1:
        raise OptionError("the model has single words only: there is nothing to prune")
    model.trie.check("the model")
    if threshold is None:
        threshold = _threshold(model, ngrams)
    built = structure(_levels(model, _stays(model, threshold)), "the pruned model", model.threads)
    for k in range(1, model.order):
        kernels.renormalise(
            built.firsts[k], built.firsts[k + 1], built.nodes, built.leaves, built.records(k + 1), built.firsts[k + 1]
        )
    trie, blanks = built.finished()
    options = {**model.options, "interpolate": False, "pruned": threshold}
    pruned = NGramModel(model.text, trie, options, dict(model.metadata), blanks)
    pruned.threads = model.threads
    return pruned


def _threshold(model: NGramModel, ngrams: int) -> float:
    """Return a threshold near the smallest that leaves at most so many n-grams."""
    low, high = -12.0, 0.0  # of its decimal logarithm
    if model.trie.sizes[1] > ngrams:
        raise OptionError(f"the model has {model.trie.sizes[1]} words, more than the {ngrams} n-grams that may be left")
    for _ in range(ROUNDS):
        middle = (low + high) / 2
        if sum(map(len, _stays(model, 10**middle))) > ngrams:
            low = middle
        else:
            high = middle
    return 10**high


def _stays(model: NGramModel, threshold: float) -> list[np.ndarray]:
    """Return for each order which n-grams stay, as places among all of it."""
    trie, order = model.trie, model.order
    firsts = np.cumsum([0, *trie.sizes])
    joint = np.zeros(trie.internal)
    log_p_end = _records(trie, firsts, 1).view(np.float32)[EOS, LOG_P]
    for k in range(1, order):
        kernels.history_probabilities(
            firsts[k - 1], firsts[k], trie.nodes, _records(trie, firsts, k), firsts[k], joint, log_p_end
        )
    needed = np.zeros(firsts[-1], np.uint8)
    found = []
    for k in range(order, 1, -1):
        records = _records(trie, firsts, k)
        gone = np.zeros(len(records), np.uint8)
        kernels.mark(
            firsts[k - 1], firsts[k], trie.nodes, trie.leaves, records, firsts[k], joint, needed, threshold, gone
        )
        found.append(np.flatnonzero(gone == 0))
        begins = trie.nodes[firsts[k - 1] : firsts[k] + 1, BEGIN].astype(np.int64)
        needed[np.repeat(np.arange(firsts[k - 1], firsts[k]), np.diff(begins))[found[-1]]] = 1
    return [np.arange(trie.sizes[1]), *found[::-1]]


def _levels(model: NGramModel, stays: list[np.ndarray]) -> list[Level]:
    """Return the n-grams that stay; their back-off weights are yet to be found."""
    trie = model.trie
    firsts = np.cumsum([0, *trie.sizes])
    levels = []
    for k, chosen in enumerate(stays, 1):
        records = _records(trie, firsts, k)
        grams = np.empty((len(records), k), np.int32)
        kernels.words_of_level(k, firsts, trie.nodes, trie.leaves, grams)
        log_p, nothing = records.view(np.float32)[chosen, LOG_P], np.zeros(len(chosen), np.float32)
        levels.append(Level(grams[chosen], log_p, nothing, nothing != 0))
    return levels


def _records(trie: Trie, firsts: np.ndarray, k: int) -> np.ndarray:
    """Return the records of the k-grams, a view."""
    return trie.leaves if k == trie.order else trie.nodes[firsts[k] : firsts[k + 1]]

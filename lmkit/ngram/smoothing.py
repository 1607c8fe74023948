"""From counts to probabilities: what every estimator of `lmkit.ngram.estimators` goes through.

Each fills the same trie, p(w | c) for the n-grams it knows and a back-off weight for all others, so one query serves
them all. Numbers follow lmplz (Heafield et al. 2013) where the textbooks leave a choice.
"""

from __future__ import annotations

import itertools
import warnings

import numpy as np

from lmkit.errors import LmkitWarning
from lmkit.kernels import ngram_estimation as kernels
from lmkit.model import BOS, UNK
from lmkit.ngram.counts import NOTHING, Levels
from lmkit.ngram.estimators import ESTIMATORS, KATZ_LIMIT, Order, Recipe
from lmkit.ngram.held_out import fit_weights
from lmkit.ngram.options import NGramOptions
from lmkit.ngram.trie import BACKOFF, BEGIN, COUNT, LOG_P, SUFFIX, WORD, Trie
from lmkit.threads import in_threads

__all__ = ["estimate"]

NO_WEIGHTS = np.zeros(0)


def _recipes(levels: Levels, words: int, options: NGramOptions) -> list[Recipe]:
    """Return what the estimator says of each order.

    Warns
    -----
    LmkitWarning
        Of some order it can say nothing.
    """
    estimator = ESTIMATORS[options.smoothing]
    orders = [
        Order(n, kernels.counts_of_counts(levels.level(n), KATZ_LIMIT + 2), words, options)
        for n in range(1, options.order + 1)
    ]
    found = [estimator.recipe(order) for order in orders]
    failed = [order.n for order, recipe in zip(orders, found, strict=True) if recipe is None]
    fallback = options.discount_fallback or estimator.fallback
    if failed and options.discount_fallback is None:
        in_a_row = len(failed) > 2 and failed[-1] - failed[0] == len(failed) - 1
        listed = f"{failed[0]} to {failed[-1]}" if in_a_row else ", ".join(map(str, failed))
        warnings.warn(
            f"the counts of counts of order {listed} yield no discounts (a small or repetitive corpus?): using "
            f"{', '.join(f'{d:g}' for d in fallback)}; {estimator.flag}",
            LmkitWarning,
            stacklevel=2,
        )
    return [Recipe((0.0, *fallback)) if recipe is None else recipe for recipe in found]


def _way(options: NGramOptions) -> int:
    """Return what becomes of the probability that contexts leave."""
    if options.smoothing == "stupid-backoff":
        return kernels.SCORED
    if options.smoothing == "mle" or (options.smoothing == "add-k" and options.interpolate):
        return kernels.UNIFORM
    return kernels.INTERPOLATED if options.interpolate else kernels.BACKING_OFF


def _unigrams(levels: Levels, options: NGramOptions, recipe: Recipe, weights: np.ndarray) -> np.ndarray:
    """Return p(w), float64 (V,); what is left goes to all words but `<s>`, or to `<unk>` alone.

    Dropped words have no share of either. Stupid back-off gives `<unk>` alpha / V, so that no text is impossible.
    """
    counts = levels.level(1)[:, COUNT].astype(np.float64)
    kept = levels.dropped[1] == 0 if levels.dropped[1].size else np.ones(len(counts), bool)
    counts[BOS] = 0
    way = _way(options)
    if way in (kernels.UNIFORM, kernels.SCORED):
        counts[~kept] = 0
    discounts = np.array(recipe.discounts)
    taken = discounts[np.minimum(counts, len(discounts) - 1).astype(int)]
    total, types = counts.sum(), np.count_nonzero(counts)
    p = np.where(counts > 0, np.maximum(counts - taken, 0), 0) / (total + recipe.types * types + recipe.spread)
    if weights.size:
        p *= weights[kernels.bucket(total)]
    p[~kept] = 0
    left = max(1 - p.sum(), 0.0)
    kept[BOS] = False
    if way == kernels.SCORED:
        p[UNK] = p[UNK] or options.alpha / kept.sum()
    elif options.smoothing == "mle":
        p /= p.sum()
    elif options.interpolate_unigrams:
        p[kept] += left / kept.sum()
    else:
        p[UNK] += left
    return p


def _without_dropped(levels: Levels) -> Levels:
    """Remove the marked n-grams. What is kept has its suffixes and prefixes kept, so links only need new numbers."""
    first, internal = 0, len(levels.nodes) - 1
    keep = np.concatenate([[True], *(d == 0 for d in levels.dropped[1:]), [True]])
    new = np.cumsum(keep, dtype=np.int64) - keep
    new = new.astype(np.uint32)
    nodes = levels.nodes[keep[:internal].nonzero()[0]]
    nodes = np.concatenate([nodes, levels.nodes[-1:]])
    leaves = levels.leaves[keep[internal:-1]]
    for records in (nodes, leaves):
        records[:, SUFFIX] = new[records[:, SUFFIX]]
        records[:, WORD] = new[records[:, WORD].astype(np.int64) + 1] - 1
    nodes[0, WORD] = 0
    nodes[:, BEGIN] = new[nodes[:, BEGIN]]
    sizes = []
    for k, size in enumerate(levels.sizes):
        sizes.append(int(keep[first : first + size].sum()) if k else 1)
        first += size
    return Levels(nodes, leaves, sizes, [NOTHING] * len(sizes))


def estimate(levels: Levels, options: NGramOptions, held_out: np.ndarray | None = None) -> tuple[Trie, dict]:
    """Turn counts into the finished trie (in place, level by level), and say which discounts or weights were used.

    Parameters
    ----------
    held_out : ndarray of int32, optional
        The text on which Jelinek-Mercer smoothing finds its weights.

    Warns
    -----
    LmkitWarning
        The corpus yields no discounts for some order and none were given to fall back to.

    Raises
    ------
    CorpusError
        The corpus does not support the estimator at all.
    """
    words = levels.sizes[1] - int(np.count_nonzero(levels.dropped[1])) - 1
    recipes, facts = _recipes(levels, words, options), {}
    if ESTIMATORS[options.smoothing].fallback:
        facts["discounts"] = [[round(d, 6) for d in recipe.discounts[1:]] for recipe in recipes]
    weights = [NO_WEIGHTS] * options.order
    if options.smoothing == "jelinek-mercer":
        weights = fit_weights(levels, words, held_out, options.threads)
        facts["weights"] = [[round(w, 6) for w in of_order.tolist()] for of_order in weights]
    counts = np.zeros(0, np.uint32)
    if options.keeps_counts:
        counts = np.concatenate([levels.nodes[:-1, COUNT], levels.leaves[:, COUNT]])
        if options.drops:
            counts = counts[np.concatenate([[True], *(d == 0 for d in levels.dropped[1:])])]

    way = _way(options)
    constant = options.alpha if way == kernels.SCORED else 1 / words
    unigrams = _unigrams(levels, options, recipes[0], weights[0])
    levels.level(1).view(np.float32)[:, LOG_P] = unigrams
    first = 1
    for k in range(2, options.order + 1):
        offset = first + levels.sizes[k - 1]
        ranges = np.linspace(first, offset, options.threads + 1).astype(int)
        recipe = recipes[k - 1]
        numbers = (way, np.array(recipe.discounts), recipe.types, recipe.spread, weights[k - 1], constant)
        in_threads(
            options.threads,
            kernels.fill_level,
            [
                (int(b), int(e), levels.nodes, levels.level(k), offset, levels.dropped[k], *numbers)
                for b, e in itertools.pairwise(ranges)
            ],
        )
        first = offset
    if options.drops:
        unigrams = unigrams[levels.dropped[1] == 0]
        levels = _without_dropped(levels)
    return _finish(levels, options, unigrams, counts), facts


def _finish(levels: Levels, options: NGramOptions, unigrams: np.ndarray, counts: np.ndarray) -> Trie:
    nodes, sizes = levels.nodes, levels.sizes
    internal = len(nodes) - 1
    nodes[[0, -1], SUFFIX] = 0
    nodes.view(np.float32)[[0, -1], BACKOFF] = 0
    first = 1
    for k in range(1, options.order + 1):
        records, is_top = levels.level(k), k == options.order
        ranges = np.linspace(first, first + sizes[k], options.threads + 1).astype(int)
        in_threads(
            options.threads,
            kernels.finish,
            [
                (int(b), int(e), nodes, levels.leaves if is_top else nodes, internal if is_top else 0, not is_top)
                for b, e in itertools.pairwise(ranges)
            ],
        )
        first += len(records)
    return Trie(nodes, levels.leaves, kernels.alias_table(unigrams), counts, tuple(sizes))

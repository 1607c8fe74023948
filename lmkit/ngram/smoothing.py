"""From counts to probabilities: what every estimator of `lmkit.ngram.estimators` goes through.

Each fills the same trie, p(w | c) for the n-grams it knows and a back-off weight for all others, so one query serves
them all. Numbers follow lmplz (Heafield et al. 2013) where the textbooks leave a choice.
"""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np

from lmkit.errors import LmkitWarning
from lmkit.kernels import ngram_estimation as kernels
from lmkit.model import BOS, UNK
from lmkit.ngram.counts import NOTHING, Levels
from lmkit.ngram.estimators import ESTIMATORS, KATZ_LIMIT, Order, Recipe
from lmkit.ngram.held_out import fit_weights, held_out_shares
from lmkit.ngram.options import NGramOptions
from lmkit.ngram.trie import BACKOFF, BEGIN, COUNT, LOG_P, SUFFIX, WORD, Trie
from lmkit.threads import in_threads, ranges

__all__ = ["Plan", "counts_of_counts", "estimate", "plan", "unigram_probabilities"]

NO_WEIGHTS = np.zeros(0)


@dataclasses.dataclass(frozen=True)
class Plan:
    """The numbers by which an estimator fills the levels of a trie.

    Attributes
    ----------
    way, constant
        See `lmkit.kernels.ngram_estimation.fill_level`.
    recipes : list of Recipe
        For n = 1, 2, ...
    weights : list of ndarray of float64
        Of Jelinek and Mercer, else empty.
    facts : dict
        Which discounts or weights are used, for the record.
    """

    way: int
    constant: float
    recipes: list[Recipe]
    weights: list[np.ndarray]
    facts: dict

    def fill(self, k, nodes, contexts, children, dropped, shorter, column, threads) -> None:
        """Estimate the k-grams that are the children of a range of contexts, in threads.

        The children of the first context begin with row 0; the other arguments are those of
        `lmkit.kernels.ngram_estimation.fill_level`.
        """
        recipe = self.recipes[k - 1]
        discounts = np.array(recipe.discounts)
        numbers = (self.way, discounts, recipe.types, recipe.spread, self.weights[k - 1], self.constant)
        first, last = contexts
        offset = int(nodes[first, BEGIN])
        in_threads(
            threads,
            kernels.fill_level,
            [
                (b, e, nodes, children, offset, dropped, shorter, column, *numbers)
                for b, e in ranges(first, last, threads)
            ],
        )


def plan(
    counts_of_counts: list[np.ndarray], words: int, options: NGramOptions, weights: list[np.ndarray] | None = None
) -> Plan:
    """Ask the estimator what it makes of the counts.

    Parameters
    ----------
    counts_of_counts : list of ndarray of int64
        For n = 1, 2, ...: how many n-grams have the (adjusted) count 0, 1, ... KATZ_LIMIT + 1.
    words : int
        Words that can come.
    weights : list of ndarray of float64, optional
        Of Jelinek and Mercer.

    Warns
    -----
    LmkitWarning
        The counts yield no discounts for some order and none were given to fall back to.

    Raises
    ------
    CorpusError
        The counts do not support the estimator at all.
    """
    recipes, facts = _recipes(counts_of_counts, words, options), {}
    if ESTIMATORS[options.smoothing].fallback:
        facts["discounts"] = [[round(d, 6) for d in recipe.discounts[1:]] for recipe in recipes]
    if weights is not None:
        facts["weights"] = [[round(w, 6) for w in of_order.tolist()] for of_order in weights]
    way = _way(options)
    constant = options.alpha if way == kernels.SCORED else 1 / words
    return Plan(way, constant, recipes, weights or [NO_WEIGHTS] * options.order, facts)


def _recipes(counts_of_counts: list[np.ndarray], words: int, options: NGramOptions) -> list[Recipe]:
    """Return what the estimator says of each order."""
    estimator = ESTIMATORS[options.smoothing]
    found = [estimator.recipe(Order(n, t, words, options)) for n, t in enumerate(counts_of_counts, 1)]
    failed = [n for n, recipe in enumerate(found, 1) if recipe is None]
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


def unigram_probabilities(counts: np.ndarray, dropped: np.ndarray, options: NGramOptions, made: Plan) -> np.ndarray:
    """Return p(w), float64 (V,); what is left goes to all words but `<s>`, or to `<unk>` alone.

    Dropped words have no share of either. Stupid back-off gives `<unk>` alpha / V, so that no text is impossible.
    """
    recipe, weights, way = made.recipes[0], made.weights[0], made.way
    counts = counts.astype(np.float64)
    kept = dropped == 0 if dropped.size else np.ones(len(counts), bool)
    counts[BOS] = 0
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
    orders = range(1, options.order + 1)
    weights = None
    if options.holds_out:
        weights = fit_weights(*held_out_shares(levels, held_out, options.threads), words)
    made = plan([counts_of_counts(levels.level(n), COUNT) for n in orders], words, options, weights)
    counts = np.zeros(0, np.uint32)
    if options.keeps_counts:
        counts = levels.occurrences
        if not counts.size:
            counts = np.concatenate([levels.nodes[:-1, COUNT], levels.leaves[:, COUNT]])
        if options.drops:
            counts = counts[np.concatenate([[True], *(d == 0 for d in levels.dropped[1:])])]

    unigrams = unigram_probabilities(levels.level(1)[:, COUNT], levels.dropped[1], options, made)
    levels.level(1).view(np.float32)[:, LOG_P] = unigrams
    first = 1
    for k in range(2, options.order + 1):
        offset = first + levels.sizes[k - 1]
        nodes, dropped = levels.nodes, levels.dropped[k]
        made.fill(k, nodes, (first, offset), levels.level(k), dropped, nodes, LOG_P, options.threads)
        first = offset
    if options.drops:
        unigrams = unigrams[levels.dropped[1] == 0]
        levels = _without_dropped(levels)
    return _finish(levels, options, unigrams, counts), made.facts


def counts_of_counts(records: np.ndarray, column: int) -> np.ndarray:
    """Return how many records have the count 0, 1, ... KATZ_LIMIT + 1 in a column."""
    return kernels.counts_of_counts(records, column, KATZ_LIMIT + 2)


def _finish(levels: Levels, options: NGramOptions, unigrams: np.ndarray, counts: np.ndarray) -> Trie:
    nodes, sizes = levels.nodes, levels.sizes
    internal = len(nodes) - 1
    nodes[[0, -1], SUFFIX] = 0
    nodes.view(np.float32)[[0, -1], BACKOFF] = 0
    first = 1
    for k in range(1, options.order + 1):
        is_top = k == options.order
        shared = (nodes, levels.leaves, internal, False) if is_top else (nodes, nodes, 0, True)
        jobs = [(b, e, *shared) for b, e in ranges(first, first + sizes[k], options.threads)]
        in_threads(options.threads, kernels.finish, jobs)
        first += sizes[k]
    return Trie(nodes, levels.leaves, kernels.alias_table(unigrams), counts, tuple(sizes))

"""From counts to probabilities: maximum likelihood, add-k and interpolated modified Kneser-Ney.

Every estimator fills the same trie, p(w | c) for the n-grams it knows and gamma(c) for all others, so one query serves
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
from lmkit.ngram.options import NGramOptions
from lmkit.ngram.trie import BACKOFF, BEGIN, COUNT, LOG_P, SUFFIX, WORD, Trie
from lmkit.threads import in_threads

__all__ = ["DEFAULT_FALLBACK", "discounts_from_counts", "estimate"]

DEFAULT_FALLBACK = (0.5, 1.0, 1.5)


def discounts_from_counts(counts_of_counts: np.ndarray) -> tuple[float, float, float] | None:
    """Return D1, D2, D3+ from the numbers t[j] of n-grams with count j = 0 ... 4, or None where they are impossible.

    D_j = j - (j + 1) Y t_(j+1) / t_j,  Y = t_1 / (t_1 + 2 t_2)   (Chen and Goodman 1998, equation 26)

    >>> [round(d, 4) for d in discounts_from_counts([0, 100, 40, 20, 10])]
    [0.5556, 1.1667, 1.8889]
    >>> discounts_from_counts([0, 100, 0, 20, 10]) is None
    True
    """
    t = np.asarray(counts_of_counts, np.float64)
    if not t[1:4].all():
        return None
    y = t[1] / (t[1] + 2 * t[2])
    discounts = tuple(float(j - (j + 1) * y * t[j + 1] / t[j]) for j in (1, 2, 3))
    return discounts if all(0 <= d <= j for j, d in enumerate(discounts, start=1)) else None


def _all_discounts(levels: Levels, options: NGramOptions) -> list[tuple[float, float, float]]:
    found = [discounts_from_counts(kernels.counts_of_counts(levels.level(k))) for k in range(1, options.order + 1)]
    failed = [k for k, d in enumerate(found, start=1) if d is None]
    fallback = options.discount_fallback or DEFAULT_FALLBACK
    if failed and options.discount_fallback is None:
        in_a_row = len(failed) > 2 and failed[-1] - failed[0] == len(failed) - 1
        orders = f"{failed[0]} to {failed[-1]}" if in_a_row else ", ".join(map(str, failed))
        warnings.warn(
            f"the counts of counts of order {orders} yield no Kneser-Ney discounts (a small or "
            f"repetitive corpus?): using {', '.join(f'{d:g}' for d in fallback)}; "
            "--discount-fallback D1,D2,D3 sets others",
            LmkitWarning,
            stacklevel=2,
        )
    return [fallback if d is None else d for d in found]


def _kneser_ney_unigrams(counts: np.ndarray, discounts, interpolate: bool, dropped: np.ndarray) -> np.ndarray:
    """Return p(w), float64 (V,), from adjusted counts: interpolated with the uniform distribution over all but `<s>`.

    Without interpolation `<unk>` gets what the discounts spare, as in SRILM. Dropped words have no share, and the
    uniform distribution does not reach them.
    """
    counts = counts.astype(np.float64)
    counts[BOS] = 0
    p = np.maximum(counts - np.array([0.0, *discounts])[np.minimum(counts, 3).astype(int)], 0) / counts.sum()
    kept = dropped == 0 if dropped.size else np.ones(len(p), bool)
    p[~kept] = 0
    kept[BOS] = False
    spared = 1 - p.sum()
    p[kept if interpolate else UNK] += spared / kept.sum() if interpolate else spared
    return p


def _unigrams(levels: Levels, options: NGramOptions, discounts) -> np.ndarray:
    counts = levels.level(1)[:, COUNT]
    if options.smoothing == "modified-kneser-ney":
        return _kneser_ney_unigrams(counts, discounts, options.interpolate_unigrams, levels.dropped[1])
    k = options.k or 0.0
    p = counts + k
    p[BOS] = 0
    if levels.dropped[1].size:
        p[levels.dropped[1] != 0] = 0
    return p / p.sum()


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


def estimate(levels: Levels, options: NGramOptions) -> tuple[Trie, dict]:
    """Turn counts into the finished trie (in place, level by level), and say which discounts were used.

    Warns
    -----
    LmkitWarning
        The corpus yields no discounts for some order and none were given to fall back to.
    """
    v = levels.sizes[1] - int(np.count_nonzero(levels.dropped[1]))
    facts: dict = {}
    discounts: list = [None] * options.order
    kneser_ney = options.smoothing == "modified-kneser-ney"
    if kneser_ney:
        discounts = _all_discounts(levels, options)
        facts["discounts"] = [[round(d, 6) for d in three] for three in discounts]
    counts = np.zeros(0, np.uint32)
    if not kneser_ney:
        counts = np.concatenate([levels.nodes[:-1, COUNT], levels.leaves[:, COUNT]])
        if options.drops:
            counts = counts[np.concatenate([[True], *(d == 0 for d in levels.dropped[1:])])]

    unigrams = _unigrams(levels, options, discounts[0])
    levels.level(1).view(np.float32)[:, LOG_P] = unigrams
    first = 1
    for k in range(2, options.order + 1):
        children = levels.level(k)
        offset = first + levels.sizes[k - 1]
        ranges = np.linspace(first, offset, options.threads + 1).astype(int)
        shared = (levels.nodes, children, offset, levels.dropped[k])
        if kneser_ney:
            work, extra = kernels.modified_kneser_ney, (np.array([0.0, *discounts[k - 1]]),)
        else:
            work, extra = kernels.add_k, (options.k or 0.0, v - 1)
        in_threads(options.threads, work, [(int(b), int(e), *shared, *extra) for b, e in itertools.pairwise(ranges)])
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

"""Several models of one text, which is counted only once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from lmkit.memory import allowed, resident
from lmkit.ngram.counts import link_levels
from lmkit.ngram.estimators import ESTIMATORS
from lmkit.ngram.external import bytes_in_memory
from lmkit.ngram.model import NGramModel, train
from lmkit.ngram.options import NGramOptions
from lmkit.ngram.smoothing import estimate
from lmkit.text import TextLayer

__all__ = ["train_several"]


def train_several(
    ids: np.ndarray,
    counts: np.ndarray,
    text: TextLayer,
    several: Sequence[NGramOptions],
    held_out: np.ndarray | None = None,
) -> Iterator[NGramModel]:
    """Yield a model for each of several options, the same to the bit as `lmkit.ngram.model.train` makes them.

    The n-grams of the highest order contain those of all lower ones, and counts of occurrences and of left neighbours
    are to be had together: so one count serves all orders and smoothings, where twice the memory of one is free.

    Parameters
    ----------
    ids, counts, text, held_out
        As in `lmkit.ngram.model.train`; `held_out` serves the options that need it.

    Raises
    ------
    CorpusError, OptionError
    """
    longest = max(several, key=lambda options: options.order)
    if not _can_share(len(ids), len(counts), several, longest):
        for options in several:
            yield train(ids, counts, text, options, held_out=held_out if options.holds_out else None)
        return
    adjusted = any(ESTIMATORS[options.smoothing].adjusted for options in several)
    levels = link_levels(
        ids, longest.order, counts, adjusted=adjusted, occurrences=adjusted, cutoffs=longest.cutoffs,
        threads=longest.threads,
    )  # fmt: skip
    for options in several:
        own = levels.up_to(options.order, adjusted=ESTIMATORS[options.smoothing].adjusted)
        trie, facts = estimate(own, options, held_out)
        model = NGramModel(text, trie, {**options.describe(), **facts})
        model.threads = options.threads
        yield model


def _can_share(tokens: int, words: int, several: Sequence[NGramOptions], longest: NGramOptions) -> bool:
    """Whether one count serves all options, and there is memory for it and a copy."""
    alike = all(
        options.cutoffs == longest.cutoffs[: options.order] and options.limit_vocabulary is None for options in several
    )
    memory = allowed(longest.memory)
    fits = memory is None or 2 * bytes_in_memory(tokens, words, longest.order) <= memory - resident()
    return len(several) > 1 and longest.order > 1 and alike and fits

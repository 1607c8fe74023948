"""What the tests of the n-gram family share: small texts, and slow, obvious twins of what the trie's kernels do."""

from __future__ import annotations

import math
import warnings

import numpy as np
from reference import raw_counts

from lmkit.errors import LmkitWarning
from lmkit.model import BOS, EOS
from lmkit.ngram.model import train
from lmkit.ngram.options import NGramOptions
from lmkit.text import TextLayer, TextSettings, Vocabulary

FALLBACK = (0.5, 1.0, 1.5)


def a_text(size=9, length=300, seed=0, ends=0.15):
    """Random ids below `size`, few of them frequent, `</s>` with probability `ends` and at the end."""
    rng = np.random.default_rng(seed)
    ids = np.minimum(rng.geometric(0.35, length) + 2, size - 1)
    ids[rng.random(length) < 0.03] = 0
    ids[rng.random(length) < ends] = EOS
    return np.append(ids, EOS).astype(np.int32)


def words(size):
    """The tokens of a vocabulary of this size without the reserved ones."""
    return [f"w{i}" for i in range(3, size)]


def model_of(ids, size, held_out=None, **options):
    """Train on ids; discounts fall back without a warning unless told otherwise."""
    if options.get("smoothing", "modified-kneser-ney") == "modified-kneser-ney":
        options.setdefault("discount_fallback", FALLBACK)
    layer = TextLayer(TextSettings("whitespace"), Vocabulary.from_tokens(words(size)))
    held_out = ids if held_out is None else held_out
    with warnings.catch_warnings():
        if options.get("smoothing") in ("absolute", "kneser-ney"):
            warnings.simplefilter("ignore", LmkitWarning)
        return train(ids, np.bincount(ids, minlength=size), layer, NGramOptions(**options), held_out=held_out)


def grams_of(nodes, leaves):
    """Name the nodes of a trie: a tuple of ids for each, from the links downwards alone.

    Breadth-first order is part of the layout: the next child is always the next number.
    """
    grams = [()]
    internal = len(nodes) - 1
    for node in range(internal):
        begin, end = int(nodes[node, 4]), int(nodes[node + 1, 4])
        assert begin == len(grams), f"the children of node {node} begin at {begin}, not at {len(grams)}"
        for child in range(begin, end):
            record = nodes[child] if child < internal else leaves[child - internal]
            grams.append((*grams[node], int(record[0])))
    assert len(grams) == internal + len(leaves)
    return grams


def column(nodes, leaves, number):
    """One column of all records of a trie, leaves after nodes."""
    return np.concatenate([nodes[:-1, number], leaves[:, number]])


def table_of(model):
    """All n-grams of a model: tuple of token bytes -> (log10 p, log10 back-off)."""
    trie, token = model.trie, model.text.vocabulary.token_bytes
    log_p = column(trie.nodes, trie.leaves, 2).view(np.float32).astype(float) / math.log(10)
    backoffs = trie.nodes[:-1, 5].view(np.float32).astype(float) / math.log(10)
    backoffs = np.concatenate([backoffs, np.zeros(len(trie.leaves))])
    tokens = [token(i) for i in range(model.vocabulary_size)]
    grams = grams_of(trie.nodes, trie.leaves)
    return {
        tuple(tokens[w] for w in gram): (float(p), float(b))
        for gram, p, b in list(zip(grams, log_p, backoffs, strict=True))[1:]
    }


def dropped_grams(ids, order, cutoffs, excluded):
    """The n-grams of each order that fall under a cut-off, hold an excluded word, or begin with one of these."""
    dropped = [set(), {(int(w),) for w in np.flatnonzero(excluded)}]
    for n in range(2, order + 1):
        dropped.append(
            {
                gram
                for gram, count in raw_counts(ids, n).items()
                if count <= cutoffs[n - 1] or gram[:-1] in dropped[n - 1] or excluded[gram[-1]]
            }
        )
    return dropped


def walk(grams, history):
    """The state after a history: the longest ending of it that has children, by dictionary search."""
    contexts = {gram[:-1] for gram in grams if gram}
    start = max((i for i, w in enumerate(history) if w == EOS), default=-1)
    recent = (BOS, *history[start + 1 :])
    while recent and recent not in contexts:
        recent = recent[1:]
    return recent

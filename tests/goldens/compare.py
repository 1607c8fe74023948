"""Train lmkit as a command line of lmplz says, and compare model and perplexities with lmplz's own."""

from __future__ import annotations

import math
import re

from ngram.reference_ngram import grams_of, table_of

import lmkit
from lmkit.ngram.counts import link_levels
from lmkit.ngram.model import NGramModel
from lmkit.ngram.options import NGramOptions
from lmkit.ngram.smoothing import estimate
from lmkit.ngram.trie import COUNT
from lmkit.text import Corpus, TextSettings, learn

LOG10_BOUND, PERPLEXITY_BOUND = 1e-5, 1e-4  # absolute in log10; relative


def options_of(command: str, read) -> dict:
    """Turn the options of lmplz into those of `lmkit.train`; `read` gives the bytes of a file it names."""
    order = re.search(r"-o (\d+)", command)
    cutoffs = re.search(r"--prune ([\d ]*\d)", command)
    fallback = re.search(r"--discount_fallback( [\d. ]*\d)?", command)
    limited = re.search(r"--limit_vocab_file (\S+)", command)
    options = {"tokenizer": "whitespace", "errors": "keep", "order": int(order[1])}
    if cutoffs:
        options["cutoffs"] = tuple(map(int, cutoffs[1].split()))
    if fallback:
        options["discount_fallback"] = tuple(map(float, (fallback[1] or "0.5 1 1.5").split()))
    if limited:
        options["limit_vocabulary"] = read(limited[1]).decode().split()
    if "--interpolate_unigrams 0" in command:
        options["interpolate_unigrams"] = False
    if "--skip_symbols" in command:
        options["reserved"] = "space"
    return options


def train_like_lmplz(text: bytes, options: dict):
    """Train on a text with lmplz's treatment of an unfinished last line.

    lmplz forgets the `</s>` of a last line without newline, although its query counts it; lmkit closes every
    sentence. To have the same numbers, the last n-gram of the text is counted once less here.
    """
    if not text or text.endswith(b"\n"):
        return lmkit.train([("text", text)], **options).language_model
    choices = NGramOptions(order=options["order"], discount_fallback=options["discount_fallback"])
    settings = TextSettings(options["tokenizer"], reserved=options.get("reserved", "error"))
    ids, layer, counts, _ = learn([Corpus("text", errors=options["errors"], data=text)], settings)
    levels = link_levels(ids, choices.order, counts, adjusted=True)
    last = grams_of(levels.nodes, levels.leaves).index(tuple(ids[-choices.order :].tolist()))
    assert levels.leaves[last - sum(levels.sizes[:-1]), COUNT] > 1  # so that nothing but this count changes
    levels.leaves[last - sum(levels.sizes[:-1]), COUNT] -= 1
    trie, _ = estimate(levels, choices)
    return NGramModel(layer, trie, choices.describe())


def differences(model, expected: dict) -> dict:
    """How far each number of an ARPA file is from the model's, in log10: n-gram -> difference.

    `<s>` is never predicted; lmplz writes 0 where lmkit has minus infinity, so only its back-off is compared.
    """
    found = table_of(model)
    assert found.keys() == expected.keys(), sorted(found.keys() ^ expected.keys())[:5]
    apart = {}
    for gram, (log_p, backoff) in expected.items():
        p = 0.0 if gram == (b"<s>",) or found[gram][0] == log_p else abs(found[gram][0] - log_p)
        apart[gram] = max(p, abs(found[gram][1] - backoff))
    return apart


def relative(found: float, expected: float) -> float:
    """The relative difference of two perplexities; two infinite ones are equal."""
    if math.isinf(found) or math.isinf(expected):
        return 0.0 if found == expected else math.inf
    return abs(found - expected) / expected

"""n-gram counts from files, as `lmkit count` writes them, Google's collections and SRILM: `w1 w2 ... <tab> count`.

Whether words are escaped: see `lmkit.text.word_files`.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable

import numpy as np

from lmkit.errors import CorpusError
from lmkit.kernels import ngram_count_lines as kernels
from lmkit.memory import in_bytes, memory_limit
from lmkit.model import BOS, EOS, RESERVED
from lmkit.ngram.assembly import Level, row_order, structure
from lmkit.ngram.counts import NO_COUNTS, NOTHING, Levels
from lmkit.ngram.options import MAX_ORDER
from lmkit.ngram.trie import COUNT, SUFFIX
from lmkit.text import ESCAPED, Corpus, Vocabulary
from lmkit.text.corpus import LONGEST_ENTRY
from lmkit.text.table import TokenTable
from lmkit.text.vocabulary import check_words, to_bytes, to_str, unescaped_tokens

__all__ = ["Counts", "levels_of", "read_counts"]

ROOM = 1 << 16  # lines that are read at a time
MISTAKES = {
    1: "has no tab before a count",
    2: "ends with no whole number of at least 0",
    3: f"has a count over {kernels.LARGEST}",
    4: "is no n-gram of 1 to {most} words",
}


@dataclasses.dataclass
class Counts:
    """The counts of all n-grams up to some length.

    Attributes
    ----------
    vocabulary : Vocabulary
        The words by their counts.
    tables : list of (n-grams, counts)
        For n = 1, 2, ...: int32 (m, n), all different and sorted, and int64 (m,).
    """

    vocabulary: Vocabulary
    tables: list[tuple[np.ndarray, np.ndarray]]


def read_counts(
    corpora: Iterable[Corpus],
    order: int,
    tokenizer: str = "whitespace",
    *,
    escaped: bool | None = None,
    progress: Callable[[int], object] | None = None,
) -> Counts:
    """Read counts; those of the same n-gram are added, longer n-grams left out.

    Parameters
    ----------
    escaped : bool, optional
        Whether words are escaped: by default those of other tokenizers than `whitespace`, and all if one of the files
        has the line ESCAPED with a count of 0.

    Raises
    ------
    CorpusError
        A line is none of counts, which the message names; they do not fit into the memory; or escaped words are no
        tokens of the tokenizer.
    """
    words = Vocabulary.from_tokens([]).table
    grams: list[list[np.ndarray]] = [[] for _ in range(order + 1)]
    counts: list[list[np.ndarray]] = [[] for _ in range(order + 1)]
    most, held, free = MAX_ORDER, 0, memory_limit()
    starts, lengths = np.empty((2, ROOM * 4 + most), np.int64)
    orders, numbers = np.empty((2, ROOM), np.int64)
    for corpus in corpora:
        line, corpus.longest_line = 1, LONGEST_ENTRY
        for block, size in corpus.padded_blocks(progress):
            at = 0
            while at < size:
                n, w, at, mistake = kernels.parse_counts(block, at, size, most, starts, lengths, orders, numbers)
                ids = words.ids(block, starts[:w], lengths[:w], True)
                ids = np.where(ids < 0, -1 - ids, ids)
                firsts = np.cumsum(orders[:n]) - orders[:n]
                for k in range(1, order + 1):
                    chosen = np.flatnonzero(orders[:n] == k)
                    grams[k].append(ids[firsts[chosen, None] + np.arange(k)])
                    counts[k].append(numbers[chosen].astype(np.uint32))
                    held += grams[k][-1].nbytes + counts[k][-1].nbytes
                line += n
                if mistake:
                    end = at + int(np.argmax(block[at:size] == ord("\n")) or size - at)
                    shown = block[at : min(end, at + 60)].tobytes().decode("utf-8", "replace").strip()
                    raise CorpusError(
                        f"{corpus.title}: line {line}: {shown!r} {MISTAKES[mistake].format(most=most)}; counts are "
                        "lines of words, a tab, and a number"
                    )
            if free is not None and 2 * held > free:
                raise CorpusError(
                    f"{corpus.title}: the counts up to line {line} take {in_bytes(2 * held)} of memory, and "
                    f"{in_bytes(free)} are free; give counts of a lower order, or only the more frequent n-grams"
                )
    vocabulary, new = _ordered(words, zip(grams[1], counts[1], strict=True), tokenizer, escaped)
    return Counts(vocabulary, [_added(grams[k], counts[k], k, new, vocabulary) for k in range(1, order + 1)])


def _ordered(
    words: TokenTable, unigrams: Iterable[tuple[np.ndarray, np.ndarray]], tokenizer: str, escaped: bool | None
) -> tuple[Vocabulary, np.ndarray]:
    """Number the words by their counts, then by their bytes, as when a text is learnt; return also the new numbers."""
    data, offsets = words.pool.tobytes(), words.offsets[: words.size + 1].tolist()
    names = [to_str(data[a:b]) for a, b in itertools.pairwise(offsets)]
    frequency = np.zeros(words.size, np.int64)
    for grams, counts in unigrams:
        np.add.at(frequency, grams[:, 0], counts)
    mark = next((i for i, name in enumerate(names) if name == ESCAPED and not frequency[i]), None)
    known = [i for i in range(len(RESERVED), words.size) if i != mark]
    tokens = [names[i] for i in known]
    if escaped or (escaped is None and (mark is not None or tokenizer != "whitespace")):
        tokens = unescaped_tokens(tokens, "the counts")
    pairs = sorted(zip(map(to_bytes, tokens), known, strict=True), key=lambda pair: (-frequency[pair[1]], pair[0]))
    byte = tokenizer == "byte"
    vocabulary = Vocabulary.all_bytes() if byte else Vocabulary.from_tokens(token for token, _ in pairs)
    new = np.zeros(words.size, np.int32)  # the mark's count of 0 is left out
    new[: len(RESERVED)] = range(len(RESERVED))
    new[[i for _, i in pairs]] = vocabulary.ids([token for token, _ in pairs])
    if byte and (new < 0).any():
        wrong = names[int(np.argmax(new < 0))]
        raise CorpusError(f"the counts hold {wrong[:40]!r}, which is no token of the byte tokenizer")
    if tokenizer == "whitespace":
        check_words(vocabulary)
    return vocabulary, new


def _added(
    grams: list[np.ndarray], counts: list[np.ndarray], k: int, new: np.ndarray, vocabulary: Vocabulary
) -> tuple[np.ndarray, np.ndarray]:
    """Return the different n-grams of a list that is used up, in their new numbers and sorted, and their counts; those
    of 0 are left out.
    """
    for i, piece in enumerate(grams):
        grams[i] = new[piece]
    table = np.concatenate([np.zeros((0, k), np.int32), *grams])
    numbers = np.concatenate([np.zeros(0, np.uint32), *counts])
    grams.clear()
    counts.clear()
    order = row_order(table)
    table, numbers = table.take(order, axis=0), numbers.take(order)
    first = np.ones(len(table), bool)
    first[1:] = (table[1:] != table[:-1]).any(axis=1)
    starts = np.flatnonzero(first)
    sums = np.add.reduceat(numbers, starts, dtype=np.int64)
    if sums.max(initial=0) > kernels.LARGEST:
        shown = _shown(vocabulary, table[starts[np.argmax(sums)]])
        raise CorpusError(f"the counts of {shown!r} add up to {sums.max()}; a model holds up to {kernels.LARGEST}")
    return table[starts[sums > 0]], sums[sums > 0]


def _shown(vocabulary: Vocabulary, gram: np.ndarray) -> str:
    """Return an n-gram for a message."""
    return " ".join(map(vocabulary.token, gram.tolist()))[:60]


def levels_of(
    counts: Counts, *, adjusted: bool, occurrences: bool = False, cutoffs: Iterable[int], name: str,
    excluded: np.ndarray = NOTHING, threads=1,
) -> Levels:  # fmt: skip
    """Lay counts out as a trie, as `lmkit.ngram.counts.link_levels` does a text.

    Raises
    ------
    CorpusError
        n-grams begin or end with shorter ones that were not counted.
    """
    size, order = len(counts.vocabulary), len(counts.tables)
    unigrams = np.zeros(size, np.int64)
    grams, numbers = counts.tables[0]
    unigrams[grams[:, 0]] = numbers
    unigrams[BOS] = 0
    if not unigrams[EOS]:
        raise CorpusError(f"{name}: </s> was never counted, so no sentence could end; count with sentence ends")
    met = np.zeros(size, bool)
    for grams, _ in counts.tables[1:]:
        met[grams] = True
        inside = (grams[:, 1:] == BOS).any(axis=1)
        if inside.any():
            wrong = _shown(counts.vocabulary, grams[np.argmax(inside)])
            raise CorpusError(
                f"{name}: {wrong!r} was counted, but <s> stands only before sentences; count each sentence by itself"
            )
    uncounted = np.flatnonzero(met[len(RESERVED) :] & (unigrams[len(RESERVED) :] == 0))
    if len(uncounted):
        missing = _shown(counts.vocabulary, uncounted[:1] + len(RESERVED))
        raise CorpusError(
            f"{name}: longer n-grams hold {missing!r}, which was not counted; give the counts of all orders"
        )
    tables = [(np.arange(size, dtype=np.int32)[:, None], unigrams), *counts.tables[1:]]
    drops = any(cutoffs) or excluded.size > 0
    levels = []
    for grams, numbers in tables:
        nothing = np.zeros(len(grams))
        bits = numbers.astype(np.uint32).view(np.float32)  # counts stand where log p will
        levels.append(Level(grams, bits, nothing.astype(np.float32), nothing.astype(bool)))
    built = structure(levels, name, threads)
    if any(level.blank.any() for level in built.levels):
        short = next(level for level in built.levels if level.blank.any())
        missing = _shown(counts.vocabulary, short.grams[np.argmax(short.blank)])
        raise CorpusError(
            f"{name}: longer n-grams begin with {missing!r}, which was not counted; give the counts of all orders"
        )
    seen = NO_COUNTS
    if occurrences and adjusted:
        seen = np.concatenate([built.nodes[:-1, COUNT], built.leaves[:, COUNT]])
    dropped = [NOTHING, excluded if excluded.size else np.zeros(size, np.uint8) if drops else NOTHING]
    gone = np.zeros(built.firsts[-1], bool)
    if drops:
        gone[built.firsts[1] : built.firsts[2]] = dropped[1] != 0
    for k in range(2, order + 1):
        records, level = built.records(k), built.levels[k - 1]
        suffixes, parents = records[:, SUFFIX].astype(np.int64), built.parents[k - 1]
        if (suffixes < built.firsts[k - 1]).any():
            missing = _shown(counts.vocabulary, level.grams[np.argmax(suffixes < built.firsts[k - 1]), 1:])
            raise CorpusError(
                f"{name}: longer n-grams end with {missing!r}, which was not counted; give the counts of all orders"
            )
        if drops:
            here = (level.log_p.view(np.uint32) <= list(cutoffs)[k - 1]) | gone[parents]
            if excluded.size:
                here |= excluded[level.grams[:, -1]] != 0
            gone[built.firsts[k] : built.firsts[k + 1]] = here
            dropped.append(here.astype(np.uint8))
        else:
            dropped.append(NOTHING)
        if adjusted:
            below, first = built.records(k - 1), built.firsts[k - 1]
            left = np.bincount(suffixes - first, minlength=len(below))
            shorter = built.levels[k - 2]
            own = shorter.grams[:, 0] != BOS
            lost = own & (left == 0) & (shorter.log_p.view(np.uint32) > 0)
            if lost.any():
                ending = _shown(counts.vocabulary, shorter.grams[np.argmax(lost)])
                raise CorpusError(
                    f"{name}: no {k}-gram ends with {ending!r}, so Kneser-Ney smoothing cannot count what stands "
                    f"before it; give all counts up to order {order}, none left out, or another --smoothing "
                    "(witten-bell ...)"
                )
            below[own, COUNT] = left[own]
    return Levels(built.nodes, built.leaves, [1, *np.diff(built.firsts[1:]).tolist()], dropped, seen)

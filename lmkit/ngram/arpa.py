r"""ARPA files, which every n-gram toolkit reads: from a model and to a model.

    \data\
    ngram 1=3
    ...
    \1-grams:
    -0.7782  word  -0.3010        log10 p, the n-gram, log10 of its back-off weight
    ...
    \end\

Words of the whitespace tokenizer stand as they are; tokens of the others, which may be blanks, are escaped. As `lmplz`
writes it, each n-gram below the highest order has a back-off weight, 0 where nothing backs off to it.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterator

import numpy as np

from lmkit.errors import LmkitWarning, ModelError, OptionError
from lmkit.kernels import ngram_arpa as kernels
from lmkit.memory import in_bytes, memory_limit
from lmkit.model import BOS, EOS, RESERVED, UNK
from lmkit.ngram.assembly import Level, assemble
from lmkit.ngram.model import ARPA, NGramModel
from lmkit.ngram.options import MAX_ORDER
from lmkit.ngram.trie import INTERNAL_COLUMNS, LEAF_COLUMNS, MOST
from lmkit.text import Corpus, TextLayer, TextSettings, Vocabulary, escape
from lmkit.text.corpus import LONGEST_ENTRY
from lmkit.text.table import TokenTable
from lmkit.text.vocabulary import check_words, unescaped_tokens
from lmkit.threads import aside, usable

__all__ = ["arpa_lines", "read_arpa"]

PIECE = 1 << 20  # bytes that are written at once
LOG_10 = math.log(10)
WORD_BYTES, BLOCK_BYTES = 256, 32 << 20  # that a word takes beside its n-gram, and the file's blocks, to read them
NOWHERE = np.float32(-99 * LOG_10)  # of `<unk>` where a model has none
MOST_EMPTY_LINES, MOST_LINES_BEFORE = 10_000, 1000  # in a row; before the header
IN_CAPITALS = ("<UNK>", "<S>", "</S>")
OTHER_FORMATS = {
    "iARPA": "IRSTLM's intermediate format, whose numbers are not final probabilities; `compile-lm --text` makes an "
    "ARPA file of it",
    "qARPA": "IRSTLM's quantised format, which has codes for numbers; convert the model that was quantised",
}


def arpa_lines(model: NGramModel) -> Iterator[bytes]:
    """Yield the ARPA file of a model.

    Contexts that the model lacks are written, too, with what they have by backing off: KenLM reads no n-gram without
    the n-gram that it begins with.

    Raises
    ------
    OptionError
        The model's probabilities, or its words, have no such form.

    Warns
    -----
    LmkitWarning
        Readers will take one of its words for a reserved one.
    """
    if model.spreads:
        raise OptionError(
            "add-k that gives what is left to all words equally has no ARPA form: its contexts do not back off to "
            "shorter ones; train with --back-off"
        )
    trie = model.trie
    aside(trie.check, model.name)
    firsts = np.cumsum([0, *trie.sizes])
    names = _names(model.text)
    yield b"\\data\\\n" + b"".join(b"ngram %d=%d\n" % (n, size) for n, size in enumerate(trie.sizes[1:], 1))
    out = np.empty(PIECE + names.longest * MAX_ORDER, np.uint8)
    for n in range(1, trie.order + 1):
        yield b"\n\\%d-grams:\n" % n
        node, end = int(firsts[n]), int(firsts[n + 1])
        while node < end:
            node, size = kernels.write_lines(
                n, node, end, firsts, trie.nodes, trie.leaves, names.pool, names.offsets, out
            )
            yield out[:size].tobytes()
    yield b"\n\\end\\\n"


def _names(text: TextLayer) -> Vocabulary:
    """Return the words as they are written into the file."""
    if text.settings.tokenizer != "whitespace":
        return Vocabulary.from_tokens(map(escape, text.vocabulary.tokens()[len(RESERVED) :]))
    check_words(text.vocabulary)
    taken = [word for word in IN_CAPITALS if text.vocabulary.id(word) is not None]
    if taken:
        warnings.warn(
            f"the model has the word {taken[0]}, which readers of ARPA files take for {taken[0].lower()}",
            LmkitWarning,
            stacklevel=2,
        )
    return text.vocabulary


class _Reader:
    """The lines of an ARPA file, a block at a time."""

    def __init__(self, corpus: Corpus, progress: Callable[[int], object] | None):
        corpus.longest_line = LONGEST_ENTRY
        self.name, self.blocks = corpus.title, corpus.padded_blocks(progress)
        self.block, self.size, self.at, self.line = np.zeros(0, np.uint8), 0, 0, 1
        self.again: str | None = None  # a line that was read too early

    def more(self) -> bool:
        """Whether anything is left; then `block` from `at` on holds some of it."""
        while self.at >= self.size:
            found = next(self.blocks, None)
            if found is None:
                return False
            self.block, self.size = found
            self.at = 0
        return True

    def next_line(self) -> str | None:
        """Return the next line that is not empty, without blanks around it; None at the end."""
        if self.again is not None:
            found, self.again = self.again, None
            return found
        empty = 0
        while self.more():
            rest = self.block[self.at : self.size]
            newline = np.flatnonzero(rest[: 1 << 16] == ord("\n"))
            end = self.at + int(newline[0]) + 1 if len(newline) else self.size
            found = self.block[self.at : end].tobytes().decode("utf-8", "replace").strip()
            self.at, self.line = end, self.line + 1
            if found:
                return found
            empty += 1
            if empty > MOST_EMPTY_LINES:
                raise self.error(f"more than {MOST_EMPTY_LINES:,} empty lines; is it an ARPA file?", self.line - 1)
        return None

    def error(self, what: str, line: int | None = None) -> ModelError:
        return ModelError(f"{self.name}: line {self.line if line is None else line}: {what}")


def read_arpa(
    corpus: Corpus, settings: TextSettings, progress: Callable[[int], object] | None = None, threads: int | None = None
) -> NGramModel:
    """Return the model that an ARPA file holds.

    `<UNK>`, `<S>` and `</S>` are the reserved words, too. `<s>` may have any probability; `<unk>` may be missing, and
    then has none. Contexts and suffixes may be missing (of pruned models). Tokens are unescaped where the tokenizer is
    not `whitespace`.

    Raises
    ------
    ModelError
        It is no ARPA file, or too large; the message says in which line, or by how much.
    CorpusError
        It cannot be read.

    Warns
    -----
    LmkitWarning
        It has no unknown word.
    """
    threads = usable(threads)
    reader = _Reader(corpus, progress)
    counts = _header(reader)
    check_memory(counts, reader.name)
    levels, words, order = [], Vocabulary.from_tokens([]).table, len(counts)
    for n, count in enumerate(counts, 1):
        level = _section(reader, n, count, words)
        levels.append(level if n > 1 else _all_words(reader, level, words))
    if (line := reader.next_line()) != "\\end\\":
        raise reader.error(rf"expected \end\ after the {order}-grams, found {_shown(line)}", reader.line - 1)
    vocabulary = Vocabulary(words.pool[: words.offsets[words.size]].tobytes(), words.offsets[: words.size + 1])
    if settings.tokenizer != "whitespace":
        vocabulary = _unescaped(vocabulary, settings, reader.name, levels)
    trie, blanks = assemble(levels, reader.name, threads)
    return NGramModel(
        TextLayer(settings, vocabulary), trie, {"order": order, "smoothing": ARPA, "interpolate": False}, blanks=blanks
    )


def needed(counts: list[int]) -> int:
    """Return about how many bytes of memory it takes to read so many n-grams of each length.

    An n-gram is held as its ids, two logarithms, a mark and its parent, and as a record of the trie; those of one
    length also in the pieces that were read; a word has its name and its place in a hash table. Measured of orders 1 to
    8, sorted or not: this is 2 to 9 % more than was taken.
    """
    columns = [INTERNAL_COLUMNS] * (len(counts) - 1) + [LEAF_COLUMNS]
    held = sum(m * (4 * n + 13 + 4 * c) for n, (m, c) in enumerate(zip(counts, columns, strict=True), 1))
    pieces = max(m * (4 * n + 8) for n, m in enumerate(counts, 1))
    return held + pieces + WORD_BYTES * counts[0] + BLOCK_BYTES


def check_memory(counts: list[int], name: str) -> None:
    """Refuse, before the work, more n-grams than a model or the memory holds.

    Raises
    ------
    ModelError
    """
    total, free = sum(counts), memory_limit()
    if total > MOST:
        raise ModelError(f"{name}: its header promises {total} n-grams; a model holds at most {MOST}")
    if free is not None and needed(counts) > free:
        raise ModelError(
            f"{name}: its {total} n-grams would take {in_bytes(needed(counts))} of memory to read, and "
            f"{in_bytes(free)} are free; prune the model with the toolkit that it comes from"
        )


def _shown(line: str | None) -> str:
    return "the end of the file" if line is None else repr(line[:40])


def _header(reader: _Reader) -> list[int]:
    """Return the numbers of n-grams that the file says it has."""
    line = reader.next_line()
    if line and (other := OTHER_FORMATS.get(line.split()[0])):
        raise ModelError(f"{reader.name}: {other}")
    while line is not None and line != "\\data\\":
        if reader.line > MOST_LINES_BEFORE or line.startswith("\\"):
            break
        line = reader.next_line()
    if line != "\\data\\":
        raise ModelError(rf"{reader.name}: no line \data\ at its beginning; is it an ARPA file?")
    counts: list[int] = []
    while found := re.fullmatch(r"ngram\s+([0-9]{1,9})\s*=\s*([0-9]{1,18})", line := reader.next_line() or ""):
        if int(found[1]) != len(counts) + 1:
            raise reader.error(f"the number of {len(counts) + 1}-grams is missing, found {line!r}", reader.line - 1)
        counts.append(int(found[2]))
    reader.again = line or None
    if not counts:
        raise reader.error(r"after \data\ the numbers of n-grams are missing, such as `ngram 1=1000`", reader.line - 1)
    if len(counts) > MAX_ORDER:
        raise reader.error(f"n-grams of {len(counts)} words; lmkit knows up to {MAX_ORDER}", reader.line - 1)
    return counts


MISTAKES = {
    1: "is no {n}-gram: log10 p, {n} words and maybe a back-off weight are expected",
    2: "begins with no number",
    3: "has a log-probability above 0",
    4: "ends with a back-off weight that is no number",
    5: "ends with a back-off weight of more than {most:g}",
}


def _section(reader: _Reader, n: int, count: int, words: TokenTable) -> Level:
    r"""Read the n-grams of one length."""
    line = reader.next_line()
    if line != f"\\{n}-grams:":
        raise reader.error(rf"expected \{n}-grams:, found {_shown(line)}", reader.line - 1)
    grams, log_ps, backoffs, total, begin = [], [], [], 0, reader.line
    while total <= count and reader.more():
        room = min(reader.size - reader.at, 4 * (count - total + 1)) // 4 + 1
        starts, lengths = np.empty((2, room * n), np.int64)
        log_p, backoff = np.empty((2, room))
        found, at, mistake = kernels.parse_lines(
            reader.block, reader.at, reader.size, n, starts, lengths, log_p, backoff
        )
        ids = words.ids(reader.block, starts[: found * n], lengths[: found * n], n == 1)
        first = reader.line
        ids = _known(reader, ids, first, n, starts, lengths)
        grams.append(ids.reshape(-1, n))
        log_ps.append((log_p[:found] * LOG_10).astype(np.float32))
        backoffs.append((backoff[:found] * LOG_10).astype(np.float32))
        reader.at, reader.line, total = at, first + found, total + found
        if mistake:
            end = reader.at + int(np.argmax(reader.block[reader.at :] == ord("\n")))
            shown = reader.block[reader.at : min(end, reader.at + 60)].tobytes().decode("utf-8", "replace")
            raise reader.error(f"{shown.strip()!r} {MISTAKES[mistake].format(n=n, most=kernels.MOST_BACKOFF)}")
        if found == 0 or (at < reader.size and found < room):
            break
    if total != count:
        raise reader.error(
            f"the header promises {count} {n}-grams, and there are {total}{' or more' * (total > count)}"
        )
    nothing = np.zeros((0, n), np.int32), *np.zeros((2, 0), np.float32)
    pieces = [np.concatenate([empty, *parts]) for empty, parts in zip(nothing, (grams, log_ps, backoffs), strict=True)]
    level = Level(*pieces, np.zeros(total, bool))
    if n == 1:
        _check_reserved(reader, level.grams[:, 0], begin)
    level.sort(reader.name, begin)
    return level


def _check_reserved(reader: _Reader, ids: np.ndarray, begin: int) -> None:
    """Refuse a reserved word that is there twice, perhaps once in capitals; `begin` is the line of the first word."""
    for word in range(len(RESERVED)):
        lines = begin + np.flatnonzero(ids == word)
        if len(lines) > 1:
            raise reader.error(
                f"{RESERVED[word]} is there twice, first in line {lines[0]}; {IN_CAPITALS[word]} is the same word",
                int(lines[1]),
            )


def _known(reader, ids, first, n, starts, lengths):
    """Turn the numbers of reserved tokens into ids, and refuse words that are no unigrams."""
    reserved = (ids < 0) & (ids >= -len(RESERVED))
    ids[reserved] = -1 - ids[reserved]
    wrong = np.flatnonzero(ids < 0)
    if len(wrong):
        start, length = int(starts[wrong[0]]), int(lengths[wrong[0]])
        word = reader.block[start : start + length].tobytes().decode("utf-8", "replace")
        raise reader.error(f"{word[:40]!r} is none of the words in the 1-grams", first + int(wrong[0]) // n)
    return ids


def _all_words(reader: _Reader, level: Level, words: TokenTable) -> Level:
    """Return the unigrams in the order of their ids, with reserved tokens that are missing."""
    ids, size = level.grams[:, 0], words.size
    if EOS not in ids:
        raise ModelError(f"{reader.name}: </s> is none of its 1-grams, so no sentence could end")
    log_p, backoffs = np.full(size, NOWHERE), np.zeros(size, np.float32)
    log_p[ids], backoffs[ids] = level.log_p, level.backoffs
    if not np.exp(level.log_p[ids != BOS].astype(np.float64)).any():
        raise ModelError(f"{reader.name}: none of its 1-grams has a probability above 0")
    if UNK not in ids:
        warnings.warn(
            f"{reader.name}: has no unknown word; added <unk> with the log-probability -99 (base 10)",
            LmkitWarning,
            stacklevel=2,
        )
    log_p[UNK] = max(log_p[UNK], NOWHERE)
    log_p[BOS] = -np.inf
    return Level(np.arange(size, dtype=np.int32)[:, None], log_p, backoffs, np.zeros(size, bool))


def _unescaped(vocabulary: Vocabulary, settings: TextSettings, name: str, levels: list[Level]) -> Vocabulary:
    """Return the tokens that the words of a file stand for; ids change to those of the byte tokenizer.

    Raises
    ------
    ModelError
        They are no vocabulary of this tokenizer.
    """
    words = vocabulary.tokens()[len(RESERVED) :]
    tokens = unescaped_tokens(words, name)
    if settings.tokenizer != "byte":
        return Vocabulary.from_tokens(tokens)
    every = Vocabulary.all_bytes()
    ids = every.ids([*RESERVED, *tokens])
    if len(ids) != len(every) or (ids < 0).any():
        wrong = next((word for word, i in zip(words, ids[len(RESERVED) :].tolist(), strict=True) if i < 0), None)
        found = f"has the word {wrong[:40]!r}" if wrong is not None else f"has {len(words)} words"
        raise ModelError(f"{name}: {found}; a model of the byte tokenizer has each of the 256 bytes, and no other word")
    for level in levels:
        level.grams = ids[level.grams]
    levels[0].sort(name)
    return every

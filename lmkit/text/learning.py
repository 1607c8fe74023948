"""Learn a vocabulary: one pass over the texts gives ids, which are then ranked by how often they came."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from lmkit.errors import CorpusError, OptionError
from lmkit.kernels.text import FILL, ROOM, decode
from lmkit.kernels.vocabulary import renumber
from lmkit.model import EOS, RESERVED, UNK
from lmkit.spool import Place, Spool
from lmkit.text.corpus import Corpus
from lmkit.text.encoding import Encoder, lowered
from lmkit.text.layer import TextLayer
from lmkit.text.settings import TextSettings
from lmkit.text.table import TokenTable
from lmkit.text.vocabulary import Vocabulary, to_bytes
from lmkit.threads import aside

__all__ = ["learn"]

MOST_TOKENS = 2**32 - 64  # what an n-gram model can hold: its positions are uint32, with some to spare
AT_A_TIME = 1 << 22  # ids of a file that are renumbered


def learn(
    corpora: Sequence[Corpus],
    settings: TextSettings,
    *,
    vocabulary: Iterable[str | bytes] | None = None,
    vocab_size: int | None = None,
    min_count: int = 1,
    room: int | None = None,
    temp: str | None = None,
    progress: Callable[[int], object] | None = None,
) -> tuple[np.ndarray, TextLayer, np.ndarray, list[dict[str, Any]]]:
    """Read texts once and turn them into ids of a vocabulary made of them, ordered by count, then by bytes.

    Parameters
    ----------
    vocabulary : iterable of str or bytes, optional
        The only tokens to know, in lower case where the settings say so; all others are `<unk>`. Not together
        with the next two.
    vocab_size : int, optional
        How many token types to know at most, besides the three reserved ones.
    min_count : int
        How often a token must come to be known.
    room : int, optional
        Bytes of memory for the ids; more of them wait in a temporary file.
    temp : str, optional
        The folder of temporary files.
    progress : callable, optional
        Called with the number of bytes read, as by `Corpus.blocks`.

    Returns
    -------
    ids : ndarray of int32, shape (T,)
        All texts one after the other; each ends with `</s>`. Memory-mapped where they wait in a file.
    text : TextLayer
    counts : ndarray of int64, shape (V,)
        How often each id comes.
    records : list of dict
        For each text: name, sha256, bytes, characters, lines, tokens (with sentence ends), sentences.

    Raises
    ------
    CorpusError
        Where a text cannot be read, or all of them hold nothing but white space.
    OptionError
        Where the options contradict each other.
    """
    _check_options(settings, vocabulary, vocab_size, min_count)
    given = vocabulary is not None
    table = _table(settings, vocabulary)
    with _Buffer(sum(corpus.size for corpus in corpora), room, temp) as buffer:
        counts, records = _read(corpora, settings, table, not given, buffer, progress)
        if table is None:
            return buffer.renumbered(None), TextLayer(settings, Vocabulary.all_bytes()), counts, records
        order = aside(_ranking, table, counts)
        if not given:
            order = order[: np.count_nonzero(counts[order] >= min_count)][:vocab_size]
        layer, counts, mapping = aside(_ranked, settings, table, counts, order)
        return aside(buffer.renumbered, mapping), layer, counts, records


def _read(
    corpora: Sequence[Corpus],
    settings: TextSettings,
    table: TokenTable | None,
    add: bool,
    buffer: _Buffer,
    progress: Callable[[int], object] | None,
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Take in the ids of all texts, in the numbers of the table; return the count of each, and the records."""
    encoders, records, empty = [], [], True
    for corpus in corpora:
        before = buffer.size
        encoder = Encoder(settings, table, corpus.title, add)
        for block, size in corpus.padded_blocks(progress):
            buffer.append(encoder.feed(block, size).ids, size)
            empty = empty and not block[:size].tobytes().strip(b"\t\n\v\f\r ")
            if buffer.size > MOST_TOKENS:
                raise CorpusError(f"{corpus.title}: more than {MOST_TOKENS:,} tokens; train on less text")
        buffer.append(encoder.finish().ids)
        encoders.append(encoder)
        records.append(_record(corpus, buffer.size - before, encoder.sentences))
    if empty or not any(record["tokens"] > record["sentences"] for record in records):
        names = ", ".join(corpus.title for corpus in corpora) or "no corpus"
        raise CorpusError(f"{names}: holds no tokens; give a text that is more than white space")
    if table is None:
        counts = np.concatenate([np.zeros(3, np.int64), sum(encoder.bytes.sum(0) for encoder in encoders)])
    else:
        counts = table.counts()
    counts[UNK] = sum(encoder.unknown for encoder in encoders)
    counts[EOS] = sum(encoder.sentences for encoder in encoders)
    return counts, records


class _Buffer:
    """Ids one after the other, in memory taken once where the sizes of the files say how much it will be.

    Touching new memory costs more than writing to it, so that growing by copies took a third of the time. What needs
    more than `room` bytes goes to a temporary file.
    """

    def __init__(self, expected: int, room: int | None, temp: str | None):
        self.ids = np.empty(1 << 16, np.int32)
        self.size = self.bytes = 0
        self.expected = expected  # bytes of text, or fewer
        self.most = room // self.ids.itemsize if room is not None else MOST_TOKENS
        self.temp = temp
        self.files = contextlib.ExitStack()
        self.spool: Spool | None = None

    def __enter__(self) -> _Buffer:
        return self

    def __exit__(self, *_) -> None:
        self.files.close()

    def append(self, ids: np.ndarray, size: int = 0) -> None:
        """Take in the ids of some bytes of text."""
        self.bytes += size
        end = self.size + len(ids)
        if self.spool is None and end > self.most:
            self.spool = self.files.enter_context(Spool(self.temp))
            self.spool.put(self.ids[: self.size])
            self.ids = self.ids[:0].copy()
        if self.spool is not None:
            self.spool.put(ids)
        else:
            if end > len(self.ids):
                foreseen = min(1.05 * self.expected / max(self.bytes, 1), 16)  # the first block may mislead
                larger = np.empty(min(int(end * max(foreseen, 1.5)), self.most), np.int32)
                aside(np.copyto, larger[: self.size], self.ids[: self.size])
                self.ids = larger
            self.ids[self.size : end] = ids
        self.size = end

    def renumbered(self, mapping: np.ndarray | None) -> np.ndarray:
        """Return mapping[id] for all ids, or the ids."""
        if self.spool is None:
            ids = self.ids[: self.size]
            if mapping is not None:
                renumber(ids, mapping, ids)
            return ids
        if mapping is None:
            return self.spool.whole((self.size,), np.int32)
        everything = Place(0, (self.size,), np.dtype(np.int32))
        with Spool(self.temp) as written:
            for first in range(0, self.size, AT_A_TIME):
                ids = self.spool.get(everything, first, min(AT_A_TIME, self.size - first))
                new = np.empty_like(ids)
                renumber(ids, mapping, new)
                written.put(new)
            return written.whole((self.size,), np.int32)


def _check_options(settings: TextSettings, vocabulary: Any, vocab_size: int | None, min_count: int) -> None:
    if min_count < 1:
        raise OptionError(f"min_count is {min_count}; expected 1 or more")
    if vocab_size is not None and vocab_size < 1:
        raise OptionError(f"vocab_size is {vocab_size}; expected 1 or more")
    restricted = vocab_size is not None or min_count > 1
    if vocabulary is not None and restricted:
        raise OptionError("a given vocabulary is used as it is; leave out vocab_size and min_count")
    if settings.tokenizer == "byte" and (restricted or vocabulary is not None):
        raise OptionError("the byte tokenizer has all 256 bytes; leave out what restricts the vocabulary")


def _table(settings: TextSettings, vocabulary: Iterable[str | bytes] | None) -> TokenTable | None:
    if settings.tokenizer == "byte":
        return None
    given = [token if isinstance(token, bytes) else to_bytes(token) for token in vocabulary or ()]
    tokens = {lowered(token) for token in given} if settings.lowercase else set(given)
    tokens -= {token.encode() for token in RESERVED}
    return Vocabulary.from_tokens(sorted(tokens)).table


def _record(corpus: Corpus, tokens: int, sentences: int) -> dict[str, Any]:
    return {
        "name": corpus.name,
        "sha256": corpus.sha256,
        "bytes": corpus.bytes,
        "characters": corpus.characters,
        "lines": corpus.lines,
        "tokens": tokens,
        "sentences": sentences,
    }


def _ranking(table: TokenTable, counts: np.ndarray) -> np.ndarray:
    """Return the ids from 3 on, the most frequent first, equally frequent ones by their bytes."""
    size = table.size
    pool, starts, ends = table.pool, table.offsets[3:size], table.offsets[4 : size + 1]
    keys = [~counts[3:]]  # descending
    for depth in (0, 8):
        at = np.minimum(starts + depth, ends)[:, None] + np.arange(8)
        data = np.where(at < ends[:, None], pool[at], 0).astype(np.uint8)
        keys.append(data.view(">u8")[:, 0].astype(np.uint64))
    order = np.lexsort(keys[::-1])
    same = np.ones(max(len(order) - 1, 0), bool)
    for key in keys:
        same &= key[order[1:]] == key[order[:-1]]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8))).tolist()
    for first, last in zip(edges[::2], edges[1::2], strict=True):  # equal in sixteen bytes
        run = order[first : last + 1]
        run[:] = sorted(run.tolist(), key=lambda token: pool[starts[token] : ends[token]].tobytes())
    return order + 3


def _ranked(settings: TextSettings, table: TokenTable, counts: np.ndarray, order: np.ndarray) -> tuple:
    """Return the layer that has the old ids `order` as 3, 4, ..., its counts, and the map to new ids."""
    order = np.concatenate([np.arange(3), order])
    lengths = np.diff(table.offsets[: table.size + 1])[order]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    pool = np.empty(int(offsets[-1]) + ROOM, np.uint8)
    everything = order.astype(np.int32)
    everything.flags.writeable = False
    fill = np.full(table.size, FILL, np.uint8)
    decode(everything, 0, table.pool, table.offsets, fill, np.zeros((16, 16), np.uint8), 0, 0, pool)
    mapping = np.zeros(table.size, np.int32)
    mapping[order] = np.arange(len(order))
    counts = np.bincount(mapping, weights=counts, minlength=len(order)).astype(np.int64)
    return TextLayer(settings, Vocabulary(pool[: int(offsets[-1])], offsets)), counts, mapping

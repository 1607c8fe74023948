"""Text as lists of tokens and back: a sentence a line, blanks between tokens that are escaped, or between ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from lmkit.errors import CorpusError
from lmkit.model import EOS, RESERVED
from lmkit.text.corpus import Corpus
from lmkit.text.encoding import Encoded, Encoder
from lmkit.text.layer import TextLayer
from lmkit.text.lines import OnError, blanked, checked_blocks
from lmkit.text.settings import TextSettings
from lmkit.text.tokenizers import START, Spelling
from lmkit.text.vocabulary import Vocabulary, escape, to_bytes, to_str, unescape

__all__ = ["listed_ids", "listed_tokens", "text_of_ids", "text_of_tokens"]


def listed_tokens(
    settings: TextSettings, corpora: Iterable[Corpus], on_error: OnError | None = None
) -> Iterator[bytes]:
    """Yield the tokens of texts, whatever they are: nothing is out of vocabulary.

    Parameters
    ----------
    on_error : callable, optional
        Called with a message for each line that cannot be read, which is then left empty, or left out where sentences
        are not lines. Without it such a line is an error, after all before it.

    Raises
    ------
    CorpusError
    """
    byte = settings.tokenizer == "byte"
    vocabulary = Vocabulary.all_bytes() if byte else Vocabulary.from_tokens([])
    table, names = vocabulary.table, [escape(token) for token in vocabulary.tokens()]
    for corpus in corpora:
        lines = _Lines()
        encoder = Encoder(settings, None if byte else table, corpus.title, add=not byte)
        for encoded in _fed(encoder, corpus, on_error):
            data, offsets = table.pool, table.offsets
            for i in range(len(names), table.size):
                names.append(escape(to_str(data[offsets[i] : offsets[i + 1]].tobytes())))
            yield to_bytes(lines.write(encoded.ids, names))


def listed_ids(layer: TextLayer, corpora: Iterable[Corpus], on_error: OnError | None = None) -> Iterator[bytes]:
    """Yield the ids of texts in the vocabulary of a model; `on_error` as in `listed_tokens`.

    Raises
    ------
    CorpusError
    """
    names = [str(i) for i in range(len(layer.vocabulary))]
    for corpus in corpora:
        lines = _Lines()
        for encoded in _fed(layer.encoder(corpus.title), corpus, on_error):
            yield lines.write(encoded.ids, names).encode()


def _fed(encoder: Encoder, corpus: Corpus, on_error: OnError | None) -> Iterator[Encoded]:
    for block, size, bad in checked_blocks(corpus, encoder.settings, on_error):
        if bad:
            block, size = blanked(block, size, bad, encoder.settings.sentence == "line")
        yield encoder.feed(block, size)
    yield encoder.finish()


class _Lines:
    """Names with blanks between them, a newline for each `</s>`, as a stream."""

    def __init__(self):
        self.blank = ""  # what stands before the next name

    def write(self, ids: np.ndarray, names: list[str]) -> str:
        """Return the text of the next ids."""
        pieces, blank = [], self.blank
        for i in ids.tolist():
            if i == EOS:
                pieces.append("\n")
                blank = ""
            else:
                pieces.append(blank + names[i])
                blank = " "
        self.blank = blank
        return "".join(pieces)


def text_of_tokens(settings: TextSettings, corpora: Iterable[Corpus]) -> Iterator[bytes]:
    """Yield the text of tokens that `listed_tokens` wrote.

    Raises
    ------
    CorpusError
    """
    state = START
    for words, ends, _ in _words(corpora):
        different = sorted(set(words))
        tokens = [to_bytes(unescape(word)) for word in different]
        if settings.tokenizer == "byte":
            vocabulary = Vocabulary.all_bytes()
        else:
            vocabulary = Vocabulary.from_tokens(set(tokens) - {name.encode() for name in RESERVED})
        ids = dict(zip(different, vocabulary.ids(tokens).tolist(), strict=True))
        data, state = Spelling(settings, vocabulary).write(_ended([ids[word] for word in words], ends), state)
        yield data


def text_of_ids(layer: TextLayer, corpora: Iterable[Corpus]) -> Iterator[bytes]:
    """Yield the text of ids that `listed_ids` wrote.

    Raises
    ------
    CorpusError
        What is there is no id.
    """
    decoder, size = layer.decoder(), len(layer.vocabulary)
    for words, ends, where in _words(corpora):
        try:
            ids = [int(word) for word in words]
        except ValueError:
            ids = [-1 if not word.isdecimal() else int(word) for word in words]
        wrong = next((i for i, found in enumerate(ids) if not 0 <= found < size), None)
        if wrong is not None:
            line = where[1] + int(np.searchsorted(ends, wrong, side="right"))
            raise CorpusError(f"{where[0]}: line {line}: {words[wrong]!r} is no id of a vocabulary of {size} tokens")
        yield decoder.feed(_ended(ids, ends))


def _words(corpora: Iterable[Corpus]) -> Iterator[tuple[list[str], np.ndarray, tuple[str, int]]]:
    """Yield the words of some lines, where each whole line ends among them, and (text, number of the first line)."""
    for corpus in corpora:
        number = 1
        for block in corpus.blocks():
            lines = to_str(block.tobytes()).split("\n")
            parts = [line.split() for line in lines]
            ends = np.cumsum([len(part) for part in parts[:-1]], dtype=np.int64)
            yield [word for part in parts for word in part], ends, (corpus.title, number)
            number += len(ends)


def _ended(ids: list[int], ends: np.ndarray) -> np.ndarray:
    """Return the ids with `</s>` where lines end."""
    return np.insert(np.array(ids, np.int32), ends, EOS).astype(np.int32)

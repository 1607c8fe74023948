"""The text layer that a model holds: settings and vocabulary, text to ids and back."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from lmkit.errors import CorpusError, LmkitWarning, ModelError, OptionError
from lmkit.model import EOS
from lmkit.text.corpus import Corpus
from lmkit.text.encoding import Decoder, Encoded, Encoder, concatenate, without
from lmkit.text.settings import TextSettings
from lmkit.text.table import padded
from lmkit.text.tokenizers import START, Spelling
from lmkit.text.unicode_table import UNICODE_VERSION
from lmkit.text.vocabulary import Vocabulary, to_bytes

__all__ = ["TextLayer"]


class TextLayer:
    """Turn text into the ids of a vocabulary, and ids into text.

    Parameters
    ----------
    settings : TextSettings
        The tokenizer, the sentence rule and so on.
    vocabulary : Vocabulary
        The token types.
    unicode_version : str
        Of the table by which the word tokenizer cuts (`lmkit.text.unicode_table`).
    lowercase_version : str
        Of the Unicode database by which `lowercase` turns text to lower case: that of the running Python.

    >>> layer = TextLayer(TextSettings("whitespace"), Vocabulary.from_tokens(["to", "be", "or", "not"]))
    >>> encoded = layer.encode_text("to be or what\\n")
    >>> encoded.ids.tolist(), encoded.oov.tolist()
    ([3, 4, 5, 0, 2], [3])
    >>> layer.decode(encoded.ids)
    b'to be or <unk>\\n'
    """

    def __init__(
        self,
        settings: TextSettings,
        vocabulary: Vocabulary,
        unicode_version: str = UNICODE_VERSION,
        lowercase_version: str = unicodedata.unidata_version,
    ):
        self.settings, self.vocabulary = settings, vocabulary
        self.unicode_version, self.lowercase_version = unicode_version, lowercase_version

    def __reduce__(self) -> tuple:
        """Return what the layer was made of."""
        return TextLayer, (self.settings, self.vocabulary, self.unicode_version, self.lowercase_version)

    def encode_corpus(self, corpus: Corpus, progress: Callable[[int], object] | None = None) -> Iterator[Encoded]:
        """Yield the ids of a text, block by block; the last is its `</s>` where none stands at its end yet.

        `progress` is called as by `Corpus.blocks`.

        Raises
        ------
        CorpusError
            As `Corpus.blocks`, and where the text spells a reserved token.
        """
        encoder = self.encoder(corpus.title)
        for block, size in corpus.padded_blocks(progress):
            yield encoder.feed(block, size)
        last = encoder.finish()
        if len(last.ids):
            yield last

    def encode_lines(self, corpus: Corpus) -> Iterator[tuple[list[bytes], Encoded]]:
        """Yield the lines of a text, block by block as they arrive, and their ids: each line is a sentence.

        Its newline is no token of it, `</s>` is; the sentence rule of the settings does not matter.

        Raises
        ------
        CorpusError
            As `encode_corpus`.
        """
        settings = dataclasses.replace(self.settings, sentence="line")
        corpus.live = True
        encoder, alone = self.encoder(corpus.title, settings), settings.tokenizer == "word"
        for block, size in corpus.padded_blocks():
            parts = []
            for piece, length in pieces_without_open_quotes(block, size) if alone else [(block, size)]:
                encoder.splitter.left, encoder.splitter.quoted = START
                parts.append(encoder.feed(piece, length))
            encoded, last = concatenate(parts), encoder.finish()
            if settings.tokenizer != "whitespace":  # which alone has no token for a newline
                encoded = without(encoded, np.flatnonzero(encoded.ids == EOS) - 1)
            lines = block[:size].tobytes().split(b"\n")
            yield lines if len(last.ids) else lines[:-1], concatenate([encoded, last])

    def encode_text(self, text: str, complete: bool = True) -> Encoded:
        """Return the ids of a str; U+DC80 to U+DCFF in it are bytes that are not UTF-8.

        Parameters
        ----------
        complete : bool
            Whether the text is whole: its last sentence is closed with `</s>`. If not (a prompt, to be gone
            on with), there is none at the end unless a whole sentence stands there (a line, or a paragraph
            with its blank lines), and one blank at the very end is left out where the next word brings its
            own.

        Raises
        ------
        CorpusError
            Where the text spells a reserved token or holds a lone surrogate.
        """
        try:
            data = to_bytes(text)
        except UnicodeEncodeError as error:
            raise CorpusError(f"character {error.start + 1} of the text is a lone surrogate") from None
        encoder = self.encoder("the text")
        parts = [encoder.feed(padded(data), len(data), hold=not complete)]
        if complete or encoder.splitter.complete:
            parts.append(encoder.finish())
        return concatenate(parts)

    def encoder(self, title: str, settings: TextSettings | None = None) -> Encoder:
        """Return a new stream from bytes to ids, for a text of this title, by these or by other settings."""
        table = None if self.settings.tokenizer == "byte" else self.vocabulary.table
        return Encoder(settings or self.settings, table, title)

    def decoder(self) -> Decoder:
        """Return a new stream from ids to bytes, at the start of a text."""
        return Decoder(self._spelling)

    def decode(self, ids: np.ndarray) -> bytes:
        """Return the bytes of a whole text given as ids."""
        decoder = self.decoder()
        return decoder.feed(ids) + decoder.finish()

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the arrays of the model file that belong to the text layer."""
        return self.vocabulary.tensors()

    def metadata(self) -> dict[str, Any]:
        """Return the entry of the model file's metadata that belongs to the text layer."""
        entry = {**self.settings.describe(), "unicode_version": self.unicode_version}
        if self.settings.lowercase:
            entry["lowercase_version"] = self.lowercase_version
        return {"text": entry}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> TextLayer:
        """Read what `tensors` and `metadata` gave; nothing in it is trusted.

        Raises
        ------
        ModelError
            Where they are damaged or missing.

        Warns
        -----
        LmkitWarning
            Where the model was made with another version of Unicode, by which some text may become other tokens.
        """
        entry = metadata.get("text")
        if not isinstance(entry, dict):
            raise ModelError("the metadata lacks the entry 'text', which says how text becomes tokens")
        try:
            settings = TextSettings.from_dict(entry)
        except OptionError as error:
            raise ModelError(f"damaged metadata: {error}") from None
        vocabulary = Vocabulary.from_tensors(tensors)
        if settings.tokenizer == "byte" and vocabulary != Vocabulary.all_bytes():
            raise ModelError("damaged vocabulary: not the 256 bytes that the byte tokenizer has")
        versions = [str(entry.get(name, "unknown")) for name in ("unicode_version", "lowercase_version")]
        if settings.tokenizer == "word":
            _compare_versions("cut into words", versions[0], UNICODE_VERSION)
        if settings.lowercase:
            _compare_versions("turned to lower case", versions[1], unicodedata.unidata_version)
        return cls(settings, vocabulary, *versions)

    @functools.cached_property
    def _spelling(self) -> Spelling:
        return Spelling(self.settings, self.vocabulary)


def pieces_without_open_quotes(block: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Cut lines, the last of which may be open, after each that has an odd number of straight quotes.

    The word tokenizer remembers such a quote on the next line.
    """
    newlines = np.flatnonzero(block[:size] == ord("\n")) + 1
    quotes = np.searchsorted(np.flatnonzero(block[:size] == ord('"')), newlines)
    cuts = newlines[np.diff(quotes, prepend=0) % 2 == 1].tolist()
    if not cuts:
        yield block, size
        return
    for start, end in itertools.pairwise([0, *cuts, size]):
        if start < end:
            yield padded(block[start:end].tobytes()), end - start


def _compare_versions(done: str, found: str, expected: str) -> None:
    if found != expected:
        warnings.warn(
            f"the model's text was {done} by Unicode {found[:20]!r}, new text is by {expected!r}: "
            "characters that differ between them may become other tokens",
            LmkitWarning,
            stacklevel=3,
        )

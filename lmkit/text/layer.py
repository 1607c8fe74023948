"""The text layer that a model holds: settings and vocabulary, text to ids and back."""

from __future__ import annotations

import dataclasses
import functools
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from lmkit.errors import CorpusError, LmkitWarning, ModelError, OptionError
from lmkit.model import RESERVED, UNK
from lmkit.text.corpus import Corpus
from lmkit.text.encoding import Decoder, Encoded, Encoder, concatenate
from lmkit.text.settings import TextSettings
from lmkit.text.table import padded
from lmkit.text.tokenizers import Spelling
from lmkit.text.unicode_table import UNICODE_VERSION
from lmkit.text.unknown import UnknownTokens, spelling_costs
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

    def encode_corpus(
        self, corpus: Corpus, progress: Callable[[int], object] | None = None, *, alone: bool = False,
        missing: UnknownTokens | None = None,
    ) -> Iterator[Encoded]:  # fmt: skip
        """Yield the ids of a text, block by block; the last is its `</s>` where none stands at its end yet.

        `progress` is called as by `Corpus.blocks`. With `alone` sentences do not depend on each other: see `Encoder`.

        Raises
        ------
        CorpusError
            As `Corpus.blocks`, and where the text spells a reserved token.
        """
        encoder = self.encoder(corpus.title, alone=alone, missing=missing)
        for block, size in corpus.padded_blocks(progress):
            yield encoder.feed(block, size)
        last = encoder.finish()
        if len(last.ids):
            yield last

    def encode_text(self, text: str, complete: bool = True, missing: UnknownTokens | None = None) -> Encoded:
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
        encoder = self.encoder("the text", missing=missing)
        parts = [encoder.feed(padded(data), len(data), hold=not complete)]
        if complete or encoder.splitter.complete:
            parts.append(encoder.finish())
        return concatenate(parts)

    def unknown_tokens(self, text: str) -> list[str]:
        """Return the different tokens of a text to be gone on with that the vocabulary lacks, as they come.

        Raises
        ------
        CorpusError
            As `encode_text`.
        """
        missing = UnknownTokens()
        self.encode_text(text, complete=False, missing=missing)
        return missing.tokens()

    def spelling_costs(self, encoded: Encoded) -> np.ndarray:
        """Return a code length for each token of a piece that is out of vocabulary, nats: see `spelling_costs`."""
        known = len(self.vocabulary) - len(RESERVED)
        return spelling_costs(self.settings.tokenizer, known, encoded.spelled[:, 0])

    def encoder(
        self, title: str, settings: TextSettings | None = None, *, alone: bool = False,
        missing: UnknownTokens | None = None,
    ) -> Encoder:  # fmt: skip
        """Return a new stream from bytes to ids, for a text of this title, by these or by other settings.

        For the rest see `Encoder`.
        """
        table = None if self.settings.tokenizer == "byte" else self.vocabulary.table
        return Encoder(settings or self.settings, table, title, alone=alone, missing=missing)

    def reading(self, reserved: str | None) -> TextLayer:
        """Return a layer of the same vocabulary with another rule for reserved words; None leaves its own.

        Raises
        ------
        OptionError
            It is none of `lmkit.text.RESERVED_RULES`.
        """
        if reserved is None:
            return self
        settings = dataclasses.replace(self.settings, reserved=reserved)
        return TextLayer(settings, self.vocabulary, self.unicode_version, self.lowercase_version)

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
    def line_break_ids(self) -> tuple[int, ...]:
        """The token of a line break, `<unk>` where the vocabulary lacks it; empty where no line break is a token."""
        if self.settings.tokenizer == "whitespace":
            return ()
        known = (self.vocabulary.id(line_break) for line_break in ("\n", "\r\n"))
        return (next((i for i in known if i is not None), UNK),)

    @functools.cached_property
    def _spelling(self) -> Spelling:
        return Spelling(self.settings, self.vocabulary)


def _compare_versions(done: str, found: str, expected: str) -> None:
    if found != expected:
        warnings.warn(
            f"the model's text was {done} by Unicode {found[:20]!r}, new text is by {expected!r}: "
            "characters that differ between them may become other tokens",
            LmkitWarning,
            stacklevel=3,
        )

"""Blocks of bytes into ids, and ids into bytes, both as streams."""

from __future__ import annotations

import dataclasses

import numpy as np

from lmkit.errors import CorpusError
from lmkit.kernels import text as kernels
from lmkit.kernels.vocabulary import MISSING
from lmkit.model import EOS, RESERVED, UNK
from lmkit.text.settings import TextSettings
from lmkit.text.table import TokenTable, padded
from lmkit.text.tokenizers import START, Spelling, Splitter
from lmkit.text.unknown import UnknownTokens
from lmkit.text.vocabulary import to_bytes, to_str

__all__ = ["Decoder", "Encoded", "Encoder", "concatenate", "lowered", "without"]

NONE = np.zeros(0, np.int64)
RETURN = ord("\r")
UNSPELLED = np.zeros((0, 2), np.int64)


@dataclasses.dataclass(frozen=True)
class Encoded:
    """A piece of text as ids.

    Attributes
    ----------
    ids : ndarray of int32, shape (T,)
        Tokens, and `</s>` where sentences end.
    oov : ndarray of int64
        Positions in `ids` of the tokens that are out of vocabulary; their id is 0. With `reserved='keep'` a
        `<unk>` spelled in the text has the id 0, too, but is none of these.
    spelled : ndarray of int64, shape (len(oov), 2)
        Characters and bytes of the tokens that are out of vocabulary.
    """

    ids: np.ndarray
    oov: np.ndarray
    spelled: np.ndarray = dataclasses.field(default_factory=lambda: UNSPELLED, kw_only=True)


def concatenate(parts: list[Encoded]) -> Encoded:
    """Join pieces of one text."""
    if not parts:
        return Encoded(np.zeros(0, np.int32), NONE)
    starts = np.cumsum([0, *(len(part.ids) for part in parts)])
    oov = [part.oov + start for part, start in zip(parts, starts.tolist(), strict=False)]
    spelled = np.concatenate([part.spelled for part in parts])
    return Encoded(np.concatenate([part.ids for part in parts]), np.concatenate(oov), spelled=spelled)


def without(encoded: Encoded, positions: np.ndarray) -> Encoded:
    """Return the ids but those at some positions."""
    keep = np.ones(len(encoded.ids), bool)
    keep[positions] = False
    moved = np.cumsum(keep) - 1
    kept = keep[encoded.oov]
    return Encoded(encoded.ids[keep], moved[encoded.oov[kept]], spelled=encoded.spelled[kept])


class Encoder:
    """Turn one text into ids, block by block.

    Parameters
    ----------
    settings : TextSettings
    table : TokenTable or None
        The vocabulary; None for the byte tokenizer, which needs none.
    title : str
        The name of the text, for errors.
    add : bool
        Whether new tokens are added to the table (or bytes are counted).
    alone : bool
        Whether the tokens of a sentence do not depend on the sentences before it. Where sentences are lines, a last
        line without a line break then gets one, as all lines of the text have it.
    missing : UnknownTokens, optional
        Where tokens that are out of vocabulary are counted.

    Attributes
    ----------
    sentences, unknown : int
        How many `</s>` and `<unk>` there are in the ids so far.
    bytes : ndarray of int64, shape (4, 256)
        The sum over the first axis is how often each byte has come, for the byte tokenizer with `add`.
    """

    def __init__(
        self, settings: TextSettings, table: TokenTable | None, title: str, add: bool = False, alone: bool = False,
        missing: UnknownTokens | None = None,
    ):  # fmt: skip
        self.settings, self.table, self.title, self.add, self.missing = settings, table, title, add, missing
        self.splitter = Splitter(settings, alone)
        self.completes_lines, self.line_break = alone and settings.sentence == "line", b"\n"
        self.bytes = np.zeros((4 if add and table is None else 0, 256), np.int64)
        self.lines = self.sentences = self.unknown = 0

    def feed(self, block: np.ndarray, size: int, hold: bool = False) -> Encoded:
        """Return the ids of a padded block; all but the last end after a newline (`hold`: see `Splitter`).

        Raises
        ------
        CorpusError
            Where the text spells a reserved token and the settings say that this is an error.
        """
        if self.settings.lowercase:
            data = lowered(block[:size].tobytes())
            block, size = padded(data), len(data)
        ends = self.splitter.ends(block, size)
        self.sentences += len(ends)
        if self.completes_lines and len(ends):
            self.line_break = b"\r\n" if block[max(ends[-1] - 2, 0)] == RETURN else b"\n"
        if self.settings.tokenizer == "byte":
            ids = np.empty(size + len(ends), np.int32)
            kernels.encode_bytes(block, size, ends, ids, self.bytes)
            return Encoded(ids, NONE)
        parts = [self._encode(block, *spans) for spans in self.splitter.spans(block, size, ends, hold)]
        if self.settings.tokenizer == "whitespace":  # which alone may have to name a line
            self.lines += kernels.count_newlines(block, size)
        return concatenate(parts)

    def finish(self) -> Encoded:
        """Return the sentence end of a text that stops in the middle of a sentence, or nothing.

        With `alone` the end of a line has its line break before it.
        """
        if self.completes_lines and self.splitter.open:
            return self.feed(padded(self.line_break), len(self.line_break))
        open_sentences = int(self.splitter.open)
        self.sentences += open_sentences
        return Encoded(np.full(open_sentences, EOS, np.int32), NONE)

    def _encode(self, block: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> Encoded:
        """Return the ids of some spans."""
        ids = self.table.ids(block, starts, lengths, self.add)
        resolved = len(ids) == 0 or ids.min() >= 0
        return Encoded(ids, NONE) if resolved else self._resolve(ids, starts, lengths, block)

    def _resolve(self, ids: np.ndarray, starts: np.ndarray, lengths: np.ndarray, block: np.ndarray) -> Encoded:
        """Turn the negative numbers of `TokenTable.ids` into ids, errors or nothing."""
        spelled = (ids < 0) & (ids > MISSING)
        if spelled.any():
            if self.settings.reserved == "space":
                ids, starts, lengths = ids[~spelled], starts[~spelled], lengths[~spelled]
            else:
                kept = -1 - UNK if self.settings.reserved == "keep" else None
                forbidden = np.flatnonzero(spelled & (ids != kept))
                if len(forbidden):
                    raise self._spelled(int(ids[forbidden[0]]), block, int(starts[forbidden[0]]))
                ids[spelled] = UNK
        oov = np.flatnonzero(ids == MISSING)
        ids[oov] = UNK
        self.unknown += int(np.count_nonzero(ids == UNK))
        starts, lengths = starts[oov], lengths[oov]
        if self.missing is not None and len(oov):
            self.missing.add(block, starts, lengths)
        characters = np.empty(len(oov), np.int64)
        kernels.span_characters(block, starts, lengths, characters)
        return Encoded(ids, oov, spelled=np.stack([characters, lengths], axis=1))

    def _spelled(self, found: int, block: np.ndarray, start: int) -> CorpusError:
        token = RESERVED[-1 - found]
        line = self.lines + kernels.count_newlines(block, start) + 1
        if self.settings.reserved == "keep":
            advice = "--reserved keep allows only <unk>; take it as white space with --reserved space"
        else:
            advice = "take it as white space with --reserved space" + (
                ", or as the unknown word with --reserved keep" if token == RESERVED[UNK] else ""
            )
        return CorpusError(f"{self.title}: line {line}: reserved token {token} in the text; {advice}")


def lowered(data: bytes) -> bytes:
    """Return the bytes of a text in lower case; those that are not UTF-8 stay."""
    return data.lower() if data.isascii() else to_bytes(to_str(data).lower())


class Decoder:
    """Turn ids into the bytes of a text, as a stream.

    A blank is written before the token that needs it, never after one, so that nothing is held back and any
    cutting of the ids gives the same bytes. `</s>` is nothing, but with the whitespace tokenizer a newline,
    or a blank line where sentences are paragraphs. A character may come in several pieces where its bytes
    are tokens.
    """

    def __init__(self, spelling: Spelling):
        self.spelling, self.state = spelling, START

    def feed(self, ids: np.ndarray) -> bytes:
        """Return the bytes of the next tokens; ids that are no token's count as `<unk>`."""
        data, self.state = self.spelling.write(ids, self.state)
        return data

    def primed(self, ids: np.ndarray) -> Decoder:
        """Note tokens that stand before the first one, so that it gets the right blank; return itself."""
        self.feed(ids)
        return self

    def finish(self) -> bytes:
        """Return what was held back at the end of the text: nothing."""
        return b""

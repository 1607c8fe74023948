"""Text into tokens and back: `Splitter` and `Spelling` for blocks of bytes, `split` and `join` for a str."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lmkit.errors import CorpusError
from lmkit.kernels import text as kernels
from lmkit.text.classes import LETTERS, character_classes, no_blanks, spacing_rules
from lmkit.text.settings import TextSettings
from lmkit.text.table import padded
from lmkit.text.vocabulary import Vocabulary, to_bytes, to_str

__all__ = ["START", "Spelling", "Splitter", "join", "split"]

BATCH = 8192  # spans a kernel call: two arrays of 64 KB, which stay in the second-level cache
START = (LETTERS.index("n"), 0)  # what stands before a text: a newline, and no open quote
NO_ENDS = np.zeros(0, np.int64)


class Splitter:
    """Cut one text, given in blocks, into spans of tokens and sentence ends.

    Blocks are padded arrays with their size in bytes; each ends after a newline, except the last. With `alone` the
    tokens of a sentence do not depend on the sentences before it: none of these leaves a quote open.
    """

    def __init__(self, settings: TextSettings, alone: bool = False):
        self.settings, self.alone = settings, alone
        self.left, self.quoted = START
        self.paragraph = 0  # the state of `kernels.sentence_ends`
        self.open = False  # whether anything stands after the last sentence end

    def ends(self, block: np.ndarray, size: int) -> np.ndarray:
        """Return the positions in the block before which a sentence ends; call it once a block, in order."""
        ends = NO_ENDS
        if self.settings.sentence != "text":
            room = kernels.count_newlines(block, size) + 1
            ends = np.empty(room, np.int64)
            paragraphs = self.settings.sentence == "paragraph"
            n, self.paragraph = kernels.sentence_ends(block, size, paragraphs, self.paragraph, ends)
            ends = ends[:n]
        if size:
            self.open = not (len(ends) and ends[-1] == size)
        return ends

    @property
    def complete(self) -> bool:
        """Whether the text so far ends with blank lines, which end a paragraph as soon as more follows."""
        return self.open and self.paragraph == 2

    def spans(
        self, block: np.ndarray, size: int, ends: np.ndarray, hold: bool = False
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the starts and lengths of the tokens in batches; -1 is the length of a sentence end.

        With `hold` a blank at the very end is left out where the next word brings its own. The arrays are
        used again for the next batch.
        """
        starts, lengths = np.empty(BATCH, np.int64), np.empty(BATCH, np.int64)
        i = e = 0
        while i < size or e < len(ends):
            if self.settings.tokenizer == "word":
                n, i, e, self.left, self.quoted = kernels.split_words(
                    block, size, i, ends, e, self.left, self.quoted, int(hold), int(self.alone),
                    character_classes(), spacing_rules(), starts, lengths,
                )  # fmt: skip
            elif self.settings.tokenizer == "whitespace":
                n, i, e = kernels.split_whitespace(block, size, i, ends, e, starts, lengths)
            else:
                n, i, e = kernels.split_characters(block, size, i, ends, e, starts, lengths)
            yield starts[:n], lengths[:n]


class Spelling:
    """How tokens are written: their bytes, and between which kinds of them a blank is expected.

    `<unk>` is written so; `<s>` and `</s>` are nothing, but with the whitespace tokenizer `</s>` is a
    newline, or two where sentences are paragraphs.
    """

    def __init__(self, settings: TextSettings, vocabulary: Vocabulary):
        fill, word, newline = (LETTERS.index(letter) for letter in "ban")
        end = b""
        self.rules = no_blanks()
        self.kinds = np.full(len(vocabulary), fill, np.uint8)
        if settings.tokenizer == "whitespace":
            end = b"\n\n" if settings.sentence == "paragraph" else b"\n"
            self.rules[word, word] = 1
            self.kinds[:] = word
        elif settings.tokenizer == "word":
            self.rules = spacing_rules()
            kernels.token_kinds(vocabulary.pool, vocabulary.offsets, character_classes(), self.kinds)
        self.kinds[:3] = word, fill, newline if end else fill
        reserved = b"<unk>" + end
        self.pool = np.concatenate([np.frombuffer(reserved, np.uint8), vocabulary.pool[vocabulary.offsets[3] :]])
        self.offsets = vocabulary.offsets + (len(reserved) - vocabulary.offsets[3])
        self.offsets[:4] = 0, 5, 5, len(reserved)
        self.longest = max(vocabulary.longest, len(reserved))

    def write(self, ids: np.ndarray, state: tuple[int, int]) -> tuple[bytes, tuple[int, int]]:
        """Return the bytes of the tokens and the state after them; ids of no token count as `<unk>`.

        The state is what stands before, for `kernels.decode`; at the start of a text it is START.
        """
        ids = np.ascontiguousarray(ids, np.int32).reshape(-1).view()
        ids.flags.writeable = False
        room = self.longest + kernels.ROOM
        out = np.empty(max(room, min(1 << 20, room * len(ids))), np.uint8)
        pieces, i, (left, quoted) = [], 0, state
        while i < len(ids):
            i, n, left, quoted = kernels.decode(
                ids, i, self.pool, self.offsets, self.kinds, self.rules, left, quoted, out
            )
            pieces.append(out[:n].tobytes())
        return b"".join(pieces), (left, quoted)


def split(text: str, tokenizer: str = "word") -> list[str]:
    r"""Cut a str into tokens.

    The word tokenizer writes a blank only where there are more than its spacing rules expect, and the joiner,
    an empty token, where there are fewer: `join` gives the text again, whatever it is (for char, byte, word).

    >>> split("Speak, speak.\n\n'Tis  I!we know't")
    ['Speak', ',', 'speak', '.', '\n', '\n', "'Tis", ' ', 'I', '!', '', 'we', "know't"]
    >>> split("hé", "byte") == ["h", "\udcc3", "\udca9"]
    True

    Raises
    ------
    CorpusError
        Where the str stands for no bytes: it holds surrogates other than U+DC80 to U+DCFF.
    """
    try:
        data = to_bytes(text)
    except UnicodeEncodeError as error:
        raise CorpusError(f"character {error.start + 1} of the text is a lone surrogate") from None
    if tokenizer == "byte":
        return [to_str(bytes([b])) for b in data]
    splitter = Splitter(TextSettings(tokenizer, "text"))
    return [
        to_str(data[start : start + length])
        for starts, lengths in splitter.spans(padded(data), len(data), NO_ENDS)
        for start, length in zip(starts.tolist(), lengths.tolist(), strict=True)
    ]


def join(tokens: list[str], tokenizer: str = "word") -> str:
    """Return the text of the tokens that `split` made.

    >>> join(["O", ",", "what", "a", "rogue", "!"])
    'O, what a rogue!'
    """
    vocabulary = Vocabulary.from_tokens(tokens)
    spelling = Spelling(TextSettings(tokenizer, "text"), vocabulary)
    return to_str(spelling.write(np.arange(3, len(vocabulary)), START)[0])

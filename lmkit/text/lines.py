"""Lines of a text, each cut into tokens as if it stood alone; and lines that cannot be read."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator

import numpy as np

from lmkit.kernels import text as kernels
from lmkit.model import EOS, RESERVED, UNK
from lmkit.text.corpus import Corpus
from lmkit.text.encoding import Encoded, concatenate, lowered, without
from lmkit.text.layer import TextLayer
from lmkit.text.settings import TextSettings
from lmkit.text.table import padded
from lmkit.text.tokenizers import split

__all__ = ["EncodedLines", "OnError", "blanked", "checked_blocks", "encode_lines"]

OnError = Callable[[str], object]
SEPARATORS = b"\0\t\n\r "  # of the whitespace tokenizer
SPELLED = re.compile(b"|".join(re.escape(token.encode()) for token in RESERVED))


@dataclasses.dataclass(frozen=True)
class EncodedLines:
    """Some lines of a text that follow each other, as ids.

    Attributes
    ----------
    lines : list of bytes
        As they stand, without their newlines.
    encoded : Encoded
        Their tokens, those of one line after those of another.
    ends : ndarray of int64, shape (lines,)
        Where the tokens of each line end.
    bad : dict of int to str
        What is wrong with lines that cannot be read, by their place among these lines; their tokens mean nothing.
    """

    lines: list[bytes]
    encoded: Encoded
    ends: np.ndarray
    bad: dict[int, str]


def encode_lines(
    layer: TextLayer, corpus: Corpus, *, eos: bool = True, on_error: OnError | None = None, before: int = 0
) -> Iterator[EncodedLines]:
    """Yield the lines of a text, some at a time, as they arrive, and their ids.

    The ids of a line are its tokens, its line break where that is a token, and `</s>` where the sentences of the layer
    are lines. The line break that a last line lacks is added. No line depends on another one.

    Parameters
    ----------
    eos : bool
        If not, lines are pieces of sentences, whose ends are unknown: without line breaks and `</s>`.
    on_error : callable, optional
        Called with a message for each line that cannot be read, which then is one of `bad`; without it such a line is
        an error, raised after the lines before it were given.
    before : int
        Lines of the text that stand before these, for messages.

    Raises
    ------
    CorpusError
        The text cannot be read, or spells a reserved token.
    """
    settings = dataclasses.replace(layer.settings, sentence="line")
    encoder = layer.encoder(corpus.title, settings, alone=True)
    encoder.lines, corpus.live = before, True
    of_lines = layer.settings.sentence == "line"
    break_tokens = {line_break: len(split(line_break, settings.tokenizer)) for line_break in ("\n", "\r\n")}
    for block, size, bad in checked_blocks(corpus, settings, on_error, before):
        lines = block[:size].tobytes().removesuffix(b"\n").split(b"\n")
        if bad:
            block, size = blanked(block, size, bad)
        encoded = concatenate([encoder.feed(block, size), encoder.finish()])
        at = np.flatnonzero(encoded.ids == EOS)
        dropped = [at[:0] if eos and of_lines else at]
        if not eos:
            returned = np.array([line.endswith(b"\r") and i not in bad for i, line in enumerate(lines)])
            returned[-1] |= block[size - 1] != ord("\n") and encoder.line_break == b"\r\n"
            breaks = np.where(returned, break_tokens["\r\n"], break_tokens["\n"])
            dropped += [at[breaks > k] - 1 - k for k in range(max(break_tokens.values()))]
        positions = np.concatenate(dropped)
        kept = np.ones(len(encoded.ids), bool)
        kept[positions] = False
        yield EncodedLines(lines, without(encoded, positions), np.cumsum(kept)[at], bad)


def checked_blocks(
    corpus: Corpus, settings: TextSettings, on_error: OnError | None = None, before: int = 0
) -> Iterator[tuple[np.ndarray, int, dict[int, str]]]:
    """Yield the padded blocks of a text, their sizes, and what is wrong with lines of theirs, by number from 0 on.

    Parameters
    ----------
    on_error, before
        As in `encode_lines`. Without `on_error`, a line that spells a reserved token begins a block, so that what
        stands before it can be used before the encoder raises its error.
    """
    for block, size in corpus.padded_blocks():
        bad = _spelled(block, size, settings)
        if on_error is not None:
            bad = {**bad, **_invalid(block, size, corpus.encoding)}
            for line in sorted(bad):
                on_error(f"{corpus.title}: line {before + line + 1}: {bad[line]}")
            yield block, size, bad
        else:
            cut = _line_start(block, size, min(bad)) if bad else 0
            if cut:
                yield block, cut, {}
            yield block[cut:], size - cut, {}
        before += kernels.count_newlines(block, size)


def blanked(block: np.ndarray, size: int, bad: dict[int, str], keep_lines: bool = True) -> tuple[np.ndarray, int]:
    """Return a block whose bad lines are empty, or not there at all, and its size."""
    lines = block[:size].tobytes().split(b"\n")
    if len(lines) - 1 in bad and keep_lines:
        lines.append(b"")  # so that the last line, too, is one
    kept = (b"" if i in bad else line for i, line in enumerate(lines) if keep_lines or i not in bad)
    data = b"\n".join(kept)
    return padded(data), len(data)


def _spelled(block: np.ndarray, size: int, settings: TextSettings) -> dict[int, str]:
    """Return the lines that spell a reserved token which the settings do not allow."""
    if settings.tokenizer != "whitespace" or settings.reserved == "space":
        return {}
    data = block[:size].tobytes()
    data = lowered(data) if settings.lowercase else data
    found: dict[int, str] = {}
    line = begin = 0
    for match in SPELLED.finditer(data):
        token, start, end = match[0].decode(), *match.span()
        if data[max(start - 1, 0) : start].strip(SEPARATORS) or data[end : end + 1].strip(SEPARATORS):
            continue
        if token == RESERVED[UNK] and settings.reserved == "keep":
            continue
        line, begin = line + data.count(b"\n", begin, start), start
        found.setdefault(line, f"reserved token {token} in the text")
    return found


def _invalid(block: np.ndarray, size: int, encoding: str) -> dict[int, str]:
    """Return the lines with bytes that are no characters of the encoding, which a corpus lets pass as they are."""
    found: dict[int, str] = {}
    data = block[:size].tobytes()
    line = begin = 0
    while begin < size:
        bad = kernels.inspect_utf8(block[begin:], size - begin)[1]
        if bad < 0:
            break
        line += kernels.count_newlines(block[begin:], bad)
        found[line] = f"0x{int(block[begin + bad]):02x} is not valid {encoding}"
        newline = data.find(b"\n", begin + bad)
        begin, line = (newline + 1 if newline >= 0 else size), line + 1
    return found


def _line_start(block: np.ndarray, size: int, line: int) -> int:
    """Return where a line of a block begins, given its number from 0 on."""
    return 0 if line == 0 else int(np.flatnonzero(block[:size] == ord("\n"))[line - 1]) + 1

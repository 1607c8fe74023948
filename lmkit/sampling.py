"""From tokens to text that can be read as it comes: prompts, sentence ends, stop strings, several streams."""

from __future__ import annotations

import bisect
import copy
import dataclasses
import itertools
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lmkit.decoding import generate
from lmkit.errors import LmkitWarning, OptionError
from lmkit.model import EOS, LanguageModel
from lmkit.text.vocabulary import to_bytes
from lmkit.threads import ahead
from lmkit.uniforms import Uniforms

if TYPE_CHECKING:
    from lmkit.text import Decoder, TextLayer

__all__ = ["DEFAULT_LENGTH", "MAX_SENTENCE_LENGTH", "OPTIONS", "Piece", "sample_pieces", "shown_prompt"]

DEFAULT_LENGTH = 200  # tokens
MAX_SENTENCE_LENGTH = 10_000  # tokens of a sentence, where a sample is to end with one: some models never end it
MAX_STREAMS = 4096  # drawn in lockstep
MIN_STREAMS = 64
MAX_TOKENS = 2**24  # of all streams of a batch: those behind the first wait in memory for their turn
MAX_PROBABILITIES = 2**24  # of one step of all streams, where whole distributions are computed
OPTIONS = (
    "n", "sentences", "stop", "keep_stop", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "allow_unk",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Piece:
    """The next part of a stream: its tokens, their text, and if asked for their log-probabilities.

    The text is that of the tokens and, where a stop string has come in the middle of the next token, the part of that
    token that belongs to the sample.
    """

    stream: int
    ids: np.ndarray
    text: bytes
    log_probs: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Stops:
    """The strings that end a sample.

    Attributes
    ----------
    strings : tuple of bytes
        The first one that is complete ends the sample; of those complete at the same place, the longest.
    kept : bool
        Whether that string belongs to the sample.

    >>> Stops((b"abcd", b"c")).cut(b"xabcd"), Stops((b"abcd", b"c"), kept=True).cut(b"xabcd")
    (3, 4)
    """

    strings: tuple[bytes, ...]
    kept: bool = False

    def cut(self, text: bytes) -> int | None:
        """Return where the sample ends in a text, or None if no stop string is in it."""
        found = [(text.find(string), len(string)) for string in self.strings]
        ends = [(begin + length, begin) for begin, length in found if begin >= 0]
        if not ends:
            return None
        end, begin = min(ends)
        return end if self.kept else begin

    def beginning_at_the_end(self, text: bytes) -> int:
        """Return the length of the longest beginning of a stop string that the text ends with."""
        lengths = range(min(max(map(len, self.strings)) - 1, len(text)), 0, -1)
        return next((n for n in lengths if any(s.startswith(text[-n:]) for s in self.strings)), 0)


class Stream:
    """One sample in the making: decodes its tokens, and knows when it is done."""

    def __init__(
        self, number: int, decoder: Decoder, sentences: int | None, stops: Stops | None, most: int | None = None
    ):
        self.number, self.decoder, self.sentences, self.stops = number, decoder, sentences, stops
        self.most, self.length = most, 0  # tokens of a sentence, at most; and of the one that is open
        self.pieces: list[Piece] = []
        self.ids, self.log_probs = np.empty(0, np.int32), None  # held back: a stop string may begin in them
        self.done = self.cut_short = False
        if sentences == 0:
            self.finish()

    def feed(self, ids: np.ndarray, log_probs: np.ndarray | None) -> None:
        """Take the next tokens, or as many as belong to the sample."""
        if self.sentences is not None:
            ids = self._within_sentences(ids)
        self.ids = np.concatenate([self.ids, ids])
        if log_probs is not None:
            held = self.log_probs
            self.log_probs = log_probs if held is None else np.concatenate([held, log_probs])
        if self.stops:
            self._give_up_to_stop()
        else:
            self._give(len(self.ids))

    def _within_sentences(self, ids: np.ndarray) -> np.ndarray:
        """Return the tokens up to the last sentence end of the sample, or to where a sentence becomes too long."""
        ends = np.flatnonzero(ids == EOS)[: self.sentences]
        if len(ends) == self.sentences:
            ids, self.done = ids[: ends[-1] + 1], True
        begins = np.append(-self.length, ends + 1)
        lengths = np.append(ends, len(ids)) - begins
        too_long = np.flatnonzero(lengths >= self.most) if self.most else []
        if len(too_long):
            self.done = self.cut_short = True
            return ids[: begins[too_long[0]] + self.most]
        self.length = int(lengths[-1])
        self.sentences -= len(ends)
        return ids

    def finish(self) -> None:
        """Let go of what was held back: no token follows."""
        if not self.done:
            self.done = True
            self._give(len(self.ids))

    def _give_up_to_stop(self) -> None:
        text = copy.copy(self.decoder).feed(self.ids)
        cut = self.stops.cut(text)
        if cut is not None:
            self.done = True
            self._give(self._tokens_within(cut), text[:cut])
        elif self.done:
            self._give(len(self.ids))
        else:
            self._give(self._tokens_within(len(text) - self.stops.beginning_at_the_end(text)))

    def _tokens_within(self, size: int) -> int:
        """Return how many of the tokens make up no more than the first bytes of the text."""
        numbers = range(len(self.ids) + 1)
        return bisect.bisect(numbers, size, key=lambda n: len(copy.copy(self.decoder).feed(self.ids[:n]))) - 1

    def _give(self, n: int, text: bytes | None = None) -> None:
        """Make a piece of the first n tokens."""
        ids, self.ids = self.ids[:n], self.ids[n:]
        log_probs = None
        if self.log_probs is not None:
            log_probs, self.log_probs = self.log_probs[:n], self.log_probs[n:]
        written = self.decoder.feed(ids)
        self.pieces.append(Piece(self.number, ids, written if text is None else text, log_probs))


def sample_pieces(
    model: LanguageModel,
    *,
    n: int | None = None,
    sentences: int | None = None,
    count: int = 1,
    prompt: str = "",
    stop: str | Sequence[str] | None = None,
    keep_stop: bool = False,
    rng: np.random.Generator,
    log_probs: bool = False,
    **decoding,
) -> Iterator[Piece]:
    """Yield samples piece by piece: all of the first stream, then all of the second, ...

    Streams are drawn in lockstep, some thousands at a time. Each depends on its own key only, so the first of many is
    the same as one alone.

    Parameters
    ----------
    n : int, optional
        Tokens of each sample, sentence ends included. Without it 200; where `sentences` is given as many as it takes,
        but no sentence of `MAX_SENTENCE_LENGTH` tokens without an end.
    sentences : int, optional
        End a sample after so many sentence ends.
    stop : str or list of str, optional
        End a sample before the first of these strings that is complete.
    keep_stop : bool
        Whether that string belongs to the sample.
    prompt : str
        What the model reads first; not part of the pieces.
    log_probs : bool
        Whether pieces carry log p(token | all before it), natural, before temperature and filters.
    decoding
        temperature, top_k, ... as in `lmkit.decoding.generate`.

    Raises
    ------
    OptionError
        At the call, if an option makes no sense.

    Warns
    -----
    LmkitWarning
        After the last piece, if samples ended in a sentence of `MAX_SENTENCE_LENGTH` tokens.
    """
    if count < 1:
        raise OptionError(f"--count is {count}; it must be at least 1")
    if sentences is not None and sentences < 0:
        raise OptionError(f"--sentences is {sentences}; it must be at least 0")
    stops = _stops(stop, keep_stop)
    most = MAX_SENTENCE_LENGTH if n is None and sentences is not None else None
    if n is None and sentences is None:
        n = DEFAULT_LENGTH
    prompt_ids = model.text.encode_text(prompt, complete=False).ids if prompt else np.empty(0, np.int32)

    def batch(first: int, size: int) -> tuple[list[Stream], Iterator]:
        state = model.begin(size)
        if len(prompt_ids):
            state = model.score(state, np.tile(prompt_ids, (size, 1)))[1]
        dice = Uniforms.from_generator(rng, size)
        blocks = generate(model, state, n=n, uniforms=dice, history=prompt_ids, **decoding)
        decoder = model.text.decoder
        streams = [Stream(first + i, decoder().primed(prompt_ids), sentences, stops, most) for i in range(size)]
        return streams, _scored(model, state, ahead(blocks), log_probs)

    width = min(MAX_STREAMS, max(MIN_STREAMS, MAX_PROBABILITIES // model.vocabulary_size))
    width = max(1, min(width, MAX_TOKENS // max(n if n is not None else MAX_SENTENCE_LENGTH, 1)))
    begin = batch(0, min(width, count))  # now: options are refused at the call
    others = (batch(first, min(width, count - first)) for first in range(width, count, width))
    return _in_turn(itertools.chain([begin], others))


def _stops(stop: str | Sequence[str] | None, kept: bool) -> Stops | None:
    strings = [stop] if isinstance(stop, str) else list(stop or ())
    if "" in strings:
        raise OptionError("--stop is an empty string; leave it out to go on to the end")
    if kept and not strings:
        raise OptionError("--keep-stop goes with --stop")
    try:
        return Stops(tuple(map(to_bytes, strings)), kept) if strings else None
    except UnicodeEncodeError as error:
        raise OptionError(f"--stop is {error.object!r}, which holds a lone surrogate") from None


def _in_turn(batches: Iterator[tuple[list[Stream], Iterator]]) -> Iterator[Piece]:
    """Yield the pieces of one batch of streams after the other; tell at last how many sentences were too long."""
    cut_short = 0
    for streams, blocks in batches:
        yield from _in_order(streams, blocks)
        cut_short += sum(stream.cut_short for stream in streams)
    if cut_short:
        which = "the sample" if cut_short == 1 else f"{cut_short} samples"
        warnings.warn(
            f"{which} ended in a sentence that had no end after {MAX_SENTENCE_LENGTH:,} tokens; "
            "choose another bound with --n",
            LmkitWarning,
            stacklevel=2,
        )


def shown_prompt(text: TextLayer, prompt: str) -> bytes:
    """Return the bytes of a prompt, without blanks at the end that its continuation brings itself."""
    ids = text.encode_text(prompt, complete=False).ids
    while prompt and prompt[-1].isspace():
        shorter = text.encode_text(prompt[:-1], complete=False).ids
        if not np.array_equal(ids, shorter):
            break
        prompt = prompt[:-1]
    return prompt.encode("utf-8", "surrogateescape")


def _scored(model, state, blocks, wanted):
    for ids in blocks:
        log_p = None
        if wanted:
            log_p, state = model.score(state, ids)
        yield ids, log_p


def _in_order(streams: list[Stream], blocks) -> Iterator[Piece]:
    """Feed the streams in step and yield their pieces in turn."""
    turn = 0
    while turn < len(streams):
        block = next(blocks, None) if not all(s.done for s in streams[turn:]) else None
        for i in range(turn, len(streams)):
            if block is None:
                streams[i].finish()
            elif not streams[i].done:
                streams[i].feed(block[0][i], None if block[1] is None else block[1][i])
        while turn < len(streams):
            yield from streams[turn].pieces
            streams[turn].pieces.clear()
            if not streams[turn].done:
                break
            turn += 1

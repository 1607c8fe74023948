"""From tokens to text that can be read as it comes: prompts, sentence ends, stop strings, several streams."""

from __future__ import annotations

import bisect
import copy
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from lmkit.decoding import generate
from lmkit.errors import OptionError
from lmkit.model import EOS, LanguageModel
from lmkit.threads import ahead
from lmkit.uniforms import Uniforms

if TYPE_CHECKING:
    from lmkit.text import Decoder, TextLayer

__all__ = ["DEFAULT_LENGTH", "OPTIONS", "Piece", "sample_pieces", "shown_prompt"]

DEFAULT_LENGTH = 200  # tokens
OPTIONS = (
    "n", "sentences", "stop", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "allow_unk",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Piece:
    """The next part of a stream: its tokens, their text, and if asked for their log-probabilities.

    The text is that of the tokens, and where a stop string has come, what of the next token stands before it.
    """

    stream: int
    ids: np.ndarray
    text: bytes
    log_probs: np.ndarray | None = None


class Stream:
    """One sample in the making: decodes its tokens, and knows when it is done."""

    def __init__(self, number: int, decoder: Decoder, sentences: int | None, stop: bytes | None):
        self.number, self.decoder, self.sentences, self.stop = number, decoder, sentences, stop
        self.pieces: list[Piece] = []
        self.ids, self.log_probs = np.empty(0, np.int32), None  # held back: the stop string may begin in them
        self.done = False
        if sentences == 0:
            self.finish()

    def feed(self, ids: np.ndarray, log_probs: np.ndarray | None) -> None:
        """Take the next tokens, or as many as belong to the sample."""
        if self.sentences is not None:
            ends = np.flatnonzero(ids == EOS)
            if len(ends) >= self.sentences:
                ids, self.done = ids[: ends[self.sentences - 1] + 1], True
            self.sentences -= len(ends)
        self.ids = np.concatenate([self.ids, ids])
        if log_probs is not None:
            held = self.log_probs
            self.log_probs = log_probs if held is None else np.concatenate([held, log_probs])
        if self.stop:
            self._give_up_to_stop()
        else:
            self._give(len(self.ids))

    def finish(self) -> None:
        """Let go of what was held back: no token follows."""
        if not self.done:
            self.done = True
            self._give(len(self.ids))

    def _give_up_to_stop(self) -> None:
        text = copy.copy(self.decoder).feed(self.ids)
        found = text.find(self.stop)
        if found >= 0:
            self.done = True
            self._give(self._tokens_within(found), text[:found])
        elif self.done:
            self._give(len(self.ids))
        else:
            self._give(self._tokens_within(len(text) - _beginning_at_the_end(text, self.stop)))

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


def _beginning_at_the_end(text: bytes, stop: bytes) -> int:
    """Return the length of the longest beginning of the stop string that the text ends with."""
    return next(n for n in range(min(len(stop) - 1, len(text)), -1, -1) if text.endswith(stop[:n]))


def sample_pieces(
    model: LanguageModel,
    *,
    n: int | None = None,
    sentences: int | None = None,
    count: int = 1,
    prompt: str = "",
    stop: str | None = None,
    rng: np.random.Generator,
    log_probs: bool = False,
    **decoding,
) -> Iterator[Piece]:
    """Yield samples piece by piece: all of the first stream, then all of the second, ...

    The streams are drawn in lockstep; each depends on its own key only, so the first of many is the same as
    one alone.

    Parameters
    ----------
    n : int, optional
        Tokens of each sample, sentence ends included. Without it 200, or as many as it takes where
        `sentences` is given.
    sentences : int, optional
        End a sample after so many sentence ends.
    stop : str, optional
        End a sample where this string would begin.
    prompt : str
        What the model reads first; not part of the pieces.
    log_probs : bool
        Whether pieces carry log p(token | all before it), natural, before temperature and filters.
    decoding
        temperature, top_k, ... as in `lmkit.decoding.generate`.
    """
    if count < 1:
        raise OptionError(f"--count is {count}; it must be at least 1")
    if sentences is not None and sentences < 0:
        raise OptionError(f"--sentences is {sentences}; it must be at least 0")
    if stop == "":
        raise OptionError("--stop is an empty string; leave it out to go on to the end")
    if n is None and sentences is None:
        n = DEFAULT_LENGTH
    prompt_ids = model.text.encode_text(prompt, complete=False).ids if prompt else np.empty(0, np.int32)
    state = model.begin(count)
    if len(prompt_ids):
        state = model.score(state, np.tile(prompt_ids, (count, 1)))[1]
    blocks = generate(model, state, n=n, uniforms=Uniforms.from_generator(rng, count), history=prompt_ids, **decoding)
    stop_bytes = stop.encode("utf-8", "surrogateescape") if stop else None
    streams = [Stream(i, model.text.decoder().primed(prompt_ids), sentences, stop_bytes) for i in range(count)]
    return _in_order(streams, _scored(model, state, ahead(blocks), log_probs))


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

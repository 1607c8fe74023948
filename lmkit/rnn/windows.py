"""A text as parallel streams, cut into windows."""

from __future__ import annotations

import numpy as np

from lmkit.model import EOS

__all__ = ["Streams", "fit"]


def fit(tokens: int, batch: int, bptt: int) -> tuple[int, int]:
    """Return (streams, steps) of the windows of a text that may be too short for what was asked for.

    >>> fit(10_000, 32, 64), fit(100, 32, 64), fit(3, 32, 64)
    ((32, 64), (1, 64), (1, 3))
    """
    streams = max(1, min(batch, tokens // bptt))
    return streams, min(bptt, -(-tokens // streams))


class Streams:
    """A text cut into pieces of equal length that are read side by side.

    Parameters
    ----------
    ids : ndarray of int32, shape (N,)
    count : int
        Number of streams.
    steps : int
        Length of a window; the last one of a pass may be shorter.
    whole : bool
        Whether no token may be left out: the last stream is then filled up with `</s>`, which `real` tells apart. If
        not, fewer than `count` tokens at the end are.
    """

    def __init__(self, ids: np.ndarray, count: int, steps: int, whole: bool = False):
        self.count, self.steps, self.tokens = count, steps, len(ids)
        self.length = -(-len(ids) // count) if whole else len(ids) // count
        missing = max(self.length * count - len(ids), 0)
        ids = np.concatenate([ids, np.full(missing, EOS, np.int32)]) if missing else ids
        self.rows = ids[: self.length * count].reshape(count, self.length)
        self.before = np.concatenate([[EOS], self.rows[:-1, -1]]).astype(np.int32)  # each stream

    @property
    def windows(self) -> int:
        """Windows of a pass."""
        return -(-self.length // self.steps)

    def window(self, number: int, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Return what goes in and what is to come out, int32 (T, B), of the streams `first` to `last`.

        What goes in is the token before: the last one of the stream to the left, or `</s>` before the first.
        """
        begin, end = self._span(number)
        targets = np.ascontiguousarray(self.rows[first:last, begin:end].T)
        inputs = np.empty_like(targets)
        inputs[1:] = targets[:-1]
        inputs[0] = self.rows[first:last, begin - 1] if begin else self.before[first:last]
        return inputs, targets

    def real(self, number: int, first: int, last: int) -> np.ndarray:
        """Return which targets of a window are tokens of the text, bool (T, B)."""
        begin, end = self._span(number)
        return np.arange(first, last) * self.length + np.arange(begin, end)[:, None] < self.tokens

    def shares(self, parts: int) -> list[tuple[int, int]]:
        """Return (first, last) of so many parts of the streams, of nearly equal size, none empty."""
        parts = min(parts, self.count)
        return [(self.count * i // parts, self.count * (i + 1) // parts) for i in range(parts)]

    def _span(self, number: int) -> tuple[int, int]:
        begin = number * self.steps
        return begin, min(begin + self.steps, self.length)

"""A hash table from token bytes to ids: it grows while a vocabulary is learnt, then stands still."""

from __future__ import annotations

import os

import numpy as np

from lmkit.kernels import vocabulary as kernels
from lmkit.kernels.text import PAD

__all__ = ["TokenTable", "padded"]


def new_secrets() -> tuple[np.uint64, np.uint64, np.uint64]:
    """Draw a key of the hash function, as `lmkit.kernels.vocabulary` takes it."""
    first, second, third = np.frombuffer(os.urandom(24), np.uint64)
    return first, second, third | np.uint64(1)


# The hash is keyed anew in each process, so that no file can be made whose tokens all fall into one slot.
SECRETS = new_secrets()


def padded(data, size: int | None = None) -> np.ndarray:
    """Return a copy of bytes or a uint8 array, larger if asked for, with slack for the kernels to read."""
    data = np.frombuffer(data, np.uint8)
    copy = np.empty((len(data) if size is None else size) + PAD, np.uint8)
    copy[: len(data)] = data
    copy[len(data) :] = 0
    return copy


class TokenTable:
    """Tokens in the order of their ids, found by their bytes.

    Parameters
    ----------
    pool : ndarray of uint8
        The bytes of all tokens, one after the other, and PAD bytes more.
    offsets : ndarray of int64, shape (size + 1,)
        Where each token starts.
    counts : ndarray of int64, shape (size,), optional
        How often each token has been met; zeros if not given.

    Attributes
    ----------
    size : int
        Number of tokens.
    duplicate : int
        The first token that is there twice, or -1.
    """

    def __init__(self, pool: np.ndarray, offsets: np.ndarray, counts: np.ndarray | None = None):
        self.pool, self.offsets, self.size = pool, offsets, len(offsets) - 1
        self.keys = np.zeros((64, 3), np.uint64)
        self.duplicate = self._index(self.size, np.zeros(self.size, np.int64) if counts is None else counts)

    def __reduce__(self) -> tuple:
        """Return the tokens and their counts: the slots are arranged by the secrets of this process."""
        return TokenTable, (padded(self.pool[: self.offsets[self.size]]), self.offsets[: self.size + 1], self.counts())

    def _index(self, room: int, counts: np.ndarray) -> int:
        """Make the slots anew, twice as many as there is room for tokens or more."""
        self.slots = np.zeros((1 << (2 * room).bit_length(), 4), np.uint64)
        duplicate = kernels.build_index(self.pool, self.offsets, self.size, SECRETS, self.slots)
        used = np.flatnonzero(self.slots[:, 2])
        self.slots[used, 3] = counts[self.slots[used, 2].astype(np.int64) - 1]
        return duplicate

    def counts(self) -> np.ndarray:
        """Return how often each token has been met, int64 of shape (size,); 0 for the reserved ones."""
        counts = np.zeros(self.size, np.int64)
        used = np.flatnonzero(self.slots[:, 2])
        counts[self.slots[used, 2].astype(np.int64) - 1] = self.slots[used, 3]
        return counts

    def _reserve(self, tokens: int, size: int) -> None:
        """Make room for some more tokens with some bytes in all."""
        tokens += self.size
        if 2 * tokens > len(self.slots):
            self._index(2 * tokens, self.counts())
        if tokens >= len(self.offsets):
            self.offsets = np.resize(self.offsets, 2 * tokens + 1)
        used = int(self.offsets[self.size])
        if used + size + PAD > len(self.pool):
            self.pool = padded(self.pool[:used], 2 * (used + size))

    def ids(self, block: np.ndarray, starts: np.ndarray, lengths: np.ndarray, add: bool) -> np.ndarray:
        """Return the id of each span, int32 of shape (n,); -1, -2, -3 for a spelled reserved token.

        A token that is not in the table is added, or, without `add`, has the id `kernels.MISSING`.
        """
        if add and len(starts):
            self._reserve(len(starts), int(starts[-1]) + max(int(lengths[-1]), 0) - int(starts[0]))
        ids = np.empty(len(starts), np.int32)
        self.size = kernels.intern(
            block, starts, lengths, self.slots, self.pool, self.offsets, self.size, SECRETS, add, self.keys, ids
        )
        return ids
